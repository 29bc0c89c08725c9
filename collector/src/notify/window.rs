//! When alerts are sent to nobody: silences, and maintenance that comes every week.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde::Deserialize;
use serde_json::{Value, json};

use super::matcher::{Matcher, all_match};

/// A time in which alerts with some labels are sent to nobody.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// Whether it is one of `[[maintenance]]`.
    maintenance: bool,
    matchers: Vec<Matcher>,
    from: Option<SystemTime>,
    until: Option<SystemTime>,
    weekly: Vec<Weekly>,
    zone: TimeZone,
    /// Who decided that.
    created_by: Option<String>,
    /// Why.
    comment: String,
}

/// A time of each of some days.
#[derive(Clone, Debug)]
struct Weekly {
    days: Vec<Weekday>,
    start: Time,
    /// At or before `start`: of the next day.
    end: Time,
}

/// As the file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    matchers: Vec<Matcher>,
    from: Option<toml::value::Datetime>,
    until: Option<toml::value::Datetime>,
    created_by: Option<String>,
    comment: String,
    #[serde(default)]
    weekly: Vec<WeeklyKeys>,
    timezone: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WeeklyKeys {
    days: Vec<Day>,
    start: String,
    end: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    fn weekday(self) -> Weekday {
        match self {
            Self::Mon => Weekday::Monday,
            Self::Tue => Weekday::Tuesday,
            Self::Wed => Weekday::Wednesday,
            Self::Thu => Weekday::Thursday,
            Self::Fri => Weekday::Friday,
            Self::Sat => Weekday::Saturday,
            Self::Sun => Weekday::Sunday,
        }
    }
}

impl Window {
    /// Whether an alert with these labels is sent to nobody at this time.
    pub(crate) fn mutes(&self, labels: &BTreeMap<String, String>, now: SystemTime) -> bool {
        self.contains(now) && all_match(&self.matchers, labels)
    }

    /// Until when it lasts that `now` is in, as far as it ends.
    pub(crate) fn ends(&self, now: SystemTime) -> Option<SystemTime> {
        let local = Timestamp::try_from(now).ok()?.to_zoned(self.zone.clone());
        let weekly = self.weekly.iter().filter(|it| it.contains(local.weekday(), local.time()));
        let of_day = weekly.filter_map(|weekly| weekly.ends(&local)).max();
        [of_day, self.until].into_iter().flatten().min()
    }

    /// Until when, by whom and why.
    pub(crate) fn says(&self, now: SystemTime) -> String {
        let end = self.ends(now).and_then(|end| Timestamp::try_from(end).ok());
        let until = end.map(|end| end.strftime("until %Y-%m-%d %H:%M UTC").to_string());
        let by = self.created_by.as_ref().map(|name| format!("by {name}"));
        let parts: Vec<String> = until.into_iter().chain(by).collect();
        match self.comment.is_empty() {
            true => parts.join(", "),
            false => format!("{}: {}", parts.join(", "), self.comment),
        }
    }

    /// What it says, and whether it lasts.
    pub(crate) fn described(&self, now: SystemTime) -> Value {
        let over = self.until.is_some_and(|until| now >= until);
        let lasts = self.contains(now);
        let end = self.ends(now).filter(|_| lasts);
        json!({
            "kind": if self.maintenance { "maintenance" } else { "silence" },
            "state": if lasts { "active" } else if over { "ended" } else { "waiting" },
            "matchers": self.matchers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "from_ms": self.from.map(unix_ms),
            "until_ms": self.until.map(unix_ms),
            "ends_ms": end.map(unix_ms),
            "weekly": self.weekly.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "timezone": self.zone.iana_name().unwrap_or("UTC"),
            "created_by": self.created_by,
            "comment": self.comment,
        })
    }

    fn contains(&self, now: SystemTime) -> bool {
        if self.from.is_some_and(|from| now < from) || self.until.is_some_and(|until| now >= until)
        {
            return false;
        }
        if self.weekly.is_empty() {
            return true;
        }
        let Ok(now) = Timestamp::try_from(now) else { return false };
        let local = now.to_zoned(self.zone.clone());
        self.weekly.iter().any(|weekly| weekly.contains(local.weekday(), local.time()))
    }
}

impl Weekly {
    fn contains(&self, day: Weekday, time: Time) -> bool {
        let on = |day| self.days.contains(&day);
        if self.start < self.end {
            return on(day) && self.start <= time && time < self.end;
        }
        on(day) && self.start <= time || on(day.previous()) && time < self.end
    }

    /// The end of the time that `local` is in.
    fn ends(&self, local: &Zoned) -> Option<SystemTime> {
        let today = local.date();
        let day = if local.time() < self.end { today } else { today.tomorrow().ok()? };
        let end = day.to_datetime(self.end).to_zoned(local.time_zone().clone()).ok()?;
        Some(end.timestamp().into())
    }
}

