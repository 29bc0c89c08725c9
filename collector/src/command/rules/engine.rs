//! An engine for as long as a command runs, with the tables and nothing in them.

use std::path::PathBuf;

use anyhow::Context;
use tempfile::TempDir;

use crate::engine::{Supervisor, SupervisorOptions};
use crate::store::{Address, Store};

/// A running engine; its data goes with it.
pub(super) struct Engine {
    supervisor: Supervisor,
    _data: TempDir,
}

impl Engine {
    /// Starts one.
    pub(super) async fn start(library: Option<PathBuf>) -> anyhow::Result<Self> {
        let data = tempfile::tempdir().context("cannot make a temporary folder")?;
        let options = SupervisorOptions {
            program: None,
            path: data.path().join("clickhouse"),
            listen: ([127, 0, 0, 1], 0).into(),
            library,
            user: None,
            password_file: None,
        };
        Ok(Self { supervisor: Supervisor::start(options).await?, _data: data })
    }

    /// A database with the tables.
    pub(super) async fn database(&self, name: &str) -> anyhow::Result<Store> {
        let store = Store::new(Address {
            url: self.supervisor.url(),
            user: "default".into(),
            password: String::new(),
            database: name.to_owned(),
            cluster: None,
        });
        store.migrate().await?;
        Ok(store)
    }

    /// Ends it.
    pub(super) async fn stop(self) {
        self.supervisor.stop().await;
    }
}
