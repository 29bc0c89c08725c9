//! Errors as ClickHouse words them: code, name, text, and the status that HTTP clients get.

use std::fmt;

use hyper::StatusCode;

/// An error with ClickHouse's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Exception {
    pub(crate) code: u32,
    /// `Code: N. DB::Exception: … (NAME)`.
    text: String,
}

macro_rules! codes {
    ($($name:ident = $code:literal),* $(,)?) => {
        $(pub(crate) const $name: (u32, &str) = ($code, stringify!($name));)*
    };
}

codes! {
    UNSUPPORTED_METHOD = 1,
    BAD_ARGUMENTS = 36,
    CANNOT_READ_ALL_DATA = 33,
    CHECKSUM_DOESNT_MATCH = 40,
    LOGICAL_ERROR = 49,
    SYNTAX_ERROR = 62,
    UNKNOWN_COMPRESSION_METHOD = 89,
    READONLY = 164,
    REQUIRED_PASSWORD = 194,
    TOO_MANY_SIMULTANEOUS_QUERIES = 202,
    NETWORK_ERROR = 210,
    CANNOT_DECOMPRESS = 271,
    SESSION_NOT_FOUND = 372,
    SESSION_IS_LOCKED = 373,
    AUTHENTICATION_FAILED = 516,
}

impl Exception {
    /// An error that this server, not the engine, has found.
    pub(crate) fn new((code, name): (u32, &str), message: impl fmt::Display) -> Self {
        Self { code, text: format!("Code: {code}. DB::Exception: {message} ({name})") }
    }

    /// The engine's text, which starts with its code.
    pub(crate) fn from_engine(text: &str) -> Self {
        let text = text.trim_end();
        let code = text
            .strip_prefix("Code: ")
            .and_then(|rest| rest.split('.').next())
            .and_then(|digits| digits.parse().ok());
        match code {
            Some(code) => Self { code, text: strip_repeats(text, code) },
            None => Self::new(LOGICAL_ERROR, text),
        }
    }

    /// The whole message as a server sends it, without a line end.
    pub(crate) fn message(&self, version: &str) -> String {
        if self.text.ends_with(&format!("(version {version})")) {
            return self.text.clone();
        }
        format!("{} (version {version})", self.text)
    }

    /// The status that ClickHouse's HTTP handler answers for this code.
    pub(crate) fn status(&self) -> StatusCode {
        match self.code {
            194 => StatusCode::UNAUTHORIZED,
            192 | 193 | 516 | 497 => StatusCode::FORBIDDEN,
            // What the client wrote: texts, numbers, dates, types, syntax, arguments.
            6 | 25 | 26 | 27 | 36 | 38 | 41 | 44 | 53 | 62 | 69 | 72 | 117 | 167 | 168 | 223
            | 224 | 321 | 376 | 427 | 441 | 456 | 457 | 675 | 676 => StatusCode::BAD_REQUEST,
            // What there isn't.
            46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 106 | 115 | 336 => StatusCode::NOT_FOUND,
            1 | 48 => StatusCode::NOT_IMPLEMENTED,
            66 => StatusCode::PAYLOAD_TOO_LARGE,
            159 => StatusCode::REQUEST_TIMEOUT,
            209 => StatusCode::SERVICE_UNAVAILABLE,
            381 => StatusCode::LENGTH_REQUIRED,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// libchdb wraps some errors in themselves: `Code: 73. DB::Exception: Code: 73. DB::Exception: X
/// (N) (version V). (N)`. One layer is left.
fn strip_repeats(text: &str, code: u32) -> String {
    let head = format!("Code: {code}. DB::Exception: ");
    let mut text = text;
    while let Some(inner) = text.strip_prefix(&head).filter(|inner| inner.starts_with(&head)) {
        // Each layer puts ". (NAME)" after what it wraps.
        text = inner.rfind(". (").map_or(inner, |end| &inner[..end]);
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_read_from_the_engines_text() {
        let error = Exception::from_engine(
            "Code: 60. DB::Exception: Table a.b does not exist. (UNKNOWN_TABLE)",
        );
        assert_eq!((error.code, error.status()), (60, StatusCode::NOT_FOUND));
        assert_eq!(
            error.message("26.7.2.1"),
            "Code: 60. DB::Exception: Table a.b does not exist. (UNKNOWN_TABLE) (version 26.7.2.1)"
        );
    }

    #[test]
    fn wrapped_errors_lose_their_wrapping() {
        let error = Exception::from_engine(
            "Code: 73. DB::Exception: Code: 73. DB::Exception: Unknown format Nope. \
             (UNKNOWN_FORMAT) (version 26.7.2.1). (UNKNOWN_FORMAT)",
        );
        assert_eq!(
            error.message("26.7.2.1"),
            "Code: 73. DB::Exception: Unknown format Nope. (UNKNOWN_FORMAT) (version 26.7.2.1)"
        );
    }

    #[test]
    fn a_text_without_a_code_is_still_an_error_with_one() {
        assert_eq!(Exception::from_engine("odd").code, 49);
    }
}