impl fmt::Display for Weekly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.days.iter().map(|day| match day {
            Weekday::Monday => "mon",
            Weekday::Tuesday => "tue",
            Weekday::Wednesday => "wed",
            Weekday::Thursday => "thu",
            Weekday::Friday => "fri",
            Weekday::Saturday => "sat",
            Weekday::Sunday => "sun",
        });
        let (days, start) = (days.collect::<Vec<_>>().join(", "), self.start.strftime("%H:%M"));
        match self.end == Time::midnight() {
            true => write!(f, "{days} {start}–24:00"),
            false => write!(f, "{days} {start}–{}", self.end.strftime("%H:%M")),
        }
    }
}

/// One of `[[silences]]`: it has an end, or it would be forgotten.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Keys")]
pub(crate) struct Silence(pub(crate) Window);

/// One of `[[maintenance]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Keys")]
pub(crate) struct Maintenance(pub(crate) Window);

impl TryFrom<Keys> for Silence {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        if keys.matchers.is_empty() {
            return Err("a silence without matchers silences everything: name labels".into());
        }
        if keys.until.is_none() {
            return Err("a silence has no end: add `until`, or it will be forgotten".into());
        }
        if !keys.weekly.is_empty() {
            return Err("a silence comes once: weekly times are of [[maintenance]]".into());
        }
        Ok(Self(keys.window(false)?))
    }
}

impl TryFrom<Keys> for Maintenance {
    type Error = String;

    fn try_from(keys: Keys) -> Result<Self, String> {
        if keys.until.is_none() && keys.weekly.is_empty() {
            return Err("maintenance has no end: add `until` or `weekly`".into());
        }
        Ok(Self(keys.window(true)?))
    }
}

impl Keys {
    fn window(self, maintenance: bool) -> Result<Window, String> {
        let from = self.from.map(|from| instant(&from)).transpose()?;
        let until = self.until.map(|until| instant(&until)).transpose()?;
        if let (Some(from), Some(until)) = (from, until)
            && from >= until
        {
            return Err("`until` is not after `from`".into());
        }
        let zone = match &self.timezone {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|_unknown| {
                format!(
                    "no timezone {name:?} on this machine: write Europe/Berlin, or install tzdata"
                )
            })?,
        };
        let weekly = self.weekly.into_iter().map(WeeklyKeys::weekly).collect::<Result<_, _>>()?;
        let Self { matchers, created_by, comment, .. } = self;
        Ok(Window { maintenance, matchers, from, until, weekly, zone, created_by, comment })
    }
}

impl WeeklyKeys {
    fn weekly(self) -> Result<Weekly, String> {
        if self.days.is_empty() {
            return Err("weekly times without days: write days = [\"sat\", \"sun\"]".into());
        }
        let days = self.days.into_iter().map(Day::weekday).collect();
        Ok(Weekly { days, start: time(&self.start)?, end: time(&self.end)? })
    }
}

fn time(text: &str) -> Result<Time, String> {
    let wrong = || format!("{text:?} is no time of day: write 22:30");
    let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
    let number = |digits: &str| match digits.len() {
        2 if digits.bytes().all(|c| c.is_ascii_digit()) => digits.parse::<i8>().ok(),
        _ => None,
    };
    let (Some(hours), Some(minutes)) = (number(hours), number(minutes)) else {
        return Err(wrong());
    };
    // The end of a day is the beginning of the next.
    let hours = if (hours, minutes) == (24, 0) { 0 } else { hours };
    Time::new(hours, minutes, 0, 0).map_err(|_range| wrong())
}

fn unix_ms(time: SystemTime) -> i64 {
    Timestamp::try_from(time).map_or(0, Timestamp::as_millisecond)
}

