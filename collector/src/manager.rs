//! What the service manager (systemd) is told: ready, reloading, stopping, alive. Without one, nobody
//! is.

use std::io;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

/// Everything that was acknowledged before is found, and requests are taken.
pub(crate) fn ready() {
    tell(Ok(vec![NotifyState::Ready]));
}

/// The configuration is being read again; `ready` follows.
pub(crate) fn reloading() {
    let now = NotifyState::monotonic_usec_now();
    tell(now.map(|now| vec![NotifyState::Reloading, now]));
}

/// It ends what is under way.
pub(crate) fn stopping() {
    tell(Ok(vec![NotifyState::Stopping]));
}

/// Tells that the runtime gets on, as often as the manager wants to know; where it does not, the
/// manager starts the collector again.
pub(crate) async fn stay_alive() {
    let Some(within) = sd_notify::watchdog_enabled().filter(|within| !within.is_zero()) else {
        return std::future::pending().await;
    };
    let mut ticks = interval(within / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        tell(Ok(vec![NotifyState::Watchdog]));
    }
}

fn tell(states: io::Result<Vec<NotifyState<'_>>>) {
    if let Err(error) = states.and_then(|states| sd_notify::notify(&states)) {
        tracing::warn!(%error, "the service manager could not be told how the collector is");
    }
}
