//! A rule as programs read it: `holdup rules list --output json`, and the API.

use serde_json::{Map, Value, json};

use super::{Question, Rule, Template, cut};

impl Rule {
    /// What its file says, with expressions up to a length.
    pub(crate) fn described(&self, expr_bytes_max: usize) -> Value {
        let question = match &self.question {
            Question::Sql(sql) => json!({"expr": cut(sql.text.clone(), expr_bytes_max)}),
            Question::Measure(measure) => json!({"measure": measure.name()}),
        };
        let labels: Map<String, Value> =
            self.labels.iter().map(|(name, text)| (name.clone(), text.text().into())).collect();
        json!({
            "alert": self.name,
            "group": self.group,
            "severity": self.severity(),
            "interval_s": self.interval.as_secs_f64(),
            "for_s": self.for_.as_secs_f64(),
            "keep_firing_for_s": self.keep_firing_for.as_secs_f64(),
            "file": self.place(),
            "built_in": self.origin.built_in,
            "enabled": self.enabled,
            "labels": labels,
            "threshold": self.threshold,
            "runbook_url": self.annotations.get("runbook_url").map(Template::text),
            "question": question,
        })
    }

    /// Its file and line.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.origin.file, self.origin.line)
    }

    /// Its label `severity`, empty without one.
    pub(crate) fn severity(&self) -> String {
        self.labels.get("severity").map(Template::text).unwrap_or_default()
    }
}
