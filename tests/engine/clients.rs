//! Clients as they are, with their default settings.

use std::process::Command;

use clickhouse::{Client, Row};
use serde::{Deserialize, Serialize};

use super::running::Engine;

#[derive(Debug, PartialEq, Row, Serialize, Deserialize)]
struct Poll {
    id: u64,
    function: String,
    durations: Vec<u32>,
}

fn poll(id: u64) -> Poll {
    Poll { id, function: format!("a::b::f{}", id % 100), durations: vec![1, u32::MAX] }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_client_works_unchanged() {
    let engine = Engine::start();
    let client = Client::default().with_url(engine.url());
    client.query("CREATE DATABASE d").execute().await.unwrap();
    let client = client.with_database("d");
    let table = "CREATE TABLE polls (id UInt64, function LowCardinality(String), \
                 durations Array(UInt32)) ENGINE = MergeTree ORDER BY id";
    client.query(table).execute().await.unwrap();
    let mut insert = client.insert::<Poll>("polls").await.unwrap();
    for id in 0..100_000 {
        insert.write(&poll(id)).await.unwrap();
    }
    insert.end().await.unwrap();
    let count: u64 = client.query("SELECT count() FROM polls").fetch_one().await.unwrap();
    assert_eq!(count, 100_000);
    let rows = client
        .query("SELECT ?fields FROM polls WHERE function = ? AND id < ? ORDER BY id")
        .bind("a::b::f7")
        .bind(50_000)
        .fetch_all::<Poll>()
        .await
        .unwrap();
    assert_eq!(rows.len(), 500);
    assert_eq!(rows[499], poll(49_907));
    let names: Vec<String> = client
        .query("SELECT function FROM polls WHERE id IN {ids:Array(UInt64)} ORDER BY id")
        .param("ids", vec![1, 2])
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(names, ["a::b::f1", "a::b::f2"]);
    let none = client.query("SELECT ?fields FROM polls WHERE id > 1000000");
    assert_eq!(none.fetch_all::<Poll>().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_client_is_told_of_errors_early_and_late() {
    let engine = Engine::start();
    let client = Client::default().with_url(engine.url());
    let error = client.query("SELECT * FROM nowhere").execute().await.unwrap_err().to_string();
    assert!(error.contains("Code: 60. ") && error.contains("UNKNOWN_TABLE"), "{error}");
    let late = "SELECT toUInt8(throwIf(number = 30000000)) FROM numbers(100000000)";
    for client in [client.clone(), client.with_compression(clickhouse::Compression::None)] {
        let mut rows = client.query(late).fetch::<u8>().unwrap();
        let mut count = 0;
        let error = loop {
            match rows.next().await {
                Ok(row) => {
                    assert!(row.is_some(), "the error was taken for the end");
                    count += 1;
                }
                Err(error) => break error.to_string(),
            }
        };
        assert!(count > 0, "no row before the error");
        assert!(error.contains("Code: 395. DB::Exception: Value passed"), "after {count}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_that_the_client_gives_up_leaves_nothing() {
    let engine = Engine::start();
    let client = Client::default().with_url(engine.url());
    engine.ask("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    #[derive(Row, Serialize)]
    struct Number {
        a: u64,
    }
    let mut insert = client.insert::<Number>("t").await.unwrap();
    for a in 0..100_000 {
        insert.write(&Number { a }).await.unwrap();
    }
    drop(insert);
    super::running::until("the insert ends", || {
        let running = "SELECT count() FROM system.processes WHERE query LIKE 'INSERT%'";
        (engine.ask(running) == "0\n").then_some(())
    });
    assert_eq!(engine.ask("SELECT count() FROM t"), "0\n");
    let insert = client.insert::<Number>("nowhere").await;
    assert!(insert.err().unwrap().to_string().contains("nowhere"));
}

const PYTHON: &str = r#"
import sys, clickhouse_connect
client = clickhouse_connect.get_client(host="127.0.0.1", port=int(sys.argv[1]))
assert client.server_version.startswith("26.7"), client.server_version
client.command("CREATE TABLE t (a UInt64, s String, d DateTime64(3)) ENGINE = MergeTree ORDER BY a")
import datetime
rows = [[i, f"s{i}\n", datetime.datetime(2026, 1, 1)] for i in range(50_000)]
client.insert("t", rows, column_names=["a", "s", "d"])
assert client.command("SELECT count() FROM t") == 50_000
result = client.query("SELECT a, s FROM t WHERE a = {a:UInt64}", parameters={"a": 7})
assert result.result_rows == [(7, "s7\n")], result.result_rows
result = client.query("SELECT a FROM t WHERE s = %s", parameters=["s9\n"])
assert result.result_rows == [(9,)], result.result_rows
assert client.query("SELECT getSetting('max_threads') AS n", settings={"max_threads": 1}).first_item == {"n": 1}
with client.query_row_block_stream("SELECT a FROM t") as stream:
    assert sum(len(block) for block in stream) == 50_000
assert client.raw_query("SELECT 1 AS x", fmt="JSONEachRow") == b'{"x":1}\n'
try:
    client.query("SELECT * FROM nowhere")
except clickhouse_connect.driver.exceptions.DatabaseError as error:
    assert "UNKNOWN_TABLE" in str(error) or "60" in str(error), error
else:
    raise AssertionError("no error")
client.close()
print("fine")
"#;

#[test]
fn the_python_client_works_unchanged() {
    let engine = Engine::start();
    let output = Command::new(holdup_tests::python().unwrap())
        .args(["-c", PYTHON, &engine.address.port().to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "fine\n", "{said}");
}

#[test]
fn curl_works_unchanged() {
    let engine = Engine::start();
    let curl = |arguments: &[&str]| {
        let output =
            Command::new("curl").args(["-sS", "--fail-with-body"]).args(arguments).output();
        let output = output.unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let url = engine.url();
    assert_eq!(curl(&[&format!("{url}/ping")]), (true, "Ok.\n".into()));
    assert_eq!(curl(&[&url, "-d", "SELECT 1"]), (true, "1\n".into()));
    let (_, plain) = curl(&[&url, "-d", "SELECT number FROM numbers(300000)"]);
    for accept in ["gzip", "deflate", "zstd", "lz4, gzip;q=0.1"] {
        let header = format!("Accept-Encoding: {accept}");
        let asked = "SELECT number FROM numbers(300000)";
        let encoded = Command::new("curl").args(["-sS", "-H", &header, &url, "-d", asked]).output();
        let encoded = encoded.unwrap().stdout;
        assert!(encoded.len() < plain.len() * 3 / 4, "{accept}: {}", encoded.len());
        assert_ne!(encoded[..16], plain.as_bytes()[..16], "{accept}");
    }
    let (ok, unpacked) = curl(&["--compressed", &url, "-d", "SELECT number FROM numbers(300000)"]);
    assert!(ok && unpacked == plain);
    let off = format!("{url}/?enable_http_compression=0");
    let (ok, unpacked) =
        curl(&["-H", "Accept-Encoding: gzip", &off, "-d", "SELECT number FROM numbers(300000)"]);
    assert!(ok && unpacked == plain);
    let late = "SELECT throwIf(number = 3000000) FROM numbers(10000000)";
    assert!(!curl(&[&url, "-d", late]).0, "curl has to fail where the statement does");
}
