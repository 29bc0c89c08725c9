//! Bounds on names. Tables keep some of them for ever, and a service that makes a name of each
//! request's path would fill them: what is past a bound is kept under one name instead.
//!
//! Which rows are renamed depends on what was known when a batch was formed. So that a batch is the
//! same after a restart, its mark in the log says which they were.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::source::Taken;
use crate::decode::Decoded;
use crate::fold::OVERFLOW;
use crate::polls::{Polls, Text};
use crate::span::Origin;

/// How many names are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NameLimits {
    /// Services.
    pub(crate) services_max: usize,
    /// Functions and metrics of one service; ten times as many of all.
    pub(crate) functions_max: usize,
    /// Instances, with their environment and version, of one service within a day; ten times as
    /// many of all.
    pub(crate) instances_max: usize,
}

impl Default for NameLimits {
    fn default() -> Self {
        Self { services_max: 5_000, functions_max: 10_000, instances_max: 10_000 }
    }
}

impl NameLimits {
    /// How many services and names there are at most.
    pub(super) fn all(&self) -> usize {
        self.services_max.saturating_add(self.functions_max.saturating_mul(OF_ALL))
    }
}

/// All services have so many times the names of one.
const OF_ALL: usize = 10;
const DAY_NS: u64 = 86_400_000_000_000;

/// Rows of a batch, one behind the other, of which the same is renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Renamed {
    /// The first, counted over all rows of the batch that carry names.
    #[serde(rename = "at")]
    first: u64,
    /// How many.
    rows: u64,
    /// What of them.
    what: What,
}

impl Renamed {
    /// Where it ends.
    fn end(&self) -> u64 {
        self.first.saturating_add(self.rows)
    }
}

/// What of a row is past a bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct What {
    service: bool,
    function: bool,
    instance: bool,
}

impl What {
    fn is_none(self) -> bool {
        self == Self::default()
    }

    fn rename(self, origin: &mut Origin, name: Option<&mut String>) {
        if self.service {
            *origin = Origin { service: OVERFLOW.into(), ..Origin::default() };
        }
        if self.instance {
            for part in [&mut origin.environment, &mut origin.version, &mut origin.instance] {
                OVERFLOW.clone_into(part);
            }
        }
        if let Some(name) = name.filter(|_| self.service || self.function) {
            OVERFLOW.clone_into(name);
        }
    }
}

/// Rows that were renamed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overflowed {
    /// Because of their service.
    pub(crate) services: u64,
    /// Because of their function, or metric.
    pub(crate) functions: u64,
    /// Because of their instance.
    pub(crate) instances: u64,
}

impl Overflowed {
    fn add(&mut self, what: What) {
        self.services += u64::from(what.service);
        self.functions += u64::from(what.function);
        self.instances += u64::from(what.instance);
    }
}

/// Hashes of names of services, so many of each and of all.
#[derive(Debug, Default)]
struct OfServices {
    known: HashSet<u64>,
    of: HashMap<u64, usize>,
}

impl OfServices {
    fn know(&mut self, service: u64, name: u64) {
        if self.known.insert(name) {
            *self.of.entry(service).or_default() += 1;
        }
    }

    /// Whether it is past the bound; where not, it is known from here on.
    fn is_past(&mut self, service: u64, name: u64, max: usize) -> bool {
        if self.known.contains(&name) {
            return false;
        }
        let of_service = self.of.get(&service).copied().unwrap_or_default();
        if of_service >= max || self.known.len() >= max.saturating_mul(OF_ALL) {
            return true;
        }
        self.know(service, name);
        false
    }
}

/// The names that are known.
#[derive(Debug)]
pub(super) struct Names {
    limits: NameLimits,
    services: HashSet<u64>,
    functions: OfServices,
    instances: OfServices,
    /// The day of these instances: they come and go.
    day: u64,
}

impl Names {
    pub(super) fn new(limits: NameLimits) -> Self {
        Self {
            limits,
            services: HashSet::new(),
            functions: OfServices::default(),
            instances: OfServices::default(),
            day: 0,
        }
    }

    /// Notes a service, and a function or metric of it unless that is empty.
    pub(super) fn know(&mut self, service: &str, name: &str) {
        let of = xxh3_64(service.as_bytes());
        self.services.insert(of);
        if !name.is_empty() {
            self.functions.know(of, hash(of, name));
        }
    }

    /// Renames what is past the bounds, and says what that was.
    pub(super) fn bound(&mut self, entries: &mut [Taken]) -> (Vec<Renamed>, Overflowed) {
        let (mut renamed, mut overflowed) = (Vec::<Renamed>::new(), Overflowed::default());
        let mut at = 0;
        for entry in entries {
            self.bound_each(&mut entry.rows, entry.time_ns, |what| {
                match renamed.last_mut() {
                    _ if what.is_none() => {}
                    Some(last) if last.end() == at && last.what == what => last.rows += 1,
                    _ => renamed.push(Renamed { first: at, rows: 1, what }),
                }
                overflowed.add(what);
                at += 1;
            });
        }
        (renamed, overflowed)
    }

