//! What OpenTelemetry's variables say of the way to a receiver.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

const ENDPOINT: &str = "http://localhost:4318";
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is sent, each to a path of its own and with variables of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signal {
    Traces,
    Metrics,
    Logs,
}

impl Signal {
    const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
            Self::Logs => "/v1/logs",
        }
    }

    fn variable(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
            Self::Logs => "LOGS",
        }
    }
}

/// The settings of one signal, with a word on each that can't be used.
#[derive(Debug)]
pub(super) struct Variables {
    pub(super) endpoint: String,
    pub(super) timeout: Duration,
    pub(super) headers: HeaderMap,
    pub(super) gzip: bool,
    pub(super) files: Files,
    pub(super) complaints: Vec<String>,
}

/// Files in PEM for `https`, each with the variable that names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    /// Whom to trust, in place of the system's authorities.
    pub(super) authorities: Option<Named>,
    /// What this service shows, and its key.
    pub(super) certificate: Option<Named>,
    pub(super) key: Option<Named>,
}

/// A value and the variable that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) variable: String,
    pub(super) value: String,
}

impl Variables {
    /// `by_code` is a base URL.
    pub(super) fn read(
        signal: Signal,
        by_code: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let set = |name: &str| named(signal, name, &variable);
        let mut complaints = Vec::new();
        if let Some(Named { variable, value }) =
            set("PROTOCOL").filter(|p| p.value != "http/protobuf")
        {
            complaints.push(format!(
                "{variable} is {value:?}: holdup sends http/protobuf, which most receivers take on \
                 port 4318"
            ));
        }
        let timeout = set("TIMEOUT").map(|named| (milliseconds(&named.value), named));
        if let Some((None, Named { variable, value })) = &timeout {
            complaints.push(format!(
                "{variable} is {value:?}: write milliseconds, such as 10000; {TIMEOUT:?} is used"
            ));
        }
        let compression = set("COMPRESSION").filter(|named| named.value != "none");
        let gzip = compression.as_ref().is_some_and(|c| c.value.eq_ignore_ascii_case("gzip"));
        if let Some(Named { variable, value }) = compression.filter(|_| !gzip) {
            complaints.push(format!("{variable} is {value:?}: write gzip or none; none is used"));
        }
        let headers = set("HEADERS").map(|Named { variable, value }| {
            let (headers, unusable) = headers(&value);
            if unusable > 0 {
                complaints.push(format!(
                    "{variable} has {unusable} entries that are no header: write key=value,key=value \
                     with values encoded as in URLs; the others are sent"
                ));
            }
            headers
        });
        Self {
            endpoint: endpoint_url(signal, by_code, &variable),
            timeout: timeout.and_then(|(timeout, _)| timeout).unwrap_or(TIMEOUT),
            headers: headers.unwrap_or_default(),
            gzip,
            files: Files {
                authorities: set("CERTIFICATE"),
                certificate: set("CLIENT_CERTIFICATE"),
                key: set("CLIENT_KEY"),
            },
            complaints,
        }
    }
}

/// The signal's own variable before that of all signals.
fn named(signal: Signal, name: &str, variable: impl Fn(&str) -> Option<String>) -> Option<Named> {
    let own = format!("OTEL_EXPORTER_OTLP_{}_{name}", signal.variable());
    [own, format!("OTEL_EXPORTER_OTLP_{name}")].into_iter().find_map(|name| {
        let value = variable(&name)?.trim().to_owned();
        (!value.is_empty()).then_some(Named { variable: name, value })
    })
}

