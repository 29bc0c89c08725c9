//! The subcommands that run and end.

pub(crate) mod alerts;
mod ask;
pub(crate) mod bearer;
pub(crate) mod check;
pub(crate) mod ci;
pub(crate) mod dashboards;
pub(crate) mod dump;
pub(crate) mod export;
pub(crate) mod migrate;
pub(crate) mod query;
pub(crate) mod record;
pub(crate) mod report;
pub(crate) mod rules;
pub(crate) mod shell;
pub(crate) mod spool;
pub(crate) mod symbolize;
pub(crate) mod tail;
pub(crate) mod tasks;
mod text;
pub(crate) mod token;
pub(crate) mod top;
