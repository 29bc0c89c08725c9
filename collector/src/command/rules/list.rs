//! `holdup rules list`.

use std::io::Write;

use anyhow::Context;
use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::json;

use crate::command::query::Output;
use crate::config::ConfigError;
use crate::rules::{self, Question, Rule, Template};

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
            let all: Vec<_> = rules.iter().map(as_json).collect();
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
        let from = if rule.origin.built_in { "built in".into() } else { place(rule) };
        table.add_row([
            rule.name.clone(),
            severity(rule),
            humantime::format_duration(rule.interval).to_string(),
            humantime::format_duration(rule.for_).to_string(),
            from,
            if rule.enabled { String::new() } else { "off".into() },
        ]);
    }
    table
}

fn as_json(rule: &Rule) -> serde_json::Value {
    let question = match &rule.question {
        Question::Sql(sql) => json!({"expr": sql.text}),
        Question::Measure(measure) => json!({"measure": measure.name()}),
    };
    json!({
        "alert": rule.name,
        "group": rule.group,
        "severity": severity(rule),
        "interval_s": rule.interval.as_secs_f64(),
        "for_s": rule.for_.as_secs_f64(),
        "keep_firing_for_s": rule.keep_firing_for.as_secs_f64(),
        "file": place(rule),
        "built_in": rule.origin.built_in,
        "enabled": rule.enabled,
        "runbook_url": rule.annotations.get("runbook_url").map(Template::text),
        "question": question,
    })
}

fn place(rule: &Rule) -> String {
    format!("{}:{}", rule.origin.file, rule.origin.line)
}

fn severity(rule: &Rule) -> String {
    rule.labels.get("severity").map(Template::text).unwrap_or_default()
}
