//! The parameters of the API's addresses: one table, which the reader, the answers to mistakes and the
//! OpenAPI document are made of.

use std::borrow::Cow;

use super::error::ApiError;
use crate::store::{Format, PanelQuery, Picked, ROWS_MAX};

/// The range that is asked for when none is given, ms.
const RANGE_MS_DEFAULT: u64 = 15 * 60_000;
/// Rows when no limit is given.
const LIMIT_DEFAULT: u32 = 200;
/// The most names of one kind that a question may choose.
const CHOSEN_MAX: usize = 100;
/// Where the times end that `DateTime64(3)` holds, unix ms.
const TIME_MS_END: u64 = 10_413_791_999_000;

/// What a parameter holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole number.
    Number,
    /// A text.
    Text,
    /// A text, and the parameter may be repeated.
    Texts,
}

/// One parameter.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// Those of ClickHouse that it is for; a panel that names none of them does not take it. Empty
    /// where every panel does.
    pub(super) of: &'static [&'static str],
    pub(super) kind: Kind,
    pub(super) meaning: &'static str,
}

const fn parameter(
    name: &'static str,
    of: &'static [&'static str],
    kind: Kind,
    meaning: &'static str,
) -> Parameter {
    Parameter { name, of, kind, meaning }
}

/// All of them.
pub(super) const PARAMETERS: [Parameter; 16] = [
    parameter(
        "from",
        &["from"],
        Kind::Number,
        "Start of the range, Unix ms; 15 minutes before `to`",
    ),
    parameter("to", &["to"], Kind::Number, "End of the range, Unix ms, excluded; now"),
    parameter("service", &["service"], Kind::Texts, "Only these services; none means all"),
    parameter("environment", &["environment"], Kind::Texts, "Only these environments"),
    parameter("version", &["version"], Kind::Texts, "Only these versions of services"),
    parameter("instance", &["instance"], Kind::Texts, "Only these service instances"),
    parameter("function", &["function"], Kind::Text, "Only this function"),
    parameter("search", &["search"], Kind::Text, "Only where each word is in function or service"),
    parameter("state", &["state"], Kind::Texts, "Only issues in these states"),
    parameter("picked_from", &["picked_from"], Kind::Number, "Start of the region picked, Unix ms"),
    parameter("picked_to", &["picked_to"], Kind::Number, "End of the region picked, Unix ms"),
    parameter("picked_over", &["picked_over"], Kind::Number, "Durations over this, ns"),
    parameter("picked_up_to", &["picked_up_to"], Kind::Number, "Durations up to this, ns"),
    parameter("limit", &[], Kind::Number, "The most rows, 200 when not given, 10,000 at most"),
    parameter("offset", &[], Kind::Number, "Rows to leave out at the start: the next page"),
    parameter("format", &[], Kind::Text, "`json` or `csv`; else as the header Accept says"),
];

/// The parameters that a panel with this SQL takes.
pub(super) fn taken(sql: &str) -> impl Iterator<Item = &'static Parameter> {
    PARAMETERS.iter().filter(move |parameter| {
        let named = |name: &&str| sql.contains(&format!("{{{name}:"));
        parameter.of.is_empty() || parameter.of.iter().any(named)
    })
}

/// Reads the address's parameters. A panel ignores those that it does not take: a reader who goes from
/// one to another keeps the choice.
pub(super) fn parse(sql: String, raw: &str, now_ms: u64) -> Result<PanelQuery, ApiError> {
    let mut asked =
        PanelQuery { sql, to_ms: now_ms, limit: LIMIT_DEFAULT, ..PanelQuery::default() };
    let mut from_ms = None;
    for (key, value) in form_urlencoded::parse(raw.as_bytes()) {
        match key.as_ref() {
            "from" => from_ms = Some(time(&key, &value)?),
            "to" => asked.to_ms = time(&key, &value)?,
            "limit" => asked.limit = rows(&key, &value)?.clamp(1, ROWS_MAX),
            "offset" => asked.offset = rows(&key, &value)?,
            "service" => choose(&key, &mut asked.services, value)?,
            "environment" => choose(&key, &mut asked.environments, value)?,
            "version" => choose(&key, &mut asked.versions, value)?,
            "instance" => choose(&key, &mut asked.instances, value)?,
            "state" => choose(&key, &mut asked.states, value)?,
            "function" => asked.function = value.into_owned(),
            "search" => asked.search = value.into_owned(),
            "format" => asked.format = format(&value)?,
            _ => pick(&key, &value, &mut asked.picked)?,
        }
    }
    asked.from_ms = from_ms.unwrap_or(asked.to_ms.saturating_sub(RANGE_MS_DEFAULT));
    if asked.from_ms >= asked.to_ms {
        return Err(ApiError::bad_request("the range is empty: from must be before to"));
    }
    if asked.offset.saturating_add(asked.limit) > ROWS_MAX {
        return Err(ApiError::bad_request(format!(
            "offset and limit reach past {ROWS_MAX} rows: narrow the range or the choice"
        )));
    }
    Ok(asked)
}

