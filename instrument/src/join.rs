//! The handle of a spawned task, which knows whether anybody looked at a panic.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::task::{self, JoinError};

use crate::polling::debug::{self, What};
use crate::polling::site::Site;

/// The task panicked.
const PANICKED: u8 = 1;
/// The handle was dropped, and had not told how the task ended.
const GONE: u8 = 2;

/// The handle of a task of [`spawn`](crate::spawn): await it for the task's result.
///
/// It is tokio's handle, to which it dereferences (`abort`, `abort_handle`, `is_finished`, `id`), and
/// notices in [debug mode](crate::debug) when it is dropped without a look at a panic of its task.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let task = holdup::spawn(async { 7 });
/// assert!(!task.is_finished());
/// assert_eq!(task.await.unwrap(), 7);
/// let task = holdup::spawn(async { 8 });
/// let tokios: tokio::task::JoinHandle<u8> = task.into_inner();
/// assert_eq!(tokios.await.unwrap(), 8);
/// # });
/// ```
pub struct JoinHandle<T> {
    handle: task::JoinHandle<T>,
    looks: Looks,
}

/// Tells when it is dropped by a handle that did not look. None when nobody is to be told.
#[derive(Debug)]
pub(crate) struct Looks(Option<Arc<Panics>>);

/// Shared by a task and its handle.
#[derive(Debug)]
struct Panics {
    site: &'static Site,
    state: AtomicU8,
    message: OnceLock<String>,
}

pin_project! {
    /// A task's future that leaves word when it panics.
    pub(crate) struct Noticing<F> {
        panics: Option<Arc<Panics>>,
        #[pin]
        future: F,
    }
}

impl<F: Future> Noticing<F> {
    pub(crate) fn new(site: &'static Site, future: F) -> (Self, Looks) {
        let panics =
            || Arc::new(Panics { site, state: AtomicU8::new(0), message: OnceLock::new() });
        let panics = debug::is_on().then(panics);
        (Self { panics: panics.clone(), future }, Looks(panics))
    }
}

impl<F: Future> Future for Noticing<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(panics) = this.panics else { return this.future.poll(context) };
        match catch_unwind(AssertUnwindSafe(|| this.future.poll(context))) {
            Ok(result) => result,
            Err(payload) => {
                panics.panicked(&*payload);
                resume_unwind(payload)
            }
        }
    }
}

impl Panics {
    fn panicked(&self, payload: &(dyn Any + Send)) {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        if let Some(text) = text {
            let _ = self.message.set(text);
        }
        self.add(PANICKED);
    }

    /// Whoever comes second knows that nobody looked.
    fn add(&self, what: u8) {
        let before = self.state.fetch_or(what, Ordering::AcqRel);
        if before | what == PANICKED | GONE && before != PANICKED | GONE {
            let message = self.message.get().cloned();
            debug::note(self.site, What::UnseenPanic { message });
        }
    }
}

impl<T> JoinHandle<T> {
    pub(crate) fn new(handle: task::JoinHandle<T>, looks: Looks) -> Self {
        Self { handle, looks }
    }

    /// Tokio's own handle. Whoever takes it is taken to look at how the task ends.
    pub fn into_inner(mut self) -> task::JoinHandle<T> {
        self.looks.0 = None;
        self.handle
    }
}

impl<T> Deref for JoinHandle<T> {
    type Target = task::JoinHandle<T>;

    fn deref(&self) -> &task::JoinHandle<T> {
        &self.handle
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let result = Pin::new(&mut self.handle).poll(context);
        if result.is_ready() {
            self.looks.0 = None;
        }
        result
    }
}

impl Drop for Looks {
    fn drop(&mut self) {
        if let Some(panics) = self.0.take() {
            panics.add(GONE);
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("task", &self.handle.id()).finish_non_exhaustive()
    }
}
