//! The file: what is wrong in it is told with its line, and what was probably meant.

use std::fs;
use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::{ConfigError, Settings};
use crate::access::{File, Tokens};

pub(super) fn read_text(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })
}

pub(super) fn read(path: &Path) -> Result<Settings, ConfigError> {
    parse(path, &read_text(path)?)
}

pub(super) fn parse(path: &Path, text: &str) -> Result<Settings, ConfigError> {
    parse_as(path, text)
}

fn parse_as<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let reason = format!("{}{}", first_line(error.message()), suggestion(error.message()));
        wrong(path, text, error.span().map(|span| span.start), &reason)
    })
}

/// What is wrong at a place of a file.
fn wrong(path: &Path, text: &str, at: Option<usize>, reason: &str) -> ConfigError {
    let before = at.and_then(|at| text.get(..at));
    let line = before.map(|before| before.matches('\n').count() + 1);
    let place = line.map(|n| format!("line {n}: ")).unwrap_or_default();
    ConfigError::Invalid { path: path.to_owned(), reason: format!("{place}{reason}") }
}

/// The longest file of tokens, bytes.
const TOKENS_BYTES_MAX: u64 = 1 << 20;

/// The tokens of a file. No error shows what may be a secret.
pub(super) fn read_tokens(path: &Path) -> Result<Tokens, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_owned(), source };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(TOKENS_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > TOKENS_BYTES_MAX {
        let reason = format!("it is longer than {TOKENS_BYTES_MAX} bytes: is it the right file?");
        return Err(wrong(path, &text, None, &reason));
    }
    parse_tokens(path, &text)
}

pub(crate) fn parse_tokens(path: &Path, text: &str) -> Result<Tokens, ConfigError> {
    let file = parse_as::<File>(path, text).map_err(|error| match error {
        ConfigError::Invalid { path, reason } => {
            ConfigError::Invalid { path, reason: without_secrets(&reason) }
        }
        other => other,
    })?;
    Tokens::of_file(file).map_err(|(at, reason)| wrong(path, text, Some(at), &reason))
}

/// The text with words left out that may be tokens.
fn without_secrets(text: &str) -> String {
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '=');
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        out.push_str(if word.len() < WORD_MAX { word } else { "(hidden)" });
        let next = after.find(is_of_word).unwrap_or(after.len());
        out.push_str(&after[..next]);
        rest = &after[next..];
    }
    out
}

/// A word that is as long may be a secret.
const WORD_MAX: usize = 24;

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
