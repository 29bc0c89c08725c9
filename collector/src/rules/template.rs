//! Texts with `{{ $labels.service }}` in them, a part of what Prometheus's templates can do: names
//! of values, and three ways to write a number. All else is refused where the rule is read.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::humanize;

/// A text that may have values in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Value(Variable, Option<Format>),
}

/// What a template may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// `$value`
    Value,
    /// `$labels.NAME`
    Label(String),
    /// `$info.NAME`: a column that is told and does not identify.
    Info(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Number,
    Duration,
    Percentage,
}

/// The functions, by their names in a template.
const FORMATS: [(&str, Format); 3] = [
    ("humanize", Format::Number),
    ("humanizeDuration", Format::Duration),
    ("humanizePercentage", Format::Percentage),
];
const VARIABLES: [&str; 3] = ["$labels.NAME", "$value", "$info.COLUMN"];

/// What a template is filled in with.
pub(crate) struct Values<'a> {
    /// The row's labels.
    pub(crate) labels: &'a BTreeMap<String, String>,
    /// The row's value.
    pub(crate) value: f64,
    /// The row's other columns.
    pub(crate) info: &'a BTreeMap<String, String>,
}

impl Template {
    /// Reads a template, or tells what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((inside, next)) = after.split_once("}}") else {
                return Err("a {{ without its }}".into());
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(part(inside.trim())?);
            rest = next;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// As it was written, near enough to show.
    pub(crate) fn text(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Value(Variable::Value, _) => "{{ $value }}".into(),
            Part::Value(Variable::Label(name), _) => format!("{{{{ $labels.{name} }}}}"),
            Part::Value(Variable::Info(name), _) => format!("{{{{ $info.{name} }}}}"),
        };
        self.parts.iter().map(part).collect()
    }

    /// As Prometheus and Grafana write templates, with these expressions for values. `None` when one
    /// of them has no counterpart there.
    pub(crate) fn rewritten(
        &self,
        expression: &dyn Fn(&Variable) -> Option<String>,
    ) -> Option<String> {
        let part = |part: &Part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Value(variable, format) => {
                let name = FORMATS.iter().find(|(_, known)| Some(*known) == *format);
                let pipe = name.map(|(name, _)| format!(" | {name}")).unwrap_or_default();
                Some(format!("{{{{ {}{pipe} }}}}", expression(variable)?))
            }
        };
        self.parts.iter().map(part).collect()
    }

    /// What it names.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(variable, _) => Some(variable),
            Part::Text(_) => None,
        })
    }

    /// The text with the values in it. What a row does not have is empty.
    pub(crate) fn fill(&self, values: &Values<'_>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Value(Variable::Value, format) => {
                    out.push_str(&written(values.value, *format));
                }
                Part::Value(Variable::Label(name), format) => {
                    out.push_str(&reformed(values.labels.get(name), *format));
                }
                Part::Value(Variable::Info(name), format) => {
                    out.push_str(&reformed(values.info.get(name), *format));
                }
            }
        }
        out
    }
}

fn part(inside: &str) -> Result<Part, String> {
    let mut steps = inside.split('|').map(str::trim);
    let variable = variable(steps.next().unwrap_or_default())?;
    let format = steps.next().map(format).transpose()?;
    if let Some(more) = steps.next() {
        return Err(format!("`| {more}`: one function is applied at most"));
    }
    Ok(Part::Value(variable, format))
}

fn variable(text: &str) -> Result<Variable, String> {
    let named = |prefix: &str| text.strip_prefix(prefix).filter(|name| is_name(name));
    if text == "$value" {
        Ok(Variable::Value)
    } else if let Some(name) = named("$labels.") {
        Ok(Variable::Label(name.to_owned()))
    } else if let Some(name) = named("$info.") {
        Ok(Variable::Info(name.to_owned()))
    } else {
        let first = text.trim_start_matches(['$', '.']).split('.').next().unwrap_or_default();
        let first = format!("${}", first.to_lowercase());
        let known = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
        let near = VARIABLES.iter().find(|name| {
            !text.is_empty() && strsim::damerau_levenshtein(&known(name), &first) <= 2
        });
        let hint = near.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
        Err(format!("`{text}` is no value: there are {}{hint}", VARIABLES.join(", ")))
    }
}

