//! ClickHouse's HTTP interface, request by request.

use super::http::Call;
use super::running::Engine;

#[test]
fn health_needs_no_statement() {
    let engine = Engine::start();
    for path in ["/ping", "/", "/replicas_status"] {
        let answer = Call::get(path).send(engine.address);
        assert_eq!((answer.status, answer.text().as_str()), (200, "Ok.\n"), "{path}");
    }
    assert_eq!(Call::get("/nowhere").send(engine.address).status, 404);
}

#[test]
fn statements_come_in_the_url_the_body_or_both() {
    let engine = Engine::start();
    assert_eq!(Call::get("/?query=SELECT%201").send(engine.address).text(), "1\n");
    assert_eq!(engine.ask("SELECT 2;"), "2\n");
    assert_eq!(engine.post("query=SELECT+3%2B", "4").text(), "7\n");
    Call::get("/?query=CREATE+DATABASE+d").send(engine.address).is_error(500, 164, "readonly");
}

#[test]
fn parameters_settings_database_and_format_are_the_requests_own() {
    let engine = Engine::start();
    engine.ask("CREATE DATABASE d");
    let answer = engine.post("param_x=5&param_s=a%5Ctb", "SELECT {x:UInt8} + 1, hex({s:String})");
    assert_eq!(answer.text(), "6\t610962\n");
    let asked = "SELECT getSetting('max_block_size'), currentDatabase()";
    assert_eq!(engine.post("max_block_size=77&database=d", asked).text(), "77\td\n");
    assert_eq!(engine.ask(asked), "65409\tdefault\n", "nothing is left of the request before");
    let answer = engine.post("default_format=JSONCompactEachRow", "SELECT 1, 'a'");
    assert_eq!(answer.text(), "[1, \"a\"]\n");
    assert_eq!(answer.header("x-clickhouse-format"), "JSONCompactEachRow");
    let answer = Call::post("/", b"SELECT 1, currentDatabase()")
        .header("X-ClickHouse-Format", "CSV")
        .header("X-ClickHouse-Database", "d")
        .send(engine.address);
    assert_eq!(answer.text(), "1,\"d\"\n");
    let answer = engine.post("default_format=CSV&query_id=mine", "SELECT 1 AS a FORMAT JSON");
    assert!(answer.text().contains("\"data\""), "the statement's own format: {}", answer.text());
    assert_eq!(answer.header("x-clickhouse-query-id"), "mine");
    assert!(answer.header("x-clickhouse-summary").contains("\"read_rows\":\"1\""), "{answer:?}");
}

#[test]
fn inserts_take_any_format_after_the_text_or_in_the_body() {
    let engine = Engine::start();
    engine.ask("CREATE TABLE t (a UInt8, s String) ENGINE = MergeTree ORDER BY a");
    engine.ask("INSERT INTO t VALUES (1, 'a;'), (2, 'b\\n')");
    engine.ask("INSERT INTO t (s, a) FORMAT CSV\n\"c\nd\",3\ne,4\n");
    let insert = |format: &str, body: &[u8]| {
        let answer = engine.post(&format!("query=INSERT+INTO+t+FORMAT+{format}"), body);
        assert_eq!(answer.status, 200, "{format}: {}", answer.text());
        assert!(answer.header("x-clickhouse-summary").contains("\"written_rows\":\"1\""));
    };
    insert("JSONEachRow", b"{\"a\": 5, \"s\": \"\\n\"}\n");
    insert("RowBinary", b"\x06\x02\n\n");
    insert("RowBinaryWithNamesAndTypes", b"\x02\x01a\x01s\x05UInt8\x06String\x07\x01g");
    insert("Native", b"\x02\x01\x01a\x05UInt8\x08\x01s\x06String\x01\n");
    assert_eq!(
        engine.ask("SELECT groupArray(a) FROM (SELECT a FROM t ORDER BY a)"),
        "[1,2,3,4,5,6,7,8]\n"
    );
    assert_eq!(engine.ask("SELECT s FROM t WHERE a = 6 FORMAT RowBinary"), "\u{2}\n\n");
    let answer = engine.post("query=INSERT+INTO+t+FORMAT+CSV", "not a number,x\n");
    answer.is_error(400, 27, "Cannot parse input");
    engine.ask("INSERT INTO t SELECT number, 'q' FROM numbers(100, 3)");
    assert_eq!(engine.ask("SELECT count() FROM t"), "11\n");
}

