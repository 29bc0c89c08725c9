//! `holdup report`: what blocked, as one file for a ticket.

mod html;
mod markdown;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::Value;

use super::ask::{Address, Choice, Collector, Question};
use super::text::{duration, number, print, string, time};
use crate::clock::now_ns;
use crate::export::{Profile, read_stacks};

/// The most functions that are ranked.
const RANKED: u32 = 100;
/// The most polls that are listed as not over.
const STALLED: u32 = 50;
/// Of each function that is looked into.
const STACKS: u32 = 200;
const EPISODES: u32 = 3;
/// The most functions that are looked into.
const CULPRITS_MAX: i64 = 50;
/// The most bars of a trend.
const BARS_MAX: u64 = 48;

/// The arguments of `holdup report`.
#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// How far back
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = humantime::parse_duration)]
    since: Duration,
    #[command(flatten)]
    choice: Choice,
    /// How many functions are looked into, with a flame graph each
    #[arg(long, value_name = "FUNCTIONS", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(0..=CULPRITS_MAX))]
    culprits: u32,
    /// As what; without it, as the file's name says, else HTML
    #[arg(long, value_enum)]
    format: Option<ReportFormat>,
    /// Write to this file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    address: Address,
}

/// What the report is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ReportFormat {
    Html,
    Markdown,
}

/// All that a report tells.
#[derive(Debug)]
struct Report {
    from_ms: u64,
    to_ms: u64,
    /// Which services, in words.
    chosen: String,
    overview: Value,
    ranked: Vec<Value>,
    stalled: Vec<Value>,
    culprits: Vec<Culprit>,
}

/// A function that is looked into.
#[derive(Debug)]
struct Culprit {
    /// Its row in the ranking.
    row: Value,
    profile: Profile,
    /// A sentence, and where there is more.
    advice: Option<(String, String)>,
    episodes: Vec<Value>,
}

/// Asks, and writes the file.
pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let format = format(args)?;
    let report = gather(args)?;
    let written = match format {
        ReportFormat::Html => html::write(&report),
        ReportFormat::Markdown => markdown::write(&report),
    };
    match &args.out {
        Some(file) => std::fs::write(file, written)
            .with_context(|| format!("cannot write {}", file.display())),
        None => print(written.as_bytes()),
    }
}

fn format(args: &ReportArgs) -> anyhow::Result<ReportFormat> {
    let extension = args.out.as_ref().and_then(|file| file.extension()?.to_str());
    match (args.format, extension) {
        (Some(format), _) => Ok(format),
        (None, None | Some("html" | "htm")) => Ok(ReportFormat::Html),
        (None, Some("md" | "markdown")) => Ok(ReportFormat::Markdown),
        (None, Some(other)) => bail!(".{other} is neither .html nor .md: choose with --format"),
    }
}

fn gather(args: &ReportArgs) -> anyhow::Result<Report> {
    let collector = Collector::at(&args.address)?;
    let to_ms = now_ns() / 1_000_000;
    let since_ms = u64::try_from(args.since.as_millis()).unwrap_or(u64::MAX);
    let from_ms = to_ms.saturating_sub(since_ms);
    let ask = |limit: u32| Question::between(from_ms, to_ms, &args.choice).with("limit", &limit);
    let states = ["new", "regressed", "ongoing"];
    let ranked = states.iter().fold(ask(RANKED), |ask, state| ask.with("state", *state));
    let ranked = collector.rows("issues", ranked)?;
    let first = ranked.iter().take(usize::try_from(args.culprits).unwrap_or(usize::MAX));
    let culprits = first.map(|row| look_into(&collector, &args.choice, (from_ms, to_ms), row));
    Ok(Report {
        from_ms,
        to_ms,
        chosen: chosen(&args.choice),
        overview: collector.rows("overview", ask(1))?.pop().unwrap_or_default(),
        stalled: collector.rows("stalled", ask(STALLED))?,
        culprits: culprits.collect::<anyhow::Result<_>>()?,
        ranked,
    })
}

fn look_into(
    collector: &Collector,
    choice: &Choice,
    (from_ms, to_ms): (u64, u64),
    row: &Value,
) -> anyhow::Result<Culprit> {
    let raw = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let (service, function) = (raw("service"), raw("function"));
    let of = Choice { service: vec![service], ..choice.clone() };
    let ask = |limit: u32| {
        Question::between(from_ms, to_ms, &of).with("limit", &limit).with("function", &function)
    };
    let body = collector.panel("stacks", ask(STACKS))?;
    let mut stacks = read_stacks(&body).context("the collector's stacks can't be read")?;
    for stack in &mut stacks {
        // The runtime around the function says nothing of it.
        let own = stack.frames.iter().position(|frame| frame.contains(&function));
        stack.frames.drain(..own.unwrap_or(0));
    }
    let told: Value = serde_json::from_slice(&body)?;
    let advice = told["data"].as_array().and_then(|rows| {
        rows.iter().find_map(|row| {
            let of = |field: &str| row["advice"][field].as_str().map(str::to_owned);
            Some((of("sentence")?, of("link")?))
        })
    });
    let profile = Profile { title: function.clone(), from_ms, to_ms, stacks };
    let episodes = collector.rows("worst", ask(EPISODES))?;
    Ok(Culprit { row: row.clone(), profile, advice, episodes })
}

/// The choice in words.
fn chosen(choice: &Choice) -> String {
    let mut words = Vec::new();
    for (kind, names) in [
        ("service", &choice.service),
        ("environment", &choice.environment),
        ("version", &choice.service_version),
        ("instance", &choice.instance),
    ] {
        if !names.is_empty() {
            words.push(format!("{kind} {}", names.join(", ")));
        }
    }
    if words.is_empty() { "all services".to_owned() } else { words.join("; ") }
}

