//! Conditions on labels, as Alertmanager writes them: `severity="page"`, `service=~"pay.*"`.

use std::collections::BTreeMap;
use std::fmt;

use regex::{Regex, RegexBuilder};
use serde::Deserialize;

/// Bytes of a matcher; no label is as long.
const BYTES_MAX: usize = 1_024;
/// Bytes that a compiled expression may take.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// A condition on one label. A label that is absent is an empty one.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Matcher {
    name: String,
    value: String,
    test: Test,
}

#[derive(Clone, Debug)]
enum Test {
    Equal,
    NotEqual,
    Like(Regex),
    NotLike(Regex),
}

impl Matcher {
    /// Whether labels meet it.
    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.name).map_or("", String::as_str);
        match &self.test {
            Test::Equal => value == self.value,
            Test::NotEqual => value != self.value,
            Test::Like(expression) => expression.is_match(value),
            Test::NotLike(expression) => !expression.is_match(value),
        }
    }
}

/// Whether labels meet all of them.
pub(crate) fn all_match(matchers: &[Matcher], labels: &BTreeMap<String, String>) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels))
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = match self.test {
            Test::Equal => "=",
            Test::NotEqual => "!=",
            Test::Like(_) => "=~",
            Test::NotLike(_) => "!~",
        };
        write!(f, "{}{operator}{:?}", self.name, self.value)
    }
}

/// Why a text is no matcher.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum MatcherError {
    /// No operator, or nothing before it.
    #[error("{0:?} is no matcher: write name=\"value\", with one of = != =~ !~")]
    Form(String),
    /// What stands after `=~`.
    #[error("{0:?} is no regular expression{1}")]
    Expression(String, &'static str),
    /// Too long.
    #[error("a matcher has {0} bytes, {BYTES_MAX} at most")]
    Long(usize),
}

impl TryFrom<String> for Matcher {
    type Error = MatcherError;

    fn try_from(text: String) -> Result<Self, MatcherError> {
        if text.len() > BYTES_MAX {
            return Err(MatcherError::Long(text.len()));
        }
        let wrong = || MatcherError::Form(text.clone());
        let at = text.find(['=', '!']).ok_or_else(wrong)?;
        let (name, rest) = text.split_at(at);
        let name = name.trim();
        let is_name = !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
        if !is_name {
            return Err(wrong());
        }
        let operators = ["=~", "!~", "!=", "="];
        let operator = operators.iter().find(|it| rest.starts_with(**it)).ok_or_else(wrong)?;
        let value = unquoted(rest[operator.len()..].trim()).ok_or_else(wrong)?;
        let test = match *operator {
            "=" => Test::Equal,
            "!=" => Test::NotEqual,
            "=~" => Test::Like(expression(&value)?),
            _ => Test::NotLike(expression(&value)?),
        };
        Ok(Self { name: name.to_owned(), value, test })
    }
}

/// The value, without its quotes when it has some.
fn unquoted(text: &str) -> Option<String> {
    let Some(inside) = text.strip_prefix('"') else {
        return (!text.contains('"')).then(|| text.to_owned());
    };
    let inside = inside.strip_suffix('"')?;
    let mut value = String::new();
    let mut rest = inside.chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => return None,
            '\\' => match rest.next()? {
                'n' => value.push('\n'),
                // Of an expression the backslash is a part.
                c @ ('"' | '\\') => value.push(c),
                c => value.extend(['\\', c]),
            },
            c => value.push(c),
        }
    }
    Some(value)
}

/// One that the whole value has to meet.
fn expression(text: &str) -> Result<Regex, MatcherError> {
    let built = RegexBuilder::new(&format!("^(?:{text})$")).size_limit(REGEX_BYTES_MAX).build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            MatcherError::Expression(text.to_owned(), " that is small enough")
        }
        _ => MatcherError::Expression(text.to_owned(), ""),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meets(matcher: &str, value: Option<&str>) -> bool {
        let labels: BTreeMap<_, _> =
            value.map(|v| ("a".to_owned(), v.to_owned())).into_iter().collect();
        Matcher::try_from(matcher.to_owned()).unwrap().matches(&labels)
    }

    #[test]
    fn values_are_compared_whole() {
        assert!(meets("a=\"b\"", Some("b")) && meets("a = b", Some("b")));
        assert!(!meets("a=b", Some("bc")) && !meets("a=b", None));
        assert!(meets("a!=b", None) && meets("a=\"\"", None));
        assert!(meets("a=~\"b|c\"", Some("c")) && !meets("a=~\"b\"", Some("bb")));
        assert!(meets("a!~\"b.*\"", Some("ab")) && !meets("a!~\"b.*\"", Some("ba")));
        assert!(meets(r#"a="x\"y""#, Some("x\"y")) && meets(r#"a=~"\d+""#, Some("12")));
    }

    #[test]
    fn what_is_no_matcher_is_refused() {
        for text in ["", "a", "=b", "a b=c", "a=\"b", "a=b\"", "a=~\"(\"", "a!b"] {
            let refused = Matcher::try_from(text.to_owned()).map(|it| it.to_string());
            assert!(refused.is_err(), "{text}: {refused:?}");
        }
        assert!(Matcher::try_from("a=~\"(a{1000}){1000}\"".to_owned()).is_err());
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        for text in ["a=\"b\"", "a!=\"b\"", "a=~\"b.*\"", "a!~\"\\\"\""] {
            assert_eq!(Matcher::try_from(text.to_owned()).unwrap().to_string(), text);
        }
    }
}
