//! Brings a database to the schema that this build knows, step by step.

use clickhouse::Row;
use serde::Serialize;

use super::catalog::{self, Migration};
use super::cluster::{Cluster, tables};
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
        self.create_databases(database).await?;
        let version = catalog::statement("schema_version");
        let version = catalog::without_comments(&version).trim().to_owned();
        self.execute(&version).await?;
        let steps = catalog::migrations();
        self.spread(std::slice::from_ref(&version), std::slice::from_ref(&version)).await?;
        let made = steps.iter().flat_map(|step| step.statements.iter().cloned());
        let made: Vec<String> = made.collect();
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
            self.apply(&step, &made)
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

    async fn apply(&self, step: &Migration, made: &[String]) -> Result<(), StoreError> {
        for statement in &step.statements {
            self.execute(statement).await?;
        }
        self.spread(&step.statements, made).await?;
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

    async fn create_databases(&self, database: &str) -> Result<(), StoreError> {
        let anywhere = self.client.clone().with_database("system");
        let create = catalog::without_comments(&catalog::statement("create_database"));
        let mut names = vec![database.to_owned()];
        let mut create = create.trim().to_owned();
        if let Some(cluster) = &self.address.cluster {
            names.push(Cluster::local(database));
            create = cluster.statement(&create).unwrap_or_default();
        }
        for name in names {
            let create = anywhere.query_raw(&create).param("database", name);
            create.execute().await.map_err(|e| self.explain(&e))?;
        }
        Ok(())
    }

    /// In a cluster, makes the tables over all shards again that statements may have changed, of
    /// those that other statements make.
    async fn spread(&self, changed: &[String], made: &[String]) -> Result<(), StoreError> {
        let Some(cluster) = &self.address.cluster else { return Ok(()) };
        for table in tables(made.iter()) {
            let names = |it: &String| it.split_whitespace().any(|word| word == table);
            if changed.iter().any(names) {
                let sql = cluster.distributed(&self.address.database, table);
                self.client.query_raw(&sql).execute().await.map_err(|e| self.explain(&e))?;
            }
        }
        Ok(())
    }

    /// Runs a statement of the schema where its tables are.
    async fn execute(&self, statement: &str) -> Result<(), StoreError> {
        let ran = match &self.address.cluster {
            None => self.client.query_raw(statement).execute().await,
            Some(cluster) => {
                let Some(statement) = cluster.statement(statement) else { return Ok(()) };
                let local = Cluster::local(&self.address.database);
                let client = self.client.clone().with_database(local);
                client.query_raw(&statement).execute().await
            }
        };
        ran.map_err(|e| self.explain(&e))
    }
}

/// All that brings an empty ClickHouse to the schema of this build, as text.
pub(crate) fn schema(database: &str, cluster: Option<&Cluster>) -> Vec<String> {
    let version = catalog::without_comments(&catalog::statement("schema_version"));
    let mut all = vec![version.trim().to_owned()];
    all.extend(catalog::migrations().into_iter().flat_map(|step| step.statements));
    let Some(cluster) = cluster else { return all };
    let spread = tables(all.iter()).into_iter().map(|table| cluster.distributed(database, table));
    let local = all.iter().filter_map(|it| cluster.statement(it));
    local.chain(spread).collect()
}
