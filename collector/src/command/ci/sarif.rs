//! Findings as SARIF 2.1.0, which code scanners' viewers read.

use serde_json::{Value, json};

use super::{Finding, Verdict};
use crate::command::text::plain;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
/// The one rule.
const RULE: &str = "blocked-thread";

pub(super) fn document(findings: &[Finding]) -> Value {
    let rule = json!({
        "id": RULE,
        "shortDescription": {"text": "A poll held its runtime thread for longer than the threshold"},
        "help": {"text": "Await it, or move it off the runtime: docs/advice.md of Holdup says how."},
    });
    let driver = json!({"name": "holdup", "version": env!("CARGO_PKG_VERSION"), "rules": [rule]});
    let results: Vec<Value> = findings.iter().map(result).collect();
    let run = json!({"tool": {"driver": driver}, "columnKind": "unicodeCodePoints",
        "results": results});
    json!({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})
}

fn result(finding: &Finding) -> Value {
    let (service, function) = finding.known.name();
    let mut location = json!({
        "logicalLocations": [{"fullyQualifiedName": plain(function), "kind": "function"}]});
    if !finding.file.is_empty() {
        let mut physical = json!({"artifactLocation": {"uri": uri(&finding.file)}});
        if finding.line > 0 {
            physical["region"] = json!({"startLine": finding.line});
        }
        location["physicalLocation"] = physical;
    }
    json!({
        "ruleId": RULE,
        "ruleIndex": 0,
        "level": if finding.fails { "error" } else { "note" },
        "message": {"text": finding.message()},
        "locations": [location],
        "partialFingerprints": {"serviceAndFunction/v1": plain(&format!("{service} {function}"))},
        "baselineState": match finding.verdict {
            Verdict::New => "new",
            Verdict::Worse => "updated",
            Verdict::Known => "unchanged",
        },
    })
}

/// A path as a reference: with slashes, and what else a reference can't have in percent signs.
fn uri(path: &str) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let written = path
        .bytes()
        .map(|byte| if kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    written.collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::finding;
    use super::document;

    #[test]
    fn a_finding_has_a_place_and_a_level() {
        let of = |path: &str| {
            let found = document(&[finding("shop::pay", 5)]);
            found.pointer(&format!("/runs/0/results/0/{path}")).cloned().unwrap_or_default()
        };
        assert_eq!((of("level"), of("baselineState")), ("error".into(), "new".into()));
        let physical = "locations/0/physicalLocation";
        assert_eq!(of(&format!("{physical}/artifactLocation/uri")), "src/a%20b.rs");
        assert_eq!(of(&format!("{physical}/region/startLine")), 7);
        let mut nowhere = finding("shop::pay", 5);
        nowhere.file.clear();
        let result = document(&[nowhere])["runs"][0]["results"][0].take();
        assert!(result["locations"][0].get("physicalLocation").is_none(), "{result}");
    }
}
