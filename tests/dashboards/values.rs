//! The numbers of the panels against sums that are made here, from the raw rows.

use std::collections::BTreeMap;

use serde_json::Value;

use super::seed::Seeded;

/// A finished poll of the range.
struct Poll {
    ended_s: u64,
    self_ns: u64,
    victims: u64,
    service: String,
    function: String,
    instance: String,
    version: String,
    cause: String,
    dependency: String,
}

fn polls(seeded: &Seeded) -> Vec<Poll> {
    let rows = seeded.collector.sql(
        "SELECT toUnixTimestamp64Nano(start), duration_ns, self_ns, victims, service, function, \
         instance, service_version, cause, blame_crate FROM poll_spans FINAL WHERE NOT stall \
         FORMAT TSV",
    );
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let all = rows.lines().map(|line| {
        let f: Vec<&str> = line.split('\t').collect();
        let duration_ms = number(f[1]) / 1_000_000;
        Poll {
            ended_s: (number(f[0]) / 1_000_000 + duration_ms) / 1_000,
            self_ns: number(f[2]),
            victims: number(f[3]),
            service: f[4].into(),
            function: f[5].into(),
            instance: f[6].into(),
            version: f[7].into(),
            cause: f[8].into(),
            dependency: f[9].into(),
        }
    });
    let (from, to) = (seeded.from_ms / 1_000, seeded.to_ms / 1_000);
    all.filter(|poll| poll.ended_s >= from && poll.ended_s < to).collect()
}

/// The rows of a panel over the whole range.
fn ask(seeded: &Seeded, panel: &str) -> Vec<Value> {
    let separator = if panel.contains('?') { '&' } else { '?' };
    let range = format!("from={}&to={}&limit=500", seeded.from_ms, seeded.to_ms);
    seeded.collector.ask(&format!("{panel}{separator}{range}"))
}

fn near(found: &Value, expected: f64, what: &str) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{what}: {found} is no number"));
    assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{what}: {found}, not {expected}");
}

/// Sums by what `of` says.
fn sums<'a>(
    polls: &'a [Poll],
    of: impl Fn(&'a Poll) -> &'a str,
    amount: impl Fn(&Poll) -> u64,
) -> BTreeMap<&'a str, f64> {
    let mut sums = BTreeMap::new();
    for poll in polls {
        *sums.entry(of(poll)).or_insert(0.0) += amount(poll) as f64;
    }
    sums
}

/// A day is drawn in hours: the sums of a line over them, rates a minute made amounts again.
fn lines(rows: &[Value], label: &str, value: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for row in rows {
        let line = row[label].as_str().expect("a label").to_owned();
        *sums.entry(line).or_insert(0.0) += row[value].as_f64().expect("a number") * 60.0;
    }
    sums
}

fn same(found: &BTreeMap<String, f64>, expected: &BTreeMap<&str, f64>, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: {found:?}");
    for (name, amount) in expected {
        near(&found[*name].into(), *amount, &format!("{what} of {name}"));
    }
}

#[test]
fn charts_add_up_to_the_raw_polls() {
    let seeded = Seeded::new();
    let polls = polls(&seeded);
    let blocked = |poll: &Poll| poll.self_ns;
    let one = |_: &Poll| 1;
    for (panel, label, value, expected) in [
        ("blocked_rate", "service", "blocked_ns", sums(&polls, |p| &p.service, blocked)),
        ("stored_rate", "service", "polls", sums(&polls, |p| &p.service, one)),
        ("causes", "cause", "blocked_ns", sums(&polls, |p| &p.cause, blocked)),
        ("slow_rate", "function", "polls", sums(&polls, |p| &p.function, one)),
    ] {
        same(&lines(&ask(&seeded, panel), label, value), &expected, panel);
    }
    let total: f64 = polls.iter().map(|poll| poll.self_ns as f64).sum();
    overview(&seeded, &polls, total);
    for (panel, label, expected) in [
        ("crates", "crate", sums(&polls, |p| &p.dependency, blocked)),
        ("top", "function", with_stalls(&seeded, sums(&polls, |p| &p.function, blocked))),
    ] {
        for row in ask(&seeded, panel) {
            let name = row[label].as_str().expect("a name");
            near(&row["blocked_ns"], expected[name], &format!("{panel} of {name}"));
        }
    }
    // Fewer lines than there are services: the rest is one of its own, and nothing is lost.
    let rows = seeded
        .collector
        .ask(&format!("blocked_rate?limit=3&from={}&to={}", seeded.from_ms, seeded.to_ms));
    let few = lines(&rows, "service", "blocked_ns");
    assert!(few.len() == 4 && few.contains_key("other"), "{few:?}");
    near(&few.values().sum::<f64>().into(), total, "all lines together");
}

