//! What values of the configuration must be.

use super::ConfigError;

/// Whether it is a URL of http with a host and, if any, a port.
pub(super) fn is_http(url: &str) -> bool {
    is_url(url, &["http"])
}

/// Whether it is a URL of one of these schemes with a host and, if any, a port.
pub(super) fn is_url(url: &str, schemes: &[&str]) -> bool {
    url.parse::<axum::http::Uri>().is_ok_and(|uri| {
        let host = uri.host().is_some_and(|host| !host.is_empty());
        let port = uri.authority().is_some_and(|a| {
            a.as_str().rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_ok())
        });
        uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme)) && host && port
    })
}

/// A bound of nothing would refuse everything.
pub(super) fn at_least_1(flag: &str, bound: Option<usize>) -> Result<Option<usize>, ConfigError> {
    match bound {
        Some(0) => Err(ConfigError::Conflict(format!("--{flag} is 0, which takes nothing in"))),
        bound => Ok(bound),
    }
}
