//! Futures whose polls are timed.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::polling::debug::{self, Unpolled, What};
use crate::polling::poll;
use crate::polling::site::{self, Site};
use crate::polling::switch;
use crate::polling::tasks::Place;
use crate::timed::{Timed, timed_at};

pin_project! {
    /// A future each of whose polls is timed and charged to a [`Site`].
    ///
    /// Made by [`watch`], by [`DetectBlocking::detect_blocking`] and by the attribute
    /// [`detect_blocking`](macro@crate::detect_blocking). A poll costs two reads of the clock more;
    /// before [`init`](crate::init), or when Holdup is switched off, a load and a branch.
    #[must_use = "futures do nothing unless they are awaited or polled"]
    pub struct Watched<F> {
        site: &'static Site,
        unpolled: Unpolled,
        // In the table of live tasks.
        place: Place,
        #[pin]
        future: F,
    }
}

/// Times each poll of a future and charges it to a site.
///
/// # Examples
///
/// ```
/// static SITE: holdup::Site = holdup::Site::new("shop::stock", file!(), line!());
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let stock = holdup::watch(&SITE, async { 3 }).await;
/// assert_eq!(stock, 3);
/// # });
/// ```
pub fn watch<F: Future>(site: &'static Site, future: F) -> Watched<F> {
    Watched::new(site, future, Place::none())
}

/// Adds [`detect_blocking`](Self::detect_blocking) to every future.
pub trait DetectBlocking: Future + Sized {
    /// Times each poll of this future and charges it to `name` at the place of this call.
    ///
    /// `name` is reported as the function's name; a full path (`crate::module::function`) reads
    /// best. There may be 1,024 different places and names; those beyond share one site that is
    /// named `otel.metric.overflow`.
    ///
    /// # Examples
    ///
    /// ```
    /// use holdup::DetectBlocking;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let answer = async { 42 }.detect_blocking("shop::answer").await;
    /// assert_eq!(answer, 42);
    /// # });
    /// ```
    #[track_caller]
    fn detect_blocking(self, name: &'static str) -> Watched<Self> {
        watch(site::intern(name, Location::caller()), self)
    }

    /// Times this future from its first poll to its end: busy, idle and starved, each with a
    /// threshold of its own. See [`timed`](crate::timed()).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use holdup::DetectBlocking;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let answer = async { 42 }.timed("shop::answer").starved(Duration::from_millis(20)).await;
    /// assert_eq!(answer, 42);
    /// # });
    /// ```
    #[track_caller]
    fn timed(self, name: &'static str) -> Timed<Self> {
        timed_at(site::intern(name, Location::caller()), self)
    }
}

impl<F: Future> DetectBlocking for F {}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if switch::threshold_ticks() == 0 {
            return self.project().future.poll(context);
        }
        self.timed(context)
    }
}

impl<F: Future> Watched<F> {
    /// Apart, so that a poll which isn't timed saves no registers for it.
    #[inline(never)]
    fn timed(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if this.unpolled.is_armed() {
            this.unpolled.disarm();
            return first_poll(this.site, this.place, this.future, context);
        }
        let entered = poll::enter(this.site);
        if let Some(entered) = &entered {
            this.place.enter(entered);
        }
        let result = this.future.poll(context);
        if let Some(entered) = &entered {
            let duration = entered.leave();
            if result.is_pending() {
                this.place.after(this.site, entered, duration);
            }
        }
        std::mem::forget(entered);
        result
    }
}

/// The first poll of a future that was made in debug mode.
#[cold]
fn first_poll<F: Future>(
    site: &'static Site,
    place: &mut Place,
    future: Pin<&mut F>,
    context: &mut Context<'_>,
) -> Poll<F::Output> {
    let entered = poll::enter(site);
    if let Some(entered) = &entered {
        place.enter(entered);
    }
    let result = future.poll(context);
    if let Some(entered) = entered {
        let slow = entered.slow();
        let duration = entered.leave();
        if result.is_pending() {
            place.after(site, &entered, duration);
        } else if let Some((start, duration)) = slow {
            debug::note(site, What::OnePoll { start, duration });
        }
        std::mem::forget(entered);
    }
    result
}

impl<F> Watched<F> {
    pub(crate) fn new(site: &'static Site, future: F, place: Place) -> Self {
        Self { site, unpolled: Unpolled::new(site), place, future }
    }
}

impl<F> fmt::Debug for Watched<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("site", &self.site).finish_non_exhaustive()
    }
}
