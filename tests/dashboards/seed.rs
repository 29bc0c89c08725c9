//! A collector whose ClickHouse has made-up data of a day.

use std::time::UNIX_EPOCH;

use holdup_tests::collector::{Collector, client};
use serde_json::Value;

use super::files::root;

/// A range of a day that ends in the last whole hour, and what is in it.
pub(super) struct Seeded {
    pub(super) collector: Collector,
    pub(super) from_ms: u64,
    pub(super) to_ms: u64,
}

/// Polls in all, in as many slices of time as there are hours.
const POLLS: u64 = 24_000;
const CHUNKS: u64 = 24;
const SERVICES: u64 = 20;
const FUNCTIONS: u64 = 200;

impl Seeded {
    pub(super) fn new() -> Self {
        let collector = Collector::start_in(tempfile::tempdir().expect("a folder"), &[]);
        let now = UNIX_EPOCH.elapsed().expect("it is past 1970").as_secs();
        let end = now / 3_600 * 3_600;
        let seeded = Self { collector, from_ms: (end - 86_400) * 1_000, to_ms: end * 1_000 };
        let of_all = [
            ("seed", 1),
            ("services", SERVICES),
            ("functions", FUNCTIONS),
            ("days", 1),
            ("run", 10),
            ("end", end),
            ("chunks", CHUNKS),
            ("spans", POLLS / CHUNKS),
            ("minutes", 1_440),
            ("day", 0),
        ];
        for chunk in 0..CHUNKS {
            seeded.run("poll_spans", &[&of_all[..], &[("chunk", chunk)]].concat());
        }
        for name in
            ["stalls", "stacks", "episodes", "poll_histograms", "runtime_gauges", "heartbeats"]
        {
            seeded.run(name, &of_all);
        }
        seeded
    }

    fn run(&self, name: &str, parameters: &[(&str, u64)]) {
        let path = root().join(format!("queries/seed/{name}.sql"));
        let sql = std::fs::read_to_string(path).expect("a statement");
        let mut url = format!("{}/?database=holdup", self.collector.clickhouse());
        for (name, value) in parameters {
            url.push_str(&format!("&param_{name}={value}"));
        }
        let answer = client().post(url).body(sql).send().expect("an answer");
        let (status, text) = (answer.status(), answer.text().expect("text"));
        assert!(status.is_success(), "{name}: {text}");
    }

    /// The answer to a statement in ClickHouse's `FORMAT JSON`.
    pub(super) fn ask(&self, sql: &str) -> Value {
        let text = self.collector.sql(&format!("{sql}\nFORMAT JSON"));
        serde_json::from_str(&text).expect("JSON")
    }
}