/// What has not returned counts where functions and instances are ranked.
fn with_stalls<'a>(seeded: &Seeded, mut sums: BTreeMap<&'a str, f64>) -> BTreeMap<&'a str, f64> {
    for row in ask(seeded, "stalled") {
        let function = row["function"].as_str().expect("a name");
        *sums.get_mut(function).expect("it is known") += row["blocked_ns"].as_f64().expect("ns");
    }
    sums
}

fn overview(seeded: &Seeded, polls: &[Poll], total: f64) {
    let overview = ask(seeded, "overview").remove(0);
    near(&overview["polls"], polls.len() as f64, "polls");
    near(&overview["blocked_ns_a_minute"], total / 1_440.0, "blocked a minute");
    let worst = polls.iter().map(|poll| poll.self_ns).max().expect("some");
    assert_eq!(overview["worst_ns"], worst);
    assert_eq!((&overview["reporting"], &overview["silent"]), (&20.into(), &0.into()));
    // Three of the stalls have not returned; the reports of those that have are no stalls.
    assert_eq!(overview["stalled"], 3);
    assert_eq!(ask(seeded, "stalled").len(), 3);
    let share = overview["share_over"].as_f64().expect("a share");
    assert!((share - 0.01).abs() < 1e-4, "{share}: one of a hundred polls was slow");
}

#[test]
fn one_functions_numbers_are_those_of_its_polls() {
    let seeded = Seeded::new();
    let function = "app_0::handlers::handler_0";
    let mut polls = polls(&seeded);
    polls.retain(|poll| poll.function == function);
    let of = |panel: &str| ask(&seeded, &format!("{panel}?service=service-0&function={function}"));

    let latency = of("latency");
    let hour = seeded.from_ms / 1_000 + 3_600;
    let mut times: Vec<u64> = polls
        .iter()
        .filter(|poll| poll.ended_s / 3_600 == hour / 3_600)
        .map(|poll| poll.self_ns)
        .collect();
    times.sort_unstable();
    let row = &latency[1];
    assert_eq!(row["max_ns"], *times.last().expect("some"));
    let median = times[times.len().div_ceil(2) - 1] as f64;
    let found = row["p50_ns"].as_f64().expect("a number");
    assert!((found / median - 1.0).abs() < 0.046, "{found}, not {median}");

    // By the start of polls, which the raw rows have: the last ones end after the range.
    let victims: u64 = polls.iter().map(|poll| poll.victims).sum();
    let found: u64 = of("victims").iter().map(|row| row["victims"].as_u64().expect("one")).sum();
    assert!(found.abs_diff(victims) <= victims / 100 + 5, "{found}, not {victims}");

    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    for row in of("instances") {
        let name = row["instance"].as_str().expect("a name").to_owned();
        *found.entry(name).or_default() += row["blocked_ns"].as_u64().expect("one");
    }
    for row in of("stalled") {
        let instance = row["instance"].as_str().expect("a name");
        *found.get_mut(instance).expect("it is known") -= row["blocked_ns"].as_u64().expect("ns");
    }
    for (instance, blocked) in sums(&polls, |p| &p.instance, |p| p.self_ns) {
        let found = found[instance] as f64;
        assert!((found / blocked - 1.0).abs() < 0.05, "{instance}: {found}, not {blocked}");
    }
    let versions = ask(&seeded, "versions?service=service-0");
    let names: Vec<&str> =
        versions.iter().map(|row| row["version"].as_str().expect("a name")).collect();
    assert_eq!(names, ["1.1.0", "1.0.0"], "the newest first");
    assert!(polls.iter().any(|poll| poll.version == "1.0.0"), "both are in the range");
    let callers = of("callers");
    assert_eq!(callers.len(), 3, "three ways lead into each function: {callers:?}");
    assert!(callers[0]["caller"].as_str().expect("a name").starts_with("app_0::router::route_"));
}

