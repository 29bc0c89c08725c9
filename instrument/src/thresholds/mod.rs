//! Which poll is a slow one: the threshold of a function, of a runtime, of everything else.
//!
//! The polling path compares with one number in the site or in the slot. Rules are looked up here,
//! off that path, and their results put there.

use std::collections::HashMap;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::install::InstallError;
use crate::measure;
use crate::polling::site::Site;
use crate::polling::{attention, clock, slot, switch};

mod allow;
mod rule;

pub(crate) use allow::{AllowList, allow_list};
pub use rule::Threshold;
pub(crate) use rule::{Rule, parse};

/// Rules that can be in force at one time.
const RULES_MAX: usize = 1024;
/// No relative threshold is lower.
const RELATIVE_MIN: Duration = Duration::from_millis(1);
/// A function's own p99 is believed after so many polls.
const RELATIVE_CALLS_MIN: u64 = 100;
/// How many refreshes a relative threshold is kept for, about five seconds.
const RELATIVE_REFRESHES: u32 = 25;

static STATE: Mutex<Option<State>> = Mutex::new(None);

#[derive(Default)]
struct State {
    /// False when nothing is recorded any more, and what was is still judged.
    is_on: bool,
    /// Of everything that no rule is for.
    base_ns: u64,
    /// The first that matches counts.
    rules: Vec<Rule>,
    /// What the rules say of sites that were seen, by address; 0 for nothing.
    sites: HashMap<usize, (&'static Site, u64)>,
    refreshes: u32,
    allowed: AllowList,
}

/// Puts a threshold and rules in force.
pub(crate) fn start(base: Duration, rules: Vec<Rule>, allowed: AllowList) {
    let base_ns = clock::whole_nanoseconds(base).max(1);
    let mut state = lock();
    let state = state.insert(State { is_on: true, base_ns, rules, allowed, ..State::default() });
    state.apply();
}

/// Switches timing off. What was recorded is still judged by the same thresholds.
pub(crate) fn stop() {
    let mut state = lock();
    switch::off();
    if let Some(state) = state.as_mut() {
        state.is_on = false;
    }
}

/// Changes the threshold of what a pattern matches, while the service runs.
///
/// `pattern` is a function's full name in which `*` stands for any characters and `?` for one; or
/// `runtime:` and such a pattern for the names of runtimes. It wins over what was set before, in
/// code or by the environment. It is in force for every thread within a quarter of a second.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// # fn main() -> Result<(), holdup::InstallError> {
/// # let _guard = holdup::builder().flush_timeout(Duration::ZERO).install()?;
/// holdup::set_threshold("shop::report::*", Duration::from_millis(200))?;
/// holdup::set_threshold("runtime:batch", Duration::from_secs(1))?;
/// // Five times what 99 of 100 polls of the function take:
/// holdup::set_threshold("shop::checkout", holdup::Threshold::TimesP99(5.0))?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// When the threshold is zero or no number, when there are too many rules, or when Holdup is not
/// installed.
pub fn set_threshold(pattern: &str, threshold: impl Into<Threshold>) -> Result<(), InstallError> {
    let rule = Rule::new(pattern, threshold.into())?;
    let mut state = lock();
    let Some(state) = state.as_mut().filter(|state| state.is_on) else {
        return Err(InstallError::NotInstalled);
    };
    state.rules.retain(|old| !old.is_for_the_same_as(&rule));
    if state.rules.len() >= RULES_MAX {
        return Err(InstallError::TooManyRules { most: RULES_MAX });
    }
    state.rules.insert(0, rule);
    state.sites.clear();
    state.apply();
    attention::nudge();
    Ok(())
}

/// Converts every threshold again, after the clock was calibrated better, and looks up the sites
/// that are new.
pub(crate) fn refresh() {
    if let Some(state) = lock().as_mut() {
        state.refreshes = state.refreshes.wrapping_add(1);
        if state.refreshes % RELATIVE_REFRESHES == 0 && state.rules.iter().any(Rule::is_relative) {
            state.sites.clear();
        }
        state.apply();
    }
}

/// The threshold of a site on a runtime, in nanoseconds.
pub(crate) fn of_site(site: &'static Site, runtime: Option<&str>) -> u64 {
    let mut state = lock();
    let Some(state) = state.as_mut() else { return switch::threshold_ns() };
    match state.of_site(site) {
        0 => state.of_runtime(runtime),
        own => own,
    }
}

/// The threshold of a function that is known by name alone, in nanoseconds.
pub(crate) fn of_function(name: &str, runtime: Option<&str>) -> u64 {
    let mut state = lock();
    let Some(state) = state.as_mut() else { return switch::threshold_ns() };
    match state.of_function(name, None) {
        0 => state.of_runtime(runtime),
        own => own,
    }
}

/// Whether a poll of `function` may block where the frames say, innermost first.
pub(crate) fn allows(frames: &[String], function: &str) -> bool {
    lock().as_ref().is_some_and(|state| state.allowed.allows(frames, function))
}

/// The lowest threshold in force, in nanoseconds.
pub(crate) fn lowest_ns() -> u64 {
    lock().as_ref().map_or(u64::MAX, |state| {
        let sites = state.sites.values().map(|(_, own)| *own).filter(|own| *own > 0);
        sites.fold(state.base_ns.min(state.lowest_of_rules()), u64::min)
    })
}

fn lock() -> MutexGuard<'static, Option<State>> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn apply(&mut self) {
        if !self.is_on {
            return;
        }
        switch::on(self.base_ns, self.lowest_of_rules());
        for site in measure::sites::all() {
            self.of_site(site);
        }
        for (site, own) in self.sites.values() {
            site.set_limit(if *own == 0 { 0 } else { clock::ticks(*own) });
        }
        for slot in slot::used() {
            let owner = slot.owner();
            let runtime = owner.as_ref().and_then(|owner| owner.runtime_name());
            slot.set_limit(clock::ticks(self.of_runtime(runtime)));
        }
    }

    fn of_site(&mut self, site: &'static Site) -> u64 {
        let key = ptr::from_ref(site).addr();
        if let Some((_, own)) = self.sites.get(&key) {
            return *own;
        }
        let own = match self.of_function(&site.function(), Some(site)) {
            0 => site.own_threshold_ns(),
            ruled => ruled,
        };
        self.sites.insert(key, (site, own));
        own
    }

    fn of_function(&self, name: &str, site: Option<&'static Site>) -> u64 {
        let Some(rule) = self.rules.iter().find(|rule| rule.is_for_function(name)) else {
            return 0;
        };
        match rule.threshold() {
            Threshold::Fixed(threshold) => clock::whole_nanoseconds(threshold),
            Threshold::TimesP99(factor) => site.map_or(0, |site| relative(site, factor)),
        }
    }

    fn of_runtime(&self, name: Option<&str>) -> u64 {
        let rule = name.and_then(|name| self.rules.iter().find(|rule| rule.is_for_runtime(name)));
        match rule.map(Rule::threshold) {
            Some(Threshold::Fixed(threshold)) => clock::whole_nanoseconds(threshold),
            _ => self.base_ns,
        }
    }

    fn lowest_of_rules(&self) -> u64 {
        let fixed = |rule: &Rule| match rule.threshold() {
            Threshold::Fixed(threshold) => clock::whole_nanoseconds(threshold),
            Threshold::TimesP99(_) => u64::MAX,
        };
        self.rules.iter().map(fixed).min().unwrap_or(u64::MAX)
    }
}

/// 0 as long as too little is known of the function.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn relative(site: &'static Site, factor: f64) -> u64 {
    let Some((calls, p99_ns)) = measure::quantile::p99(site) else { return 0 };
    if calls < RELATIVE_CALLS_MIN {
        return 0;
    }
    ((p99_ns as f64 * factor) as u64).max(clock::whole_nanoseconds(RELATIVE_MIN))
}
