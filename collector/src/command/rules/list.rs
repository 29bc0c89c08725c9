//! `holdup rules list`.

use std::io::Write;

use anyhow::Context;
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};

use crate::command::query::Output;
use crate::config::ConfigError;
use crate::rules::{self, Rule};

/// The arguments of `holdup rules list`.
#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Your rule files, as `serve` has them; may be patterns
    #[arg(long, env = "HOLDUP_ALERT_RULES", value_name = "FILES", value_delimiter = ',')]
    alert_rules: Vec<String>,
    /// How to print them
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

pub(super) fn run(args: &ListArgs) -> anyhow::Result<()> {
    let rules = rules::load(&args.alert_rules).map_err(ConfigError::Rules)?;
    let text = match args.output {
        Output::Json => {
            let all: Vec<_> = rules.iter().map(|rule| rule.described(usize::MAX)).collect();
            serde_json::to_string_pretty(&all)?
        }
        Output::Table => table(&rules).to_string(),
    };
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write the list"),
    }
}

fn table(rules: &[Rule]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["ALERT", "SEVERITY", "EVERY", "FOR", "FROM", ""]);
    for rule in rules {
        let from = if rule.origin.built_in { "built in".into() } else { rule.place() };
        table.add_row([
            rule.name.clone(),
            rule.severity(),
            humantime::format_duration(rule.interval).to_string(),
            humantime::format_duration(rule.for_).to_string(),
            from,
            if rule.enabled { String::new() } else { "off".into() },
        ]);
    }
    table
}
