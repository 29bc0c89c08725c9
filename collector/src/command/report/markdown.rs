//! A report as Markdown. Its pictures are made of characters: trackers show no other that are in
//! the text itself.

use std::collections::BTreeMap;

use super::{Culprit, Report, facts, overview, ranking, trend};
use crate::command::text::{duration, number, plain, string, time};
use crate::export::Profile;

/// How full a bar is.
const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Frames with less of the time are left out.
const SHARE_MIN: u64 = 5;
/// The most lines of a stack's picture.
const LINES_MAX: usize = 40;

pub(super) fn write(report: &Report) -> String {
    let mut page = format!(
        "# What blocked\n\n{} to {}, {}. {}.\n\n```text\n{}\n```\n\n",
        time(report.from_ms),
        time(report.to_ms),
        code(&report.chosen),
        overview(report),
        bars(&trend(report, report.ranked.iter())),
    );
    if !report.stalled.is_empty() {
        page += "## Not returned yet\n\n";
        for row in &report.stalled {
            let (function, service) = (string(row, "function"), string(row, "service"));
            let held = duration(number(row, "blocked_ns"));
            page += &format!("- {} of {}: {held}\n", code(&function), code(&service));
        }
        page += "\n";
    }
    page += &ranked(report);
    for culprit in &report.culprits {
        page += &section(culprit);
    }
    page + &format!("holdup {}\n", env!("CARGO_PKG_VERSION"))
}

fn ranked(report: &Report) -> String {
    let Some(first) = report.ranked.first() else {
        return "Nothing blocked in this range.\n\n".to_owned();
    };
    let mut table = "## Functions, most blocked time first\n\n|".to_owned();
    for (title, _) in ranking(first) {
        table += &format!(" {title} |");
    }
    table += "\n|";
    table += &"---|".repeat(ranking(first).len());
    table += "\n";
    for row in &report.ranked {
        table += "|";
        for (_, text) in ranking(row) {
            table += &format!(" {} |", code(&text));
        }
        table += "\n";
    }
    table + "\n"
}

fn section(culprit: &Culprit) -> String {
    let mut part = format!("## {}\n\n", code(&string(&culprit.row, "function")));
    for fact in facts(culprit) {
        part += &format!("- {}\n", code(&fact));
    }
    if let Some((sentence, link)) = &culprit.advice {
        part += &format!("- {} ({})\n", code(sentence), code(link));
    }
    part + &format!("\n```text\n{}```\n\n", stacks(&culprit.profile))
}

/// A text between backquotes, in which nothing is markup. One of its own would end it, and a bar
/// would end the cell of a table.
fn code(text: &str) -> String {
    let clean = plain(text).replace('`', "'").replace('|', "¦");
    if clean.trim().is_empty() { String::new() } else { format!("`{clean}`") }
}

fn bars(trend: &[u64]) -> String {
    let most = trend.iter().copied().max().unwrap_or(0).max(1);
    let level = |blocked: &u64| {
        let level = usize::try_from((u128::from(*blocked) * 8).div_ceil(u128::from(most)));
        LEVELS[level.unwrap_or(8).min(8)]
    };
    format!("{}| most {}", trend.iter().map(level).collect::<String>(), duration(most))
}

/// Blocked time below a frame.
#[derive(Default)]
struct Frame {
    blocked_ns: u64,
    calls: BTreeMap<String, Frame>,
}

/// The stacks as a tree, the outermost frame first.
fn stacks(profile: &Profile) -> String {
    let mut root = Frame::default();
    for stack in profile.stacks.iter().filter(|stack| !stack.frames.is_empty()) {
        root.blocked_ns += stack.blocked_ns;
        let mut at = &mut root;
        for frame in &stack.frames {
            at = at.calls.entry(plain(frame)).or_default();
            at.blocked_ns += stack.blocked_ns;
        }
    }
    if root.blocked_ns == 0 {
        return "no stack was taken while it blocked\n".to_owned();
    }
    let mut lines = Vec::new();
    draw(&root, root.blocked_ns, 0, &mut lines);
    lines.iter().take(LINES_MAX).map(|line| line.clone() + "\n").collect()
}

/// A frame that is all of what called it stands below it without going further to the right.
fn draw(frame: &Frame, all_ns: u64, depth: usize, lines: &mut Vec<String>) {
    let mut calls: Vec<_> = frame.calls.iter().collect();
    calls.sort_by_key(|(_, called)| std::cmp::Reverse(called.blocked_ns));
    let shares = calls.iter().map(|(name, called)| {
        let share = u128::from(called.blocked_ns) * 100 / u128::from(all_ns.max(1));
        (u64::try_from(share).unwrap_or(100), *name, *called)
    });
    let shown: Vec<_> = shares.filter(|(share, ..)| *share >= SHARE_MIN).collect();
    let deeper = depth + usize::from(shown.len() > 1);
    for (share, name, called) in shown {
        if lines.len() >= LINES_MAX {
            return;
        }
        lines.push(format!("{share:3} % {}{name}", "  ".repeat(deeper)));
        draw(called, all_ns, deeper, lines);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::{code, write};

    #[test]
    fn a_name_is_code_and_one_cell() {
        let page = write(&report());
        let row = page.lines().find(|line| line.starts_with("| `a::")).expect("a row");
        assert_eq!(row.matches('|').count(), 10, "{row}");
        assert!(!page.contains('\u{1b}') && page.contains("100 % a::<script>"), "{page}");
        assert_eq!(code("a`b|c\nd"), "`a'b¦c\u{fffd}d`");
        assert_eq!(code(""), "");
    }
}
