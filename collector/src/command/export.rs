//! `holdup export`: stacks of blocked time as files for other tools.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};

use super::ask::{Address, Choice, Collector, Question};
use super::text::print;
use crate::clock::now_ns;
use crate::export::{Format, Profile, Stack, read_stacks};
use crate::store::ROWS_MAX;

/// The panel whose rows are written.
const PANEL: &str = "stacks";
/// The rows as they are.
const CSV: &str = "csv";

/// The arguments of `holdup export`.
#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// For which tool
    #[arg(value_parser = formats())]
    format: String,
    /// Only these functions, fully qualified; without one, all
    #[arg(value_name = "FUNCTION")]
    functions: Vec<String>,
    /// How far back
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = humantime::parse_duration)]
    since: Duration,
    #[command(flatten)]
    choice: Choice,
    /// Write to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    address: Address,
}

/// The names of formats, with who reads them.
fn formats() -> PossibleValuesParser {
    let of = |format: Format| PossibleValue::new(format.name()).help(format.readers());
    let csv = PossibleValue::new(CSV).help("Spreadsheets: a row a stack");
    Format::ALL.map(of).into_iter().chain([csv]).collect::<Vec<_>>().into()
}

/// Asks, and writes the file.
pub(crate) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let collector = Collector::at(&args.address)?;
    let format = Format::ALL.into_iter().find(|format| format.name() == args.format);
    let written = match format {
        Some(format) => {
            if format == Format::Pprof && args.out.is_none() && std::io::stdout().is_terminal() {
                bail!("pprof is no text: write it to a file with --out holdup.pb.gz");
            }
            let to_ms = now_ns() / 1_000_000;
            let since_ms = u64::try_from(args.since.as_millis()).unwrap_or(u64::MAX);
            let from_ms = to_ms.saturating_sub(since_ms);
            format.write(&profile(&collector, &args.choice, (from_ms, to_ms), &args.functions)?)?
        }
        None => rows(&collector, args)?,
    };
    match &args.out {
        Some(file) => std::fs::write(file, written)
            .with_context(|| format!("cannot write {}", file.display())),
        None => print(&written),
    }
}

/// The stacks of these functions, of all when none is named, most blocked time first.
pub(super) fn profile(
    collector: &Collector,
    choice: &Choice,
    (from_ms, to_ms): (u64, u64),
    functions: &[String],
) -> anyhow::Result<Profile> {
    let mut stacks: Vec<Stack> = Vec::new();
    for function in each(functions) {
        let question = Question::between(from_ms, to_ms, choice).with("limit", &ROWS_MAX);
        let body = collector.panel(PANEL, question.with("function", function))?;
        stacks.extend(read_stacks(&body).context("the collector's stacks can't be read")?);
    }
    stacks.sort_by_key(|stack| std::cmp::Reverse(stack.blocked_ns));
    let title = if functions.is_empty() { "Holdup".to_owned() } else { functions.join(", ") };
    Ok(Profile { title, from_ms, to_ms, stacks })
}

/// The functions, each once, or the empty name that stands for all.
fn each(functions: &[String]) -> Vec<&str> {
    let mut each: Vec<&str> = functions.iter().map(String::as_str).collect();
    each.sort_unstable();
    each.dedup();
    if each.is_empty() {
        each.push("");
    }
    each
}

/// The rows as CSV, under one heading.
fn rows(collector: &Collector, args: &ExportArgs) -> anyhow::Result<Vec<u8>> {
    let mut all = Vec::new();
    for function in each(&args.functions) {
        let question = Question::since(args.since, &args.choice).with("limit", &ROWS_MAX);
        let question = question.with("function", function).with("format", CSV);
        let body = collector.panel(PANEL, question)?;
        let heading = body.iter().position(|&byte| byte == b'\n').map_or(body.len(), |end| end + 1);
        all.extend_from_slice(if all.is_empty() { &body } else { &body[heading..] });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::each;

    #[test]
    fn a_function_that_is_named_twice_counts_once() {
        let names = ["b", "a", "b"].map(str::to_owned);
        assert_eq!(each(&names), ["a", "b"]);
        assert_eq!(each(&[]), [""]);
    }
}
