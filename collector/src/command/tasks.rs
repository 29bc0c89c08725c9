//! `holdup tasks`: the live tasks of a service, from its own endpoint or from the dumps that it sent.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use super::ask::{Address, Choice};
use super::query::{self, Output, QueryArgs};
use super::text::visible;

/// How long a service may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The arguments of `holdup tasks`.
#[derive(Args, Debug)]
pub(crate) struct TasksArgs {
    /// The service's last dumps, as a collector has them; may be given several times
    #[arg(long, value_name = "NAME", required_unless_present = "endpoint")]
    service: Vec<String>,
    /// The endpoint of a service on this machine, which answers now
    #[arg(long, value_name = "URL", conflicts_with = "service")]
    endpoint: Option<String>,
    /// How far back a dump may be
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = humantime::parse_duration)]
    since: Duration,
    /// The most rows
    #[arg(long, value_name = "ROWS", default_value_t = 1_000)]
    limit: u32,
    /// How to print them
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
    #[command(flatten)]
    address: Address,
}

/// Asks, and prints what comes.
pub(crate) fn run(args: &TasksArgs) -> anyhow::Result<()> {
    if let Some(endpoint) = &args.endpoint {
        return print(&ask(endpoint, args.output)?);
    }
    query::run(&QueryArgs {
        name: Some("tasks".to_owned()),
        since: args.since,
        choice: Choice { service: args.service.clone(), ..Choice::default() },
        function: None,
        search: None,
        state: Vec::new(),
        limit: args.limit,
        output: args.output.into(),
        address: args.address.clone(),
    })
}

fn ask(endpoint: &str, output: Output) -> anyhow::Result<String> {
    let base = endpoint.trim_end_matches('/').trim_end_matches("/tasks");
    let base = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
    let accepted = match output {
        Output::Table => "text/plain",
        Output::Json => "application/json",
    };
    // It is near, without TLS: no certificates are read, and none need be there.
    let client = reqwest::blocking::Client::builder().no_proxy().tls_certs_only([]);
    let client = client.timeout(PATIENCE).build()?;
    let request = client.get(format!("{base}/tasks")).header("accept", accepted);
    let response = request.send().with_context(|| {
        format!(
            "no service answers at {base}: set HOLDUP_TASKS_LISTEN=127.0.0.1:PORT in the service, \
             or correct --endpoint"
        )
    })?;
    let status = response.status();
    let text = response.text().with_context(|| format!("{base} broke off its answer"))?;
    if !status.is_success() {
        bail!("{base} answered {status}: {}", text.trim());
    }
    Ok(text)
}

/// Without control characters: a name must not be able to drive the terminal.
fn print(text: &str) -> anyhow::Result<()> {
    let shown = text.chars().map(|c| if c == '\n' { c } else { visible(c) });
    let shown = shown.collect::<String>();
    match writeln!(std::io::stdout().lock(), "{}", shown.trim_end()) {
        // A pager that was closed has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write the answer"),
    }
}
