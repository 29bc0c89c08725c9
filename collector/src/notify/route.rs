//! Which alerts go to whom, and how they are put together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::matcher::{Matcher, all_match};

/// A node of the tree of routes, with what it inherits filled in.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// Tells it from all others, the same after a restart.
    key: String,
    matchers: Vec<Matcher>,
    pub(crate) receiver: String,
    group_by: GroupBy,
    pub(crate) times: Times,
    goes_on: bool,
    routes: Vec<Route>,
}

/// When a group is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Times {
    /// From a group's first alert: others may join it.
    pub(crate) wait: Duration,
    /// Between two notifications that tell of changes.
    pub(crate) interval: Duration,
    /// Between two that tell the same.
    pub(crate) repeat: Duration,
}

impl Default for Times {
    /// Alertmanager's, but for `wait`: a stall is paged within seconds.
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(2),
            interval: Duration::from_secs(300),
            repeat: Duration::from_secs(4 * 3_600),
        }
    }
}

#[derive(Clone, Debug)]
enum GroupBy {
    Labels(BTreeSet<String>),
    /// Each alert by itself.
    All,
}

/// `[route]` and `[[route.routes]]` as the file has them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteKeys {
    #[serde(default)]
    matchers: Vec<Matcher>,
    receiver: Option<String>,
    group_by: Option<Vec<String>>,
    #[serde(default, with = "humantime_serde")]
    group_wait: Option<Duration>,
    #[serde(default, with = "humantime_serde")]
    group_interval: Option<Duration>,
    #[serde(default, with = "humantime_serde")]
    repeat_interval: Option<Duration>,
    #[serde(default, rename = "continue")]
    goes_on: bool,
    #[serde(default)]
    routes: Vec<RouteKeys>,
}

/// Key of the root.
const ROOT: &str = "{}";
/// Nodes of the tree.
const ROUTES_MAX: usize = 1_000;
const GROUP_BY_DEFAULT: [&str; 2] = ["alertname", "service"];
/// A week: what is repeated less often is not repeated.
const REPEAT_MAX: Duration = Duration::from_secs(7 * 86_400);

impl RouteKeys {
    /// All to one receiver.
    pub(crate) fn to(receiver: &str) -> Self {
        Self {
            matchers: Vec::new(),
            receiver: Some(receiver.to_owned()),
            group_by: None,
            group_wait: None,
            group_interval: None,
            repeat_interval: None,
            goes_on: false,
            routes: Vec::new(),
        }
    }

    /// The root of the tree.
    ///
    /// # Errors
    ///
    /// Where something is missing or contradicts itself.
    pub(crate) fn resolve(self, receivers: &[&str]) -> Result<Route, String> {
        if !self.matchers.is_empty() {
            return Err("[route] takes every alert: `matchers` are of [[route.routes]]".into());
        }
        let Some(receiver) = self.receiver.clone() else {
            return Err("[route] has no `receiver`: name who is told when no route matches".into());
        };
        let root = Route {
            key: String::new(),
            matchers: Vec::new(),
            receiver,
            group_by: GroupBy::Labels(GROUP_BY_DEFAULT.map(str::to_owned).into()),
            times: Times::default(),
            goes_on: false,
            routes: Vec::new(),
        };
        let mut left = ROUTES_MAX;
        self.below(&root, 0, receivers, &mut left)
    }

    fn below(
        self,
        parent: &Route,
        place: usize,
        receivers: &[&str],
        left: &mut usize,
    ) -> Result<Route, String> {
        *left = left.checked_sub(1).ok_or(format!("more than {ROUTES_MAX} routes"))?;
        let receiver = self.receiver.unwrap_or_else(|| parent.receiver.clone());
        if !receivers.contains(&receiver.as_str()) {
            return Err(no_receiver(&receiver, receivers));
        }
        let group_by = match self.group_by {
            None => parent.group_by.clone(),
            Some(names) if names.iter().any(|name| name == "...") => GroupBy::All,
            Some(names) => GroupBy::Labels(names.into_iter().collect()),
        };
        let times = Times {
            wait: self.group_wait.unwrap_or(parent.times.wait),
            interval: self.group_interval.unwrap_or(parent.times.interval),
            repeat: self.repeat_interval.unwrap_or(parent.times.repeat),
        };
        times.check()?;
        let matchers: Vec<String> = self.matchers.iter().map(ToString::to_string).collect();
        // Two routes side by side may have the same matchers, but not the same place.
        let key = match parent.key.as_str() {
            "" => ROOT.to_owned(),
            above => format!("{above}/{place}{{{}}}", matchers.join(",")),
        };
        let mut route = Route {
            key,
            matchers: self.matchers,
            receiver,
            group_by,
            times,
            goes_on: self.goes_on,
            routes: Vec::new(),
        };
        for (place, keys) in self.routes.into_iter().enumerate() {
            let child = keys.below(&route, place, receivers, left)?;
            route.routes.push(child);
        }
        Ok(route)
    }
}

