//! What the configuration file says of receivers, routes and times without notifications.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use axum::http::Uri;
use serde::Deserialize;

use super::Alert;
use super::route::{Route, RouteKeys};
use super::secret::{SecretError, SecretFile};
use super::window::{Maintenance, Silence, Window};

/// The part of the file that is about notifications.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    /// `[[receivers]]`
    pub(crate) receivers: Vec<Receiver>,
    /// `[route]`
    pub(crate) route: Option<RouteKeys>,
    /// `[[silences]]`
    pub(crate) silences: Vec<Silence>,
    /// `[[maintenance]]`
    pub(crate) maintenance: Vec<Maintenance>,
    /// `trace_url`
    pub(crate) trace_url: Option<String>,
}

/// Who is told of what, and when not.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Each by its own name.
    pub(crate) receivers: Vec<Receiver>,
    /// Where alerts go; none where there are no receivers.
    pub(crate) route: Option<Route>,
    /// Silences and maintenance.
    pub(crate) windows: Vec<Window>,
    /// Base address of the page, as people reach it.
    pub(crate) external_url: String,
    /// Where a trace is shown, with `{trace_id}` in its place.
    pub(crate) trace_url: Option<String>,
    /// How often Alertmanager is told again of what fires, as Prometheus does.
    pub(crate) resend: Duration,
    /// The longest time between two calls of `Notifier::update`.
    pub(crate) update_interval_max: Duration,
}

/// What stands for a trace's id.
const TRACE_ID: &str = "{trace_id}";
/// Receivers of one configuration.
const RECEIVERS_MAX: usize = 100;
/// Silences and maintenance windows of one configuration.
const WINDOWS_MAX: usize = 1_000;

impl Settings {
    /// # Errors
    ///
    /// Where the parts don't go together: in one line, with what to write instead.
    pub(crate) fn new(keys: Keys, external_url: String) -> Result<Self, String> {
        let Keys { receivers, route, silences, maintenance, trace_url } = keys;
        if trace_url.as_ref().is_some_and(|url| !url.contains(TRACE_ID)) {
            return Err(format!("`trace_url` has no {TRACE_ID}, where a trace's id is put"));
        }
        if receivers.len() > RECEIVERS_MAX {
            return Err(format!("{} receivers, {RECEIVERS_MAX} at most", receivers.len()));
        }
        let mut names: Vec<&str> = receivers.iter().map(|it| it.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("two receivers have the name {:?}: rename one", pair[0]));
        }
        let route = match (route, receivers.as_slice()) {
            (None, []) => None,
            (None, [only]) => Some(RouteKeys::to(&only.name).resolve(&names)?),
            (None, _) => {
                return Err("several receivers and no [route] that says who is told of what: add \
                            one with `receiver` and, below it, [[route.routes]]"
                    .into());
            }
            (Some(route), _) => Some(route.resolve(&names)?),
        };
        let windows: Vec<Window> = silences.into_iter().map(|it| it.0).collect::<Vec<_>>();
        let windows: Vec<Window> =
            windows.into_iter().chain(maintenance.into_iter().map(|it| it.0)).collect();
        if windows.len() > WINDOWS_MAX {
            return Err(format!(
                "{} silences and maintenance windows, {WINDOWS_MAX} at most: delete what is over",
                windows.len()
            ));
        }
        let minute = Duration::from_secs(60);
        Ok(Self {
            receivers,
            route,
            windows,
            external_url,
            trace_url,
            resend: minute,
            update_interval_max: minute,
        })
    }

    /// Adds a link to the trace, where there is one to show.
    pub(super) fn link_trace(&self, alert: &mut Alert) {
        let Some(template) = &self.trace_url else { return };
        let id = alert.annotations.get("trace_id").map(|id| id.trim()).unwrap_or_default();
        if id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            let url = template.replace(TRACE_ID, &id.to_ascii_lowercase());
            alert.annotations.entry("trace_url".into()).or_insert(url);
        }
    }

    /// Until when, by whom and why an alert with these labels is told to nobody, if it is not.
    pub(crate) fn silence(
        &self,
        labels: &BTreeMap<String, String>,
        now: SystemTime,
    ) -> Option<String> {
        let muting = self.windows.iter().filter(|window| window.mutes(labels, now));
        muting.max_by_key(|window| window.ends(now)).map(|window| window.says(now))
    }

    /// Reads every secret once, so that a wrong path is told at the start and not at night.
    pub(crate) fn check_secrets(&self) -> Result<(), SecretError> {
        self.receivers.iter().try_for_each(Receiver::check_secrets)
    }
}

