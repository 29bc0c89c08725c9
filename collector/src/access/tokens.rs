//! The tokens file: each token's name, what is kept of it, and what it is for.

use std::sync::Arc;

use glob::Pattern;
use serde::Deserialize;
use subtle::ConstantTimeEq;
use toml::Spanned;

use super::Role;
use super::secret::{Kept, digest, of_hex};

/// How many there may be: each request is held against all of them.
const TOKENS_MAX: usize = 1_000;
/// The longest name, characters.
const NAME_MAX: usize = 100;
/// Patterns of services that one token may have.
const SERVICES_MAX: usize = 1_000;
/// What is shorter can be guessed; nothing that was made for this is longer. Bytes.
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 32..=256;

/// What an entry of the file looks like.
const SHAPE: &str = "[[tokens]] has name, sha256, roles, services";

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    #[serde(default)]
    tokens: Vec<Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    sha256: String,
    #[serde(default = "ingest")]
    roles: Vec<Role>,
    #[serde(default)]
    services: Vec<String>,
}

fn ingest() -> Vec<Role> {
    vec![Role::Ingest]
}

/// One token.
#[derive(Debug)]
pub(super) struct Token {
    name: String,
    digest: Kept,
    roles: Vec<Role>,
    /// Empty for all.
    services: Vec<Pattern>,
}

impl Token {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn digest(&self) -> Kept {
        self.digest
    }

    pub(super) fn has(&self, role: Role) -> bool {
        self.roles.iter().any(|it| it.gives(role))
    }

    pub(super) fn is_limited(&self) -> bool {
        !self.services.is_empty()
    }

    pub(super) fn may_send_of(&self, service: &str) -> bool {
        !self.is_limited() || self.services.iter().any(|pattern| pattern.matches(service))
    }
}

/// All tokens of the file.
#[derive(Clone, Debug)]
pub(crate) struct Tokens(Vec<Arc<Token>>);

impl Tokens {
    /// Those of the file, or where in it something is wrong, in bytes, and what.
    pub(crate) fn of_file(file: File) -> Result<Self, (usize, String)> {
        if file.tokens.is_empty() || file.tokens.len() > TOKENS_MAX {
            let found = file.tokens.len();
            let reason = format!(
                "it has {found} tokens, and 1 to {TOKENS_MAX} are of use: {SHAPE}; `holdup token \
                 new NAME --tokens-file FILE` adds one"
            );
            return Err((0, reason));
        }
        let mut tokens: Vec<Arc<Token>> = Vec::with_capacity(file.tokens.len());
        for entry in file.tokens {
            let at = entry.span().start;
            let token = token(entry.into_inner()).map_err(|reason| (at, reason))?;
            if let Some(other) = tokens.iter().find(|it| it.name == token.name) {
                return Err((at, format!("there is another token {:?}: rename one", other.name)));
            }
            if let Some(other) = tokens.iter().find(|it| it.digest == token.digest) {
                let (name, other) = (&token.name, &other.name);
                return Err((at, format!("{name:?} and {other:?} are one token: make another")));
            }
            tokens.push(Arc::new(token));
        }
        Ok(Self(tokens))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The token that was shown, if it is one of these.
    pub(super) fn find(&self, shown: &str) -> Option<Arc<Token>> {
        if !TOKEN_BYTES.contains(&shown.len()) {
            return None;
        }
        self.by_digest(&digest(shown))
    }

    /// The token of which this is kept. It takes the same time whichever it is, and if it is none.
    pub(super) fn by_digest(&self, digest: &Kept) -> Option<Arc<Token>> {
        let mut found = None;
        for token in &self.0 {
            if bool::from(token.digest.ct_eq(digest)) {
                found = Some(token);
            }
        }
        found.cloned()
    }
}

fn token(entry: Entry) -> Result<Token, String> {
    let Entry { name, sha256, roles, services } = entry;
    let length = name.chars().count();
    if length == 0 || length > NAME_MAX || name.chars().any(char::is_control) {
        return Err(format!("a token's name is 1 to {NAME_MAX} characters that can be printed"));
    }
    // Not what is there: it may be the token itself.
    let wrong = || {
        format!(
            "sha256 of the token {name:?} is not 64 hexadecimal digits: `holdup token new` prints \
             them, as does `printf %s TOKEN | sha256sum`"
        )
    };
    let digest = of_hex(&sha256).ok_or_else(wrong)?;
    if roles.is_empty() {
        return Err(format!("the token {name:?} has no role: give it ingest, read or admin"));
    }
    if !services.is_empty() && !roles.contains(&Role::Ingest) {
        return Err(format!(
            "the token {name:?} has `services`, which bound what is sent, and not the role ingest: \
             leave them out"
        ));
    }
    if services.len() > SERVICES_MAX {
        return Err(format!("the token {name:?} has over {SERVICES_MAX} services: use patterns"));
    }
    let pattern = |text: &String| {
        let wrong = |error| {
            format!("the token {name:?} has {text:?} among its services, no pattern: {error}")
        };
        Pattern::new(text).map_err(wrong)
    };
    let services = services.iter().map(pattern).collect::<Result<_, _>>()?;
    Ok(Token { name, digest, roles, services })
}
