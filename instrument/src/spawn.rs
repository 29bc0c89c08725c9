//! Tasks that are watched as a whole, whose wakes are noted, and whose panics are.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use atomic_waker::AtomicWaker;
use pin_project_lite::pin_project;

use crate::join::{JoinHandle, Noticing};
use crate::polling::site::{self, Site};
use crate::polling::switch;
use crate::polling::tasks::{Place, Wakes};
use crate::watched::Watched;

/// Spawns a task that is watched under the place of this call: `task spawned at src/main.rs:12:5`.
///
/// As [`tokio::spawn`]. Its polls are timed like those of an instrumented function; what is
/// instrumented inside has its own time. The [task dump](crate::tasks) knows of it from its spawning
/// on, and when it was woken. In [debug mode](crate::debug) it is told of when it panics and nobody
/// looks: when its handle is dropped without having told how it ended.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let seven = holdup::spawn(async { 7 }).await?;
/// assert_eq!(seven, 7);
/// # Ok::<(), tokio::task::JoinError>(())
/// # }).unwrap();
/// ```
///
/// # Panics
///
/// When it is called outside of a runtime, like `tokio::spawn`.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawn_at(site::spawned_at(Location::caller()), future)
}

/// The same under a name of your choice.
///
/// # Examples
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let worker = holdup::spawn_named("shop::worker", async { 7 });
/// assert_eq!(worker.await?, 7);
/// # Ok::<(), tokio::task::JoinError>(())
/// # }).unwrap();
/// ```
///
/// # Panics
///
/// When it is called outside of a runtime, like `tokio::spawn`.
#[track_caller]
pub fn spawn_named<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawn_at(site::intern(name, Location::caller()), future)
}

#[track_caller]
fn spawn_at<F>(site: &'static Site, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (future, looks) = Noticing::new(site, future);
    let spawned = Spawned::new(site, future);
    let wakes = spawned.noting.as_ref().map(|noting| noting.wakes);
    let handle = tokio::spawn(spawned);
    if let Some(wakes) = wakes {
        wakes.identify(handle.id());
    }
    JoinHandle::new(handle, looks)
}

pin_project! {
    struct Spawned<F> {
        #[pin]
        watched: Watched<F>,
        // Made once: a poll allocates nothing.
        noting: Option<Arc<Noting>>,
    }
}

impl<F: Future> Spawned<F> {
    fn new(site: &'static Site, future: F) -> Self {
        if !switch::is_on() {
            return Self { watched: Watched::new(site, future, Place::none()), noting: None };
        }
        let place = Place::take_woken(site);
        let noting = Noting { wakes: place.wakes(), waker: AtomicWaker::new() };
        noting.wakes.note();
        Self { watched: Watched::new(site, future, place), noting: Some(Arc::new(noting)) }
    }
}

impl<F: Future> Future for Spawned<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(noting) = this.noting.as_ref().filter(|_| switch::is_on()) else {
            return this.watched.poll(context);
        };
        // Before the poll: what wakes during it wakes the task.
        noting.waker.register(context.waker());
        let waker = Waker::from(Arc::clone(noting));
        this.watched.poll(&mut Context::from_waker(&waker))
    }
}

/// Stands in for the task's waker, and notes when it is used.
struct Noting {
    wakes: Wakes,
    waker: AtomicWaker,
}

impl Wake for Noting {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakes.note();
        self.waker.wake();
    }
}
