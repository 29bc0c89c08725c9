//! Asks a running collector over its API: the one place where such a request is made.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use form_urlencoded::Serializer;
use reqwest::blocking::{Client, RequestBuilder};
use serde_json::Value;

use super::bearer::Bearer;
use super::text::plain;
use crate::clock::now_ns;

/// How long an answer may take: ClickHouse has 30 s for it.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longer answers are refused.
const BYTES_MAX: u64 = 128 << 20;
/// What a refusal that is no JSON may say.
const REFUSAL_BYTES_MAX: usize = 300;

/// Where the collector is.
#[derive(Args, Clone, Debug)]
pub(crate) struct Address {
    /// The collector's page
    #[arg(long, env = "HOLDUP_PAGE", value_name = "URL", default_value = "http://127.0.0.1:4380")]
    pub(super) page: String,
    #[command(flatten)]
    pub(super) bearer: Bearer,
}

/// Of which services.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Choice {
    /// Only this service; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(super) service: Vec<String>,
    /// Only this environment; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(super) environment: Vec<String>,
    /// Only this version of services; may be given several times
    #[arg(long, value_name = "VERSION")]
    pub(super) service_version: Vec<String>,
    /// Only this service instance; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(super) instance: Vec<String>,
}

/// One question, as parameters of an address.
pub(super) struct Question {
    form: Serializer<'static, String>,
}

impl Question {
    /// Of the last `since`, as far as the choice goes.
    pub(super) fn since(since: Duration, choice: &Choice) -> Self {
        let to_ms = now_ns() / 1_000_000;
        let since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        Self::between(to_ms.saturating_sub(since_ms), to_ms, choice)
    }

    /// Of a range, unix ms.
    pub(super) fn between(from_ms: u64, to_ms: u64, choice: &Choice) -> Self {
        let form = Serializer::new(String::new());
        let mut question = Self { form }.with("from", &from_ms).with("to", &to_ms);
        for (key, names) in [
            ("service", &choice.service),
            ("environment", &choice.environment),
            ("version", &choice.service_version),
            ("instance", &choice.instance),
        ] {
            for name in names {
                question = question.with(key, name);
            }
        }
        question
    }

    /// With one more parameter.
    pub(super) fn with(mut self, key: &str, value: &(impl ToString + ?Sized)) -> Self {
        self.form.append_pair(key, &value.to_string());
        self
    }
}

/// A collector that can be asked.
#[derive(Clone, Debug)]
pub(super) struct Collector {
    client: Client,
    base: String,
    bearer: Bearer,
}

impl Collector {
    pub(super) fn at(address: &Address) -> anyhow::Result<Self> {
        let base = address.page.trim_end_matches('/').to_owned();
        let bearer = address.bearer.clone();
        Ok(Self { client: bearer.client(&base, PATIENCE)?, base, bearer })
    }

    /// What every request has.
    fn request(&self, path: &str) -> anyhow::Result<RequestBuilder> {
        self.bearer.sign(self.client.get(format!("{}/api/v1/{path}", self.base)))
    }

    /// The rows of a panel.
    pub(super) fn rows(&self, panel: &str, question: Question) -> anyhow::Result<Vec<Value>> {
        let body = self.panel(panel, question)?;
        let answer: Value = serde_json::from_slice(&body)
            .with_context(|| format!("{} is no holdup: its answer is no JSON", self.base))?;
        match answer {
            Value::Object(mut fields) => match fields.remove("data") {
                Some(Value::Array(rows)) => Ok(rows),
                _ => bail!("{} is no holdup: its answer has no rows", self.base),
            },
            _ => bail!("{} is no holdup: its answer has no rows", self.base),
        }
    }

    /// The answer of a panel as it comes.
    pub(super) fn panel(&self, panel: &str, mut question: Question) -> anyhow::Result<Vec<u8>> {
        self.get(&format!("query/{panel}?{}", question.form.finish()))
    }

    fn get(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let base = &self.base;
        let response = self.request(path)?.send().with_context(|| {
            format!("no collector answers at {base}: start `holdup serve`, or correct --page")
        })?;
        let status = response.status();
        let mut body = Vec::new();
        response
            .take(BYTES_MAX + 1)
            .read_to_end(&mut body)
            .with_context(|| format!("{base} broke off its answer"))?;
        if body.len() as u64 > BYTES_MAX {
            bail!("the answer is longer than {} MiB: ask for less", BYTES_MAX >> 20);
        }
        if !status.is_success() {
            bail!("{}", refusal(base, status.as_u16(), &body));
        }
        Ok(body)
    }
}

/// What the collector says, or something else that answers at its address.
fn refusal(base: &str, status: u16, body: &[u8]) -> String {
    let told: Option<Value> = serde_json::from_slice(body).ok();
    if let Some(message) = told.as_ref().and_then(|told| told.pointer("/error/message")?.as_str()) {
        return plain(message);
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(REFUSAL_BYTES_MAX)]).into_owned();
    let said = text.lines().next().unwrap_or_default();
    format!("{base} answered {status}: {}", plain(said))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Choice, Question, refusal};

    #[test]
    fn a_question_names_what_was_chosen() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let choice = Choice {
            service: names(&["a b", "c"]),
            service_version: names(&["1"]),
            ..Choice::default()
        };
        let mut asked = Question::between(1, 9, &choice).with("function", "x::y");
        let expected = "from=1&to=9&service=a+b&service=c&version=1&function=x%3A%3Ay";
        assert_eq!(asked.form.finish(), expected);
        let mut ages = Question::since(Duration::MAX, &Choice::default());
        assert!(ages.form.finish().starts_with("from=0&to="));
    }

    #[test]
    fn a_refusal_is_told_whoever_refuses() {
        let holdup = refusal("http://a", 400, br#"{"error": {"message": "no \u001b[2J"}}"#);
        assert_eq!(holdup, "no \u{fffd}[2J");
        let proxy = refusal("http://a", 403, b"go\x07 away\n<html>");
        assert_eq!(proxy, "http://a answered 403: go\u{fffd} away");
    }
}
