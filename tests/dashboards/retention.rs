//! Retention is changed without losing what is younger, and what an update of Holdup finds stays.

use super::files::root;
use super::seed::Seeded;

/// The statements of the file, one by one: the engine's interface takes one at a time.
fn statements() -> Vec<String> {
    let path = root().join("deploy/clickhouse/retention.sql");
    let text = std::fs::read_to_string(path).expect("the file");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
    let joined = lines.join("\n");
    let all = joined.split(';').map(str::trim).filter(|statement| !statement.is_empty());
    all.map(str::to_owned).collect()
}

#[test]
fn retention_changes_without_losing_what_is_younger() {
    let seeded = Seeded::new();
    let tables = "SELECT name, extract(create_table_query, 'TTL (.*?) SETTINGS') FROM system.tables \
                  WHERE database = 'holdup' AND create_table_query LIKE '% TTL %' \
                  AND name NOT IN ('heartbeats', 'alert_evaluators') AND engine LIKE '%MergeTree' ORDER BY name";
    let counts = "SELECT (SELECT count() FROM poll_spans), (SELECT sum(calls) FROM functions_1m), \
                  (SELECT sum(calls) FROM functions_1h), (SELECT count() FROM episodes)";
    let (ttls, rows) = (seeded.collector.sql(tables), seeded.collector.sql(counts));
    let statements = statements();
    let altered: Vec<&str> = statements
        .iter()
        .filter_map(|s| s.strip_prefix("ALTER TABLE ")?.split(' ').next())
        .collect();
    for table in ttls.lines().filter_map(|line| line.split('\t').next()) {
        assert!(altered.contains(&table), "{table} has a time too: list it in retention.sql");
    }
    for statement in statements.iter().filter(|statement| statement.starts_with("ALTER")) {
        seeded.collector.sql(&format!("{statement} SETTINGS materialize_ttl_after_modify = 0"));
    }
    assert_eq!(seeded.collector.sql(tables), ttls, "the file has the schema's own values");
    let longer =
        "ALTER TABLE poll_spans MODIFY TTL greatest(toDateTime(start), stored) + INTERVAL 30 DAY";
    seeded.collector.sql(longer);
    seeded.collector.sql("OPTIMIZE TABLE poll_spans FINAL");
    let merged = seeded.collector.sql(counts);
    // Reports of stalls that ended are replaced by their last form; nothing else goes.
    assert_eq!(merged.split_once('\t').map(|of| of.1), rows.split_once('\t').map(|of| of.1));
    let finished = "SELECT count() FROM poll_spans FINAL";
    assert_eq!(merged.split('\t').next(), Some(seeded.collector.sql(finished).as_str()));
}
