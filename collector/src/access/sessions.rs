//! Sessions of browsers that showed a token. They are in memory: a restart ends them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::secret::{Kept, digest, random};

/// The cookie's name.
pub(crate) const COOKIE: &str = "holdup_session";
/// How long one lasts.
pub(crate) const AGE_MAX: Duration = Duration::from_secs(12 * 3_600);
/// How many there may be; one more ends the oldest.
const SESSIONS_MAX: usize = 1_000;

/// By what is kept of the cookie: the token that was shown, and since when.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<Kept, (Kept, Instant)>>);

impl Sessions {
    /// A session of this token, as its cookie's value. `None` where there is no randomness.
    pub(super) fn begin(&self, token: Kept) -> Option<String> {
        let value = random().ok()?;
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, (_, since)| since.elapsed() < AGE_MAX);
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, (_, since))| *since).map(|(key, _)| *key);
            oldest.and_then(|key| sessions.remove(&key));
        }
        sessions.insert(digest(&value), (token, Instant::now()));
        Some(value)
    }

    /// The token that was shown for it.
    pub(super) fn find(&self, value: &str) -> Option<Kept> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (token, since) = sessions.get(&digest(value))?;
        (since.elapsed() < AGE_MAX).then_some(*token)
    }

    pub(super) fn end(&self, value: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest(value));
    }
}

#[cfg(test)]
mod tests {
    use super::{SESSIONS_MAX, Sessions};

    #[test]
    fn one_session_more_than_there_may_be_ends_the_oldest() {
        let sessions = Sessions::default();
        let all: Vec<_> = (0..=SESSIONS_MAX).map(|_| sessions.begin([7; 32]).unwrap()).collect();
        assert_eq!(sessions.find(&all[0]), None);
        assert_eq!(sessions.find(&all[1]), Some([7; 32]));
        assert_eq!(sessions.0.lock().unwrap().len(), SESSIONS_MAX);
        sessions.end(&all[1]);
        assert_eq!(sessions.find(&all[1]), None);
    }
}
