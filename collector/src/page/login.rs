//! The form in which a browser shows its token, for a session.
//!
//! It is shown in place of the page, at whatever address, and leads back to it. It has no script.

use std::sync::LazyLock;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, RETRY_AFTER,
    SET_COOKIE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use super::Page;
use super::admit::LISTENER;
use crate::access::{Refusal, SESSION_AGE_MAX, SESSION_COOKIE};
use crate::connections::Peer;

/// The longest body of the form, bytes.
const BODY_BYTES_MAX: usize = 4 << 10;
/// How long it may take to arrive.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// The form's text; what went wrong is put in.
const FORM: &str = include_str!("login.html");

/// The form takes its style from itself, sends to where it came from, and loads nothing.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = FORM.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>"));
    let hash = STANDARD.encode(Sha256::digest(style.unwrap_or_default().0));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; \
         frame-ancestors 'none'; base-uri 'none'"
    )
});

/// The form, and what went wrong before.
pub(super) fn form(status: StatusCode, message: &'static str) -> Response {
    let text = FORM.replace("{message}", message);
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        // With `no-referrer` a browser sends the form from the origin `null`: nobody's.
        (REFERRER_POLICY, "same-origin"),
    ];
    let mut response = (status, headers, text).into_response();
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// What a browser is told that sends the form.
pub(super) async fn answer(page: &Page, request: Request) -> Response {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    if page.access.must_wait(peer) {
        let message = "Too many wrong tokens came from here: wait a minute.";
        let mut response = form(StatusCode::TOO_MANY_REQUESTS, message);
        response.headers_mut().insert(RETRY_AFTER, 60.into());
        return response;
    }
    let back = back_to(request.uri());
    let body = timeout(BODY_TIME_MAX, to_bytes(request.into_body(), BODY_BYTES_MAX)).await;
    let Ok(Ok(body)) = body else {
        return form(StatusCode::BAD_REQUEST, "The form did not come whole: try again.");
    };
    let mut fields = form_urlencoded::parse(&body);
    let shown = fields.find_map(|(name, value)| (name == "token").then_some(value));
    match shown.and_then(|shown| page.access.log_in(shown.trim())) {
        None => {
            page.access.refused(LISTENER, peer, &Refusal::Unknown);
            let message = "This is no token that may read here.";
            form(StatusCode::UNAUTHORIZED, message)
        }
        Some(session) => {
            let cookie = cookie(page, &session, SESSION_AGE_MAX.as_secs());
            (StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, back)]).into_response()
        }
    }
}

/// Ends the session, and shows the form. A page elsewhere that leads here ends one at worst.
pub(super) fn parting(page: &Page, headers: &HeaderMap) -> Response {
    page.access.log_out(headers);
    let cookie = cookie(page, "", 0);
    let back = "./".to_owned();
    (StatusCode::SEE_OTHER, [(SET_COOKIE, cookie), (LOCATION, back)]).into_response()
}

/// Scripts can't read it, and no other site's request carries it.
fn cookie(page: &Page, value: &str, age_max: u64) -> String {
    let secure = if page.is_https { "; Secure" } else { "" };
    format!(
        "{SESSION_COOKIE}={value}; Max-Age={age_max}; Path=/; HttpOnly; SameSite=Strict{secure}"
    )
}

/// Where the form was, from where it is: a proxy in front may have put a path before ours.
fn back_to(uri: &Uri) -> String {
    let name = uri.path().rsplit('/').next().unwrap_or_default();
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("./{name}{query}")
}

#[cfg(test)]
mod tests {
    use super::back_to;

    #[test]
    fn the_way_back_stays_on_this_site() {
        for (asked, back) in [
            ("/", "./"),
            ("/?service=shop", "./?service=shop"),
            ("/a/b", "./b"),
            ("//evil.example", "./evil.example"),
            ("/https://evil.example/?x", "./?x"),
            ("/javascript:alert(1)", "./javascript:alert(1)"),
        ] {
            assert_eq!(back_to(&asked.parse().unwrap()), back, "{asked}");
        }
    }
}
