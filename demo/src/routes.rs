//! One route per function.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use ledger::Ledger;

use crate::single::Single;
use crate::stock::Stock;
use crate::truth::{self, Truth};
use crate::{faults, innocents, peer};

/// What the handlers use.
#[derive(Debug)]
pub(crate) struct Parts {
    stock: Stock,
    peer: SocketAddr,
    ledger: Ledger,
    single: Single,
}

impl Parts {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self {
            stock: Stock::open()?,
            peer: peer::start()?,
            ledger: Ledger::open()?,
            single: Single::start()?,
        })
    }
}

type Answer = Result<String, (StatusCode, String)>;

pub(crate) fn router(parts: Arc<Parts>) -> Router {
    Router::new()
        .route("/sleep", get(sleep))
        .route("/file", get(file))
        .route("/lock", get(lock))
        .route("/hash", get(hash))
        .route("/peer", get(slow_peer))
        .route("/ledger", get(post))
        .route("/upstream", get(upstream))
        .route("/starved", get(starved))
        .route("/short", get(short))
        .route("/offload", get(offload))
        .route("/truth", get(truth))
        .with_state(parts)
}

async fn sleep() -> Answer {
    faults::sleeps_in_handler().await;
    Ok("slept\n".into())
}

async fn file() -> Answer {
    faults::reads_and_syncs_file().await.map_err(failed)?;
    Ok("synced\n".into())
}

async fn lock(State(parts): State<Arc<Parts>>) -> Answer {
    let items = faults::waits_for_lock(&parts.stock).await.map_err(failed)?;
    Ok(format!("{items} in stock\n"))
}

async fn hash() -> Answer {
    let hash = faults::hashes_password("correct horse battery staple").await.map_err(failed)?;
    Ok(format!("{} bytes\n", hash.len()))
}

async fn slow_peer(State(parts): State<Arc<Parts>>) -> Answer {
    faults::reads_slow_peer(parts.peer).await.map_err(failed)
}

async fn post(State(parts): State<Arc<Parts>>) -> Answer {
    let number = faults::posts_to_ledger(&parts.ledger).await.map_err(failed)?;
    Ok(format!("posting {number}\n"))
}

async fn upstream() -> Answer {
    innocents::awaits_upstream().await;
    Ok("answered\n".into())
}

async fn starved(State(parts): State<Arc<Parts>>) -> Answer {
    let single = parts.single.handle();
    let starved = single.spawn(innocents::starved_neighbour());
    let neighbour = single.spawn(faults::sleeps_in_handler());
    starved.await.map_err(failed)?;
    neighbour.await.map_err(failed)?;
    Ok("starved\n".into())
}

async fn short() -> Answer {
    innocents::many_short_polls().await;
    Ok("done in slices\n".into())
}

async fn offload() -> Answer {
    innocents::offloads_work().await.map_err(failed)?;
    Ok("done elsewhere\n".into())
}

async fn truth() -> Json<Vec<Truth>> {
    Json(truth::all())
}

fn failed(error: impl std::fmt::Display) -> (StatusCode, String) {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
}