#[test]
fn issues_and_what_differs_in_a_region_are_those_of_the_raw_polls() {
    let seeded = Seeded::new();
    let all = polls(&seeded);
    let name = |poll: &Poll| format!("{} {}", poll.service, poll.function);
    let mut blocked: BTreeMap<String, f64> = BTreeMap::new();
    let mut longest: BTreeMap<String, u64> = BTreeMap::new();
    for poll in &all {
        *blocked.entry(name(poll)).or_default() += poll.self_ns as f64;
        let most = longest.entry(name(poll)).or_default();
        *most = (*most).max(poll.self_ns);
    }
    let text = |row: &Value, key: &str| row[key].as_str().expect("a text").to_owned();
    for row in ask(&seeded, "stalled") {
        let of = format!("{} {}", text(&row, "service"), text(&row, "function"));
        let ns = row["blocked_ns"].as_u64().expect("ns");
        *blocked.entry(of.clone()).or_default() += ns as f64;
        let most = longest.entry(of).or_default();
        *most = (*most).max(ns);
    }
    let total: f64 = blocked.values().sum();
    let issues = ask(&seeded, "issues");
    assert!(issues.len() > 100, "{}", issues.len());
    for row in &issues {
        let of = format!("{} {}", text(row, "service"), text(row, "function"));
        near(&row["blocked_ns"], blocked[&of], &of);
        near(&row["share"], blocked[&of] / total, &of);
        assert_eq!(row["max_ns"], longest[&of], "{of}");
        let steps = row["trend"].as_array().expect("steps").iter();
        let drawn: f64 = steps.map(|step| step[1].as_f64().expect("ns")).sum();
        near(&drawn.into(), blocked[&of], &format!("the trend of {of}"));
        let caused = all.iter().find(|poll| name(poll) == of).map(|poll| poll.cause.as_str());
        assert_eq!(row["cause"].as_str(), caused, "{of}");
    }
    region(&seeded);
}

/// A region of one function's polls beside the rest, counted one by one.
fn region(seeded: &Seeded) {
    let (from, to) = (seeded.from_ms, seeded.to_ms);
    let (picked_from, over, up_to) = (to - (to - from) / 3, 20_000_000, 60_000_000_000_u64);
    let asked = format!(
        "attributes?service=service-0&function=app_0::handlers::handler_0&picked_from={picked_from}\
         &picked_to={to}&picked_over={over}&picked_up_to={up_to}"
    );
    let raw = seeded.collector.sql(&format!(
        "SELECT toUnixTimestamp64Nano(start), duration_ns, self_ns, service_version, instance, cause \
         FROM poll_spans FINAL WHERE NOT stall AND service = 'service-0' \
         AND function = 'app_0::handlers::handler_0' AND toUnixTimestamp64Nano(start) >= {from}000000 \
         AND toUnixTimestamp64Nano(start) < {to}000000 FORMAT TSV"
    ));
    let mut counted: BTreeMap<(String, String), [u64; 2]> = BTreeMap::new();
    for line in raw.lines() {
        let cells: Vec<&str> = line.split('\t').collect();
        let number = |at: usize| cells[at].parse::<u64>().expect("a number");
        let ended_ms = number(0) / 1_000_000 + number(1) / 1_000_000;
        let is_picked = (picked_from..to).contains(&ended_ms) && number(2) > over;
        for (at, attribute) in [(3, "version"), (4, "instance"), (5, "cause")] {
            let key = (attribute.to_owned(), cells[at].to_owned());
            counted.entry(key).or_default()[usize::from(!is_picked)] += 1;
        }
    }
    let found: BTreeMap<(String, String), [u64; 2]> = ask(seeded, &asked)
        .iter()
        .map(|row| {
            let text = |key: &str| row[key].as_str().expect("a text").to_owned();
            let count = |key: &str| row[key].as_u64().expect("a count");
            ((text("attribute"), text("value")), [count("picked"), count("rest")])
        })
        .filter(|((attribute, _), _)| ["version", "instance", "cause"].contains(&&attribute[..]))
        .collect();
    assert!(counted.values().any(|[picked, rest]| *picked > 0 && *rest > 0), "{counted:?}");
    assert_eq!(found, counted);
}
