//! What poll spans take on disk, that what is left out for it is not missed, and what looking for the
//! few that last reads.

use holdup_tests::collector::Collector;

use super::files::root;

/// Polls of a day, of few enough functions that their names take nothing.
const POLLS: u64 = 400_000;
const CHUNKS: u64 = 4;

fn collector() -> Collector {
    Collector::start_in(tempfile::tempdir().expect("a folder"), &[])
}

/// `queries/seed/poll_spans.sql`, for yesterday: of a part of a day, which is small, ClickHouse doesn't
/// tell what each column takes.
fn fill(collector: &Collector) {
    let path = root().join("queries/seed/poll_spans.sql");
    let sql = std::fs::read_to_string(path).expect("a statement");
    for chunk in 0..CHUNKS {
        let mut sql = sql.replace("{end:DateTime('UTC')}", "toStartOfDay(now('UTC'))");
        for (name, value) in [
            ("seed", 1),
            ("services", 20),
            ("functions", 200),
            ("days", 1),
            ("run", 10),
            ("chunks", CHUNKS),
            ("chunk", chunk),
            ("spans", POLLS / CHUNKS),
        ] {
            sql = sql.replace(&format!("{{{name}:UInt64}}"), &value.to_string());
        }
        collector.sql(&sql);
    }
}

#[test]
fn many_polls_take_few_bytes_and_looking_for_stalls_reads_none_of_them() {
    let collector = collector();
    fill(&collector);
    collector.sql("OPTIMIZE TABLE poll_spans FINAL");
    check_bytes(&collector);

    let path = root().join("queries/panels/stalled.sql");
    let sql = std::fs::read_to_string(path)
        .expect("a query")
        .replace("{to:DateTime64(3, 'UTC')}", "toDateTime64(toStartOfDay(now('UTC')), 3, 'UTC')")
        .replace("{function:String}", "''")
        .replace("{limit:UInt32}", "20");
    let names = ["service", "environment", "version", "instance"];
    let sql = names.iter().fold(sql, |sql, name| {
        sql.replace(&format!("{{{name}:Array(String)}}"), "emptyArrayString()")
    });
    let answer = collector.sql(&format!("{sql}\nFORMAT JSON"));
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["rows"].as_u64(), Some(0));
    // Those of the constants of the question, and none of a table.
    let read = answer["statistics"]["rows_read"].as_u64().expect("a count");
    assert!(read < 10, "{read} rows");
}

fn check_bytes(collector: &Collector) {
    let sizes = "FROM system.parts_columns WHERE active AND database = 'holdup' \
                 AND table = 'poll_spans'";
    let bytes = |which: &str| -> f64 {
        let of = format!("SELECT sum(column_bytes_on_disk) / {POLLS} {sizes} AND {which}");
        collector.sql(&of).trim().parse().expect("a number")
    };
    let ids = bytes("column IN ('trace_id', 'span_id', 'parent_span_id')");
    let rest = bytes("column NOT IN ('trace_id', 'span_id', 'parent_span_id')");
    println!("{ids} bytes of ids, {rest} of all else");
    assert!(ids > 23.9 && rest < 14.0, "{ids} of ids, {rest} of all else");
}

/// One form of a poll: whether it has returned, how long it has taken, and what it says of its cause.
fn store(collector: &Collector, stall: bool, ms: u64, cause: &str) {
    collector.sql(&format!(
        "INSERT INTO poll_spans (start, duration_ns, self_ns, service, function, span_id, stall, cause) \
         SELECT toStartOfHour(now('UTC')), {ms} * 1000000, {ms} * 1000000, 's', 's::f', 'abcdefgh', \
         {stall}, '{cause}'"
    ));
}

#[test]
fn the_form_of_a_poll_that_says_most_holds() {
    let collector = collector();
    let held = || collector.sql("SELECT cause FROM poll_spans FINAL").trim().to_owned();
    // In this order each is one that says less than one before, or more than all before.
    for (stall, ms, cause, expected) in [
        (true, 2_000, "lock", "lock"),
        (true, 1_000, "cpu", "lock"),
        (true, 2_001, "disk", "disk"),
        (false, 2_400, "net", "net"),
        (true, 9_000, "cpu", "net"),
        (false, 1_000, "cpu", "net"),
        (false, 2_700, "sleep", "sleep"),
    ] {
        store(&collector, stall, ms, cause);
        assert_eq!(held(), expected, "after {cause} of {ms} ms");
    }
}
