//! Who may do what: tokens, what each is for, and the sessions of browsers that showed one.
//!
//! Without a tokens file everybody may do everything, which is for loopback.

mod counters;
mod failures;
mod role;
mod secret;
mod sessions;
mod tokens;

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE};

pub(crate) use counters::Counters;
pub(crate) use role::Role;
pub(crate) use secret::{digest, hex, new_token};
pub(crate) use sessions::{AGE_MAX as SESSION_AGE_MAX, COOKIE as SESSION_COOKIE};
pub(crate) use tokens::{File, Tokens};

use failures::Failures;
use sessions::Sessions;
use tokens::Token;

/// What HTTP's `WWW-Authenticate` asks for.
pub(crate) const CHALLENGE: &str = "Bearer realm=\"holdup\"";

/// What is held against each request.
#[derive(Debug)]
pub(crate) struct Access {
    /// `None` where everybody may do everything.
    tokens: Option<RwLock<Arc<Tokens>>>,
    sessions: Sessions,
    failures: Failures,
    counters: Counters,
}

/// What whoever asks may do.
#[derive(Clone, Debug)]
pub(crate) struct Grant(Option<Arc<Token>>);

impl Grant {
    /// Whether spans of this service may be sent.
    pub(crate) fn may_send_of(&self, service: &str) -> bool {
        self.0.as_ref().is_none_or(|token| token.may_send_of(service))
    }

    /// Whether there are services that may not be sent.
    pub(crate) fn is_limited(&self) -> bool {
        self.0.as_ref().is_some_and(|token| token.is_limited())
    }

    /// The token's name; empty where none is needed.
    pub(crate) fn name(&self) -> &str {
        self.0.as_ref().map_or("", |token| token.name())
    }
}

/// Why a request is not let in. None of them tells what is in the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Nothing was shown.
    #[error(
        "a token is needed: send the header `authorization: Bearer TOKEN` (OTLP clients: \
         OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20TOKEN); `holdup token new` makes one"
    )]
    Missing,
    /// It is not, or no longer, in the file.
    #[error("this token is not known here: correct it, or have a new one made")]
    Unknown,
    /// It is for something else.
    #[error("the token {name:?} may not do this: it needs the role `{role}` in the tokens file")]
    Role {
        /// Whose.
        name: String,
        /// What it would need.
        role: Role,
    },
    /// It is for other services.
    #[error(
        "the token {name:?} may not send of the service {service:?}: add it to `services` in the \
         tokens file"
    )]
    Service {
        /// Whose.
        name: String,
        /// The first that it may not send of.
        service: String,
    },
    /// It is for some services, and this tells of none that can be seen.
    #[error("the token {name:?} is for some services only: send logs as protobuf, not as JSON")]
    Unseen {
        /// Whose.
        name: String,
    },
}

impl Refusal {
    /// Whether another token is the answer, rather than another right of this one.
    pub(crate) fn is_of_identity(&self) -> bool {
        matches!(self, Self::Missing | Self::Unknown)
    }

    fn counted_as(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unknown => "unknown",
            Self::Role { .. } => "role",
            Self::Service { .. } | Self::Unseen { .. } => "service",
        }
    }
}

impl Access {
    /// With these tokens; without any file, everybody may do everything.
    pub(crate) fn new(tokens: Option<Tokens>, counters: Counters) -> Self {
        counters.known.set(count(tokens.as_ref()));
        Self {
            tokens: tokens.map(|tokens| RwLock::new(Arc::new(tokens))),
            sessions: Sessions::default(),
            failures: Failures::default(),
            counters,
        }
    }

    /// Whether tokens are needed.
    pub(crate) fn is_closed(&self) -> bool {
        self.tokens.is_some()
    }

    /// Goes on with these. Whether any are needed is settled at the start.
    pub(crate) fn replace(&self, tokens: Tokens) {
        if let Some(known) = &self.tokens {
            self.counters.known.set(count(Some(&tokens)));
            *known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
        }
    }

    fn tokens(&self) -> Option<Arc<Tokens>> {
        let tokens = self.tokens.as_ref()?.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&tokens))
    }

    /// What a request with these headers may do, if it may do what the role is for.
    pub(crate) fn judge(&self, headers: &HeaderMap, role: Role) -> Result<Grant, Refusal> {
        let Some(tokens) = self.tokens() else { return Ok(Grant(None)) };
        let token = match (bearer(headers), session(headers)) {
            (Some(shown), _) => tokens.find(shown).ok_or(Refusal::Unknown)?,
            (None, Some(session)) => {
                let of_token = self.sessions.find(session).ok_or(Refusal::Missing)?;
                tokens.by_digest(&of_token).ok_or(Refusal::Missing)?
            }
            (None, None) => return Err(Refusal::Missing),
        };
        if token.has(role) {
            return Ok(Grant(Some(token)));
        }
        Err(Refusal::Role { name: token.name().to_owned(), role })
    }

    /// A session for a browser that showed this token, as its cookie's value. `None` where the token
    /// is not one that may read.
    pub(crate) fn log_in(&self, shown: &str) -> Option<String> {
        let token = self.tokens()?.find(shown)?;
        if !token.has(Role::Read) {
            return None;
        }
        self.sessions.begin(token.digest())
    }

    /// Ends the session that these headers name, if any.
    pub(crate) fn log_out(&self, headers: &HeaderMap) {
        if let Some(session) = session(headers) {
            self.sessions.end(session);
        }
    }

    /// Whether whoever is at this address showed so many wrong tokens that it has to wait.
    pub(crate) fn must_wait(&self, address: Option<IpAddr>) -> bool {
        self.failures.must_wait(address)
    }

    /// A request was not let in.
    pub(crate) fn refused(&self, listener: &str, address: Option<IpAddr>, refusal: &Refusal) {
        self.counters.refused(listener, refusal.counted_as());
        if *refusal == Refusal::Unknown {
            self.failures.count(address);
        }
        if let Some(unsaid) = self.failures.worth_a_line() {
            let from = address.map(|address| address.to_string()).unwrap_or_default();
            tracing::warn!(listener, from, unsaid, "a request was not let in: {refusal}");
        }
    }
}

fn count(tokens: Option<&Tokens>) -> i64 {
    tokens.map_or(0, |tokens| i64::try_from(tokens.len()).unwrap_or(i64::MAX))
}

/// The token of the header `authorization`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?;
    // What is no text is a token that nobody has.
    let (scheme, token) = value.to_str().unwrap_or("bearer ?").split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The session of the cookie, in however many headers cookies come.
fn session(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|all| all.split(';')).find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == SESSION_COOKIE).then_some(value)
    })
}

#[cfg(test)]
mod tests;
