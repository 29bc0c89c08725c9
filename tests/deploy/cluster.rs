//! The schema in the engine itself: as a cluster has it, as far as one process is one, and as the
//! collector's own user may run it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn schema(to: &Path, arguments: &[&str]) -> String {
    let program = holdup_tests::program("holdup").expect("built");
    let url = ["--clickhouse-url", "http://127.0.0.1:1"];
    let ran = Command::new(program)
        .args(["migrate", "--print"])
        .args(url)
        .args(arguments)
        .output()
        .expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    std::fs::write(to, &ran.stdout).expect("written");
    String::from_utf8(ran.stdout).expect("text")
}

/// The engine's library, where `holdup engine install` puts it.
fn library() -> PathBuf {
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).unwrap_or_else(|| {
        PathBuf::from(std::env::var_os("HOME").expect("a home")).join(".local/share")
    });
    let engines = std::fs::read_dir(data.join("holdup/engine")).expect("an engine is installed");
    let libraries = engines.map(|entry| entry.expect("an entry").path().join("libchdb.so"));
    libraries.filter(|path| path.is_file()).max().expect("its library")
}

fn python(script: &str, arguments: &[&Path]) -> Value {
    let script = format!("{}/deploy/{script}", env!("CARGO_MANIFEST_DIR"));
    let ran = Command::new("python3").arg("-B").arg(script).arg(library()).args(arguments).output();
    let ran = ran.expect("python3 runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).expect("JSON")
}

#[test]
fn the_engine_takes_the_schema_of_a_cluster_and_answers_all_questions_over_its_shards() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cluster, single) = (folder.path().join("cluster.sql"), folder.path().join("single.sql"));
    let of_cluster = schema(&cluster, &["--cluster", "fleet"]);
    let of_one = schema(&single, &[]);
    assert!(!of_one.contains("Replicated") && !of_one.contains("CLUSTER"), "{of_one}");
    let plain = |line: &&str| line.contains("MergeTree") && !line.contains("Replicated");
    assert_eq!(of_cluster.lines().find(plain), None);

    let panels = super::folder("../queries/panels");
    let found = python("cluster.py", &[folder.path(), &cluster, &single, &panels]);
    assert_eq!(found["refused"], Value::Array(vec![]), "{found:#}");
    let tables = of_cluster.matches("CREATE TABLE IF NOT EXISTS").count();
    assert_eq!(found["replicated"], format!("{tables}\n"), "{found:#}");
    assert_eq!(found["counted"], "10\t10\t10\n", "{found:#}");
    assert_eq!(found["rows"]["top"], 1, "{found:#}");
}

#[test]
fn the_collectors_user_may_do_what_it_needs_and_nothing_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let single = folder.path().join("single.sql");
    schema(&single, &[]);
    let (rights, panels) =
        (super::folder("clickhouse/collector.sql"), super::folder("../queries/panels"));
    let found = python("rights.py", &[folder.path(), &rights, &single, &panels]);
    assert!(found["grants"].as_u64() > Some(3) && found["tried"].as_u64() > Some(100), "{found:#}");
    assert_eq!(found["refused"], Value::Array(vec![]), "{found:#}");
    assert_eq!(found["allowed"], Value::Array(vec![]), "{found:#}");
}

#[test]
fn clickhouses_own_backups_restore_tables_and_rollups() {
    let folder = tempfile::tempdir().expect("a folder");
    let single = folder.path().join("single.sql");
    schema(&single, &[]);
    let found =
        python("backup.py", &[folder.path(), &super::folder("../docs/backups.md"), &single]);
    assert_eq!(found["refused"], Value::Array(vec![]), "{found:#}");
    for (when, count) in [("before", "20"), ("restored", "20"), ("after", "21")] {
        assert_eq!(found[when], serde_json::json!([count, count]), "{when}: {found:#}");
    }
}