/// Somebody who is told, and the way.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "ReceiverKeys")]
pub(crate) struct Receiver {
    pub(crate) name: String,
    /// Whether it is told that an alert is over.
    pub(crate) send_resolved: bool,
    pub(crate) way: Way,
}

/// The way to a receiver.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    Alertmanager(Alertmanager),
    Pagerduty(Pagerduty),
    Slack(Slack),
    Webhook(Webhook),
    Email(Box<Email>),
    Command(Command),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiverKeys {
    name: String,
    send_resolved: Option<bool>,
    alertmanager: Option<Alertmanager>,
    pagerduty: Option<Pagerduty>,
    slack: Option<Slack>,
    webhook: Option<Webhook>,
    email: Option<Box<Email>>,
    command: Option<Command>,
}

/// Several Alertmanagers that know of each other: each is told everything.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alertmanager {
    pub(crate) urls: Vec<Url>,
    #[serde(default)]
    pub(crate) http: Http,
}

/// `PagerDuty`'s Events API v2.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pagerduty {
    pub(crate) routing_key_file: SecretFile,
    /// `https://events.eu.pagerduty.com/v2/enqueue` for accounts in Europe.
    #[serde(default = "Pagerduty::enqueue")]
    pub(crate) url: Url,
    #[serde(default)]
    pub(crate) http: Http,
}

impl Pagerduty {
    fn enqueue() -> Url {
        Url("https://events.pagerduty.com/v2/enqueue".into())
    }
}

/// Slack's incoming webhook: its address is the secret.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Slack {
    pub(crate) url_file: SecretFile,
    #[serde(default)]
    pub(crate) http: Http,
}

/// Anything that takes Alertmanager's webhook.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "WebhookKeys")]
pub(crate) struct Webhook {
    pub(crate) url: WebhookUrl,
    pub(crate) http: Http,
}

/// An address that is in the configuration, or secret.
#[derive(Clone, Debug)]
pub(crate) enum WebhookUrl {
    Known(Url),
    Secret(SecretFile),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookKeys {
    url: Option<Url>,
    url_file: Option<SecretFile>,
    #[serde(default)]
    http: Http,
}

/// How a server is reached over HTTP.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) bearer_token_file: Option<SecretFile>,
    pub(crate) username: Option<String>,
    pub(crate) password_file: Option<SecretFile>,
    /// Certificates (PEM) that are trusted beside those of the system.
    pub(crate) ca_file: Option<PathBuf>,
}

/// A server that takes mail.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Email {
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    #[serde(default)]
    pub(crate) tls: Encryption,
    pub(crate) from: Mailbox,
    pub(crate) to: Vec<Mailbox>,
    pub(crate) username: Option<String>,
    pub(crate) password_file: Option<SecretFile>,
    /// Certificates (PEM) that are trusted beside those of the system.
    pub(crate) ca_file: Option<PathBuf>,
}

/// How the way to a mail server is kept secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encryption {
    /// From plain text, by STARTTLS; without it nothing is sent. Port 587.
    #[default]
    Starttls,
    /// From the start. Port 465.
    Tls,
    /// Not at all. Port 25.
    None,
}

/// `name@example.com`, or `Name <name@example.com>`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Mailbox(pub(crate) lettre::message::Mailbox);

impl TryFrom<String> for Mailbox {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = |_error| format!("{text:?} is no address: write name@example.com");
        text.parse().map(Self).map_err(wrong)
    }
}

/// A program that is told on its stdin.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Command {
    pub(crate) argv: Vec<String>,
    /// How long it may run.
    #[serde(default = "Command::half_a_minute", with = "humantime_serde")]
    pub(crate) timeout: Duration,
}

impl Command {
    fn half_a_minute() -> Duration {
        Duration::from_secs(30)
    }
}

/// An address over HTTP without secrets in it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Url(String);

impl Url {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Url {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let uri = text.parse::<Uri>().ok();
        let authority = uri.as_ref().and_then(|uri| uri.authority());
        let Some(authority) = authority.filter(|it| !it.host().is_empty()) else {
            return Err(format!("{text:?} is no address: it begins with https:// or http://"));
        };
        // What follows an `@` is the host; before it stands what must not be shown.
        if authority.as_str().contains('@') {
            return Err("an address has a user or password in it: write `http = { username = \
                        \"…\", password_file = \"…\" }`"
                .into());
        }
        match uri.as_ref().and_then(|uri| uri.scheme_str()) {
            Some("http" | "https") => Ok(Self(text)),
            _ => Err(format!("{text:?} is no address: it begins with https:// or http://")),
        }
    }
}

