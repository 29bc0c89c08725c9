//! The service: puts the parts together, and takes them apart again.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::load::Load;
use crate::options::Options;
use crate::routes::{Parts, router};
use crate::truth;

/// Fixed, so that the demo looks the same on every machine.
const WORKERS: usize = 4;
/// How long a stop waits for connections that others keep open.
const STOP_TIME_MAX: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Listening {
    listening: SocketAddr,
}

/// Runs until the time is up or a signal comes, and prints the truth when all spans are sent.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(WORKERS).enable_all();
    let runtime = holdup::watch_runtime(&mut builder).build()?;
    let watched =
        holdup::builder().service_name("demo").service_version(env!("CARGO_PKG_VERSION")).install();
    if let Err(error) = &watched {
        tracing::warn!("running unwatched: {error}");
    }
    let served = runtime.block_on(serve(options));
    runtime.shutdown_timeout(STOP_TIME_MAX);
    // Sends what is still queued: whoever reads the truth below finds all of it on the page.
    drop(watched);
    served?;
    print_line(&truth::all())
}

async fn serve(options: &Options) -> anyhow::Result<()> {
    let listener = TcpListener::bind(options.listen).await.map_err(|error| {
        anyhow!("cannot listen on {}: {error}; give another --listen", options.listen)
    })?;
    let address = listener.local_addr()?;
    let mut stop = Stop::new(options.duration)?;
    let (close, closed) = oneshot::channel::<()>();
    let app = router(Arc::new(Parts::open()?));
    let server = tokio::spawn(
        axum::serve(listener, app)
            .with_graceful_shutdown(async move {
                let _ = closed.await;
            })
            .into_future(),
    );
    let load = Load::start(address)?;
    print_line(&Listening { listening: address })?;

    stop.wait().await;
    // The load ends first: its requests still get their answers.
    tokio::task::spawn_blocking(move || load.finish()).await?;
    drop(close);
    if let Ok(ended) = tokio::time::timeout(STOP_TIME_MAX, server).await {
        ended??;
    }
    Ok(())
}

/// What ends the service.
struct Stop {
    interrupted: tokio::signal::unix::Signal,
    terminated: tokio::signal::unix::Signal,
    duration: Option<Duration>,
}

impl Stop {
    fn new(duration: Option<Duration>) -> io::Result<Self> {
        Ok(Self {
            interrupted: signal(SignalKind::interrupt())?,
            terminated: signal(SignalKind::terminate())?,
            duration,
        })
    }

    async fn wait(&mut self) {
        let time_is_up = async {
            match self.duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupted.recv() => {}
            _ = self.terminated.recv() => {}
            () = time_is_up => {}
        }
    }
}

fn print_line(value: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_string(value)?;
    line.push('\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()).context("standard output")
}
