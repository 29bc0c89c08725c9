//! Futures of which is known where all their time goes.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::polling::debug::{self, Unpolled, What};
use crate::polling::site::{self, Site};
use crate::polling::tasks::Place;
use crate::polling::timed::{Account, Limits, Wakes};
use crate::polling::{clock, poll, switch};

pin_project! {
    /// A future of which is known where its time goes, made by [`timed`], [`timed_at`] and
    /// [`DetectBlocking::timed`](crate::DetectBlocking::timed).
    ///
    /// From the first poll to the end, be that its result, a panic or its drop: elapsed = busy (in
    /// polls) + idle (suspended, nothing had woken it) + starved (woken, and not polled yet). Each
    /// part has a threshold of its own, and is a finding of its own kind: a slow poll
    /// ([`Kind::Blocking`](crate::Kind::Blocking)), a slow await
    /// ([`Kind::SlowAwait`](crate::Kind::SlowAwait)), starvation
    /// ([`Kind::Starvation`](crate::Kind::Starvation)).
    ///
    /// A runtime fires timers and looks at sockets when a thread of it has nothing to poll. What is
    /// woken right after a slow poll of the thread that polls it then is taken to have been ready
    /// during that poll, for nothing could have polled it earlier; that is an upper bound.
    ///
    /// To learn when it is woken it hands a waker of its own to the future: one allocation when it is
    /// made, none afterwards. What is woken while it is polled for another reason, as in `select!`
    /// and `join!`, counts from that wake. Before the first poll nothing counts.
    #[must_use = "futures do nothing unless they are awaited or polled"]
    pub struct Timed<F> {
        // Before the future: what its drop costs is not its own time any more.
        ledger: Ledger,
        waker: Waker,
        #[pin]
        future: F,
    }
}

/// What is known of one future. Its drop tells the end of one that was cancelled or panicked.
struct Ledger {
    site: &'static Site,
    unpolled: Unpolled,
    // In the table of live tasks.
    place: Place,
    account: Account,
    wakes: Arc<Wakes>,
    slow_await_ns: Option<u64>,
    starved_ns: Option<u64>,
}

/// Where the time of a [`Timed`] future went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spent {
    /// In its polls.
    pub busy: Duration,
    /// Suspended.
    pub idle: Duration,
    /// Ready, and not polled.
    pub starved: Duration,
    /// Polls that began.
    pub polls: u64,
}

impl Spent {
    /// The sum of all, up to the end of the last poll.
    pub fn elapsed(&self) -> Duration {
        self.busy + self.idle + self.starved
    }
}

/// Times a future under a name: where all of its time goes, and each poll like
/// [`detect_blocking`](crate::DetectBlocking::detect_blocking).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let fetch = async { tokio::time::sleep(Duration::from_millis(5)).await };
/// holdup::timed("shop::fetch", fetch).slow_await(Duration::from_secs(2)).await;
/// # });
/// ```
#[track_caller]
pub fn timed<F: Future>(name: &'static str, future: F) -> Timed<F> {
    timed_at(site::intern(name, Location::caller()), future)
}

/// Times a future and charges it to a site: see [`timed`].
///
/// # Examples
///
/// ```
/// static SITE: holdup::Site = holdup::Site::new("shop::stock", file!(), line!());
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// assert_eq!(holdup::timed_at(&SITE, async { 3 }).await, 3);
/// # });
/// ```
pub fn timed_at<F: Future>(site: &'static Site, future: F) -> Timed<F> {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let account = Account::default();
    let unpolled = Unpolled::new(site);
    let (slow_await_ns, starved_ns) = (None, None);
    let place = Place::none();
    let ledger = Ledger { site, unpolled, place, account, wakes, slow_await_ns, starved_ns };
    Timed { ledger, waker, future }
}

impl<F> Timed<F> {
    /// It is reported once it was idle for so long altogether, in place of
    /// [`Builder::slow_await`](crate::Builder::slow_await). Zero is never.
    pub fn slow_await(mut self, threshold: Duration) -> Self {
        self.ledger.slow_await_ns = Some(clock::whole_nanoseconds(threshold));
        self
    }

    /// It is reported once it was starved for so long altogether, in place of
    /// [`Builder::starved`](crate::Builder::starved). Zero is never.
    pub fn starved(mut self, threshold: Duration) -> Self {
        self.ledger.starved_ns = Some(clock::whole_nanoseconds(threshold));
        self
    }

    /// Where its time went so far.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::pin::pin;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let _guard = holdup::builder().flush_timeout(std::time::Duration::ZERO).install();
    /// let mut answer = pin!(holdup::timed("shop::answer", async { 42 }));
    /// assert_eq!(answer.as_mut().await, 42);
    /// let spent = answer.spent();
    /// assert_eq!(spent.polls, 1);
    /// assert_eq!(spent.elapsed(), spent.busy + spent.idle + spent.starved);
    /// # });
    /// ```
    pub fn spent(&self) -> Spent {
        let spent = self.ledger.account.spent();
        Spent {
            busy: Duration::from_nanos(spent.busy),
            idle: Duration::from_nanos(spent.idle),
            starved: Duration::from_nanos(spent.starved),
            polls: spent.polls,
        }
    }
}

impl<F: Future> Future for Timed<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let is_first = this.ledger.unpolled.is_armed();
        this.ledger.unpolled.disarm();
        if !switch::is_on() {
            return this.future.poll(context);
        }
        let ledger = this.ledger;
        // First, so that no wake is lost between this poll and the next.
        ledger.wakes.task.register(context.waker());
        let polling = ledger.begin();
        let result = this.future.poll(&mut Context::from_waker(this.waker));
        polling.end(result.is_pending(), is_first);
        ledger.returned(result.is_ready());
        result
    }
}

impl Ledger {
    fn begin(&mut self) -> Polling<'_> {
        if !self.account.has_started() {
            self.account.start(Limits::resolve(self.slow_await_ns, self.starved_ns));
        }
        let entered = poll::enter(self.site);
        if let Some(entered) = &entered {
            self.place.enter(entered);
        }
        self.account.enter(&self.wakes, clock::now());
        Polling { account: &mut self.account, place: &mut self.place, site: self.site, entered }
    }

    fn returned(&mut self, is_ready: bool) {
        self.account.returned();
        if is_ready {
            self.account.end(self.site, &self.wakes, true);
        } else if self.account.is_due() {
            self.account.report(self.site);
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if self.account.has_started() && switch::is_on() {
            self.account.end(self.site, &self.wakes, false);
        }
    }
}

/// A poll that goes on; its drop ends it, when it panics too.
struct Polling<'a> {
    account: &'a mut Account,
    place: &'a mut Place,
    site: &'static Site,
    entered: Option<poll::Entered>,
}

impl Polling<'_> {
    /// The poll has returned. `is_first`: it was the first one, in debug mode.
    fn end(mut self, is_pending: bool, is_first: bool) {
        self.account.leave(clock::now());
        if let Some(entered) = self.entered.take() {
            let slow = if is_first { entered.slow() } else { None };
            let duration = entered.leave();
            if is_pending {
                self.place.after(self.site, &entered, duration);
            } else if let Some((start, duration)) = slow {
                debug::note(self.site, What::OnePoll { start, duration });
            }
            std::mem::forget(entered);
        }
        // What its drop does is done.
        std::mem::forget(self);
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        self.account.leave(clock::now());
    }
}

impl<F> fmt::Debug for Timed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Timed");
        shown.field("site", &self.ledger.site).field("spent", &self.spent()).finish_non_exhaustive()
    }
}
