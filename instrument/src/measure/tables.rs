//! The tables of all threads, and what threads that ended have counted.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;

use crate::measure::sites::SITES_MAX;
use crate::measure::table::{Counts, Table};

/// What the counts of threads that ended may take.
const RETIRED_BYTES_MAX: usize = 512 * 1024;
const _: () = assert!(SITES_MAX * size_of::<Counts>() <= RETIRED_BYTES_MAX);
/// Runtimes whose time waits to be taken.
const RUNTIMES_MAX: usize = 1024;
/// How often the end of a thread tries the lock. In a process that was forked off, it may be held by
/// a thread which is not there.
const ATTEMPTS_MAX: u32 = 10_000;

static TABLES: Mutex<Tables> = Mutex::new(Tables::new());

/// By the number of the site. Counts only ever grow, and wrap.
pub(super) struct Sums {
    pub(super) counts: Vec<Counts>,
    /// Self time in ticks by the number of the watched runtime, since it was last taken.
    pub(super) ticks_of_runtimes: BTreeMap<u32, u64>,
}

struct Tables {
    all: Vec<&'static Table>,
    /// Of threads that ended, by the number of the site.
    retired: Vec<Counts>,
    ticks_of_runtimes: BTreeMap<u32, u64>,
}

impl Tables {
    const fn new() -> Self {
        Self { all: Vec::new(), retired: Vec::new(), ticks_of_runtimes: BTreeMap::new() }
    }

    /// Charges the runtime of a table with what was counted since the last time.
    fn charge(&mut self, table: &Table) {
        let ticks = table.ticks();
        let since = ticks.wrapping_sub(table.charged.swap(ticks, Ordering::Relaxed));
        let runtime = table.runtime();
        if self.ticks_of_runtimes.len() < RUNTIMES_MAX
            || self.ticks_of_runtimes.contains_key(&runtime)
        {
            *self.ticks_of_runtimes.entry(runtime).or_default() += since;
        }
    }
}

pub(super) fn add(table: &'static Table) {
    lock().all.push(table);
}

/// Takes over what the thread of a table counted, and empties the table. Where the lock can't be had,
/// the table is left as it is.
pub(super) fn retire(table: &'static Table) {
    for _ in 0..ATTEMPTS_MAX {
        let mut tables = match TABLES.try_lock() {
            Ok(tables) => tables,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                thread::yield_now();
                continue;
            }
        };
        tables.charge(table);
        add_to(&mut tables.retired, table);
        table.clear();
        return;
    }
}

/// What all threads have counted, those that ended too.
pub(super) fn sums() -> Sums {
    let mut tables = lock();
    let mut counts = tables.retired.clone();
    for table in tables.all.clone() {
        tables.charge(table);
        add_to(&mut counts, table);
    }
    Sums { counts, ticks_of_runtimes: std::mem::take(&mut tables.ticks_of_runtimes) }
}

fn add_to(sums: &mut Vec<Counts>, table: &Table) {
    for (number, counts) in table.read() {
        if number >= sums.len() {
            sums.resize(number + 1, Counts::NONE);
        }
        sums[number].add(&counts);
    }
}

/// How many polls of a site were counted by which counter.
pub(super) fn of_site(number: usize) -> Counts {
    let tables = lock();
    let mut sum = tables.retired.get(number).copied().unwrap_or(Counts::NONE);
    for table in &tables.all {
        table.read().filter(|(of, _)| *of == number).for_each(|(_, counts)| sum.add(&counts));
    }
    sum
}

fn lock() -> MutexGuard<'static, Tables> {
    TABLES.lock().unwrap_or_else(PoisonError::into_inner)
}