impl Times {
    fn check(&self) -> Result<(), String> {
        if self.interval < Duration::from_secs(1) || self.repeat < self.interval {
            return Err("`group_interval` is at least 1s, and `repeat_interval` at least as long"
                .to_owned());
        }
        if self.wait > self.interval.max(Duration::from_secs(300)) || self.repeat > REPEAT_MAX {
            return Err("`group_wait` is at most 5m, and `repeat_interval` at most 7days".into());
        }
        Ok(())
    }
}

/// That there is no such receiver, and which was probably meant.
pub(crate) fn no_receiver(name: &str, receivers: &[&str]) -> String {
    let nearest = receivers.iter().min_by_key(|known| strsim::damerau_levenshtein(name, known));
    match nearest {
        Some(known) => format!("there is no receiver {name:?} (did you mean {known:?}?)"),
        None => format!("there is no receiver {name:?}: add [[receivers]]"),
    }
}

impl Route {
    /// The routes that take an alert: the deepest that match, more than one where one goes on.
    pub(crate) fn of(&self, labels: &BTreeMap<String, String>) -> Vec<&Self> {
        let mut taken = Vec::new();
        self.collect(labels, &mut taken);
        taken
    }

    fn collect<'a>(&'a self, labels: &BTreeMap<String, String>, taken: &mut Vec<&'a Self>) {
        let before = taken.len();
        for route in self.routes.iter().filter(|route| all_match(&route.matchers, labels)) {
            route.collect(labels, taken);
            if !route.goes_on {
                break;
            }
        }
        if taken.len() == before {
            taken.push(self);
        }
    }

    /// Whether it takes what no other route does, and was not written for any alert in particular.
    pub(crate) fn takes_everything(&self) -> bool {
        self.key == ROOT
    }

    /// The labels that an alert's group has in common.
    pub(crate) fn group_labels(
        &self,
        labels: &BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        let of_group = |name: &String| match &self.group_by {
            GroupBy::All => true,
            GroupBy::Labels(names) => names.contains(name),
        };
        let kept = labels.iter().filter(|(name, _)| of_group(name));
        kept.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Identity of a group of this route.
    pub(crate) fn group_key(&self, group_labels: &BTreeMap<String, String>) -> String {
        let labels: Vec<String> =
            group_labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        format!("{}:{{{}}}", self.key, labels.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn route(text: &str) -> Result<Route, String> {
        let keys: RouteKeys = toml::from_str(text).map_err(|error| error.to_string())?;
        keys.resolve(&["all", "oncall", "team"])
    }

    const TREE: &str = "
        receiver = 'all'
        group_wait = '1s'
        [[routes]]
        matchers = ['severity=page']
        receiver = 'oncall'
        continue = true
        repeat_interval = '1h'
        [[routes.routes]]
        matchers = ['service=pay']
        group_by = ['...']
        group_interval = '10s'
        [[routes]]
        matchers = ['team=~\"a|b\"']
        receiver = 'team'
    ";

    #[test]
    fn the_deepest_route_takes_an_alert_and_one_that_goes_on_lets_others_take_it_too() {
        let root = route(TREE).unwrap();
        let told = |pairs: &[(&str, &str)]| -> Vec<String> {
            root.of(&labels(pairs)).iter().map(|route| route.receiver.clone()).collect()
        };
        assert_eq!(told(&[]), ["all"]);
        assert_eq!(told(&[("severity", "page")]), ["oncall"]);
        assert_eq!(told(&[("severity", "page"), ("team", "a")]), ["oncall", "team"]);
        assert_eq!(told(&[("team", "b")]), ["team"]);
    }

    #[test]
    fn what_a_route_does_not_say_is_as_above_it() {
        let root = route(TREE).unwrap();
        let pay = labels(&[("severity", "page"), ("service", "pay"), ("x", "y")]);
        let taken = root.of(&pay)[0];
        let seconds = |n| Duration::from_secs(n);
        assert_eq!(
            taken.times,
            Times { wait: seconds(1), interval: seconds(10), repeat: seconds(3_600) }
        );
        assert_eq!(taken.group_labels(&pay), pay, "each by itself");
        assert_eq!(root.group_labels(&pay), labels(&[("service", "pay")]));
        let key = taken.group_key(&labels(&[("service", "pay")]));
        assert_eq!(key, r#"{}/0{severity="page"}/0{service="pay"}:{service="pay"}"#);
    }

    #[test]
    fn a_tree_that_can_not_be_meant_is_refused() {
        let refused = |text: &str, reason: &str| {
            let error = route(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        };
        refused("", "no `receiver`");
        refused("receiver = 'tem'", "did you mean \"team\"");
        refused("receiver = 'all'\nmatchers = ['a=b']", "takes every alert");
        refused("receiver = 'all'\ngroup_interval = '0s'", "at least 1s");
        refused("receiver = 'all'\nrepeat_interval = '1s'", "at least as long");
        refused("receiver = 'all'\ngroup_by = 'a'", "group_by");
        refused("receiver = 'all'\n[[routes]]\nreceiver = 'x'", "no receiver \"x\"");
    }
}
