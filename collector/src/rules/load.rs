//! All rules: those that come with the program, and the user's over them.

use std::fs;
use std::path::{Path, PathBuf};

use rust_embed::RustEmbed;

use super::parse::{Problem, parse};
use super::{FILE_BYTES_MAX, RULES_MAX, Rule};

#[derive(RustEmbed)]
#[folder = "../queries/alerts"]
#[include = "*.yaml"]
struct BuiltIn;

/// Why rules can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// What is in the files.
    #[error("{}", lines(.0))]
    Problems(Vec<Problem>),
    /// The pattern is none.
    #[error("--alert-rules {pattern:?} is no pattern of files: {reason}")]
    Pattern {
        /// Which.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// No file is there.
    #[error(
        "--alert-rules {0:?}: there is no such file; a pattern of files must match one at least"
    )]
    NoFile(String),
    /// A file can't be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// There are too many.
    #[error("{0} rules, {RULES_MAX} at most: each is a query again and again")]
    TooMany(usize),
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// The rules that come with the program, changed by those of the files that the patterns name: one
/// of the same name takes the other's place.
pub(crate) fn load(patterns: &[String]) -> Result<Vec<Rule>, LoadError> {
    let mut problems = Vec::new();
    let mut rules: Vec<Rule> = Vec::new();
    for path in BuiltIn::iter() {
        let text = BuiltIn::get(&path).map(|file| file.data.into_owned()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        match parse(&format!("built in: {path}"), &text, true) {
            Ok(parsed) => rules.extend(parsed),
            Err(wrong) => problems.extend(wrong),
        }
    }
    let mut theirs = Vec::new();
    for path in files(patterns)? {
        match load_one(&path)? {
            Ok(parsed) => theirs.extend(parsed),
            Err(wrong) => problems.extend(wrong),
        }
    }
    problems.extend(repeated(&theirs));
    if !problems.is_empty() {
        return Err(LoadError::Problems(problems));
    }
    for rule in theirs {
        match rules.iter_mut().find(|known| known.name == rule.name) {
            Some(known) => *known = rule,
            None => rules.push(rule),
        }
    }
    if rules.len() > RULES_MAX {
        return Err(LoadError::TooMany(rules.len()));
    }
    Ok(rules)
}

/// The rules of one file, or what is wrong with them.
pub(crate) fn load_one(path: &Path) -> Result<Result<Vec<Rule>, Vec<Problem>>, LoadError> {
    let unreadable = |reason: String| LoadError::Unreadable { path: path.to_owned(), reason };
    let bytes = fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(unreadable(format!("it has {bytes} bytes, {FILE_BYTES_MAX} at most")));
    }
    let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    Ok(parse(&path.display().to_string(), &text, false))
}

/// The files that patterns name, each once, in the order of the patterns.
fn files(patterns: &[String]) -> Result<Vec<PathBuf>, LoadError> {
    let mut files: Vec<PathBuf> = Vec::new();
    for pattern in patterns {
        let matches = glob::glob(pattern).map_err(|error| LoadError::Pattern {
            pattern: pattern.clone(),
            reason: error.to_string(),
        })?;
        let mut any = false;
        for path in matches {
            let path = path.map_err(|error| LoadError::Unreadable {
                path: error.path().to_owned(),
                reason: error.error().to_string(),
            })?;
            any = true;
            if !files.contains(&path) {
                files.push(path);
            }
        }
        if !any {
            return Err(LoadError::NoFile(pattern.clone()));
        }
    }
    Ok(files)
}

/// Rules of the user with one name: which of them would hold?
fn repeated(rules: &[Rule]) -> Vec<Problem> {
    let again = |(at, rule): (usize, &Rule)| {
        let first = rules[..at].iter().find(|other| other.name == rule.name)?;
        let message = format!(
            "a second rule `{}`, the first is in {}:{}: give it another name",
            rule.name, first.origin.file, first.origin.line
        );
        Some(Problem { file: rule.origin.file.clone(), line: rule.origin.line, message })
    };
    rules.iter().enumerate().filter_map(again).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::load;

    #[test]
    fn a_users_rule_takes_the_place_of_a_built_in_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.yaml");
        let text = "groups:\n- name: mine\n  rules:\n  - alert: HoldupWatchdog\n    enabled: false\n  \
                    - alert: Mine\n    expr: x\n";
        fs::write(&file, text).unwrap();
        let built_in = load(&[]).unwrap();
        let all = load(&[folder.path().join("*.yaml").display().to_string()]).unwrap();
        assert_eq!(all.len(), built_in.len() + 1);
        let watchdog = all.iter().find(|rule| rule.name == "HoldupWatchdog").unwrap();
        assert!(!watchdog.enabled && !watchdog.origin.built_in);
        assert!(built_in.iter().all(|rule| rule.enabled && rule.origin.built_in));
    }

    #[test]
    fn files_that_are_not_there_and_names_that_are_there_twice_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let nothing = folder.path().join("*.yaml").display().to_string();
        assert!(
            load(std::slice::from_ref(&nothing)).unwrap_err().to_string().contains("no such file")
        );
        let text = "groups:\n- name: mine\n  rules:\n  - alert: Mine\n    expr: x\n";
        fs::write(folder.path().join("a.yaml"), text).unwrap();
        fs::write(folder.path().join("b.yaml"), text).unwrap();
        let error = load(&[nothing]).unwrap_err().to_string();
        assert!(error.contains("b.yaml:4: a second rule `Mine`"), "{error}");
        let error = load(&["***".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("no pattern"), "{error}");
    }
}
