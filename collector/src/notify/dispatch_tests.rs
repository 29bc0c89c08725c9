//! Groups over time: what is told, when, and never twice.

use std::time::UNIX_EPOCH;

use proptest::prelude::*;

use super::*;
use crate::notify::route::RouteKeys;
use crate::notify::state::{Kept, bytes};
use crate::notify::window::Silence;

const RECEIVER: &str = "team";

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn alert(name: &str, service: &str, since: u64, end: Option<u64>) -> Alert {
    let labels = [("alertname", name), ("service", service)];
    Alert {
        labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        annotations: BTreeMap::new(),
        starts_at: at(since),
        ends_at: end.map(at),
        generator_url: String::new(),
    }
}

fn route(text: &str) -> Route {
    let keys: RouteKeys = toml::from_str(&format!("receiver = '{RECEIVER}'\n{text}")).unwrap();
    keys.resolve(&[RECEIVER, "am"]).unwrap()
}

/// A machine with a configuration.
struct Bench {
    route: Route,
    windows: Vec<Window>,
    wants_no_end: BTreeSet<String>,
    dispatch: Dispatch,
}

impl Bench {
    fn new() -> Self {
        let times = "group_by = ['service']\ngroup_wait = '5s'\ngroup_interval = '1m'\n\
                     repeat_interval = '1h'";
        let (windows, wants_no_end) = (Vec::new(), BTreeSet::new());
        Self { route: route(times), windows, wants_no_end, dispatch: Dispatch::default() }
    }

    fn tell(&mut self, alerts: &[Alert], seconds: u64) -> Vec<Notification> {
        let groups_itself = ["am".to_owned()].into();
        let rules = Rules {
            route: &self.route,
            windows: &self.windows,
            groups_itself: &groups_itself,
            wants_no_end: &self.wants_no_end,
        };
        self.dispatch.update(&rules, alerts, at(seconds));
        self.dispatch.flush(&rules, at(seconds))
    }

    /// As it is after its state was written and read.
    fn restart(&mut self) {
        let written =
            bytes(self.dispatch.groups(), std::iter::empty(), std::iter::empty()).unwrap();
        let kept: Kept = serde_json::from_slice(&written).unwrap();
        self.dispatch = Dispatch::with(kept.groups, |name| name == RECEIVER);
    }
}

fn names(notification: &Notification) -> Vec<String> {
    let told = notification.alerts.iter();
    told.map(|it| format!("{} {}", it.labels["alertname"], it.status().name())).collect()
}

#[test]
fn a_group_waits_tells_of_changes_after_an_interval_and_repeats() {
    let mut bench = Bench::new();
    let a = alert("a", "s", 0, None);
    let mut told = Vec::new();
    for second in 0..8_000 {
        let mut alerts = vec![a.clone()];
        if second >= 3 {
            alerts.push(alert("b", "s", 3, (second >= 100).then_some(100)));
        }
        if second >= 20 {
            alerts.push(alert("c", "s", 20, None));
        }
        told.extend(bench.tell(&alerts, second).iter().map(|it| (second, names(it))));
    }
    let expected = [
        (5, vec!["a firing", "b firing"]),
        (65, vec!["a firing", "b firing", "c firing"]),
        (125, vec!["a firing", "c firing", "b resolved"]),
        (3_725, vec!["a firing", "c firing"]),
        (7_325, vec!["a firing", "c firing"]),
    ];
    let expected = expected.map(|(at, names)| (at, names.into_iter().map(str::to_owned).collect()));
    assert_eq!(told, expected);
}

#[test]
fn what_resolves_before_it_was_told_is_not_told() {
    let mut bench = Bench::new();
    assert_eq!(bench.tell(&[alert("a", "s", 0, None)], 0), []);
    assert_eq!(bench.tell(&[alert("a", "s", 0, Some(2))], 5), []);
    assert_eq!(bench.dispatch.due(), None, "the group is gone");
}

