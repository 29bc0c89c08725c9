//! Where receivers are reached, for whoever wants to try.

use axum::http::Uri;

use super::secret::SecretError;
use super::settings::{Encryption, Receiver, Way, WebhookUrl};

/// What has to be there for a receiver to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reached {
    /// A server, by name and port.
    Server(String, u16),
    /// A program.
    Program(String),
}

impl Receiver {
    /// All that has to be there.
    pub(crate) fn reached_at(&self) -> Result<Vec<Reached>, SecretError> {
        Ok(match &self.way {
            Way::Alertmanager(it) => {
                it.urls.iter().filter_map(|url| of_url(url.as_str())).collect()
            }
            Way::Pagerduty(it) => of_url(it.url.as_str()).into_iter().collect(),
            Way::Slack(it) => of_url(it.url_file.read()?.expose()).into_iter().collect(),
            Way::Webhook(it) => match &it.url {
                WebhookUrl::Known(url) => of_url(url.as_str()).into_iter().collect(),
                WebhookUrl::Secret(file) => of_url(file.read()?.expose()).into_iter().collect(),
            },
            Way::Email(it) => {
                let usual = match it.tls {
                    Encryption::Starttls => 587,
                    Encryption::Tls => 465,
                    Encryption::None => 25,
                };
                vec![Reached::Server(it.host.clone(), it.port.unwrap_or(usual))]
            }
            Way::Command(it) => {
                it.argv.first().cloned().map(Reached::Program).into_iter().collect()
            }
        })
    }
}

fn of_url(url: &str) -> Option<Reached> {
    let uri = url.trim().parse::<Uri>().ok()?;
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let host = uri.host()?.trim_matches(['[', ']']).to_owned();
    Some(Reached::Server(host, uri.port_u16().unwrap_or(usual)))
}

#[cfg(test)]
mod tests {
    use super::{Reached, of_url};

    #[test]
    fn an_address_without_a_port_has_the_usual_one() {
        for (url, host, port) in [
            ("https://hooks.example/a/b", "hooks.example", 443),
            ("http://am:9093\n", "am", 9093),
            ("http://[::1]/x", "::1", 80),
        ] {
            assert_eq!(of_url(url), Some(Reached::Server(host.to_owned(), port)));
        }
    }
}
