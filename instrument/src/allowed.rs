//! Code that may block, and code in it that may not.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::polling::allow::{self, Scope};

/// Runs code that may block its thread: what is slow in it is counted (`holdup.poll.allowed`), and not
/// reported. `_why` is for those who read the code.
///
/// The time of the scope is not that of the poll around it, so that the rest of that poll is held to
/// its threshold as ever. Scopes nest, and the innermost decides: see [`forbid_blocking`]. For
/// futures there is [`AllowBlocking`]; for code that can't be changed, [`Builder::allow`].
///
/// [`Builder::allow`]: crate::Builder::allow
///
/// # Examples
///
/// ```
/// let config = holdup::allow_blocking("read once, at start-up", || {
///     std::fs::read_to_string("/etc/hostname").unwrap_or_default()
/// });
/// # let _ = config;
/// ```
pub fn allow_blocking<T>(_why: &str, code: impl FnOnce() -> T) -> T {
    let _scope = allow::open(Scope::Allow);
    code()
}

/// Runs code that may not block although what is around it may.
///
/// What is slow in it is reported under the name of the innermost instrumented function in it, or
/// else as `holdup::forbid_blocking`, with the stack. Where blocking is not allowed this does
/// nothing.
///
/// # Examples
///
/// ```
/// holdup::allow_blocking("migrations", || {
///     let next = holdup::forbid_blocking(|| 3 + 4);
///     assert_eq!(next, 7);
/// });
/// ```
pub fn forbid_blocking<T>(code: impl FnOnce() -> T) -> T {
    let _scope = allow::open(Scope::Forbid);
    code()
}

/// Adds [`allow_blocking`](Self::allow_blocking) and [`forbid_blocking`](Self::forbid_blocking) to
/// every future.
pub trait AllowBlocking: Future + Sized {
    /// Each poll of this future may be slow, as in the function [`allow_blocking`].
    ///
    /// # Examples
    ///
    /// ```
    /// use holdup::AllowBlocking;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let answer = async { 42 }.allow_blocking("the legacy client has no async form").await;
    /// assert_eq!(answer, 42);
    /// # });
    /// ```
    fn allow_blocking(self, _why: &str) -> Scoped<Self> {
        Scoped { scope: Scope::Allow, future: self }
    }

    /// No poll of this future may be slow although what is around it may, as in the function
    /// [`forbid_blocking`].
    fn forbid_blocking(self) -> Scoped<Self> {
        Scoped { scope: Scope::Forbid, future: self }
    }
}

impl<F: Future> AllowBlocking for F {}

pin_project! {
    /// A future that may block, or may not: made by [`AllowBlocking`].
    #[must_use = "futures do nothing unless they are awaited or polled"]
    pub struct Scoped<F> {
        scope: Scope,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _scope = allow::open(*this.scope);
        this.future.poll(context)
    }
}

impl<F> fmt::Debug for Scoped<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped").field("scope", &self.scope).finish_non_exhaustive()
    }
}