/// The columns of the ranking, and what stands in them.
fn ranking(row: &Value) -> [(&'static str, String); 9] {
    let share = row["share"].as_f64().unwrap_or_default() * 100.0;
    [
        ("function", string(row, "function")),
        ("service", string(row, "service")),
        ("state", string(row, "state")),
        ("blocked", duration(number(row, "blocked_ns"))),
        ("share", format!("{share:.1} %")),
        ("polls", number(row, "calls").to_string()),
        ("longest", duration(number(row, "max_ns"))),
        ("waited", number(row, "victims").to_string()),
        ("cause", string(row, "cause")),
    ]
}

/// What is known of a culprit, a line each.
fn facts(culprit: &Culprit) -> Vec<String> {
    let row = &culprit.row;
    let (blocked, polls) = (duration(number(row, "blocked_ns")), number(row, "calls"));
    let mut facts = vec![format!("blocked {blocked} in {polls} polls")];
    let (blamed, of) = (string(row, "blame_function"), string(row, "blame_crate"));
    if !blamed.is_empty() {
        facts.push(format!("blames {blamed} of the crate {of}"));
    }
    let (first, last) = (number(row, "first_seen_ms"), number(row, "last_seen_ms"));
    facts.push(format!("first seen {}, last seen {}", time(first), time(last)));
    if number(row, "stalled") > 0 {
        facts.push(format!("{} polls have not returned yet", number(row, "stalled")));
    }
    for episode in &culprit.episodes {
        let (at, long) = (time(number(episode, "started_ms")), number(episode, "max_ns"));
        let (instance, victims) = (string(episode, "instance"), number(episode, "victims"));
        let long = duration(long);
        facts.push(format!("{at}: held a thread of {instance} for {long}, {victims} waited"));
    }
    facts
}

/// The line on the whole.
fn overview(report: &Report) -> String {
    let of = |field: &str| number(&report.overview, field);
    let blocked: u64 = report.ranked.iter().map(|row| number(row, "blocked_ns")).sum();
    format!(
        "{} functions blocked for {}; {} slow polls, the longest {}; {} polls have not returned; \
         {} services report, {} fell silent",
        report.ranked.len(),
        duration(blocked),
        of("polls"),
        duration(of("worst_ns")),
        of("stalled"),
        of("reporting"),
        of("silent"),
    )
}

/// Blocked time in equal parts of the range, none shorter than the steps of what is known.
fn trend<'a>(report: &Report, rows: impl Iterator<Item = &'a Value>) -> Vec<u64> {
    let long_ms = (report.to_ms - report.from_ms).max(1);
    let at = |pair: &Value| pair[0].as_u64().unwrap_or_default();
    let trends = |row: &'a Value| row["trend"].as_array().into_iter().flatten();
    let known: BTreeSet<u64> = report
        .ranked
        .iter()
        .filter_map(|row| row["trend"].as_array())
        .flat_map(|trend| trend.iter().map(at))
        .collect();
    let steps = known.iter().zip(known.iter().skip(1)).map(|(one, next)| next - one);
    let step_ms = steps.min().unwrap_or(1).max(1);
    let count = (long_ms / step_ms).clamp(1, BARS_MAX);
    let mut bars = vec![0_u64; usize::try_from(count).unwrap_or(1)];
    for pair in rows.flat_map(trends) {
        let at = at(pair).clamp(report.from_ms, report.to_ms.saturating_sub(1));
        let share = u128::from(at - report.from_ms) * u128::from(count) / u128::from(long_ms);
        if let Some(bar) = usize::try_from(share).ok().and_then(|bar| bars.get_mut(bar)) {
            *bar = bar.saturating_add(pair[1].as_u64().unwrap_or_default());
        }
    }
    bars
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Culprit, Report, trend};
    use crate::export::{Profile, Stack};

    /// Names that would do something, were they taken for markup.
    pub(super) const HOSTILE: &str = "a::<script>alert('1')</script>`x`|\u{1b}[2J\"&lt;";

    pub(super) fn report() -> Report {
        let row = json!({"function": HOSTILE, "service": HOSTILE, "blocked_ns": 3_000_000,
            "calls": 2, "share": 1.0, "cause": "sleep", "blame_function": HOSTILE,
            "trend": [[1_000, 1_000_000], [31_000, 2_000_000], [60_999, 4_000_000]]});
        let stacks = vec![Stack { frames: vec![HOSTILE.into()], blocked_ns: 3, polls: 2 }];
        let title = HOSTILE.to_owned();
        let profile = Profile { title, from_ms: 1_000, to_ms: 61_000, stacks };
        let advice = Some((HOSTILE.to_owned(), "docs/advice.md#sleep".to_owned()));
        let episodes = vec![json!({"instance": HOSTILE, "max_ns": 5})];
        Report {
            from_ms: 1_000,
            to_ms: 61_000,
            chosen: HOSTILE.to_owned(),
            overview: Value::Null,
            ranked: vec![row.clone()],
            stalled: vec![json!({"function": HOSTILE, "blocked_ns": 7})],
            culprits: vec![Culprit { row, profile, advice, episodes }],
        }
    }

    #[test]
    fn a_trend_has_all_of_the_time_in_its_places() {
        let report = report();
        let bars = trend(&report, report.ranked.iter());
        assert_eq!(bars, [1_000_000, 6_000_000], "no bar is shorter than a step");
    }
}
