//! The line in the service's log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::findings::finding::Finding;
use crate::findings::handlers::Outlet;
use crate::findings::limiter::Limiter;

/// The same function has one line of a kind in this time.
const INTERVAL: Duration = Duration::from_secs(10);
const LINES_PER_MINUTE: u32 = 60;

/// Writes findings through `tracing`, on a thread of its own: the service's subscriber may be slow.
pub(super) struct Log {
    limiter: Limiter,
    outlet: Option<Outlet>,
}

impl Log {
    pub(super) fn open() -> Self {
        let limiter = Limiter::new(INTERVAL, LINES_PER_MINUTE, Instant::now());
        Self { limiter, outlet: Outlet::open(Arc::new(write)) }
    }

    pub(super) fn say(&mut self, finding: &Arc<Finding>) {
        let (Some(outlet), Some(kept_back)) =
            (&self.outlet, self.limiter.admit(finding, Instant::now()))
        else {
            return;
        };
        let mut line = Arc::clone(finding);
        if kept_back > 0 {
            Arc::make_mut(&mut line).suppressed += kept_back;
        }
        outlet.give(line);
    }

    pub(super) fn flush(&self, deadline: Instant) {
        if let Some(outlet) = &self.outlet {
            outlet.flush(deadline);
        }
    }
}

fn write(finding: &Finding) {
    tracing::warn!(
        target: "holdup",
        finding = finding.kind.name(),
        function = finding.function,
        ongoing = finding.ongoing,
        "{finding}",
    );
}
