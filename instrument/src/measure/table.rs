//! The histograms of one thread.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use crate::measure::buckets::{self, COUNTERS};
use crate::measure::sites::{self, OVERFLOW, SITES_MAX};
use crate::measure::{tables, zeroed};
use crate::polling::site::Site;

/// Sites that one thread measures apart, one of them for all that pass the bound.
pub(crate) const ROWS_MAX: usize = 128;
const _: () = assert!(ROWS_MAX <= u8::MAX as usize && SITES_MAX.is_power_of_two());

/// Counts of one thread at a time. Written by that thread alone, read by any under the lock of
/// [`tables`]; counts wrap, and never shrink while the thread lasts.
pub(crate) struct Table {
    /// For each site's number one more than its row; 0 when it has none yet.
    rows_of_sites: [AtomicU8; SITES_MAX],
    sites_of_rows: [AtomicU16; ROWS_MAX],
    rows_used: AtomicU32,
    /// Number of the watched runtime that the thread works for; 0 for none.
    runtime: AtomicU32,
    /// How many of all ticks were charged to a runtime.
    pub(super) charged: AtomicU64,
    rows: [Row; ROWS_MAX],
}

/// The histogram of one site.
struct Row {
    ticks: AtomicU64,
    counts: [AtomicU32; COUNTERS],
}

impl Table {
    /// A table for a slot, whose threads have it one after the other. It is never freed, as the slot
    /// isn't.
    pub(crate) fn lease() -> &'static Self {
        let table: &'static Self = Box::leak(zeroed::table());
        table.begin();
        tables::add(table);
        table
    }

    fn begin(&self) {
        self.sites_of_rows[0].store(OVERFLOW as u16, Ordering::Relaxed);
        self.rows_of_sites[OVERFLOW].store(1, Ordering::Relaxed);
        self.rows_used.store(1, Ordering::Release);
    }

    /// The thread ends. What it counted is kept elsewhere, so that the next one may measure other
    /// sites.
    pub(crate) fn retire(&'static self) {
        tables::retire(self);
    }

    pub(crate) fn set_runtime(&self, number: u32) {
        self.runtime.store(number, Ordering::Relaxed);
    }

    pub(super) fn runtime(&self) -> u32 {
        self.runtime.load(Ordering::Relaxed)
    }

    /// Counts a poll.
    #[inline(always)]
    pub(crate) fn count(&self, site: &'static Site, ticks: u64) {
        let known = self.rows_of_sites[site.number() as usize % SITES_MAX].load(Ordering::Relaxed);
        let row = if known == 0 { self.assign(site) } else { known };
        if let Some(row) = self.rows.get((row as usize).wrapping_sub(1)) {
            row.count(ticks);
        }
    }

    /// Gives a site a row: its own, or that of the sites which pass the bound.
    #[cold]
    #[inline(never)]
    fn assign(&self, site: &'static Site) -> u8 {
        let number = sites::number(site);
        let place = &self.rows_of_sites[number % SITES_MAX];
        let known = place.load(Ordering::Relaxed);
        if known != 0 {
            return known;
        }
        let used = self.rows_used.load(Ordering::Relaxed);
        let row = if (used as usize) < ROWS_MAX {
            self.sites_of_rows[used as usize].store(number as u16, Ordering::Relaxed);
            self.rows_used.store(used + 1, Ordering::Release);
            used as u8 + 1
        } else {
            1
        };
        place.store(row, Ordering::Relaxed);
        row
    }

    /// Number of the site and counts of each row, for other threads.
    pub(crate) fn read(&self) -> impl Iterator<Item = (usize, Counts)> {
        let used = self.rows_used.load(Ordering::Acquire) as usize;
        self.rows.iter().zip(&self.sites_of_rows).take(used).map(|(row, site)| {
            let number = usize::from(site.load(Ordering::Relaxed));
            (number, row.read())
        })
    }

    /// Sums of each row, for other threads.
    pub(crate) fn sums(&self) -> Vec<Sum> {
        let sum = |(number, counts): (usize, Counts)| {
            let polls = counts.counts.iter().map(|count| u64::from(*count)).sum();
            Some(Sum { number, site: sites::site(number)?, ticks: counts.ticks, polls })
        };
        self.read().filter_map(sum).collect()
    }

    /// Self time of all that was counted.
    pub(super) fn ticks(&self) -> u64 {
        let used = self.rows_used.load(Ordering::Acquire) as usize;
        let ticks = self.rows.iter().take(used).map(|row| row.ticks.load(Ordering::Relaxed));
        ticks.fold(0, u64::wrapping_add)
    }

    /// Forgets what was counted. Nobody counts or reads meanwhile.
    pub(super) fn clear(&self) {
        let used = self.rows_used.load(Ordering::Relaxed) as usize;
        self.rows.iter().take(used).for_each(Row::clear);
        self.rows_of_sites.iter().for_each(|row| row.store(0, Ordering::Relaxed));
        self.charged.store(0, Ordering::Relaxed);
        self.begin();
    }
}

/// The polls of one site on one thread, all together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sum {
    pub(crate) number: usize,
    pub(crate) site: &'static Site,
    pub(crate) ticks: u64,
    pub(crate) polls: u64,
}

/// What a row says at one moment, or several in sum.
#[derive(Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) ticks: u64,
    pub(crate) counts: [u32; COUNTERS],
}

impl Counts {
    pub(super) const NONE: Self = Self { ticks: 0, counts: [0; COUNTERS] };

    pub(super) fn add(&mut self, other: &Self) {
        self.ticks = self.ticks.wrapping_add(other.ticks);
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum = sum.wrapping_add(*count);
        }
    }
}

impl Row {
    #[inline(always)]
    fn count(&self, ticks: u64) {
        self.ticks.store(self.ticks.load(Ordering::Relaxed).wrapping_add(ticks), Ordering::Relaxed);
        if let Some(count) = self.counts.get(buckets::counter(ticks)) {
            count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    fn read(&self) -> Counts {
        Counts {
            ticks: self.ticks.load(Ordering::Relaxed),
            counts: std::array::from_fn(|index| self.counts[index].load(Ordering::Relaxed)),
        }
    }

    fn clear(&self) {
        self.ticks.store(0, Ordering::Relaxed);
        self.counts.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }
}