#[test]
fn each_error_has_its_code_and_status() {
    let engine = Engine::start();
    engine.ask("CREATE TABLE t (a UInt8) ENGINE = Memory");
    engine.post("", "SELECT * FROM nowhere").is_error(404, 60, "UNKNOWN_TABLE");
    engine.post("database=nowhere", "SELECT 1").is_error(404, 81, "UNKNOWN_DATABASE");
    engine.post("", "SELECT nothing").is_error(404, 47, "UNKNOWN_IDENTIFIER");
    engine.post("", "SELEC 1").is_error(400, 62, "SYNTAX_ERROR");
    engine.post("", "nonsense").is_error(400, 62, "SYNTAX_ERROR");
    engine.post("", " ").is_error(400, 62, "Empty query");
    engine.post("", "SELECT 1; SELECT 2").is_error(400, 62, "one statement a request");
    engine.post("", "SELECT 1 FORMAT Nope").is_error(404, 73, "UNKNOWN_FORMAT");
    engine.post("nothing=1", "SELECT 1").is_error(404, 115, "UNKNOWN_SETTING");
    engine.post("", "SELECT {x:UInt8}").is_error(400, 456, "UNKNOWN_QUERY_PARAMETER");
    engine.post("", "SELECT throwIf(1)").is_error(500, 395, "FUNCTION_THROW_IF_VALUE");
    engine.post("", "SELECT 1 INTO OUTFILE '/x'").is_error(501, 1, "INTO OUTFILE");
    engine.post("", "INSERT INTO t FROM INFILE '/x'").is_error(501, 1, "INFILE");
    let sql = "SELECT sleep(3)";
    engine.post("max_execution_time=0.2", sql).is_error(408, 159, "TIMEOUT_EXCEEDED");
    assert!(engine.post("", "SELEC 1").text().contains("(version 26.7"));
}

#[test]
fn an_error_after_the_first_rows_cannot_be_taken_for_an_end() {
    let engine = Engine::start();
    let sql = "SELECT throwIf(number = 3000000) FROM numbers(10000000) FORMAT TSV";
    let answer = engine.post("", sql);
    let tag = answer.header("x-clickhouse-exception-tag").to_owned();
    let text = answer.text();
    assert_eq!((answer.status, answer.is_whole), (200, false));
    assert!(text.contains(&format!("\r\n__exception__\r\n{tag}\r\nCode: 395. ")), "{tag}");
    assert!(text.ends_with(&format!(" {tag}\r\n__exception__\r\n")), "{tag}");
    // With so few rows that they were held, it is a plain error.
    let sql = "SELECT throwIf(number = 3000) FROM numbers(10000)";
    engine.post("max_block_size=100", sql).is_error(500, 395, "throwIf");
}

#[test]
fn a_damaged_block_is_refused_and_nothing_of_it_kept() {
    let engine = Engine::start();
    engine.ask("CREATE TABLE t (a UInt8) ENGINE = Memory");
    // No checksum, method "none", 11 bytes of which 2 are content.
    let mut block = vec![0; 16];
    block.extend([0x02, 11, 0, 0, 0, 2, 0, 0, 0, 1, 2]);
    let parameters = "decompress=1&query=INSERT+INTO+t+FORMAT+RowBinary";
    engine.post(parameters, &block).is_error(500, 40, "CHECKSUM_DOESNT_MATCH");
    engine.post(parameters, &block[..20]).is_error(500, 33, "middle of a compressed block");
    engine.post(parameters, "1").is_error(500, 33, "middle of a compressed block");
    assert_eq!(engine.ask("SELECT count() FROM t"), "0\n");
}

#[test]
fn sessions_keep_settings_and_temporary_tables() {
    let engine = Engine::start();
    for sql in [
        "CREATE TEMPORARY TABLE kept (a UInt8)",
        "SET max_block_size = 123",
        "INSERT INTO kept VALUES (7)",
    ] {
        let answer = engine.post("session_id=s", sql);
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
    }
    let sql = "SELECT a, getSetting('max_block_size'), getSetting('max_threads') FROM kept";
    assert_eq!(engine.post("session_id=s&max_threads=1", sql).text(), "7\t123\t1\n");
    assert_ne!(engine.post("session_id=s", sql).text(), "7\t123\t1\n", "max_threads is gone");
    engine.post("", sql).is_error(404, 60, "kept");
    engine.post("session_id=other&session_check=1", sql).is_error(500, 372, "not found");
}
