//! What is under way, as server-sent events: stalls, the last polls of each worker, tasks.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::stream::{self, Stream};
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use super::Page;
use super::error::ApiError;
use super::parameters::parse;
use crate::access::{Refusal, Role};
use crate::clock::now_ns;
use crate::store::{PanelQuery, StoreError, catalog};

/// How many clients may look at a time.
pub(super) const STREAMS_MAX: usize = 16;
/// How often each is told.
const EVERY: Duration = Duration::from_secs(1);
/// The panels, and how far back they look: tasks are dumped every few minutes.
const PANELS: [(&str, u64); 3] = [("stalled", 60_000), ("polls", 60_000), ("tasks", 600_000)];
/// The most rows of each.
const ROWS: u32 = 500;
/// Longer answers are left out.
const BYTES_MAX: usize = 4 << 20;

/// Whom a stream is for.
struct Viewer {
    page: Page,
    asked: PanelQuery,
    /// Who it is, as the request said.
    headers: HeaderMap,
    /// Room among those who look.
    _permit: OwnedSemaphorePermit,
}

/// What comes next in a stream.
enum Next {
    Look,
    LookLater,
    End,
}

/// An event a second until the client goes, may no longer read, or the collector stops. The statement
/// under way ends with the client: it is dropped with the stream.
pub(super) async fn live(
    State(page): State<Page>,
    headers: HeaderMap,
    RawQuery(raw): RawQuery,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let Ok(permit) = page.streams.clone().try_acquire_owned() else {
        return Err(ApiError::busy(format!("{STREAMS_MAX} clients look at it already")));
    };
    let asked = parse(String::new(), &raw.unwrap_or_default(), now_ns() / 1_000_000)?;
    let viewer = Viewer { page, asked, headers, _permit: permit };
    let events = stream::unfold((viewer, Next::Look), |(mut viewer, next)| async move {
        match next {
            Next::Look => {}
            Next::LookLater => viewer.wait().await?,
            Next::End => return None,
        }
        let (event, next) = match viewer.may_look() {
            Ok(()) => (viewer.look().await, Next::LookLater),
            Err(refusal) => (said("ended", &refusal.to_string()), Next::End),
        };
        Some((Ok(event), (viewer, next)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

fn said(event: &str, data: &str) -> Event {
    Event::default().event(event).data(data)
}

impl Viewer {
    /// Until the next look; `None` when the collector stops.
    async fn wait(&mut self) -> Option<()> {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => Some(()),
            _stopped = self.page.stopped.wait_for(|stopped| *stopped) => None,
        }
    }

    /// Tokens are withdrawn and sessions end while a stream is open.
    fn may_look(&self) -> Result<(), Refusal> {
        self.page.access.judge(&self.headers, Role::Read).map(drop)
    }

    async fn look(&self) -> Event {
        match look(&self.page, &self.asked).await {
            Ok(seen) => said("seen", &seen.to_string()),
            Err(error) => said("trouble", &ApiError::from(error).message),
        }
    }
}

async fn look(page: &Page, asked: &PanelQuery) -> Result<Value, StoreError> {
    let to_ms = now_ns() / 1_000_000;
    let mut seen = json!({"at_ms": to_ms});
    for (name, back_ms) in PANELS {
        let sql = catalog::panel(name).map(|panel| panel.sql).unwrap_or_default();
        let from_ms = to_ms.saturating_sub(back_ms);
        let query = PanelQuery { sql, from_ms, to_ms, limit: ROWS, ..asked.clone() };
        let rows = page.store.ask(&query)?.read(BYTES_MAX).await?.unwrap_or_default();
        let mut rows: Value = serde_json::from_slice(&rows).unwrap_or_default();
        seen[name] = rows["data"].take();
    }
    Ok(seen)
}
