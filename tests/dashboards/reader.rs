//! The user for Grafana: what ClickHouse's parser takes, and no right but to read.

use holdup_tests::collector::Collector;

use super::files::root;

#[test]
fn the_reader_may_read_and_nothing_else() {
    let path = root().join("deploy/clickhouse/reader.sql");
    let text = std::fs::read_to_string(path).expect("the file");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
    let joined = lines.join("\n").replace("{password:String}", "'secret'");
    let statements: Vec<&str> =
        joined.split(';').map(str::trim).filter(|statement| !statement.is_empty()).collect();
    let collector = Collector::start_in(tempfile::tempdir().expect("a folder"), &[]);
    for statement in &statements {
        // The embedded engine has no users of its own to make.
        let tree = collector.sql(&format!("EXPLAIN AST {statement}"));
        assert!(tree.contains("Query"), "{statement}: {tree}");
    }
    let grants: Vec<&&str> = statements.iter().filter(|s| s.starts_with("GRANT")).collect();
    let reads = |grant: &str| {
        grant.starts_with("GRANT SELECT ON ") || grant == "GRANT holdup_reader TO holdup_grafana"
    };
    assert!(grants.len() == 3 && grants.iter().all(|grant| reads(grant)), "{grants:?}");
}
