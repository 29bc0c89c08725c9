//! A report as one HTML file: no script, nothing from elsewhere. Flame graphs are images of their
//! own, in which nothing runs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Culprit, Report, facts, overview, ranking, trend};
use crate::command::text::{duration, number, string, time, visible};
use crate::export::picture;

/// What the file may load, were somebody to get markup into it: nothing.
const POLICY: &str = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";
const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;width:100%;font-size:13px}\
th,td{text-align:left;padding:.25rem .5rem;border-bottom:1px solid #8884;vertical-align:top}\
td{white-space:nowrap}\
td:first-child,h3{white-space:normal;font-family:ui-monospace,monospace;overflow-wrap:anywhere}\
img{max-width:100%;background:#fff}svg{display:block;fill:#c2410c}\
.none,footer{color:#777}";

/// The most characters of a text.
const CHARACTERS_MAX: usize = 2_000;

pub(super) fn write(report: &Report) -> String {
    let range = format!("{} to {}", time(report.from_ms), time(report.to_ms));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"content-security-policy\" content=\"{POLICY}\">\n\
         <title>What blocked, {range}</title>\n<style>{STYLE}</style>\n\
         <h1>What blocked</h1>\n<p>{range}, {}.</p>\n<p>{}.</p>\n",
        escape(&report.chosen),
        escape(&overview(report)),
    );
    page += &bars(&trend(report, report.ranked.iter()), 960, 120);
    page += &stalled(report);
    page += &ranked(report);
    for culprit in &report.culprits {
        page += &section(culprit);
    }
    page + &format!("<footer>holdup {}</footer>\n</html>\n", env!("CARGO_PKG_VERSION"))
}

fn ranked(report: &Report) -> String {
    if report.ranked.is_empty() {
        return "<p class=\"none\">Nothing blocked in this range.</p>\n".to_owned();
    }
    let mut table = "<h2>Functions, most blocked time first</h2>\n<table>\n<tr>".to_owned();
    for (title, _) in report.ranked.first().map(ranking).iter().flatten() {
        table += &format!("<th>{title}");
    }
    table += "<th>trend\n";
    for row in &report.ranked {
        table += "<tr>";
        for (_, text) in ranking(row) {
            table += &format!("<td>{}", escape(&text));
        }
        let trend = trend(report, std::iter::once(row));
        table += &format!("<td>{}", bars(&trend, 120, 20));
    }
    table + "</table>\n"
}

fn stalled(report: &Report) -> String {
    if report.stalled.is_empty() {
        return String::new();
    }
    let mut list = "<h2>Not returned yet</h2>\n<ul>\n".to_owned();
    for row in &report.stalled {
        let (function, service) = (string(row, "function"), string(row, "service"));
        let (held, on) = (duration(number(row, "blocked_ns")), string(row, "instance"));
        let line = format!("{function} of {service} has held a thread of {on} for {held}");
        list += &format!("<li>{}\n", escape(&line));
    }
    list + "</ul>\n"
}

fn section(culprit: &Culprit) -> String {
    let mut part = format!("<h3>{}</h3>\n<ul>\n", escape(&string(&culprit.row, "function")));
    for fact in facts(culprit) {
        part += &format!("<li>{}\n", escape(&fact));
    }
    if let Some((sentence, link)) = &culprit.advice {
        part += &format!("<li>{} ({})\n", escape(sentence), escape(link));
    }
    part += "</ul>\n";
    match picture(&culprit.profile) {
        Ok(svg) => {
            let data = STANDARD.encode(svg);
            part +=
                "<p><img alt=\"Flame graph of its blocked time\" src=\"data:image/svg+xml;base64,";
            part += &format!("{data}\">\n");
        }
        Err(error) => part += &format!("<p class=\"none\">{}</p>\n", escape(&error.to_string())),
    }
    part
}

/// Bars as an image in the text: it is made of numbers alone.
fn bars(trend: &[u64], width: usize, height: u64) -> String {
    let most = trend.iter().copied().max().unwrap_or(0);
    let said = format!("Blocked time; the highest of {} bars is {}", trend.len(), duration(most));
    let view = format!("viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\"");
    let mut svg = format!("<svg role=\"img\" aria-label=\"{said}\" {view}><title>{said}</title>");
    let step = (width / trend.len().max(1)).max(1);
    for (at, blocked) in trend.iter().enumerate().filter(|(_, blocked)| **blocked > 0) {
        let tall = u64::try_from(u128::from(*blocked) * u128::from(height) / u128::from(most));
        let tall = tall.unwrap_or(height).max(1);
        let (x, y, wide) = (at * step, height - tall, step.saturating_sub(1).max(1));
        svg += &format!("<rect x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{tall}\"/>");
    }
    svg + "</svg>\n"
}

/// Text that is nothing but text in HTML, also between quotes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars().map(visible).take(CHARACTERS_MAX) {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::write;

    #[test]
    fn a_name_is_text_wherever_it_stands() {
        let page = write(&report());
        assert!(page.contains("a::&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;"), "{page}");
        assert!(!page.contains("<script") && !page.contains('\u{1b}'), "{page}");
        assert!(page.contains("<rect x=\"480\" y=\"0\" width=\"479\" height=\"120\"/>"), "{page}");
        assert!(page.contains("data:image/svg+xml;base64,"), "{page}");
    }
}
