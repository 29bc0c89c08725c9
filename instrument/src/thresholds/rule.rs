//! A pattern and the threshold of what it matches.

use std::time::Duration;

use crate::install::InstallError;
use crate::settings;

const RUNTIME: &str = "runtime:";
/// How a relative threshold ends in text: `5xp99`.
const P99: &str = "xp99";

/// From which time on a poll is a slow one.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Threshold {
    /// This time.
    Fixed(Duration),
    /// So many times what 99 of 100 polls of the same function take, and no less than 1 ms. The
    /// general threshold is in force until 100 polls were seen. Not for runtimes.
    TimesP99(f64),
}

impl From<Duration> for Threshold {
    fn from(threshold: Duration) -> Self {
        Self::Fixed(threshold)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pattern: String,
    is_of_runtimes: bool,
    threshold: Threshold,
}

impl Rule {
    pub(crate) fn new(pattern: &str, threshold: Threshold) -> Result<Self, InstallError> {
        let (is_of_runtimes, pattern) = match pattern.trim().strip_prefix(RUNTIME) {
            Some(runtimes) => (true, runtimes.trim()),
            None => (false, pattern.trim()),
        };
        let refuse = |reason: &str| {
            Err(InstallError::Rule { text: pattern.to_owned(), reason: reason.to_owned() })
        };
        if pattern.is_empty() {
            return refuse("it names no function and no runtime");
        }
        match threshold {
            Threshold::Fixed(Duration::ZERO) => return refuse("its threshold is zero"),
            Threshold::TimesP99(_) if is_of_runtimes => {
                return refuse("a runtime has no p99 of its own: give it a time");
            }
            Threshold::TimesP99(factor) if !factor.is_finite() || factor <= 0.0 => {
                return refuse("its factor is not a number greater than zero");
            }
            Threshold::Fixed(_) | Threshold::TimesP99(_) => {}
        }
        Ok(Self { pattern: pattern.to_owned(), is_of_runtimes, threshold })
    }

    pub(super) fn threshold(&self) -> Threshold {
        self.threshold
    }

    pub(super) fn is_relative(&self) -> bool {
        matches!(self.threshold, Threshold::TimesP99(_))
    }

    pub(super) fn is_for_function(&self, name: &str) -> bool {
        !self.is_of_runtimes && matches(self.pattern.as_bytes(), name.as_bytes())
    }

    pub(super) fn is_for_runtime(&self, name: &str) -> bool {
        self.is_of_runtimes && matches(self.pattern.as_bytes(), name.as_bytes())
    }

    pub(super) fn is_for_the_same_as(&self, other: &Self) -> bool {
        self.is_of_runtimes == other.is_of_runtimes && self.pattern == other.pattern
    }
}

/// Rules as the environment gives them: `shop::report::*=200ms,runtime:batch=1s,shop::cart=5xp99`.
pub(crate) fn parse(text: &str) -> Result<Vec<Rule>, InstallError> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(parse_rule).collect()
}

fn parse_rule(text: &str) -> Result<Rule, InstallError> {
    let refuse =
        |reason: &str| InstallError::Rule { text: text.to_owned(), reason: reason.to_owned() };
    let (pattern, value) = text
        .rsplit_once('=')
        .ok_or_else(|| refuse("write a pattern, `=`, and a threshold such as 200ms"))?;
    let value = value.trim();
    let threshold = match value.strip_suffix(P99) {
        Some(factor) => factor.trim().parse().map(Threshold::TimesP99).ok(),
        None => settings::duration(value).map(Threshold::Fixed),
    };
    let threshold =
        threshold.ok_or_else(|| refuse("its threshold is neither a time, 200ms, nor 5xp99"))?;
    Rule::new(pattern, threshold)
}

/// `*` stands for any bytes, `?` for one.
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where to go on when what follows the last star does not match here.
    let mut retry = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((after_star, from)) = retry else { return false };
                retry = Some((after_star, from + 1));
                (p, n) = (after_star, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("shop::report::*", "shop::report::daily", true),
            ("shop::report::*", "shop::report", false),
            ("*", "", true),
            ("*::pay", "shop::Cart::pay", true),
            ("*::pay", "shop::Cart::pay::later", false),
            ("shop::*::p?y", "shop::a::b::pay", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("shop", "shops", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn text_becomes_rules_and_nonsense_is_refused() {
        let rules = parse(" shop::*=200ms, runtime:batch=1s,shop::cart=2.5xp99,").unwrap();
        let thresholds = rules.iter().map(Rule::threshold).collect::<Vec<_>>();
        assert_eq!(thresholds[0], Threshold::Fixed(Duration::from_millis(200)));
        assert_eq!(thresholds[2], Threshold::TimesP99(2.5));
        assert!(rules[1].is_for_runtime("batch") && !rules[1].is_for_function("batch"));
        assert!(rules[0].is_for_function("shop::x") && !rules[0].is_for_runtime("shop::x"));
        for text in ["shop", "=5ms", "a=0ms", "a=soon", "a=xp99", "a=-1xp99", "runtime:a=2xp99"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("HOLDUP_THRESHOLDS"), "{error}");
        }
    }
}
