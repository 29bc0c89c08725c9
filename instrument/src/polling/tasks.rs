//! The tasks that are alive, in a table with a bound: written by those who poll them, read by whoever
//! wants to know.
//!
//! A future has an entry from the end of its first poll on, if that left it pending and no watched poll
//! was around it; a future that is ready at once costs nothing. What `holdup::spawn` spawned has one
//! from its spawning on, and so have all tasks of which a runtime's hooks tell (`hooked`).

#[cfg(tokio_unstable)]
pub(crate) mod hooked;

use std::collections::HashSet;
use std::hash::{Hash as _, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use tokio::task::Id;

use crate::polling::poll::Entered;
use crate::polling::site::{Site, SiteCell};
use crate::polling::{clock, runtime};

/// Tasks that are known at one time. Those beyond are counted.
pub(crate) const TASKS_MAX: usize = 8192;
/// Entries that are tried for one task.
const PROBES_MAX: usize = 16;

const FREE: u32 = 0;
const CLAIMED: u32 = 1;
const LIVE: u32 = 2;

/// All zero, so that what is not used takes no memory.
static ENTRIES: [Entry; TASKS_MAX] = [const { Entry::new() }; TASKS_MAX];
/// Where the next search begins.
static NEXT: AtomicU32 = AtomicU32::new(0);
/// Live tasks that found no place.
static UNREGISTERED: AtomicU64 = AtomicU64::new(0);

/// One task. Its times are in ticks, 0 for never. What each poll writes is in one cache line.
#[derive(Debug)]
#[repr(C, align(64))]
struct Entry {
    polls: AtomicU64,
    busy: AtomicU64,
    /// Begin and end of the last poll; the end is earlier while it goes on.
    began: AtomicU64,
    ended: AtomicU64,
    /// [`Slot::id`](crate::polling::slot::Slot::id) of the thread that polled it last.
    slot: AtomicUsize,
    woken: AtomicU64,
    state: AtomicU32,
    /// Changes with each task that takes the entry.
    generation: AtomicU32,
    site: SiteCell,
    /// Number of tokio's task; 0 when it isn't known.
    task: AtomicU64,
    created: AtomicU64,
    tracks_wakes: AtomicBool,
    /// The runtime's hooks tell of it, whatever else does.
    is_hooked: AtomicBool,
}

impl Entry {
    const fn new() -> Self {
        Self {
            polls: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            began: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            slot: AtomicUsize::new(0),
            woken: AtomicU64::new(0),
            state: AtomicU32::new(FREE),
            generation: AtomicU32::new(0),
            site: SiteCell::none(),
            task: AtomicU64::new(0),
            created: AtomicU64::new(0),
            tracks_wakes: AtomicBool::new(false),
            is_hooked: AtomicBool::new(false),
        }
    }

    fn fill(&self, Task { site, number, tracks_wakes, is_hooked }: Task) {
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.site.store(Some(site));
        self.task.store(number, Ordering::Relaxed);
        self.created.store(clock::now(), Ordering::Relaxed);
        for zero in [&self.polls, &self.busy, &self.began, &self.ended, &self.woken] {
            zero.store(0, Ordering::Relaxed);
        }
        self.tracks_wakes.store(tracks_wakes, Ordering::Relaxed);
        self.is_hooked.store(is_hooked, Ordering::Relaxed);
        self.slot.store(0, Ordering::Relaxed);
        self.state.store(LIVE, Ordering::Release);
    }
}

/// What an entry is made for.
#[derive(Clone, Copy)]
struct Task {
    site: &'static Site,
    /// 0 when it isn't known.
    number: u64,
    tracks_wakes: bool,
    is_hooked: bool,
}

/// A task's place in the table, given back with the drop.
#[derive(Debug)]
pub(crate) struct Place {
    entry: Option<&'static Entry>,
    /// There was no room.
    is_unregistered: bool,
}

impl Place {
    /// None yet.
    pub(crate) const fn none() -> Self {
        Self { entry: None, is_unregistered: false }
    }

    /// Takes a place for the task that this thread polls, unless there is no room.
    #[cold]
    #[inline(never)]
    fn take(&mut self, site: &'static Site) {
        if !self.is_unregistered {
            let number = number(runtime::task());
            *self = Self::take_any(Task { site, number, tracks_wakes: false, is_hooked: false });
        }
    }

    /// The same for a task that is about to be spawned, and whose wakes will be noted.
    pub(crate) fn take_woken(site: &'static Site) -> Self {
        Self::take_any(Task { site, number: 0, tracks_wakes: true, is_hooked: false })
    }

    fn take_any(task: Task) -> Self {
        let start = NEXT.fetch_add(1, Ordering::Relaxed);
        Self::claim(start as usize, task).unwrap_or_else(|| {
            UNREGISTERED.fetch_add(1, Ordering::Relaxed);
            Self { entry: None, is_unregistered: true }
        })
    }

    fn claim(start: usize, task: Task) -> Option<Self> {
        let claimed = |entry: &&Entry| {
            let (order, failure) = (Ordering::Acquire, Ordering::Relaxed);
            entry.state.compare_exchange(FREE, CLAIMED, order, failure).is_ok()
        };
        let entry = candidates(start).find(claimed)?;
        entry.fill(task);
        Some(Self { entry: Some(entry), is_unregistered: false })
    }

    /// A watched poll begins.
    #[inline(always)]
    pub(crate) fn enter(&self, entered: &Entered) {
        self.begin(entered.start(), entered.slot_id());
    }

    /// A poll begins.
    #[inline(always)]
    fn begin(&self, began: u64, slot: usize) {
        if let Some(entry) = self.entry {
            entry.began.store(began, Ordering::Relaxed);
            entry.slot.store(slot, Ordering::Relaxed);
        }
    }

    /// The poll that began then has ended. Whether there is a place for it. One thread polls a future
    /// at a time: no need for more than loads and stores.
    #[inline(always)]
    fn end(&self, began: u64, duration: u64) -> bool {
        let Some(entry) = self.entry else { return false };
        let polls = entry.polls.load(Ordering::Relaxed);
        entry.polls.store(polls.wrapping_add(1), Ordering::Relaxed);
        let busy = entry.busy.load(Ordering::Relaxed);
        entry.busy.store(busy.wrapping_add(duration), Ordering::Relaxed);
        entry.ended.store(began.wrapping_add(duration.max(1)), Ordering::Relaxed);
        true
    }

    /// The poll has ended and the future is pending. A future that is ready at once needs no place, and
    /// none has one in which another watched future is the outermost.
    #[inline(always)]
    pub(crate) fn after(&mut self, site: &'static Site, entered: &Entered, duration: u64) {
        if !self.end(entered.start(), duration) && entered.is_outermost() {
            self.take(site);
            let _known = self.end(entered.start(), duration);
        }
    }

    /// Whoever notes that the task is woken.
    pub(crate) fn wakes(&self) -> Wakes {
        let entry = self.entry;
        Wakes { entry: entry.map(|entry| (entry, entry.generation.load(Ordering::Relaxed))) }
    }
}

impl Drop for Place {
    #[inline]
    fn drop(&mut self) {
        if let Some(entry) = self.entry {
            entry.state.store(FREE, Ordering::Release);
        } else if self.is_unregistered {
            UNREGISTERED.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Notes the wakes of one task, which may have ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wakes {
    /// With the generation of the task.
    entry: Option<(&'static Entry, u32)>,
}

impl Wakes {
    pub(crate) fn note(self) {
        if let Some(entry) = self.entry() {
            entry.woken.store(clock::now(), Ordering::Relaxed);
        }
    }

    /// Gives the entry, which was made before the task, the number that the task got.
    pub(crate) fn identify(self, id: Id) {
        if let Some(entry) = self.entry() {
            // The task may have ended meanwhile, and another have the entry and its own number.
            let number = number(Some(id));
            let (order, task) = (Ordering::Relaxed, &entry.task);
            let _known = task.compare_exchange(0, number, order, order);
        }
    }

    fn entry(self) -> Option<&'static Entry> {
        let (entry, generation) = self.entry?;
        (entry.generation.load(Ordering::Relaxed) == generation).then_some(entry)
    }
}

/// What is known of one task. Times in ticks, 0 for never.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// Tells tasks apart, also those that had the same place one after the other.
    pub(crate) key: (usize, u32),
    pub(crate) site: &'static Site,
    pub(crate) task: u64,
    pub(crate) created: u64,
    pub(crate) polls: u64,
    pub(crate) busy: u64,
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) woken: u64,
    pub(crate) tracks_wakes: bool,
    pub(crate) is_hooked: bool,
    pub(crate) slot: usize,
}

impl Known {
    pub(crate) fn is_running(&self) -> bool {
        self.began > self.ended
    }

    /// Whether it waits for its first poll, as far as that is known.
    pub(crate) fn is_fresh(&self) -> bool {
        self.is_hooked && self.began == 0
    }
}

/// Every task with an entry, once. What a task does meanwhile may be missing from its counts.
pub(crate) fn known() -> Vec<Known> {
    let mut known = entries().collect::<Vec<_>>();
    // Tasks of `holdup::spawn` have two where the runtime has hooks: their own tells more.
    let own = known.iter().filter(|known| !known.is_hooked).map(|known| known.task);
    let own = own.collect::<HashSet<_>>();
    known.retain(|known| !known.is_hooked || !own.contains(&known.task));
    known
}

fn entries() -> impl Iterator<Item = Known> {
    ENTRIES.iter().enumerate().filter_map(|(index, entry)| {
        if entry.state.load(Ordering::Acquire) != LIVE {
            return None;
        }
        let generation = entry.generation.load(Ordering::Acquire);
        let known = Known {
            key: (index, generation),
            site: entry.site.load()?,
            task: entry.task.load(Ordering::Relaxed),
            created: entry.created.load(Ordering::Relaxed),
            polls: entry.polls.load(Ordering::Relaxed),
            busy: entry.busy.load(Ordering::Relaxed),
            ended: entry.ended.load(Ordering::Relaxed),
            began: entry.began.load(Ordering::Relaxed),
            woken: entry.woken.load(Ordering::Relaxed),
            tracks_wakes: entry.tracks_wakes.load(Ordering::Relaxed),
            is_hooked: entry.is_hooked.load(Ordering::Relaxed),
            slot: entry.slot.load(Ordering::Relaxed),
        };
        let is_same = entry.state.load(Ordering::Acquire) == LIVE
            && entry.generation.load(Ordering::Acquire) == generation;
        is_same.then_some(known)
    })
}

/// Live tasks that found no place.
pub(crate) fn unregistered() -> u64 {
    UNREGISTERED.load(Ordering::Relaxed)
}

/// The entries that a search looks at.
fn candidates(start: usize) -> impl Iterator<Item = &'static Entry> {
    (0..PROBES_MAX).map(move |probe| &ENTRIES[start.wrapping_add(probe) % TASKS_MAX])
}

/// tokio shows the number of a task as text only, and hashes it as it is.
fn number(id: Option<Id>) -> u64 {
    struct Number(u64);
    impl Hasher for Number {
        fn write(&mut self, bytes: &[u8]) {
            let add = |number: u64, byte: &u8| (number << 8) | u64::from(*byte);
            self.0 = bytes.iter().fold(self.0, add);
        }

        fn write_u64(&mut self, number: u64) {
            self.0 = number;
        }

        fn finish(&self) -> u64 {
            self.0
        }
    }
    let mut number = Number(0);
    if let Some(id) = id {
        id.hash(&mut number);
    }
    number.0
}

#[cfg(test)]
mod tests {
    use super::*;

    static SITE: Site = Site::new("tasks::tests", "", 0);

    fn of_tests() -> Vec<Known> {
        entries().filter(|known| std::ptr::eq(known.site, &raw const SITE)).collect()
    }

    #[test]
    fn places_are_given_back_and_what_finds_none_is_counted() {
        let before = unregistered();
        let take = |_| {
            let mut place = Place::none();
            place.take(&SITE);
            place
        };
        let places = (0..2 * TASKS_MAX).map(take).collect::<Vec<_>>();
        let found = of_tests().len();
        assert!(found > TASKS_MAX / 2 && found <= TASKS_MAX, "{found}");
        assert_eq!(unregistered() - before, (2 * TASKS_MAX - found) as u64);
        drop(places);
        assert!(of_tests().is_empty());
        assert_eq!(unregistered(), before);

        let place = Place::take_woken(&SITE);
        let stale = place.wakes();
        drop(place);
        let places = (0..TASKS_MAX).map(take).collect::<Vec<_>>();
        stale.note();
        assert!(of_tests().iter().all(|known| known.woken == 0), "a later task was not woken");
        drop(places);
    }

    #[test]
    fn the_number_of_a_task_is_the_one_that_tokio_shows() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (read, shown) = runtime.block_on(async {
            tokio::spawn(async { (number(runtime::task()), tokio::task::id().to_string()) })
                .await
                .unwrap()
        });
        assert_eq!(read.to_string(), shown);
        assert_eq!(number(None), 0);
    }
}
