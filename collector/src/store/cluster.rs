//! The same schema in a cluster: each table is a replicated one in a database of its own, and one
//! over all shards under the name that questions and inserts have.

use super::catalog;

/// Tokens are nodes in Keeper there, so that fewer are kept than on a single server's disk,
const TOKENS_MAX: u32 = 10_000;
/// and for so long, s.
const TOKENS_KEPT: u32 = 604_800;
/// What the single form calls them.
const TOKENS: &str = "non_replicated_deduplication_window = ";
/// Tables without a service: so small that one shard has them.
const ON_ONE_SHARD: [&str; 4] =
    ["alert_evaluators", "alert_notifications", "alert_transitions", "schema_migrations"];

/// How a cluster is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cluster {
    /// Its name in `remote_servers`.
    pub(crate) name: String,
    /// How many replicas have an insert before it is answered: a number, or `auto` for most.
    pub(crate) quorum: String,
}

impl Cluster {
    /// The database of the tables of each server.
    pub(crate) fn local(database: &str) -> String {
        format!("{database}_local")
    }

    /// A statement of the schema as the cluster takes it. None for those that move rows: they are
    /// of steps before there were clusters, and the tables of those are empty here.
    pub(crate) fn statement(&self, single: &str) -> Option<String> {
        let first = single.split_whitespace().next()?;
        if matches!(first, "INSERT" | "TRUNCATE") {
            return None;
        }
        let at = if first == "EXCHANGE" { single.len() } else { after_name(single) };
        let (head, tail) = single.split_at(at);
        let tail = with_tokens(&replicated(tail));
        let end = if first == "DROP" { " SYNC" } else { "" };
        Some(format!("{head} ON CLUSTER `{}`{tail}{end}", self.name))
    }

    /// What makes the table over all shards.
    pub(crate) fn distributed(&self, database: &str, table: &str) -> String {
        let key = match table {
            "stacks" => "stack_id",
            table if ON_ONE_SHARD.contains(&table) => "0",
            _ => "cityHash64(service)",
        };
        catalog::without_comments(&catalog::statement("distributed"))
            .replace("$cluster", &self.name)
            .replace("$local", &Self::local(database))
            .replace("$database", database)
            .replace("$table", table)
            .replace("$key", key)
    }

    /// What its statements are run with, beside what any server's are.
    pub(super) fn settings(&self) -> [(&'static str, String); 5] {
        [
            // An insert is answered once the shards have it,
            ("distributed_foreground_insert", "1".into()),
            ("insert_quorum", self.quorum.clone()),
            ("insert_quorum_parallel", "1".into()),
            // from the replica that took it: others may have it later.
            ("load_balancing", "in_order".into()),
            // A question within a question is of all shards, too.
            ("distributed_product_mode", "global".into()),
        ]
    }
}

/// The tables that questions and inserts name: those of the schema that are there to stay.
pub(crate) fn tables<'a>(statements: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    const MADE: [&str; 5] = ["CREATE", "TABLE", "IF", "NOT", "EXISTS"];
    let name = |it: &'a String| {
        let mut words = it.split_whitespace();
        MADE.iter().all(|word| words.next() == Some(*word)).then(|| words.next()).flatten()
    };
    statements.filter_map(name).collect()
}

/// Where the name ends that a statement is about.
fn after_name(statement: &str) -> usize {
    const BEFORE: [&str; 9] =
        ["CREATE", "ALTER", "DROP", "TABLE", "MATERIALIZED", "VIEW", "DATABASE", "IF", "NOT"];
    let mut at = 0;
    for word in statement.split_inclusive(char::is_whitespace) {
        let name = word.trim_end();
        if !name.is_empty() && !BEFORE.contains(&name) && name != "EXISTS" {
            return at + name.len();
        }
        at += word.len();
    }
    at
}