    /// Renames what is past the bounds in rows that are of no batch.
    pub(super) fn bound_rows(&mut self, rows: &mut Decoded, time_ns: u64) -> Overflowed {
        let mut overflowed = Overflowed::default();
        self.bound_each(rows, time_ns, |what| overflowed.add(what));
        overflowed
    }

    fn bound_each(&mut self, rows: &mut Decoded, time_ns: u64, mut of_row: impl FnMut(What)) {
        self.begin_day(time_ns / DAY_NS);
        rename_polls(
            &mut rows.polls,
            |origin, function| self.judge(origin, Some(function)),
            &mut of_row,
        );
        for (origin, name) in named(rows) {
            let what = self.judge(origin, name.as_deref().map(String::as_str));
            what.rename(origin, name);
            of_row(what);
        }
    }

    /// Renames what was renamed when the batch was formed. All else was known then.
    pub(super) fn again(&mut self, renamed: &[Renamed], entries: &mut [Taken]) {
        let mut due = renamed.iter().peekable();
        let mut at = 0;
        let mut next = || {
            while due.next_if(|renamed| renamed.end() <= at).is_some() {}
            let of = due.peek().filter(|renamed| renamed.first <= at);
            at += 1;
            of.map_or_else(What::default, |renamed| renamed.what)
        };
        for entry in entries {
            let polls = &mut entry.rows.polls;
            let mut renames = Renames::default();
            for row in 0..polls.len() {
                let what = next();
                if !what.service && !what.function {
                    let poll = polls.get(row);
                    self.know(&poll.origin.service, poll.function);
                }
                renames.rename(polls, row, what);
            }
            for (origin, name) in named(&mut entry.rows) {
                let what = next();
                if !what.service && !what.function {
                    self.know(&origin.service, name.as_deref().map_or("", String::as_str));
                }
                what.rename(origin, name);
            }
        }
    }

    fn begin_day(&mut self, day: u64) {
        if day > self.day {
            self.day = day;
            self.instances = OfServices::default();
        }
    }

    fn judge(&mut self, origin: &Origin, name: Option<&str>) -> What {
        let service = xxh3_64(origin.service.as_bytes());
        if !self.services.contains(&service) {
            if self.services.len() >= self.limits.services_max {
                return What { service: true, ..What::default() };
            }
            self.services.insert(service);
        }
        let of_instance = [&origin.environment, &origin.version, &origin.instance];
        let instance = of_instance.into_iter().fold(service, |seed, part| hash(seed, part));
        let (functions_max, instances_max) = (self.limits.functions_max, self.limits.instances_max);
        What {
            service: false,
            function: name.is_some_and(|name| {
                self.functions.is_past(service, hash(service, name), functions_max)
            }),
            instance: self.instances.is_past(service, instance, instances_max),
        }
    }
}

fn hash(of: u64, name: &str) -> u64 {
    xxh3_64_with_seed(name.as_bytes(), of)
}

/// Origins and texts that renamed polls of one request have.
#[derive(Default)]
struct Renames {
    origins: HashMap<(u32, bool), u32>,
    text: Option<Text>,
}

impl Renames {
    fn rename(&mut self, polls: &mut Polls, row: usize, what: What) {
        if what.service || what.instance {
            let of = polls.columns.origin.get(row);
            let index = *self.origins.entry((of, what.service)).or_insert_with(|| {
                let mut origin = polls.origin(row).clone();
                what.rename(&mut origin, None);
                polls.origins.push(origin);
                u32::try_from(polls.origins.len() - 1).unwrap_or(u32::MAX)
            });
            polls.columns.origin.set(row, index);
        }
        if what.service || what.function {
            let text = *self.text.get_or_insert_with(|| polls.texts.add(OVERFLOW));
            polls.columns.function.set(row, text);
        }
    }
}

/// Judges each poll, and renames it. Those of one origin and function are judged once: a name that
/// is past a bound stays past it within a request, and one that isn't is known.
fn rename_polls(
    polls: &mut Polls,
    mut judge: impl FnMut(&Origin, &str) -> What,
    mut of_row: impl FnMut(What),
) {
    // Of each text what was said of it last, and of which origin.
    let mut judged = vec![(u32::MAX, What::default()); polls.texts.len()];
    let mut renames = Renames::default();
    for row in 0..polls.len() {
        let (origin, function) = (polls.columns.origin.get(row), polls.columns.function.get(row));
        let held = judged.get(function as usize).filter(|(of, _)| *of == origin);
        let what = held.map(|(_, what)| *what).unwrap_or_else(|| {
            let poll = polls.get(row);
            judge(poll.origin, poll.function)
        });
        if let Some(held) = judged.get_mut(function as usize) {
            *held = (origin, what);
        }
        if !what.is_none() {
            renames.rename(polls, row, what);
        }
        of_row(what);
    }
}

