//! Functions that may block, by pattern, for code that can't be changed.

use super::rule::matches;
use crate::settings;

/// The list: of several patterns for one function the last counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowList {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    may: bool,
}

/// What the environment says, and after it, so that it counts for more, what the code says.
pub(crate) fn allow_list(
    variable: impl Fn(&str) -> Option<String>,
    by_code: AllowList,
) -> AllowList {
    let mut list = AllowList::default();
    list.add(&variable(settings::ALLOW_VARIABLE).unwrap_or_default());
    list.patterns.extend(by_code.patterns);
    list
}

impl AllowList {
    /// Adds what text says: `shop::startup::*,!shop::startup::serve`.
    pub(crate) fn add(&mut self, text: &str) {
        for part in text.split(',').map(str::trim) {
            let (may, pattern) = match part.strip_prefix('!') {
                Some(pattern) => (false, pattern.trim()),
                None => (true, part),
            };
            if !pattern.is_empty() {
                self.patterns.push(Pattern { text: pattern.to_owned(), may });
            }
        }
    }

    /// Whether a poll of `function` may block where the frames say, innermost first: the innermost
    /// function that the list knows decides.
    pub(crate) fn allows(&self, frames: &[String], function: &str) -> bool {
        if self.patterns.is_empty() {
            return false;
        }
        let path = |frame: &'_ String| -> Option<bool> {
            self.verdict(frame.split(" at ").next().unwrap_or(frame))
        };
        let decided = frames.iter().find_map(path).or_else(|| self.verdict(function));
        decided.unwrap_or(false)
    }

    fn verdict(&self, function: &str) -> Option<bool> {
        let mut patterns = self.patterns.iter().rev();
        let is_for = |pattern: &&Pattern| matches(pattern.text.as_bytes(), function.as_bytes());
        patterns.find(is_for).map(|pattern| pattern.may)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_function_that_is_listed_decides() {
        let mut list = AllowList::default();
        list.add("shop::startup::*, !shop::startup::serve,, !");
        let frames = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| format!("{name} at src/shop.rs:7")).collect()
        };
        let outer = frames(&["std::thread::sleep", "shop::startup::load", "shop::main"]);
        let inner = frames(&["std::thread::sleep", "shop::startup::serve", "shop::startup::load"]);
        let again = frames(&["shop::startup::load", "shop::startup::serve"]);
        assert!(list.allows(&outer, "shop::main"), "outer may");
        assert!(!list.allows(&inner, "shop::startup::load"), "inner may not");
        assert!(list.allows(&again, ""), "what is further in may again");
        assert!(list.allows(&[], "shop::startup::load"), "without a stack the function decides");
        assert!(!list.allows(&frames(&["shop::pay"]), "shop::pay"));
        assert!(!AllowList::default().allows(&outer, "shop::startup::load"));
    }
}