#[test]
fn what_was_told_and_is_silenced_is_told_to_be_over() {
    let mut bench = Bench::new();
    let silence = "matchers = ['alertname=a']\ncomment = 'x'\nfrom = 1970-01-01T00:00:30Z\n\
                   until = 1970-01-01T10:00:00Z";
    bench.windows = vec![toml::from_str::<Silence>(silence).unwrap().0];
    let a = alert("a", "s", 0, None);
    bench.tell(std::slice::from_ref(&a), 0);
    assert_eq!(bench.tell(std::slice::from_ref(&a), 5).len(), 1);
    let mut told = Vec::new();
    for second in 6..8_000 {
        let another = (second >= 40).then(|| alert("a", "t", 40, None));
        let both: Vec<Alert> = [a.clone()].into_iter().chain(another).collect();
        told.extend(bench.tell(&both, second));
    }
    assert_eq!(told, [], "neither a repeat nor another of its name");
    let over = bench.tell(&[alert("a", "s", 0, Some(8_000))], 8_100);
    assert_eq!(over.iter().map(names).collect::<Vec<_>>(), [["a resolved"]]);
}

#[test]
fn what_is_missing_for_long_is_over_and_what_is_missing_shortly_is_not() {
    let mut bench = Bench::new();
    let a = [alert("a", "s", 0, None)];
    bench.tell(&a, 0);
    assert_eq!(bench.tell(&a, 5).len(), 1);
    assert_eq!(bench.tell(&[], 300), [], "no update came for long: it may fire still");
    assert_eq!(bench.tell(&[], 599), []);
    assert_eq!(bench.tell(&a, 600), []);
    assert_eq!(bench.tell(&[], 700), []);
    let over: Vec<_> = (701..1_100).flat_map(|second| bench.tell(&[], second)).collect();
    assert_eq!(over.iter().map(names).collect::<Vec<_>>(), [["a resolved"]]);
    assert_eq!(over[0].alerts[0].ends_at, Some(at(1_000)));
}

#[test]
fn a_clock_that_was_set_back_silences_nothing() {
    let mut bench = Bench::new();
    let a = [alert("a", "s", 90_000, None)];
    bench.tell(&a, 90_000);
    assert_eq!(bench.tell(&a, 90_005).len(), 1);
    let both = [a[0].clone(), alert("b", "s", 10, None)];
    let told: Vec<_> = (10..100).flat_map(|second| bench.tell(&both, second)).collect();
    assert_eq!(told.len(), 1);
}

#[test]
fn a_receiver_may_not_want_to_know_the_end() {
    let mut bench = Bench::new();
    bench.wants_no_end = [RECEIVER.to_owned()].into();
    bench.tell(&[alert("a", "s", 0, None)], 0);
    assert_eq!(bench.tell(&[alert("a", "s", 0, None)], 5).len(), 1);
    assert_eq!(bench.tell(&[alert("a", "s", 0, Some(50))], 70), []);
    assert_eq!(bench.dispatch.groups().count(), 0);
}

#[test]
fn what_is_for_machines_goes_where_a_route_asks_for_it() {
    let mut watchdog = alert("watchdog", "s", 0, None);
    watchdog.labels.insert("severity".into(), "none".into());
    let watchdog = [watchdog];
    let mut bench = Bench::new();
    bench.tell(&watchdog, 0);
    assert_eq!(bench.tell(&watchdog, 10), []);
    bench.route = route(
        "[[routes]]\nmatchers = ['alertname=watchdog']\ngroup_interval = '1m'\n\
         repeat_interval = '1m'",
    );
    let told = (20..200).flat_map(|second| bench.tell(&watchdog, second)).count();
    assert_eq!(told, 3, "as often as it is to be repeated");
}

#[test]
fn what_there_is_no_room_for_is_counted() {
    let mut bench = Bench::new();
    let many: Vec<Alert> =
        (0..ALERTS_MAX + 7).map(|n| alert(&n.to_string(), "s", 0, None)).collect();
    let groups_itself = BTreeSet::new();
    let rules = Rules {
        route: &bench.route,
        windows: &[],
        groups_itself: &groups_itself,
        wants_no_end: &bench.wants_no_end,
    };
    assert_eq!(bench.dispatch.update(&rules, &many, at(0)), 7);
    let told = bench.dispatch.flush(&rules, at(5));
    assert_eq!((told[0].alerts.len(), told[0].left_out), (TOLD_MAX, ALERTS_MAX - TOLD_MAX));
}