fn format(name: &str) -> Result<Format, String> {
    let found = FORMATS.iter().find(|(known, _)| *known == name);
    found.map(|(_, format)| *format).ok_or_else(|| {
        let names = FORMATS.map(|(known, _)| known);
        let nearest = super::nearest(name, names);
        format!("unknown function `{name}`: there are {}{nearest}", names.join(", "))
    })
}

/// Whether it is a name of a label, as Prometheus and Alertmanager take it.
pub(super) fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    first && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn reformed(value: Option<&String>, format: Option<Format>) -> String {
    let Some(text) = value else { return String::new() };
    match (format, text.parse::<f64>()) {
        (Some(_), Ok(number)) => written(number, format),
        _ => text.clone(),
    }
}

fn written(value: f64, format: Option<Format>) -> String {
    match format {
        Some(Format::Number) => humanize::number(value),
        Some(Format::Duration) => humanize::duration(value),
        Some(Format::Percentage) => humanize::percentage(value),
        None => {
            let mut out = String::new();
            let _infallible = write!(out, "{value}");
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Template, Values, Variable};
    use std::collections::BTreeMap;

    fn filled(text: &str) -> String {
        let of = |k: &str, v: &str| BTreeMap::from([(k.to_owned(), v.to_owned())]);
        let (labels, info) = (of("service", "shop"), of("blocked_s", "7.5"));
        let values = Values { labels: &labels, value: 0.25, info: &info };
        Template::parse(text).unwrap().fill(&values)
    }

    #[test]
    fn values_take_their_places() {
        for (text, expected) in [
            ("plain", "plain"),
            ("{{ $labels.service }}: {{$value}}", "shop: 0.25"),
            ("{{ $value | humanizePercentage }} of it", "25% of it"),
            ("{{ $info.blocked_s | humanizeDuration }}", "7.5s"),
            ("{{ $value | humanize }}", "250m"),
            ("none: {{ $labels.none }}.", "none: ."),
            ("a } b { c", "a } b { c"),
        ] {
            assert_eq!(filled(text), expected);
        }
    }

    #[test]
    fn another_system_has_it_in_its_own_words_or_not_at_all() {
        let written = |variable: &Variable| match variable {
            Variable::Value => Some("$v".to_owned()),
            Variable::Label(name) => Some(format!("$l.{name}")),
            Variable::Info(_) => None,
        };
        let rewritten = |text: &str| Template::parse(text).unwrap().rewritten(&written);
        let text = "{{$labels.service}}: {{ $value|humanizeDuration }}.";
        assert_eq!(rewritten(text).unwrap(), "{{ $l.service }}: {{ $v | humanizeDuration }}.");
        assert_eq!(rewritten("{{ $value }} of {{ $info.n }}"), None);
    }

    #[test]
    fn what_is_wrong_is_said_with_what_was_meant() {
        for (text, expected) in [
            ("{{ $label.service }}", "did you mean `$labels.NAME`?"),
            ("{{ $val }}", "did you mean `$value`?"),
            ("{{ .Labels.service }}", "did you mean `$labels.NAME`?"),
            ("{{ $value | humanizeDuratoin }}", "did you mean `humanizeDuration`?"),
            ("{{ $value | humanize | humanize }}", "one function"),
            ("{{ $value", "without its"),
            ("{{ range query \"x\" }}", "is no value"),
            ("{{ $labels.a-b }}", "is no value"),
            ("{{}}", "is no value"),
        ] {
            let error = Template::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
