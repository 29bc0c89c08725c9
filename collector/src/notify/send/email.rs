//! Mail, by SMTP.

use std::time::Duration;

use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParametersBuilder};
use lettre::transport::smtp::{self, AsyncSmtpTransport};
use lettre::{AsyncTransport, Tokio1Executor};
use sha2::{Digest, Sha256};

use super::{Delivery, detail};
use crate::notify::dispatch::Notification;
use crate::notify::message;
use crate::notify::queue::Retry;
use crate::notify::secret::{Secret, SecretFile};
use crate::notify::settings::{Email, Encryption};

/// A mail server may look at a message for long before it takes it.
const MAIL_TIME_MAX: Duration = Duration::from_secs(60);
const STEP_TIME_MAX: Duration = Duration::from_secs(20);
const SUBJECT_CHARS_MAX: usize = 200;
/// Alerts that are told in full.
const ALERTS_SHOWN: usize = 20;

/// That no vacation message is to answer: RFC 3834.
#[derive(Clone, Debug)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".into())
    }
}

fn message(
    settings: &Email,
    to: &[&Mailbox],
    notification: &Notification,
    external_url: &str,
) -> Result<Message, lettre::error::Error> {
    let subject = message::cut(&message::title(notification), SUBJECT_CHARS_MAX);
    let group = &notification.group;
    let hash = Sha256::digest(format!("{}\n{}", group.receiver, group.key).as_bytes());
    let hex: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    // What is told of one group stands together.
    let thread = format!("<{hex}@holdup>");
    let mut builder = Message::builder()
        .from(settings.from.0.clone())
        .subject(subject)
        .references(thread)
        .message_id(None)
        .date(notification.at)
        .header(AutoSubmitted)
        .header(ContentType::TEXT_PLAIN);
    for mailbox in to {
        builder = builder.to((*mailbox).clone());
    }
    builder.body(message::plain(notification, external_url, ALERTS_SHOWN))
}

/// A connection is made for each message: there are few, and none is found dead.
fn transport(
    settings: &Email,
    password: Option<&str>,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let port = settings.port.unwrap_or(match settings.tls {
        Encryption::Starttls => 587,
        Encryption::Tls => 465,
        Encryption::None => 25,
    });
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
        .port(port)
        .timeout(Some(STEP_TIME_MAX));
    if settings.tls != Encryption::None {
        let mut parameters = TlsParametersBuilder::new(settings.host.clone());
        if let Some(path) = &settings.ca_file {
            let wrong = |error: &dyn std::fmt::Display| {
                format!("cannot use the certificates in {}: {error}", path.display())
            };
            let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
            let certificate = Certificate::from_pem(&pem).map_err(|error| wrong(&error))?;
            parameters = parameters.add_root_certificate(certificate);
        }
        let parameters = parameters.build_rustls().map_err(|error| error.to_string())?;
        builder = builder.tls(match settings.tls {
            Encryption::Tls => Tls::Wrapper(parameters),
            _ => Tls::Required(parameters),
        });
    }
    if let (Some(user), Some(password)) = (&settings.username, password) {
        builder = builder.credentials(Credentials::new(user.clone(), password.to_owned()));
    }
    Ok(builder.build())
}

/// Sends it to all; where the server refuses, to each alone, so that one address that is gone keeps
/// nobody else from being told.
pub(super) async fn send(
    settings: &Email,
    notification: &Notification,
    external_url: &str,
) -> Delivery {
    let password = match settings.password_file.as_ref().map(SecretFile::read).transpose() {
        Ok(password) => password,
        Err(error) => return Delivery::Again(error.to_string(), Retry::Receiver(None)),
    };
    let secrets: Vec<&str> = password.iter().map(Secret::expose).collect();
    let transport = match transport(settings, secrets.first().copied()) {
        Ok(transport) => transport,
        Err(reason) => return Delivery::Again(reason, Retry::Receiver(None)),
    };
    let all: Vec<&Mailbox> = settings.to.iter().map(|it| &it.0).collect();
    let once = async |to: &[&Mailbox]| match message(settings, to, notification, external_url) {
        Ok(message) => post(&transport, message, &secrets).await,
        Err(error) => Delivery::Refused(error.to_string()),
    };
    let whole = once(&all).await;
    if !matches!(whole, Delivery::Refused(_)) || all.len() == 1 {
        return whole;
    }
    let mut taken = 0;
    let mut last = whole;
    for mailbox in &all {
        match once(&[*mailbox]).await {
            Delivery::Taken(_) => taken += 1,
            other => last = other,
        }
    }
    match (taken, last) {
        (0, last) => last,
        (taken, Delivery::Refused(text) | Delivery::Again(text, _) | Delivery::Taken(text)) => {
            Delivery::Taken(format!("by {taken} of {}; another: {text}", all.len()))
        }
    }
}

async fn post(
    transport: &AsyncSmtpTransport<Tokio1Executor>,
    message: Message,
    secrets: &[&str],
) -> Delivery {
    let sent = tokio::time::timeout(MAIL_TIME_MAX, transport.send(message)).await;
    let error = match sent {
        Err(_late) => {
            let reason = "the mail server did not answer in time".to_owned();
            return Delivery::Again(reason, Retry::Receiver(None));
        }
        Ok(Ok(answer)) => {
            let text = answer.first_line().unwrap_or_default().to_owned();
            return Delivery::Taken(detail(&format!("{} {text}", answer.code()), secrets));
        }
        Ok(Err(error)) => error,
    };
    let text = detail(&with_causes(&error), secrets);
    let code = error.status().map(u16::from);
    match code {
        // To be said who one is, or the password: it can be put right without a restart.
        Some(530 | 534 | 535 | 538) | None => Delivery::Again(text, Retry::Receiver(None)),
        Some(500..) => Delivery::Refused(text),
        Some(_) => Delivery::Again(text, Retry::Notification),
    }
}

fn with_causes(error: &smtp::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::message::hostile;

    #[test]
    fn whatever_an_alert_says_it_adds_no_header_and_lines_are_within_bounds() {
        let settings: Email = toml::from_str(
            "host = 'h'\nfrom = 'Holdup <a@example.com>'\nto = ['b@example.com', 'c@example.com']",
        )
        .unwrap();
        let mut notification = hostile(30);
        let summary = "x\r\nBcc: all@example.com\r\n\r\nbody".repeat(50);
        notification.alerts.truncate(1);
        notification.alerts[0].annotations.insert("summary".into(), summary);
        let to: Vec<&Mailbox> = settings.to.iter().map(|it| &it.0).collect();
        let mail = message(&settings, &to, &notification, "https://h.example").unwrap();
        let text = String::from_utf8(mail.formatted()).unwrap();
        assert!(text.lines().all(|line| line.len() <= 998), "RFC 5322");
        let (head, _body) = text.split_once("\r\n\r\n").unwrap();
        assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        assert!(head.contains("To: b@example.com, c@example.com"), "{head}");
    }
}
