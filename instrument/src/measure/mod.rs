//! How long *all* polls of a function take, fast ones too: the share of slow polls needs both.
//!
//! Each thread counts into a [`table`] of its own, with plain loads and stores; the exporter's thread
//! adds all [`tables`] up now and then and keeps what was added since ([`merge`]). Sums only ever grow,
//! so that a reader needs nothing from the thread that counts; when that ends, its counts are kept.

pub(crate) mod buckets;
pub(crate) mod merge;
pub(crate) mod quantile;
pub(crate) mod report;
pub(crate) mod runtimes;
pub(crate) mod sites;
pub(crate) mod table;
mod tables;
mod zeroed;

/// The most that counters take beside those of the threads: of threads that ended, as they were read
/// the last time and this time, what was counted since, and the request that tells of it.
#[cfg(test)]
pub(crate) fn kept_bytes() -> usize {
    use opentelemetry_proto::tonic::metrics::v1::ExponentialHistogramDataPoint;

    const NAMES: usize = 128;
    let function = 3 * size_of::<table::Counts>()
        + 2 * size_of::<merge::Histogram>()
        + size_of::<ExponentialHistogramDataPoint>()
        + 2 * NAMES;
    sites::SITES_MAX * function
}