/// Code over the signal's own variable, which is a full URL to be used as it is, over the base.
fn endpoint_url(
    signal: Signal,
    by_code: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> String {
    let set = |name: &str| {
        variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let own = format!("OTEL_EXPORTER_OTLP_{}_ENDPOINT", signal.variable());
    if by_code.is_none()
        && let Some(full) = set(&own)
    {
        return full;
    }
    let base = by_code.map(str::to_owned).or_else(|| set("OTEL_EXPORTER_OTLP_ENDPOINT"));
    let base = base.as_deref().unwrap_or(ENDPOINT).trim_end_matches('/');
    // A base that was given with the path of some signal is a base all the same.
    let without_path = Signal::ALL.iter().find_map(|signal| base.strip_suffix(signal.path()));
    format!("{}{}", without_path.unwrap_or(base), signal.path())
}

fn milliseconds(text: &str) -> Option<Duration> {
    text.parse::<u64>().ok().filter(|ms| *ms > 0).map(Duration::from_millis)
}

/// `key=value,key=value`, with values as in URLs; and how many entries can't be used.
fn headers(text: &str) -> (HeaderMap, usize) {
    let (mut map, mut unusable) = (HeaderMap::new(), 0);
    for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
        let header = pair.split_once('=').and_then(|(name, value)| {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            Some((name, HeaderValue::from_bytes(&decoded(value.trim())).ok()?))
        });
        match header {
            Some((name, mut value)) => {
                // Often a secret, which logs of the client then leave out.
                value.set_sensitive(true);
                map.insert(name, value);
            }
            None => unusable += 1,
        }
    }
    (map, unusable)
}

fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut out, mut index) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(&byte) = bytes.get(index) {
        let digits = bytes.get(index + 1..index + 3).filter(|_| byte == b'%');
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(code.unwrap_or(byte));
        index += if code.is_some() { 3 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(signal: Signal, by_code: Option<&str>, set: &[(&str, &str)]) -> Variables {
        Variables::read(signal, by_code, |asked| {
            let found = set.iter().find(|(name, _)| *name == asked);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn endpoints_follow_the_specification() {
        const GENERAL: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://general:4318/");
        const TRACES: (&str, &str) = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces/own");
        let traces = |code, set: &[_]| read(Signal::Traces, code, set).endpoint;
        let metrics = |code, set: &[_]| read(Signal::Metrics, code, set).endpoint;
        assert_eq!(traces(None, &[]), "http://localhost:4318/v1/traces");
        assert_eq!(traces(None, &[GENERAL]), "http://general:4318/v1/traces");
        assert_eq!(traces(None, &[GENERAL, TRACES]), "http://traces/own");
        assert_eq!(traces(Some("http://code:1"), &[GENERAL, TRACES]), "http://code:1/v1/traces");
        assert_eq!(traces(Some("http://code:1/v1/traces"), &[]), "http://code:1/v1/traces");
        assert_eq!(metrics(None, &[GENERAL, TRACES]), "http://general:4318/v1/metrics");
        assert_eq!(metrics(Some("http://code:1/v1/traces"), &[]), "http://code:1/v1/metrics");
    }

    #[test]
    fn the_signals_own_variable_comes_first() {
        let set = [
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "500"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "none"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
            ("OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", "/own.pem"),
        ];
        let traces = read(Signal::Traces, None, &set);
        assert_eq!((traces.timeout, traces.gzip), (Duration::from_millis(250), true));
        assert_eq!(traces.files.authorities.unwrap().value, "/ca.pem");
        let metrics = read(Signal::Metrics, None, &set);
        assert_eq!((metrics.timeout, metrics.gzip), (Duration::from_millis(500), false));
        let named = metrics.files.authorities.unwrap();
        assert_eq!(named.variable, "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE");
        assert!(metrics.complaints.is_empty());
    }

    #[test]
    fn what_can_not_be_used_is_named_and_left_out() {
        let names =
            ["TIMEOUT", "COMPRESSION", "PROTOCOL"].map(|n| format!("OTEL_EXPORTER_OTLP_{n}"));
        for (name, value) in names.iter().zip(["soon", "zstd", "grpc"]) {
            let found = read(Signal::Traces, None, &[(name, value)]);
            assert_eq!((found.timeout, found.gzip), (TIMEOUT, false));
            let [complaint] = &found.complaints[..] else { panic!("{found:?}") };
            assert!(complaint.contains(name) && complaint.contains(value), "{complaint}");
        }
        let fine = [("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"), (&names[2], "grpc")];
        assert!(read(Signal::Traces, None, &fine).complaints.is_empty());
    }

    #[test]
    fn headers_are_those_of_the_variable() {
        let (map, unusable) =
            headers("authorization=Bearer%20abc, x-tenant = a%2Cb ,broken,=x,p=100%");
        assert_eq!((map.len(), unusable), (3, 2));
        assert_eq!(map["authorization"], "Bearer abc");
        assert_eq!(map["x-tenant"], "a,b");
        assert_eq!(map["p"], "100%");
        assert!(map["authorization"].is_sensitive());
    }
}
