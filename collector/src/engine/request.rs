//! What a request asks for, from its head: query, database, settings, parameters, encodings.

use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use hyper::{Method, Uri};

use super::auth::Credentials;
use super::coding::{Input, Output};
use super::exception::{BAD_ARGUMENTS, Exception};
use super::ffi::Parameters;

/// A request's head, and the fields of a form.
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// Query text from the URL or the form; a plain body's text follows it.
    pub(crate) query: String,
    pub(crate) database: Option<String>,
    pub(crate) default_format: Option<String>,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) parameters: Parameters,
    pub(crate) query_id: Option<String>,
    pub(crate) session: Option<SessionKey>,
    pub(crate) credentials: Credentials,
    /// The body is in compressed blocks.
    pub(crate) decompress: bool,
    pub(crate) input: Input,
    pub(crate) output: Output,
    pub(crate) wait_end_of_query: bool,
    /// GET and HEAD may not change anything.
    pub(crate) read_only: bool,
    /// The boundary of a multipart form.
    pub(crate) boundary: Option<String>,
}

/// Which session a request belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SessionKey {
    pub(crate) id: String,
    pub(crate) timeout_s: u64,
    /// The session must exist.
    pub(crate) must_exist: bool,
}

/// Default and largest `session_timeout`, as ClickHouse's.
const SESSION_TIMEOUT_S: u64 = 60;
const SESSION_TIMEOUT_S_MAX: u64 = 3600;

