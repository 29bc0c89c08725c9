//! Brings a database to the schema that this build knows, step by step.

use clickhouse::Row;
use serde::Serialize;

use super::catalog::{self, Migration};
use super::{Store, StoreError};

/// Why a database was not brought up to date.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MigrateError {
    /// A later holdup has been here.
    #[error(
        "database {database} has schema version {found}, but this holdup knows {known} only: \
         install the newer holdup, or name another database with --clickhouse-database"
    )]
    Newer {
        /// Which database.
        database: String,
        /// Its version.
        found: u32,
        /// The newest version of this build.
        known: u32,
    },
    /// The database's name would not be safe in a statement.
    #[error("{0:?} is no name for a database: use letters, digits and _")]
    Name(String),
    /// A step failed. What it did stays, and the next run goes on from there.
    #[error("schema step {step} failed: {source}")]
    Step {
        /// Which.
        step: String,
        /// Why.
        source: StoreError,
    },
    /// The database could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Row, Serialize)]
struct Applied<'a> {
    version: u32,
    name: &'a str,
}

impl Store {
    /// Applies the steps that the database lacks and returns their names.
    pub(crate) async fn migrate(&self) -> Result<Vec<String>, MigrateError> {
        let database = &self.address.database;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if database.is_empty() || !database.chars().all(plain) {
            return Err(MigrateError::Name(database.clone()));
        }
        self.server_version().await?;
        let anywhere = self.client.clone().with_database("system");
        let create = catalog::statement("create_database");
        let create = anywhere.query_raw(&create).param("database", database);
        create.execute().await.map_err(|e| self.explain(&e))?;
        self.execute(&catalog::statement("schema_version")).await?;

        let steps = catalog::migrations();
        let had = self.applied_versions().await?;
        let found = had.last().copied().unwrap_or(0);
        let known = steps.last().map_or(0, |m| m.version);
        if found > known {
            return Err(MigrateError::Newer { database: database.clone(), found, known });
        }
        let mut applied = Vec::new();
        // Not all above the newest: a step of another branch may have come before one of a lower
        // number.
        for step in steps.into_iter().filter(|m| !had.contains(&m.version)) {
            self.apply(&step)
                .await
                .map_err(|source| MigrateError::Step { step: step.name.clone(), source })?;
            applied.push(step.name);
        }
        Ok(applied)
    }

    /// The steps that the database has had, in order.
    async fn applied_versions(&self) -> Result<Vec<u32>, StoreError> {
        let had = catalog::statement("applied_versions");
        self.client.query_raw(&had).fetch_all().await.map_err(|e| self.explain(&e))
    }

    async fn apply(&self, step: &Migration) -> Result<(), StoreError> {
        for statement in &step.statements {
            self.execute(statement).await?;
        }
        let mut insert = self
            .client
            .insert::<Applied<'_>>("schema_migrations")
            .await
            .map_err(|e| self.explain(&e))?;
        let row = Applied { version: step.version, name: &step.name };
        insert.write(&row).await.map_err(|e| self.explain(&e))?;
        insert.end().await.map_err(|e| self.explain(&e))?;
        Ok(())
    }

    async fn execute(&self, statement: &str) -> Result<(), StoreError> {
        self.client.query_raw(statement).execute().await.map_err(|e| self.explain(&e))
    }
}
