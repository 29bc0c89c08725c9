//! Whether a poll blocks now is one rule, for whoever asks.

use std::io::{BufRead, BufReader};

use holdup_tests::collector::{Collector, client, post};
use serde_json::{Value, json};

use super::now_ms;

/// A poll that began so long ago, as it was told of when it had lasted for a time.
fn told(collector: &Collector, function: &str, began_ms: u64, lasted_ms: u64, stall: bool) {
    let id = u64::from(super::crc(function));
    let end = began_ms + lasted_ms;
    let body = json!({"resourceSpans": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "shop"}},
            {"key": "service.instance.id", "value": {"stringValue": "one"}}]},
        "scopeSpans": [{"scope": {"name": "holdup"}, "spans": [{
            "traceId": format!("{id:032x}"), "spanId": format!("{id:016x}"),
            "name": format!("poll {function}"),
            "startTimeUnixNano": format!("{began_ms}000000"),
            "endTimeUnixNano": format!("{end}000000"),
            "attributes": [{"key": "holdup.stall", "value": {"boolValue": stall}}]}]}]}]});
    let json = [("content-type", "application/json")];
    let answer = post(&format!("{}/v1/traces", collector.http()), &json, body.to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// What the live view is told first.
fn seen(collector: &Collector) -> Value {
    let url = format!("{}/api/v1/live", collector.page());
    let stream = client().get(url).send().expect("it answers");
    let lines = BufReader::new(stream).lines().map(|line| line.expect("a line"));
    let data = lines.filter_map(|line| Some(line.strip_prefix("data: ")?.to_owned())).next();
    serde_json::from_str(&data.expect("an event")).expect("JSON")
}

#[test]
fn who_blocks_now_is_the_same_wherever_it_is_asked() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start(data.path(), &[]);
    let now = now_ms();
    told(&collector, "a::goes_on", now - 900, 600, true);
    told(&collector, "a::short_so_far", now - 900, 499, true);
    told(&collector, "a::at_the_bound", now - 900, 500, true);
    told(&collector, "a::returned", now - 900, 600, true);
    told(&collector, "a::returned", now - 900, 700, false);
    told(&collector, "a::not_told_of_for_long", now - 400_000, 700, true);
    collector.settle();
    let blocks = ["a::at_the_bound", "a::goes_on"];
    let names = |rows: &[Value]| {
        let mut names: Vec<String> =
            rows.iter().map(|row| row["function"].as_str().expect("a name").to_owned()).collect();
        names.sort();
        names
    };
    let counted = |panel: &str| {
        let rows = collector.ask(&format!("{panel}?from={}", now - 60_000));
        let rows: Vec<Value> = rows.into_iter().filter(|row| row["stalled"] != 0).collect();
        assert!(rows.iter().all(|row| row["stalled"] == 1), "{rows:?}");
        names(&rows)
    };
    assert_eq!(names(&collector.ask("stalled")), blocks);
    assert_eq!(counted("issues"), blocks);
    assert_eq!(counted("top"), blocks);
    assert_eq!(collector.ask("overview")[0]["stalled"], 2);
    let live = seen(&collector);
    assert_eq!(names(live["stalled"].as_array().expect("rows")), blocks);
}