impl Request {
    pub(crate) fn from_head(
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Self, Exception> {
        let text = |name: &str| {
            headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let mut request = Self {
            database: text("x-clickhouse-database"),
            default_format: text("x-clickhouse-format"),
            credentials: Credentials::from_headers(headers)?,
            read_only: method == Method::GET || method == Method::HEAD,
            ..Self::default()
        };
        if let Some(content_type) = text(CONTENT_TYPE.as_str()) {
            request.boundary = boundary(&content_type);
        }
        request.input = Input::from_header(text(CONTENT_ENCODING.as_str()).as_deref())?;
        let mut accept = text(ACCEPT_ENCODING.as_str()).unwrap_or_default();
        let mut compress = false;
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        for (name, value) in pairs {
            match &*name {
                "compress" => compress = flag(&value),
                "enable_http_compression" if !flag(&value) => accept.clear(),
                "enable_http_compression" => {}
                name => request.field(name, value.into_owned())?,
            }
        }
        request.output = if compress { Output::Blocks } else { Output::from_header(&accept) };
        Ok(request)
    }

    /// Takes one field of the URL or of a form.
    pub(crate) fn field(&mut self, name: &str, value: String) -> Result<(), Exception> {
        match name {
            "query" => self.query.push_str(&value),
            "database" => self.database = Some(value),
            "default_format" => self.default_format = Some(value),
            "user" => self.credentials.user(value),
            "password" => self.credentials.password(value),
            "query_id" => self.query_id = Some(value).filter(|id| !id.is_empty()),
            "decompress" => self.decompress = flag(&value),
            "wait_end_of_query" => self.wait_end_of_query = flag(&value),
            "session_id" if !value.is_empty() => {
                let session = self.session.get_or_insert_default();
                session.id = value;
                if session.timeout_s == 0 {
                    session.timeout_s = SESSION_TIMEOUT_S;
                }
            }
            "session_timeout" => {
                let seconds =
                    value.parse().ok().filter(|s| (1..=SESSION_TIMEOUT_S_MAX).contains(s));
                self.session.get_or_insert_default().timeout_s = seconds.ok_or_else(|| {
                    Exception::new(
                        BAD_ARGUMENTS,
                        format_args!(
                            "Invalid session_timeout '{value}': 1 to {SESSION_TIMEOUT_S_MAX} s"
                        ),
                    )
                })?;
            }
            "session_check" => self.session.get_or_insert_default().must_exist = flag(&value),
            // Accepted, without an effect here.
            "session_id"
            | "close_session"
            | "role"
            | "quota_key"
            | "stacktrace"
            | "buffer_size"
            | "client_protocol_version"
            | "http_make_head_request" => {}
            _ => match name.strip_prefix("param_") {
                Some(parameter) => self.parameters.push(parameter.to_owned(), value),
                None => self.settings.push((name.to_owned(), value)),
            },
        }
        Ok(())
    }

    /// The session, where an id was given.
    pub(crate) fn session(&self) -> Option<&SessionKey> {
        self.session.as_ref().filter(|session| !session.id.is_empty())
    }

    /// Takes the fields of a `multipart/form-data` body.
    pub(crate) fn form(&mut self, body: &[u8], boundary: &str) -> Result<(), Exception> {
        let malformed = || Exception::new(BAD_ARGUMENTS, "The multipart form is malformed");
        let delimiter = format!("--{boundary}");
        let mut rest = body.strip_prefix(delimiter.as_bytes()).ok_or_else(malformed)?;
        let delimiter = format!("\r\n{delimiter}");
        while !rest.starts_with(b"--") {
            rest = rest.strip_prefix(b"\r\n").ok_or_else(malformed)?;
            let head_end = find(rest, b"\r\n\r\n").ok_or_else(malformed)?;
            let head = str::from_utf8(&rest[..head_end]).map_err(|_| malformed())?;
            rest = &rest[head_end + 4..];
            let end = find(rest, delimiter.as_bytes()).ok_or_else(malformed)?;
            if attribute(head, "filename").is_some() {
                return Err(Exception::new(
                    super::exception::UNSUPPORTED_METHOD,
                    "External tables in a form are not supported: insert into a temporary table \
                     within a session",
                ));
            }
            let name = attribute(head, "name").ok_or_else(malformed)?;
            let value = String::from_utf8(rest[..end].to_vec()).map_err(|_| malformed())?;
            self.field(name, value)?;
            rest = &rest[end + delimiter.len()..];
        }
        Ok(())
    }
}

fn flag(value: &str) -> bool {
    matches!(value, "1" | "true" | "True" | "TRUE")
}

fn boundary(content_type: &str) -> Option<String> {
    let (kind, _) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    attribute(content_type, "boundary").map(str::to_owned)
}

/// Value of `name=value` or `name="value"` in a header.
fn attribute<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header.split([';', '\r', '\n']).find_map(|part| {
        let (key, value) = part.trim().split_once('=')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim_matches('"'))
    })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str) -> Request {
        Request::from_head(&Method::POST, &uri.parse().unwrap(), &HeaderMap::new()).unwrap()
    }

    #[test]
    fn what_is_no_name_of_the_interface_is_a_setting() {
        let request = request("/?query=SELECT+1&database=d&max_threads=2&param_x=1%092&compress=1");
        assert_eq!(request.query, "SELECT 1");
        assert_eq!(request.database.as_deref(), Some("d"));
        assert_eq!(request.settings, [("max_threads".to_owned(), "2".to_owned())]);
        assert_eq!(request.output, Output::Blocks);
    }

    #[test]
    fn forms_have_query_and_parameters() {
        let mut request = request("/?max_threads=1");
        let body = "--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT\r\n 1\r\n\
                    --b\r\nContent-Disposition: form-data; name=\"param_a\"\r\n\r\n5\r\n--b--\r\n";
        request.form(body.as_bytes(), "b").unwrap();
        assert_eq!(request.query, "SELECT\r\n 1");
        assert!(format!("{:?}", request.parameters).contains("(\"a\", \"5\")"));
        for cut in 0..body.len() - 4 {
            assert!(request.form(&body.as_bytes()[..cut], "b").is_err(), "{cut}");
        }
    }

    #[test]
    fn sessions_have_an_id_and_a_bounded_timeout() {
        let session = request("/?session_id=s&session_timeout=5").session().cloned().unwrap();
        assert_eq!((session.id.as_str(), session.timeout_s), ("s", 5));
        assert_eq!(request("/?session_timeout=5").session(), None);
        let uri = "/?session_timeout=99999".parse().unwrap();
        assert!(Request::from_head(&Method::GET, &uri, &HeaderMap::new()).is_err());
    }
}
