//! Debug mode: what is worth a word while a service is written, and costs too much, or says too much,
//! when it runs for others.
//!
//! `HOLDUP_DEBUG=1` switches it on with [`init`](crate::init), [`enable`] at any time after that. Beside
//! slow polls it then finds
//! - many short polls that together hold a thread for 100 ms without a pause
//!   ([`Kind::HeldTogether`](crate::Kind::HeldTogether)),
//! - futures that are dropped before their first poll ([`Kind::NeverPolled`](crate::Kind::NeverPolled)):
//!   those of `watch`, `timed` and `.detect_blocking`; the attribute's exist from their first poll on,
//! - polls that compute for long without giving their thread back, or use up tokio's budget in one go
//!   ([`Kind::NeverYields`](crate::Kind::NeverYields)),
//! - tasks of [`spawn`](crate::spawn) whose panic nobody looked at
//!   ([`Kind::UnseenPanic`](crate::Kind::UnseenPanic)).
//!
//! Each is a line in the log and a call of [`on_finding`](crate::on_finding), with the place in the
//! source and a sentence of advice; the same function is told of every ten seconds at most, with the
//! number of those that were suppressed. Futures that were made before it was switched on are not
//! noted. While it is on, a thread of Holdup's wakes up a hundred times a second.

use crate::polling::debug;

/// Switches debug mode on. It needs an installation to tell of anything.
///
/// # Examples
///
/// ```
/// holdup::debug::enable();
/// assert!(holdup::debug::is_enabled());
/// holdup::debug::disable();
/// ```
pub fn enable() {
    debug::set(true);
}

/// Switches debug mode off.
pub fn disable() {
    debug::set(false);
}

/// Whether debug mode is on.
pub fn is_enabled() -> bool {
    debug::is_on()
}
