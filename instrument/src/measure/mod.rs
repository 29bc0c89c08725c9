//! How long *all* polls of a function take, fast ones too: the share of slow polls needs both.
//!
//! Each thread counts into a [`table`] of its own, with plain loads and stores; the exporter's thread
//! reads all tables now and then and keeps what was added since ([`merge`]). Counts only ever grow, so
//! that a reader needs nothing from the thread that counts.

pub(crate) mod buckets;
pub(crate) mod merge;
pub(crate) mod quantile;
pub(crate) mod report;
pub(crate) mod runtimes;
pub(crate) mod sites;
pub(crate) mod table;
mod zeroed;
