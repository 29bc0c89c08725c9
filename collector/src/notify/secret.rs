//! Secrets: read from files when they are used, so that a new one needs no restart, and never shown.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Bytes of the longest secret; what is longer is another file.
const BYTES_MAX: u64 = 16 << 10;

/// A file with a secret in it.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct SecretFile(PathBuf);

/// What is in such a file. Neither `Debug` nor `Display` show it.
#[derive(Clone)]
pub(crate) struct Secret(String);

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// The file can't be read.
    #[error("cannot read the secret in {path}: {source}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file can't be meant.
    #[error("{path} holds no secret: {reason}")]
    Unfit {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
}

impl SecretFile {
    /// What it holds, without the line's end.
    pub(crate) fn read(&self) -> Result<Secret, SecretError> {
        let unreadable = |source| SecretError::Unreadable { path: self.0.clone(), source };
        let unfit = |reason| SecretError::Unfit { path: self.0.clone(), reason };
        let mut text = String::new();
        let file = File::open(&self.0).map_err(unreadable)?;
        file.take(BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
        let secret = text.trim();
        if secret.is_empty() {
            return Err(unfit("it is empty"));
        }
        if text.len() as u64 > BYTES_MAX {
            return Err(unfit("it is longer than 16 KiB"));
        }
        if secret.contains(char::is_control) {
            return Err(unfit("it has more than one line"));
        }
        Ok(Secret(secret.to_owned()))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Secret {
    /// The secret, for whom it is meant.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<Secret, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        SecretFile(file.path().into()).read().map_err(|error| error.to_string())
    }

    #[test]
    fn a_secret_is_its_files_line_and_not_shown() {
        let secret = with("s3cret\n").unwrap();
        assert_eq!(secret.expose(), "s3cret");
        assert_eq!(format!("{secret:?}"), "(secret)");
    }

    #[test]
    fn what_can_not_be_meant_is_refused_without_showing_it() {
        for text in ["", "\n", "s3cret\nother", &"s3cret".repeat(4_000)] {
            let error = with(text).unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
        let absent = SecretFile("/no/such/file".into()).read().unwrap_err();
        assert!(absent.to_string().contains("/no/such/file"));
    }
}
