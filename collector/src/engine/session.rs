//! Connections to the engine: one for each statement, so that no setting, database or leftover
//! output passes from one to the next; kept between statements only for a client's session.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::EngineError;
use super::exception::{
    BAD_ARGUMENTS, Exception, LOGICAL_ERROR, SESSION_IS_LOCKED, SESSION_NOT_FOUND,
};
use super::ffi::{Connection, Library, Parameters};
use super::request::{Request, SessionKey};

/// Sessions that are kept; beyond it, the one that was idle for longest is ended.
pub(crate) const SESSIONS_MAX: usize = 64;

/// How often a cancellation is repeated until its statement has ended.
const CANCEL_EVERY: Duration = Duration::from_millis(50);
const CANCEL_TRIES: u32 = 200;

/// The engine of this process.
pub(crate) struct Engine {
    library: Library,
    path: String,
    /// Keeps the engine running, and cancels statements.
    keeper: Mutex<Option<Connection>>,
    sessions: Mutex<HashMap<String, Session>>,
    /// ClickHouse's version.
    pub(crate) version: String,
    pub(crate) timezone: String,
}

enum Session {
    InUse,
    Idle { connection: Connection, until: Instant, last_used: Instant },
}

impl Engine {
    /// Starts the engine on a data folder.
    pub(crate) fn start(library: Library, path: String) -> Result<Self, EngineError> {
        let mut keeper = library.connect(&path)?;
        let (answer, _) = keeper
            .query("SELECT version(), timezone()", "TabSeparated", &Parameters::default())
            .map_err(|reason| EngineError::Connect { reason })?;
        let answer = String::from_utf8_lossy(&answer);
        let (version, timezone) = answer.trim().split_once('\t').unwrap_or(("", "UTC"));
        Ok(Self {
            library,
            path,
            keeper: Mutex::new(Some(keeper)),
            sessions: Mutex::default(),
            version: version.to_owned(),
            timezone: timezone.to_owned(),
        })
    }

    /// A connection with what a request sets.
    pub(crate) fn lease(&self, request: &Request, mark: &str) -> Result<Lease<'_>, Exception> {
        let connection = match request.session() {
            Some(key) => self.session(key)?,
            None => self.connect()?,
        };
        let mut lease = Lease {
            engine: self,
            connection: Some(connection),
            session: request.session().cloned(),
            restore: None,
        };
        if let Some(database) = request.database.as_deref().filter(|name| !name.is_empty()) {
            lease.run(&format!("USE {}", quoted(database, '`')))?;
        }
        lease.run(&set_statement(&request.settings, mark)?)?;
        if lease.session.is_some() && !request.settings.is_empty() {
            let names = request.settings.iter().map(|(name, _)| format!("`{name}` = DEFAULT"));
            lease.restore = Some(format!("SET {}", names.collect::<Vec<_>>().join(", ")));
        }
        Ok(lease)
    }

    fn connect(&self) -> Result<Connection, Exception> {
        self.library.connect(&self.path).map_err(|error| Exception::new(LOGICAL_ERROR, error))
    }

    fn session(&self, key: &SessionKey) -> Result<Connection, Exception> {
        let mut sessions = locked(&self.sessions);
        match sessions.insert(key.id.clone(), Session::InUse) {
            Some(Session::InUse) => Err(Exception::new(
                SESSION_IS_LOCKED,
                format_args!("Session {} is locked by a concurrent client", key.id),
            )),
            Some(Session::Idle { connection, until, .. }) if until > Instant::now() => {
                Ok(connection)
            }
            _ if key.must_exist => {
                sessions.remove(&key.id);
                Err(Exception::new(SESSION_NOT_FOUND, format_args!("Session {} not found", key.id)))
            }
            _ => {
                let connection = self.connect();
                if connection.is_err() {
                    sessions.remove(&key.id);
                }
                connection
            }
        }
    }

    /// Ends sessions that were idle for too long, or are too many.
    pub(crate) fn end_idle_sessions(&self) {
        let mut sessions = locked(&self.sessions);
        let now = Instant::now();
        sessions.retain(|_, session| match session {
            Session::InUse => true,
            Session::Idle { until, .. } => *until > now,
        });
        while sessions.len() > SESSIONS_MAX {
            let oldest = sessions
                .iter()
                .filter_map(|(id, session)| match session {
                    Session::InUse => None,
                    Session::Idle { last_used, .. } => Some((*last_used, id.clone())),
                })
                .min();
            let Some((_, id)) = oldest else { return };
            sessions.remove(&id);
        }
    }

    /// Asks the engine to cancel the statements with this mark, until `ended` says that they have.
    /// The statement may not have reached the engine's list yet, so once is not enough.
    pub(crate) fn cancel(&self, mark: &str, ended: &Ended) {
        let sql =
            format!("KILL QUERY WHERE Settings['log_comment'] = {} ASYNC", quoted(mark, '\''));
        for _ in 0..CANCEL_TRIES {
            if ended.wait(Duration::ZERO) {
                return;
            }
            self.kill(&sql);
            if ended.wait(CANCEL_EVERY) {
                return;
            }
        }
    }

    /// Cancels every statement that runs for a client.
    pub(crate) fn cancel_all(&self) {
        let sql = "KILL QUERY WHERE Settings['log_comment'] LIKE 'holdup-%' ASYNC";
        self.kill(sql);
    }

    fn kill(&self, sql: &str) {
        let mut keeper = locked(&self.keeper);
        let Some(keeper) = keeper.as_mut() else { return };
        if let Err(error) = keeper.query(sql, "Null", &Parameters::default()) {
            tracing::warn!(%error, "statements could not be cancelled");
        }
    }

    /// Closes everything. Statements have to have ended.
    pub(crate) fn stop(&self) -> bool {
        locked(&self.sessions).clear();
        locked(&self.keeper).take();
        self.library.shutdown()
    }
}

