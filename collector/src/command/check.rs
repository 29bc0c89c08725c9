//! `holdup check`: whether `holdup serve` would start with this configuration, without starting it.

use std::io::Write;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use clap::Args;

use crate::config::{ClickHouse, Config, ConfigError, Settings};
use crate::notify::{Notifier, Reached};
use crate::store::Store;

/// How long a server may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    settings: Settings,
    /// Also try whether ClickHouse, brokers and the receivers of alerts can be reached
    #[arg(long)]
    connect: bool,
}

/// Says what the configuration comes to. What is wrong is one line, with the place and what to do.
pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let config = args.settings.clone().resolve()?;
    Notifier::check(&config.notify).map_err(|error| ConfigError::Conflict(error.to_string()))?;
    let mut out = std::io::stdout().lock();
    for (what, value) in summary(&config) {
        writeln!(out, "{what:<11} {value}")?;
    }
    if !args.connect {
        return Ok(());
    }
    let mut failed = 0;
    for (what, outcome) in tried(&config)? {
        failed += usize::from(outcome.is_err());
        match outcome {
            Ok(said) => writeln!(out, "ok          {what}: {said}")?,
            Err(reason) => writeln!(out, "failed      {what}: {reason}")?,
        }
    }
    match failed {
        0 => Ok(()),
        n => bail!("{n} of what the collector needs can't be reached: see the lines above"),
    }
}

/// What was understood. Secrets are told as being there, or not.
fn summary(config: &Config) -> Vec<(&'static str, String)> {
    let tls = match &config.tls {
        None => "no".to_owned(),
        Some(files) if files.client_ca.is_some() => "yes, with certificates of clients".to_owned(),
        Some(_) => "yes".to_owned(),
    };
    let tokens = match &config.tokens {
        None => "none: everybody who reaches it may do everything".to_owned(),
        Some(tokens) => format!("{} known", tokens.len()),
    };
    let clickhouse = match &config.clickhouse {
        ClickHouse::At(address) => {
            format!("{} as {}, database {}", address.url, address.user, address.database)
        }
        ClickHouse::Embedded { data_dir, .. } => format!("embedded, in {}", data_dir.display()),
    };
    let kafka = config.kafka.as_ref().map(|kafka| {
        let (brokers, group) = (kafka.brokers.join(", "), &kafka.group);
        ("kafka", format!("{brokers}, as one of the group {group}"))
    });
    let all = [
        ("grpc", config.grpc_listen.to_string()),
        ("http", config.http_listen.to_string()),
        ("page", config.page_listen.to_string()),
        ("tls", tls),
        ("tokens", tokens),
        ("clickhouse", clickhouse),
        ("rules", config.alerts.rules.len().to_string()),
        ("receivers", config.notify.receivers.len().to_string()),
    ];
    all.into_iter().chain(kafka).collect()
}

type Tried = (String, Result<String, String>);

/// What can be reached, and what can't.
fn tried(config: &Config) -> anyhow::Result<Vec<Tried>> {
    let mut all = Vec::new();
    match &config.clickhouse {
        ClickHouse::At(address) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let version = runtime.block_on(Store::new(address.clone()).server_version());
            let outcome = version.map(|version| format!("version {version}"));
            all.push(("ClickHouse".to_owned(), outcome.map_err(|error| error.to_string())));
        }
        ClickHouse::Embedded { .. } => {
            let later = "the embedded one is started by `holdup serve`".to_owned();
            all.push(("ClickHouse".to_owned(), Ok(later)));
        }
    }
    for broker in config.kafka.iter().flat_map(|kafka| &kafka.brokers) {
        let (host, port) = broker.rsplit_once(':').unwrap_or((broker, ""));
        let place = Reached::Server(host.to_owned(), port.parse()?);
        all.push((format!("broker {broker}"), reach(&place)));
    }
    for receiver in &config.notify.receivers {
        let what = format!("receiver {} ({})", receiver.name, receiver.way.kind());
        match receiver.reached_at() {
            Err(error) => all.push((what, Err(error.to_string()))),
            Ok(places) => all.extend(places.iter().map(|place| (what.clone(), reach(place)))),
        }
    }
    Ok(all)
}

fn reach(place: &Reached) -> Result<String, String> {
    match place {
        Reached::Server(host, port) => {
            let told = |error| format!("{host}:{port} does not answer: {error}");
            let addresses: Vec<SocketAddr> =
                (host.as_str(), *port).to_socket_addrs().map_err(told)?.collect();
            let mut last = std::io::Error::other("the name has no address");
            for address in addresses {
                match TcpStream::connect_timeout(&address, PATIENCE) {
                    Ok(_connected) => return Ok(format!("{host}:{port} answers")),
                    Err(error) => last = error,
                }
            }
            Err(told(last))
        }
        Reached::Program(program) => {
            let folders = std::env::var_os("PATH").unwrap_or_default();
            let mut found = std::env::split_paths(&folders).map(|folder| folder.join(program));
            if Path::new(program).is_file() || found.any(|path| path.is_file()) {
                return Ok(format!("{program} is there"));
            }
            Err(format!("there is no program {program}"))
        }
    }
}
