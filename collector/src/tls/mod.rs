//! TLS on the listeners: certificates from files, which are read again when they change.
//!
//! New connections get what was read last; those that are there go on with what they began with.

mod counters;
mod files;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;

pub(crate) use counters::Counters;
pub(crate) use files::{Files, TlsError};

/// The files are looked at as often.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What the listeners speak TLS with.
#[derive(Debug)]
pub(crate) struct Tls {
    files: Files,
    config: RwLock<Arc<ServerConfig>>,
    counters: Counters,
}

impl Tls {
    /// With what is in these files.
    pub(crate) fn open(files: Files, counters: Counters) -> Result<Self, TlsError> {
        let config = RwLock::new(files.load()?);
        counters.reloaded(None);
        Ok(Self { files, config, counters })
    }

    /// For one more connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&config))
    }

    /// A connection did not get as far as its first request.
    pub(crate) fn failed(&self, reason: &'static str) {
        self.counters.failed(reason);
    }

    /// Reads the files again. What is wrong with them is told, and connections get what they got.
    pub(crate) fn reload(&self) {
        match self.files.load() {
            Ok(config) => {
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
                self.counters.reloaded(Some(true));
                tracing::info!("the certificate was read again");
            }
            Err(error) => {
                self.counters.reloaded(Some(false));
                tracing::error!("{error}; connections get the certificate that they got");
            }
        }
    }

    /// Reads the files again each time that one changes, until it turns true.
    pub(crate) async fn follow(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known = self.files.stamps();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _stop = stopped.wait_for(|stop| *stop) => return,
            }
            let stamps = self.files.stamps();
            if stamps != known {
                known = stamps;
                let this = Arc::clone(&self);
                let _read = tokio::task::spawn_blocking(move || this.reload()).await;
            }
        }
    }
}
