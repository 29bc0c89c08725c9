//! The file: what is wrong in it is told with its line, and what was probably meant.

use std::fs;
use std::path::Path;

use super::{ConfigError, Settings};

pub(super) fn read_text(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

pub(super) fn read(path: &Path) -> Result<Settings, ConfigError> {
    parse(path, &read_text(path)?)
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Settings, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
        let place = line.map(|n| format!("line {n}: ")).unwrap_or_default();
        let reason =
            format!("{place}{}{}", first_line(error.message()), suggestion(error.message()));
        ConfigError::Invalid { path: path.to_owned(), reason }
    })
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// The known key that an unknown one was probably meant to be.
fn suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if !message.starts_with("unknown field") {
        return String::new();
    }
    let unknown = quoted.next().unwrap_or_default();
    let nearest = quoted.min_by_key(|known| strsim::damerau_levenshtein(unknown, known));
    nearest.map(|known| format!(" (did you mean `{known}`?)")).unwrap_or_default()
}
