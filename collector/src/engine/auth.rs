//! Who may send statements.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};
use sha2::{Digest as _, Sha256};

use super::exception::{AUTHENTICATION_FAILED, BAD_ARGUMENTS, Exception, REQUIRED_PASSWORD};

/// What a request says of its sender.
#[derive(Default)]
pub(crate) struct Credentials {
    user: Option<String>,
    password: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Credentials {
    /// From `Authorization: Basic`, or ClickHouse's own headers, which go before it.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self, Exception> {
        let text = |name: &str| {
            headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let mut credentials = Self::default();
        if let Some(value) = text(AUTHORIZATION.as_str()) {
            let (user, password) = basic(&value).ok_or_else(|| {
                Exception::new(BAD_ARGUMENTS, "Only Basic is understood in Authorization")
            })?;
            credentials = Self { user: Some(user), password: Some(password) };
        }
        if let Some(user) = text("x-clickhouse-user") {
            credentials.user = Some(user);
        }
        if let Some(key) = text("x-clickhouse-key") {
            credentials.password = Some(key);
        }
        Ok(credentials)
    }

    pub(crate) fn user(&mut self, user: String) {
        self.user = Some(user);
    }

    pub(crate) fn password(&mut self, password: String) {
        self.password = Some(password);
    }
}

fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    decoded.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

/// The one user of an engine.
pub(crate) struct Gate {
    user: String,
    /// Without a password, `default` is let in with any.
    password: Option<[u8; 32]>,
}

impl Gate {
    pub(crate) fn new(user: &str, password: Option<&str>) -> Self {
        Self {
            user: user.to_owned(),
            password: password.map(|password| Sha256::digest(password).into()),
        }
    }

    pub(crate) fn has_password(&self) -> bool {
        self.password.is_some()
    }

    pub(crate) fn check(&self, credentials: &Credentials) -> Result<(), Exception> {
        let user = credentials.user.as_deref().filter(|user| !user.is_empty());
        let refused = || {
            Exception::new(
                AUTHENTICATION_FAILED,
                format_args!(
                    "{}: Authentication failed: password is incorrect, or there is no user with \
                     such name.",
                    user.unwrap_or("default")
                ),
            )
        };
        let Some(expected) = &self.password else {
            return if user.unwrap_or(&self.user) == self.user { Ok(()) } else { Err(refused()) };
        };
        if user.is_none() && credentials.password.is_none() {
            return Err(Exception::new(
                REQUIRED_PASSWORD,
                "This server needs a user and a password: send X-ClickHouse-User and \
                 X-ClickHouse-Key, or Basic authentication",
            ));
        }
        let given: [u8; 32] =
            Sha256::digest(credentials.password.as_deref().unwrap_or_default()).into();
        // Digests are compared whole, so that the time says nothing of where they differ.
        let difference = given.iter().zip(expected).fold(0, |all, (a, b)| all | (a ^ b));
        let is_user = user.unwrap_or("default") == self.user;
        if std::hint::black_box(difference) == 0 && is_user { Ok(()) } else { Err(refused()) }
    }

    /// A page from elsewhere in the user's browser is no client. Without a password, it is told
    /// apart by what browsers send: where the page is from, and the name it called us by, which
    /// is not ours where a foreign name was pointed at this address (DNS rebinding).
    pub(crate) fn check_browser(&self, headers: &HeaderMap) -> Result<(), Exception> {
        if self.has_password() {
            return Ok(());
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(HOST.as_str()).unwrap_or("localhost");
        let origin = text(ORIGIN.as_str()).and_then(|origin| origin.split_once("://"));
        let foreign = !is_local(host)
            || text(ORIGIN.as_str()).is_some() && !origin.is_some_and(|(_, host)| is_local(host))
            || text("sec-fetch-site") == Some("cross-site");
        if foreign {
            return Err(Exception::new(
                AUTHENTICATION_FAILED,
                "A web page of another site may not use this server: set a password to allow it",
            ));
        }
        Ok(())
    }
}

fn is_local(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials { user: Some(user.into()), password: Some(password.into()) }
    }

    #[test]
    fn without_a_password_default_is_let_in() {
        let gate = Gate::new("default", None);
        assert!(gate.check(&Credentials::default()).is_ok());
        assert!(gate.check(&credentials("default", "anything")).is_ok());
        assert_eq!(gate.check(&credentials("eve", "")).unwrap_err().code, 516);
    }

    #[test]
    fn with_a_password_only_its_user_is() {
        let gate = Gate::new("holdup", Some("secret"));
        assert!(gate.check(&credentials("holdup", "secret")).is_ok());
        assert_eq!(gate.check(&Credentials::default()).unwrap_err().code, 194);
        for (user, password) in [("holdup", ""), ("holdup", "secret "), ("default", "secret")] {
            assert_eq!(gate.check(&credentials(user, password)).unwrap_err().code, 516);
        }
    }

    #[test]
    fn basic_authentication_is_read() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, "Basic aG9sZHVwOnNlOmNyZXQ=".parse().unwrap());
        let gate = Gate::new("holdup", Some("se:cret"));
        assert!(gate.check(&Credentials::from_headers(&headers).unwrap()).is_ok());
        headers.insert(AUTHORIZATION, "Bearer x".parse().unwrap());
        assert!(Credentials::from_headers(&headers).is_err());
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let gate = Gate::new("default", None);
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "127.0.0.1:8123".parse().unwrap());
        assert!(gate.check_browser(&headers).is_ok());
        headers.insert(ORIGIN, "http://localhost:3000".parse().unwrap());
        assert!(gate.check_browser(&headers).is_ok());
        headers.insert(ORIGIN, "https://evil.example".parse().unwrap());
        assert!(gate.check_browser(&headers).is_err());
        headers.remove(ORIGIN);
        headers.insert(HOST, "evil.example:8123".parse().unwrap());
        assert!(gate.check_browser(&headers).is_err());
        assert!(Gate::new("default", Some("x")).check_browser(&headers).is_ok());
    }
}