/// Tells that a statement has ended.
#[derive(Default)]
pub(crate) struct Ended {
    done: Mutex<bool>,
    changed: Condvar,
}

impl Ended {
    pub(crate) fn set(&self) {
        *locked(&self.done) = true;
        self.changed.notify_all();
    }

    /// Waits up to `time`, and tells whether it has ended.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let done = locked(&self.done);
        let waited = self.changed.wait_timeout_while(done, time, |done| !*done);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// A connection for one request.
pub(crate) struct Lease<'a> {
    engine: &'a Engine,
    connection: Option<Connection>,
    session: Option<SessionKey>,
    /// Takes the request's settings back, where the connection is kept.
    restore: Option<String>,
}

impl Lease<'_> {
    pub(crate) fn connection(&mut self) -> Result<&mut Connection, Exception> {
        self.connection
            .as_mut()
            .ok_or_else(|| Exception::new(LOGICAL_ERROR, "the connection is closed"))
    }

    fn run(&mut self, sql: &str) -> Result<(), Exception> {
        self.connection()?
            .query(sql, "Null", &Parameters::default())
            .map(drop)
            .map_err(|text| Exception::from_engine(&text))
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let Some(key) = self.session.take() else { return };
        let restored = match self.restore.take() {
            Some(sql) => self.run(&sql).is_ok(),
            None => true,
        };
        let mut sessions = locked(&self.engine.sessions);
        match self.connection.take() {
            Some(connection) if restored => {
                let last_used = Instant::now();
                let until = last_used + Duration::from_secs(key.timeout_s);
                sessions.insert(key.id, Session::Idle { connection, until, last_used });
            }
            _ => {
                sessions.remove(&key.id);
            }
        }
        drop(sessions);
        self.engine.end_idle_sessions();
    }
}

/// The mark, by which a statement is found to be cancelled, goes where the engine lists it. A
/// bare expression is no statement, as on a server.
fn set_statement(settings: &[(String, String)], mark: &str) -> Result<String, Exception> {
    let mut sql = format!("SET implicit_select = 0, log_comment = {}", quoted(mark, '\''));
    for (name, value) in settings {
        let is_name = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
        if !is_name {
            return Err(Exception::new(
                BAD_ARGUMENTS,
                format_args!("'{}' is no name of a setting", name.escape_debug()),
            ));
        }
        sql.push_str(&format!(", `{name}` = {}", quoted(value, '\'')));
    }
    Ok(sql)
}

fn quoted(text: &str, quote: char) -> String {
    let mut quoted = String::from(quote);
    for c in text.chars() {
        if c == quote || c == '\\' {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push(quote);
    quoted
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_quoted() {
        let settings = [("a.b".to_owned(), "x'\\y".to_owned())];
        assert_eq!(
            set_statement(&settings, "m").unwrap(),
            r"SET implicit_select = 0, log_comment = 'm', `a.b` = 'x\'\\y'"
        );
        for name in ["", "a`b", "a b", "a=1"] {
            assert_eq!(set_statement(&[(name.into(), "1".into())], "m").unwrap_err().code, 36);
        }
    }

    #[test]
    fn waiting_ends_with_the_statement() {
        let ended = Ended::default();
        assert!(!ended.wait(Duration::ZERO));
        ended.set();
        assert!(ended.wait(Duration::from_secs(60)));
    }
}