fn pick(key: &str, value: &str, picked: &mut Picked) -> Result<(), ApiError> {
    let field = match key {
        "picked_from" => return time(key, value).map(|ms| picked.from_ms = ms),
        "picked_to" => return time(key, value).map(|ms| picked.to_ms = ms),
        "picked_over" => &mut picked.over_ns,
        "picked_up_to" => &mut picked.up_to_ns,
        unknown => return Err(ApiError::bad_request(unknown_parameter(unknown))),
    };
    *field = number(key, value)?;
    Ok(())
}

fn unknown_parameter(name: &str) -> String {
    let known = PARAMETERS.map(|parameter| parameter.name);
    let nearest = nearest(name, known.iter().copied());
    let nearest = nearest.map(|name| format!(" did you mean {name:?}?")).unwrap_or_default();
    format!("unknown parameter {name:?}:{nearest} known are {}", known.join(", "))
}

/// The name that was meant, if one is near enough.
pub(super) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &str| strsim::damerau_levenshtein(given, name);
    // Longer texts are no slip of the finger, and comparing them takes time.
    let (far, name) = known
        .filter(|_| given.len() <= 64)
        .map(|name| (distance(name), name))
        .min_by_key(|(far, _)| *far)?;
    (far <= (given.chars().count() / 3).max(2)).then_some(name)
}

fn choose(key: &str, chosen: &mut Vec<String>, name: Cow<'_, str>) -> Result<(), ApiError> {
    if chosen.len() == CHOSEN_MAX {
        return Err(ApiError::bad_request(format!("name at most {CHOSEN_MAX} {key}s")));
    }
    chosen.push(name.into_owned());
    Ok(())
}

fn format(value: &str) -> Result<Format, ApiError> {
    match value {
        "json" => Ok(Format::Json),
        "csv" => Ok(Format::Csv),
        other => Err(ApiError::bad_request(format!("no format {other:?}: there are json, csv"))),
    }
}

fn rows(key: &str, value: &str) -> Result<u32, ApiError> {
    Ok(u32::try_from(number(key, value)?).unwrap_or(u32::MAX))
}

fn time(key: &str, value: &str) -> Result<u64, ApiError> {
    match number(key, value)? {
        time if time < TIME_MS_END => Ok(time),
        _ => Err(wrong_number(key, value)),
    }
}

fn number(key: &str, value: &str) -> Result<u64, ApiError> {
    value.parse().map_err(|_not_one| wrong_number(key, value))
}

fn wrong_number(key: &str, value: &str) -> ApiError {
    ApiError::bad_request(format!(
        "{key}={value:?} is no whole number in range (times are unix milliseconds)"
    ))
}

#[cfg(test)]
mod tests {
    use super::{PARAMETERS, nearest, parse, taken};
    use crate::store::{Format, catalog};

    #[test]
    fn the_range_defaults_to_fifteen_minutes() {
        let asked = parse(String::new(), "", 1_000_000_000).unwrap();
        assert_eq!((asked.from_ms, asked.to_ms), (1_000_000_000 - 900_000, 1_000_000_000));
    }

    #[test]
    fn parameters_are_read_as_given() {
        let raw = "from=5&to=9&service=a%20b&service=c&function=x%3A%3Ay&limit=0&offset=7\
                   &format=csv&picked_up_to=11&picked_to=6";
        let asked = parse(String::new(), raw, 1).unwrap();
        assert_eq!((asked.from_ms, asked.to_ms, asked.limit, asked.offset), (5, 9, 1, 7));
        assert_eq!(
            (asked.services, asked.function.as_str()),
            (vec!["a b".into(), "c".into()], "x::y")
        );
        assert_eq!((asked.picked.up_to_ns, asked.picked.to_ms), (11, 6));
        assert_eq!(asked.format, Format::Csv);
    }

    #[test]
    fn every_parameter_is_read_and_some_panel_takes_it() {
        let panels: Vec<_> =
            catalog::panel_names().iter().filter_map(|name| catalog::panel(name)).collect();
        for parameter in &PARAMETERS {
            let value = if parameter.name == "format" { "csv" } else { "5" };
            let raw = format!("to=9&{}={value}", parameter.name);
            parse(String::new(), &raw, 9).unwrap_or_else(|error| panic!("{raw}: {error:?}"));
            let takes = |sql: &str| taken(sql).any(|taken| taken.name == parameter.name);
            assert!(panels.iter().any(|panel| takes(&panel.sql)), "{}", parameter.name);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (raw, expected) in [
            ("from=yesterday", "unix milliseconds"),
            ("from=9&to=9", "before"),
            ("servce=x", "did you mean \"service\"?"),
            ("servce=x", "known are from, to, service"),
            ("to=99999999999999999", "in range"),
            ("format=xml", "json, csv"),
            ("limit=9999&offset=2", "past 10000 rows"),
        ] {
            let error = parse(String::new(), raw, 10).unwrap_err();
            assert!(error.message.contains(expected), "{raw}: {}", error.message);
        }
    }

    #[test]
    fn only_what_is_near_was_meant() {
        let known = || ["top", "top_trend", "issues"].into_iter();
        assert_eq!(nearest("isues", known()), Some("issues"));
        assert_eq!(nearest("something-else", known()), None);
        assert_eq!(nearest(&"x".repeat(100_000), known()), None);
    }
}
