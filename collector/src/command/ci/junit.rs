//! Findings as the XML that CI systems read of tests: a test a function, and those fail that fail the
//! run.

use super::Finding;
use crate::command::text::visible;

pub(super) fn write(findings: &[Finding]) -> String {
    let failures = findings.iter().filter(|finding| finding.fails).count();
    let counts = format!("tests=\"{}\" failures=\"{failures}\"", findings.len());
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {counts}>\n\
         <testsuite name=\"holdup\" {counts} errors=\"0\" skipped=\"0\">\n"
    );
    for finding in findings {
        let (service, function) = finding.known.name();
        let (service, function) = (escape(service), escape(function));
        xml += &format!("<testcase classname=\"{service}\" name=\"{function}\"");
        let message = escape(&finding.message());
        xml += &if finding.fails {
            let kind = finding.verdict.name();
            format!("><failure type=\"{kind}\" message=\"{message}\"/></testcase>\n")
        } else {
            format!("><system-out>{message}</system-out></testcase>\n")
        };
    }
    xml + "</testsuite>\n</testsuites>\n"
}

/// Text that is nothing but text in XML. XML 1.0 has no control characters, however they are written.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars().map(visible) {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
