//! A request's body as it comes in, within bounds on its time and on the memory that it takes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::Frame;
use tokio::time::{Instant, Sleep, sleep};

use crate::batch::{Intake, NotTaken, Room};

/// How long a body may take to arrive,
pub(super) const TIME_MAX: Duration = Duration::from_secs(30);
/// and how long nothing of it may come.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Why no more of a body is taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unarrived {
    /// It is too slow.
    #[error("the body did not come within {} s", TIME_MAX.as_secs())]
    Late,
    /// Its sender has gone silent.
    #[error("nothing of the body came for {} s", SILENCE_MAX.as_secs())]
    Silent,
    /// There is no memory for it.
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
    /// The connection broke.
    #[error("the body broke off: {0}")]
    Broken(axum::Error),
}

/// A body that ends with an error where it passes a bound.
pub(super) struct Arriving {
    body: Body,
    room: Option<Growing>,
    late: Pin<Box<Sleep>>,
    silent: Pin<Box<Sleep>>,
}

/// Room for what has come so far.
struct Growing {
    room: Room,
    bytes: usize,
    bytes_max: usize,
}

impl Arriving {
    /// One for which there is room already.
    pub(super) fn new(body: Body) -> Self {
        let (late, silent) = (Box::pin(sleep(TIME_MAX)), Box::pin(sleep(SILENCE_MAX)));
        Self { body, room: None, late, silent }
    }

    /// One that takes room as it comes.
    pub(super) fn into_room(body: Body, intake: &Intake) -> Result<Self, NotTaken> {
        let growing = Growing { room: intake.reserve(0)?, bytes: 0, bytes_max: intake.bytes_max() };
        Ok(Self { room: Some(growing), ..Self::new(body) })
    }
}

impl Growing {
    /// What is larger than all there is gets all.
    fn grow(&mut self, bytes: usize) -> Result<(), NotTaken> {
        self.bytes = self.bytes.saturating_add(bytes);
        self.room.resize(self.bytes.min(self.bytes_max))
    }
}

impl hyper::body::Body for Arriving {
    type Data = Bytes;
    type Error = Unarrived;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unarrived>>> {
        let this = &mut *self;
        // However fast it drips.
        if this.late.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err(Unarrived::Late)));
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            let silent = this.silent.as_mut().poll(context);
            return silent.map(|()| Some(Err(Unarrived::Silent)));
        };
        this.silent.as_mut().reset(Instant::now() + SILENCE_MAX);
        let taken = frame.map(|frame| {
            let frame = frame.map_err(Unarrived::Broken)?;
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            this.room.as_mut().map_or(Ok(()), |room| room.grow(bytes))?;
            Ok(frame)
        });
        Poll::Ready(taken)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