/// The engine with the place of the table in Keeper.
fn replicated(text: &str) -> String {
    let Some((before, engine)) = text.split_once("ENGINE = ") else { return text.to_owned() };
    let Some((kind, after)) = engine.split_once("MergeTree") else { return text.to_owned() };
    let place = "'/clickhouse/tables/{uuid}/{shard}', '{replica}'";
    let (arguments, after) = match after.strip_prefix('(') {
        Some(arguments) => (format!("{place}, "), arguments),
        None => (format!("{place})"), after),
    };
    format!("{before}ENGINE = Replicated{kind}MergeTree({arguments}{after}")
}

/// How many tokens of inserts are known.
fn with_tokens(text: &str) -> String {
    let mut parts = text.split(TOKENS);
    let mut made = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let (count, after) = part.split_at(digits);
        let count = count.parse().unwrap_or(TOKENS_MAX).min(TOKENS_MAX);
        made += &format!(
            "replicated_deduplication_window = {count}, \
             replicated_deduplication_window_seconds = {TOKENS_KEPT}{after}"
        );
    }
    made
}

#[cfg(test)]
mod tests {
    use super::{Cluster, ON_ONE_SHARD, tables};
    use crate::store::catalog;

    fn cluster() -> Cluster {
        Cluster { name: "fleet".into(), quorum: "auto".into() }
    }

    #[test]
    fn statements_are_of_all_servers() {
        let of = |single: &str| cluster().statement(single);
        let on = " ON CLUSTER `fleet`";
        assert_eq!(
            of("ALTER TABLE a\n    ADD COLUMN b UInt8"),
            Some(format!("ALTER TABLE a{on}\n    ADD COLUMN b UInt8"))
        );
        assert_eq!(of("EXCHANGE TABLES a AND b"), Some(format!("EXCHANGE TABLES a AND b{on}")));
        assert_eq!(of("DROP TABLE IF EXISTS a"), Some(format!("DROP TABLE IF EXISTS a{on} SYNC")));
        assert_eq!(of("INSERT INTO a SELECT 1"), None);
        let place = "'/clickhouse/tables/{uuid}/{shard}', '{replica}'";
        assert_eq!(
            of(
                "CREATE TABLE IF NOT EXISTS a\n(b UInt8)\nENGINE = ReplacingMergeTree(b)\nORDER BY b"
            ),
            Some(format!(
                "CREATE TABLE IF NOT EXISTS a{on}\n(b UInt8)\n\
                 ENGINE = ReplicatedReplacingMergeTree({place}, b)\nORDER BY b"
            ))
        );
        assert_eq!(
            of("CREATE TABLE a (b UInt8) ENGINE = MergeTree ORDER BY b SETTINGS \
                non_replicated_deduplication_window = 50000, c = 1"),
            Some(format!(
                "CREATE TABLE a{on} (b UInt8) ENGINE = ReplicatedMergeTree({place}) ORDER BY b \
                 SETTINGS replicated_deduplication_window = 10000, \
                 replicated_deduplication_window_seconds = 604800, c = 1"
            ))
        );
    }

    #[test]
    fn every_table_has_a_shard() {
        let migrations = catalog::migrations();
        let statements = || migrations.iter().flat_map(|step| &step.statements);
        for table in tables(statements()) {
            let key = cluster().distributed("holdup", table);
            let made = format!("CREATE TABLE IF NOT EXISTS {table}\n");
            let made = statements().find(|it| it.starts_with(&made)).expect("it is made");
            assert_eq!(key.contains("cityHash64(service)"), made.contains(" service "), "{table}");
        }
        assert!(tables(statements()).len() > ON_ONE_SHARD.len());
    }

    #[test]
    fn rows_are_moved_only_by_steps_from_before_there_were_clusters() {
        for step in catalog::migrations().iter().filter(|step| step.version > 14) {
            let moves = |it: &String| it.starts_with("INSERT") || it.starts_with("TRUNCATE");
            assert!(!step.statements.iter().any(moves), "{}: each shard has to", step.name);
        }
    }
}