/// What happens in a second: an alert of three in two services begins or ends, or a restart.
#[derive(Clone, Copy, Debug)]
enum Event {
    Begins(usize),
    Ends(usize),
    Restart,
    Nothing,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        2 => (0..6_usize).prop_map(Event::Begins),
        2 => (0..6_usize).prop_map(Event::Ends),
        1 => Just(Event::Restart),
        20 => Just(Event::Nothing),
    ];
    prop::collection::vec(event, 1..600)
}

/// Plays events, a second each, then lets all end and waits.
fn play(events: &[Event], restarts: bool) -> Vec<(u64, Notification)> {
    let mut bench = Bench::new();
    let mut alerts: BTreeMap<usize, Alert> = BTreeMap::new();
    let mut told = Vec::new();
    let end = events.len() as u64;
    for second in 0..end + 200 {
        let event = events.get(usize::try_from(second).unwrap()).copied();
        match event {
            Some(Event::Begins(n)) => {
                let fires = alerts.get(&n).is_some_and(|it| it.ends_at.is_none());
                if !fires {
                    let name = (n % 3).to_string();
                    alerts.insert(n, alert(&name, &(n / 3).to_string(), second, None));
                }
            }
            Some(Event::Ends(n)) => {
                if let Some(alert) = alerts.get_mut(&n) {
                    alert.ends_at.get_or_insert(at(second));
                }
            }
            Some(Event::Restart) if restarts => bench.restart(),
            Some(Event::Restart | Event::Nothing) => {}
            None => alerts.values_mut().for_each(|alert| {
                alert.ends_at.get_or_insert(at(end));
            }),
        }
        let all: Vec<Alert> = alerts.values().cloned().collect();
        told.extend(bench.tell(&all, second).into_iter().map(|it| (second, it)));
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_restart_changes_nothing(events in events()) {
        prop_assert_eq!(play(&events, true), play(&events, false));
    }

    #[test]
    fn every_beginning_that_is_told_is_followed_by_its_end(events in events()) {
        let mut open: BTreeSet<(String, Fingerprint)> = BTreeSet::new();
        for (_, notification) in play(&events, true) {
            for alert in &notification.alerts {
                let id = (notification.group.key.clone(), alert.fingerprint());
                match alert.status() {
                    Status::Firing => { open.insert(id); }
                    Status::Resolved => prop_assert!(open.remove(&id), "an end without beginning"),
                }
            }
        }
        prop_assert!(open.is_empty(), "never told to be over: {open:?}");
    }

    #[test]
    fn a_group_is_told_of_no_sooner_than_an_interval_after_the_last_time(events in events()) {
        let mut last: BTreeMap<String, (u64, Status)> = BTreeMap::new();
        for (second, notification) in play(&events, true) {
            let status = notification.status();
            let before = last.insert(notification.group.key.clone(), (second, status));
            // What is over begins anew, and is told at once.
            if let Some((before, Status::Firing)) = before {
                prop_assert!(second - before >= 60, "{before} and {second}");
            }
        }
    }

    #[test]
    fn what_fires_for_longer_than_wait_and_interval_is_told(
        before in prop::collection::vec(
            prop_oneof![(1..6_usize).prop_map(Event::Begins), (1..6_usize).prop_map(Event::Ends),
                        Just(Event::Restart)], 0..200),
    ) {
        let mut events = before;
        let begin = events.len() as u64;
        events.push(Event::Begins(0));
        events.extend([Event::Nothing; 66]);
        let looked_for = alert("0", "0", begin, None);
        let told = play(&events, true);
        let is_told = told.iter().any(|(second, it)| {
            *second <= begin + 65 && it.alerts.contains(&looked_for)
        });
        prop_assert!(is_told);
    }
}
