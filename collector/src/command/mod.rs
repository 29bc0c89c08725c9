//! The subcommands that run and end.

pub(crate) mod migrate;
pub(crate) mod query;
pub(crate) mod symbolize;