/// Whose each other row is, and the name of a function or metric in it: in an order that depends on
/// the rows alone.
fn named(rows: &mut Decoded) -> impl Iterator<Item = (&mut Origin, Option<&mut String>)> {
    let measured = &mut rows.measured;
    let suspects = rows.suspects.iter_mut().map(|row| (&mut row.origin, Some(&mut row.function)));
    let histograms =
        measured.histograms.iter_mut().map(|row| (&mut row.origin, Some(&mut row.function)));
    let gauges = measured.gauges.iter_mut().map(|row| (&mut row.origin, Some(&mut row.metric)));
    let tasks = measured.tasks.iter_mut().map(|row| (&mut row.origin, None));
    let heartbeats = measured.heartbeats.iter_mut().map(|row| (&mut row.origin, None));
    suspects.chain(histograms).chain(gauges).chain(heartbeats).chain(tasks)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::measured::Heartbeat;
    use crate::span::PollSpan;

    const LIMITS: NameLimits = NameLimits { services_max: 3, functions_max: 4, instances_max: 2 };

    fn origin(service: &str, instance: &str) -> Origin {
        Origin { service: service.into(), instance: instance.into(), ..Origin::default() }
    }

    fn taken(sequence: u64, polls: &[(u8, u8, u8)]) -> Taken {
        let poll = |(service, function, instance): &(u8, u8, u8)| PollSpan {
            origin: origin(&format!("s{service}"), &format!("i{instance}")),
            function: format!("f{function}"),
            ..PollSpan::default()
        };
        let mut rows = Decoded { polls: polls.iter().map(poll).collect(), ..Decoded::default() };
        rows.measured.heartbeats.push(Heartbeat { time_ms: 1, origin: origin("s0", "i0") });
        Taken { sequence, time_ns: 5, rows }
    }

    fn functions(entries: &[Taken]) -> Vec<(&str, &str, &str)> {
        let polls = entries.iter().flat_map(|entry| entry.rows.polls.iter());
        let texts = polls.map(|poll| (poll.origin, poll.function));
        texts.map(|(of, function)| (of.service.as_str(), function, of.instance.as_str())).collect()
    }

    #[test]
    fn what_is_past_a_bound_shares_a_name_and_what_was_known_keeps_its_own() {
        let mut names = Names::new(LIMITS);
        names.know("s0", "f9");
        let polls: Vec<_> = (0..6).map(|function| (0, function, 0)).collect();
        let mut first = [taken(1, &polls)];
        let (renamed, overflowed) = names.bound(&mut first);
        assert_eq!(overflowed, Overflowed { functions: 3, ..Overflowed::default() });
        assert_eq!(renamed.len(), 1, "one run of rows");
        assert_eq!(functions(&first)[2], ("s0", "f2", "i0"));
        assert_eq!(functions(&first)[3], ("s0", OVERFLOW, "i0"));

        let mut second = [taken(2, &[(0, 9, 1), (0, 0, 2), (1, 5, 0), (2, 5, 0), (3, 5, 0)])];
        let (_, overflowed) = names.bound(&mut second);
        assert_eq!(overflowed, Overflowed { services: 1, functions: 0, instances: 1 });
        let expected = [
            ("s0", "f9", "i1"),
            ("s0", "f0", OVERFLOW),
            ("s1", "f5", "i0"),
            ("s2", "f5", "i0"),
            (OVERFLOW, OVERFLOW, ""),
        ];
        assert_eq!(functions(&second), expected);
    }

    #[test]
    fn instances_of_another_day_have_room() {
        let mut names = Names::new(LIMITS);
        let polls = [(0, 0, 0), (0, 0, 1), (0, 0, 2)];
        assert_eq!(names.bound(&mut [taken(1, &polls)]).1.instances, 1);
        let mut next = taken(2, &[(0, 0, 2)]);
        next.time_ns += DAY_NS;
        next.rows.measured.heartbeats.clear();
        assert_eq!(names.bound(&mut [next]).1, Overflowed::default());
    }

    proptest! {
        #[test]
        fn a_batch_is_the_same_again_whatever_is_known_meanwhile(
            before in prop::collection::vec((0_u8..6, 0_u8..9, 0_u8..4), 0..20),
            batch in prop::collection::vec(
                prop::collection::vec((0_u8..6, 0_u8..9, 0_u8..4), 0..20), 0..4),
        ) {
            let mut names = Names::new(LIMITS);
            names.bound(&mut [taken(1, &before)]);
            let entries = || -> Vec<Taken> {
                (2..).zip(&batch).map(|(number, polls)| taken(number, polls)).collect()
            };
            let mut formed = entries();
            let (renamed, _) = names.bound(&mut formed);
            let noted = serde_json::to_vec(&renamed).unwrap();
            let noted: Vec<Renamed> = serde_json::from_slice(&noted).unwrap();

            let mut restarted = Names::new(LIMITS);
            let mut again = entries();
            restarted.again(&noted, &mut again);
            prop_assert_eq!(functions(&again), functions(&formed));
            prop_assert!(restarted.services.len() <= LIMITS.services_max);
            prop_assert!(restarted.functions.of.values().all(|n| *n <= LIMITS.functions_max));
            // What it kept of the batch it knows.
            for poll in formed.iter().flat_map(|entry| entry.rows.polls.iter()) {
                let what = restarted.judge(poll.origin, Some(poll.function));
                prop_assert!(poll.function == OVERFLOW || !what.function && !what.service);
            }
        }
    }
}
