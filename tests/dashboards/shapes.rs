//! The flame graph is a tree in depth-first order, and the heatmap counts every poll once, for
//! whatever stacks and durations there are.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use holdup_tests::collector::Collector;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

/// Some cases: each is a statement to the engine and two questions.
const CASES: u32 = 24;

/// A frame of a made-up stack, by number.
fn frame(number: u8) -> String {
    format!("f{number}")
}

/// Stores polls with these stacks, leaf first, and self times.
fn store(collector: &Collector, service: &str, polls: &[(Vec<u8>, u64)]) {
    let mut stacks = String::new();
    let mut spans = String::new();
    for (number, (stack, ns)) in polls.iter().enumerate() {
        let frames: Vec<String> = stack.iter().map(|f| format!("'{}'", frame(*f))).collect();
        let id = format!("sipHash64({frames:?})").replace('"', "");
        stacks.push_str(&format!("({id}, [{}], now()),", frames.join(",")));
        spans.push_str(&format!(
            "(now64(9) - toIntervalMinute(30), {ns}, {ns}, '{service}', 'f', {id}, \
             '{number:08}'),"
        ));
    }
    collector.sql(&format!("INSERT INTO stacks (stack_id, frames, seen) VALUES {stacks}"));
    collector.sql(&format!(
        "INSERT INTO poll_spans (start, duration_ns, self_ns, service, function, stack_id, \
         span_id) VALUES {spans}"
    ));
}

fn numbers(rows: &[Value], column: &str) -> Vec<u64> {
    rows.iter().map(|row| row[column].as_u64().expect("a number")).collect()
}

/// Blocked time in and below each path, root first, as the test adds it up.
fn tree(polls: &[(Vec<u8>, u64)]) -> BTreeMap<Vec<String>, (u64, u64)> {
    let mut tree: BTreeMap<Vec<String>, (u64, u64)> = BTreeMap::new();
    for (stack, ns) in polls {
        let root_first =
            std::iter::once("all".to_owned()).chain(stack.iter().rev().map(|f| frame(*f)));
        let path: Vec<String> = root_first.collect();
        for length in 1..=path.len() {
            let node = tree.entry(path[..length].to_vec()).or_default();
            node.0 += ns;
            node.1 += if length == path.len() { *ns } else { 0 };
        }
    }
    tree
}

fn is_the_tree(rows: &[Value], polls: &[(Vec<u8>, u64)]) -> Result<(), TestCaseError> {
    let (levels, values, own) =
        (numbers(rows, "level"), numbers(rows, "value"), numbers(rows, "self"));
    let mut path: Vec<String> = Vec::new();
    let mut found = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        let level = usize::try_from(levels[at]).expect("it fits");
        prop_assert!(level <= path.len(), "row {at} is more than one below the one before");
        prop_assert!(own[at] <= values[at], "row {at}: itself more than with what it called");
        path.truncate(level);
        path.push(row["label"].as_str().expect("a name").to_owned());
        let twice = found.insert(path.clone(), (values[at], own[at]));
        prop_assert!(twice.is_none(), "{path:?} comes twice: it is not depth first");
        let below: u64 = (at + 1..rows.len())
            .take_while(|next| levels[*next] > levels[at])
            .filter(|next| levels[*next] == levels[at] + 1)
            .map(|next| values[next])
            .sum();
        prop_assert_eq!(values[at], own[at] + below, "{:?} is not the sum of its parts", path);
    }
    prop_assert_eq!(found, tree(polls));
    Ok(())
}

/// The upper bound of each column, in the order of the header.
fn counts_every_poll(rows: &[Value], polls: &[(Vec<u8>, u64)]) -> Result<(), TestCaseError> {
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for row in rows {
        for (name, count) in row.as_object().expect("a row").iter().filter(|(n, _)| *n != "time") {
            *found.entry(name.clone()).or_default() += count.as_u64().expect("a count");
        }
    }
    let mut bounds: Vec<(f64, &String)> = found
        .keys()
        .map(|name| (name.trim_start_matches('+').parse().expect("a bound"), name))
        .collect();
    bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut expected: BTreeMap<String, u64> = found.keys().map(|n| (n.clone(), 0)).collect();
    for (_, ns) in polls {
        // Columns are doublings from 2^20 ns.
        let doublings = usize::try_from(ns.ilog2()).expect("it fits").max(19) - 19;
        let (_, name) = bounds[doublings.min(bounds.len() - 1)];
        *expected.get_mut(name).expect("a column") += 1;
    }
    prop_assert_eq!(found, expected);
    Ok(())
}

#[test]
fn any_stacks_make_a_tree_and_any_durations_a_heatmap() {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start(data.path(), &[]);
    // Recursion, common roots and prefixes of each other: few names, short stacks.
    let stack = prop::collection::vec(0_u8..4, 1..7);
    let duration = (10_u32..40, 0_u64..1_000).prop_map(|(power, more)| (1 << power) + more);
    let polls = prop::collection::vec((stack, duration), 1..40);
    let case = Cell::new(0);
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&polls, |polls| {
            case.set(case.get() + 1);
            let service = format!("shape-{}", case.get());
            store(&collector, &service, &polls);
            // The longest took 18 minutes and ended before this.
            let from = UNIX_EPOCH.elapsed().expect("past 1970").as_millis() - 7_200_000;
            let range = format!("service={service}&limit=1000&from={from}");
            is_the_tree(&collector.ask(&format!("flame?{range}")), &polls)?;
            counts_every_poll(&collector.ask(&format!("durations?{range}")), &polls)
        })
        .expect("every case holds");
}