impl TryFrom<WebhookKeys> for Webhook {
    type Error = &'static str;

    fn try_from(keys: WebhookKeys) -> Result<Self, &'static str> {
        let url = match (keys.url, keys.url_file) {
            (Some(url), None) => WebhookUrl::Known(url),
            (None, Some(file)) => WebhookUrl::Secret(file),
            _ => return Err("a webhook needs one of `url` and `url_file`"),
        };
        Ok(Self { url, http: keys.http })
    }
}

impl TryFrom<ReceiverKeys> for Receiver {
    type Error = String;

    fn try_from(keys: ReceiverKeys) -> Result<Self, String> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if keys.name.is_empty() || keys.name.len() > 64 || !keys.name.chars().all(is_plain) {
            return Err(format!(
                "a receiver's name has 1 to 64 letters, digits, `_`, `.` or `-`, not {:?}",
                keys.name.chars().take(80).collect::<String>()
            ));
        }
        let mut ways = [
            keys.alertmanager.map(Way::Alertmanager),
            keys.pagerduty.map(Way::Pagerduty),
            keys.slack.map(Way::Slack),
            keys.webhook.map(Way::Webhook),
            keys.email.map(Way::Email),
            keys.command.map(Way::Command),
        ]
        .into_iter()
        .flatten();
        let (Some(way), None) = (ways.next(), ways.next()) else {
            return Err(format!(
                "receiver {:?} needs one of alertmanager, pagerduty, slack, webhook, email and \
                 command: for two, write two receivers",
                keys.name
            ));
        };
        way.check().map_err(|reason| format!("receiver {:?}: {reason}", keys.name))?;
        Ok(Self { name: keys.name, send_resolved: keys.send_resolved.unwrap_or(true), way })
    }
}

impl Way {
    /// Its name in the configuration.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Alertmanager(_) => "alertmanager",
            Self::Pagerduty(_) => "pagerduty",
            Self::Slack(_) => "slack",
            Self::Webhook(_) => "webhook",
            Self::Email(_) => "email",
            Self::Command(_) => "command",
        }
    }

    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Alertmanager(it) if it.urls.is_empty() => Err("`urls` is empty"),
            Self::Alertmanager(it) => it.http.check(),
            Self::Pagerduty(it) => it.http.check(),
            Self::Slack(it) => it.http.check(),
            Self::Webhook(it) => it.http.check(),
            Self::Email(it) if it.to.is_empty() => Err("`to` is empty"),
            Self::Email(it) if it.username.is_some() != it.password_file.is_some() => {
                Err("`username` and `password_file` go together")
            }
            Self::Email(it) if it.tls == Encryption::None && it.username.is_some() => {
                Err("a password over a connection without TLS could be read by all: set `tls`")
            }
            Self::Email(_) => Ok(()),
            Self::Command(it) if it.argv.first().is_none_or(String::is_empty) => {
                Err("`argv` names no program")
            }
            Self::Command(it) if it.timeout.is_zero() || it.timeout > COMMAND_TIME_MAX => {
                Err("`timeout` is between 1ms and 10m")
            }
            Self::Command(_) => Ok(()),
        }
    }
}

/// The longest time of a command: it keeps others of its receiver waiting.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(600);

impl Http {
    fn check(&self) -> Result<(), &'static str> {
        if self.username.is_some() != self.password_file.is_some() {
            return Err("`username` and `password_file` go together");
        }
        if self.username.is_some() && self.bearer_token_file.is_some() {
            return Err("`bearer_token_file` and `username` are two ways for the same: keep one");
        }
        Ok(())
    }

    fn secrets(&self) -> impl Iterator<Item = &SecretFile> {
        self.bearer_token_file.iter().chain(&self.password_file)
    }
}

impl Receiver {
    /// Reads each of its secrets once.
    pub(crate) fn check_secrets(&self) -> Result<(), SecretError> {
        self.secrets().into_iter().try_for_each(|file| file.read().map(drop))
    }

    fn secrets(&self) -> Vec<&SecretFile> {
        match &self.way {
            Way::Alertmanager(it) => it.http.secrets().collect(),
            Way::Pagerduty(it) => it.http.secrets().chain([&it.routing_key_file]).collect(),
            Way::Slack(it) => it.http.secrets().chain([&it.url_file]).collect(),
            Way::Webhook(it) => {
                let url = match &it.url {
                    WebhookUrl::Known(_) => None,
                    WebhookUrl::Secret(file) => Some(file),
                };
                it.http.secrets().chain(url).collect()
            }
            Way::Email(it) => it.password_file.iter().collect(),
            Way::Command(_) => Vec::new(),
        }
    }
}
