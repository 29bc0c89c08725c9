//! What a token is for.

use clap::ValueEnum;
use serde::Deserialize;

/// What a token is for. Each gives its own right and no other's.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Sends OTLP
    Ingest,
    /// Sees the page, asks the API, reads /metrics
    Read,
    /// Reads, and mutes functions
    Admin,
}

impl Role {
    /// Its name in the file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }

    /// Whether who has this one may do what the other is for.
    pub(super) fn gives(self, other: Self) -> bool {
        self == other || (self == Self::Admin && other == Self::Read)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