fn instant(written: &toml::value::Datetime) -> Result<SystemTime, String> {
    let parsed: Result<Timestamp, _> = written.to_string().parse();
    let wrong = |_no_offset| format!("{written} has no offset: write 2027-01-31T22:00:00Z");
    parsed.map(SystemTime::from).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        text.parse::<Timestamp>().unwrap().into()
    }

    fn maintenance(text: &str) -> Window {
        toml::from_str::<Maintenance>(text).unwrap().0
    }

    fn labels() -> BTreeMap<String, String> {
        [("service".to_owned(), "pay".to_owned())].into()
    }

    #[test]
    fn a_silence_is_from_its_beginning_to_its_end_for_its_labels() {
        let text = "matchers = ['service=\"pay\"']\ncomment = 'x'\n\
                    from = 2027-01-01T10:00:00+02:00\nuntil = 2027-01-01T09:00:00Z";
        let Silence(silence) = toml::from_str(text).unwrap();
        assert!(!silence.mutes(&labels(), at("2027-01-01T07:59:59Z")));
        assert!(silence.mutes(&labels(), at("2027-01-01T08:00:00Z")));
        assert!(!silence.mutes(&labels(), at("2027-01-01T09:00:00Z")));
        assert!(!silence.mutes(&BTreeMap::new(), at("2027-01-01T08:00:00Z")));
    }

    #[test]
    fn a_week_has_its_times_in_the_zone_that_is_named() {
        let night = maintenance(
            "matchers = []\ncomment = 'x'\ntimezone = 'Europe/Berlin'\n\
             weekly = [{ days = ['sat'], start = '23:00', end = '04:00' }]",
        );
        // 2027-07-03 is a Saturday; Berlin is two hours ahead in summer, and one in winter.
        assert!(!night.mutes(&labels(), at("2027-07-03T20:59:00Z")));
        assert!(night.mutes(&labels(), at("2027-07-03T21:00:00Z")));
        assert!(night.mutes(&labels(), at("2027-07-04T01:59:00Z")));
        assert!(!night.mutes(&labels(), at("2027-07-04T02:00:00Z")));
        assert!(!night.mutes(&labels(), at("2027-07-03T01:00:00Z")), "the night before");
        assert!(!night.mutes(&labels(), at("2027-01-02T21:30:00Z")));
        assert!(night.mutes(&labels(), at("2027-01-02T22:30:00Z")));
        let day = maintenance(
            "matchers = []\ncomment = 'x'\nweekly = [{ days = ['sun'], start = '00:00', end = '24:00' }]",
        );
        assert!(day.mutes(&labels(), at("2027-07-04T00:00:00Z")), "a whole day");
        assert!(day.mutes(&labels(), at("2027-07-04T23:59:59Z")));
        assert!(!day.mutes(&labels(), at("2027-07-05T00:00:00Z")));
    }

    #[test]
    fn it_is_said_until_when_by_whom_and_why() {
        let night = maintenance(
            "matchers = []\ncomment = 'backups'\ntimezone = 'Europe/Berlin'\n\
             weekly = [{ days = ['sat'], start = '23:00', end = '04:00' }]",
        );
        let says = "until 2027-07-04 02:00 UTC: backups";
        assert_eq!(night.says(at("2027-07-03T21:00:00Z")), says, "before midnight");
        assert_eq!(night.says(at("2027-07-04T01:59:00Z")), says, "and after it");
        let day = "matchers = []\ncomment = ''\ncreated_by = 'Ann'\nuntil = 2027-07-04T12:00:00Z\n\
                   weekly = [{ days = ['sun'], start = '00:00', end = '24:00' }]";
        assert_eq!(
            maintenance(day).says(at("2027-07-04T08:00:00Z")),
            "until 2027-07-04 12:00 UTC, by Ann"
        );
    }

    #[test]
    fn it_is_described_with_its_times_and_whether_it_lasts() {
        let text = "matchers = ['service=\"pay\"', 'function=~\"a.*\"']\ncomment = '<b>moves'\n\
                    created_by = 'Ann'\nfrom = 1970-01-01T00:00:01Z\nuntil = 1970-01-01T00:00:02Z";
        let Silence(silence) = toml::from_str(text).unwrap();
        let described = silence.described(at("1970-01-01T00:00:01Z"));
        let expected = json!({
            "kind": "silence", "state": "active", "matchers": ["service=\"pay\"", "function=~\"a.*\""],
            "from_ms": 1_000, "until_ms": 2_000, "ends_ms": 2_000, "weekly": [], "timezone": "UTC",
            "created_by": "Ann", "comment": "<b>moves",
        });
        assert_eq!(described, expected);
        let state = |time| silence.described(at(time))["state"].clone();
        assert_eq!(state("1970-01-01T00:00:00Z"), "waiting");
        assert_eq!(state("1970-01-01T00:00:02Z"), "ended");
        let night = maintenance(
            "matchers = []\ncomment = ''\ntimezone = 'Europe/Berlin'\n\
             weekly = [{ days = ['sat', 'sun'], start = '23:00', end = '24:00' }]",
        );
        let described = night.described(at("2027-07-04T12:00:00Z"));
        assert_eq!(
            (&described["state"], &described["kind"]),
            (&"waiting".into(), &"maintenance".into())
        );
        assert_eq!(described["weekly"], json!(["sat, sun 23:00–24:00"]));
        assert_eq!(
            (&described["timezone"], &described["ends_ms"]),
            (&"Europe/Berlin".into(), &Value::Null)
        );
        assert_eq!(night.described(at("2027-07-04T21:30:00Z"))["ends_ms"], 1_814_738_400_000_i64);
    }

    #[test]
    fn what_would_silence_for_ever_or_everything_is_refused() {
        let silence = |text: &str| toml::from_str::<Silence>(text).unwrap_err().to_string();
        assert!(silence("matchers = ['a=b']\ncomment = ''").contains("no end"));
        let all = "matchers = []\ncomment = ''\nuntil = 2027-01-01T00:00:00Z";
        assert!(silence(all).contains("everything"));
        let local = "matchers = ['a=b']\ncomment = ''\nuntil = 2027-01-01T00:00:00";
        assert!(silence(local).contains("no offset"));
        let maintenance = |text: &str| toml::from_str::<Maintenance>(text).unwrap_err().to_string();
        assert!(maintenance("matchers = []\ncomment = ''").contains("no end"));
        let never =
            "matchers = []\ncomment = ''\nweekly = [{days = ['sun'], start = '25:00', end = '1'}]";
        assert!(maintenance(never).contains("25:00"));
        let zone =
            "matchers = []\ncomment = ''\nuntil = 2027-01-01T00:00:00Z\ntimezone = 'Nowhere'";
        assert!(maintenance(zone).contains("Nowhere"));
    }
}
