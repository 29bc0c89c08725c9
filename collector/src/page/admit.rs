//! Who is let in to the page and the API: bearers of a token, and browsers that showed one.

use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CACHE_CONTROL, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::{Page, login};
use crate::access::{Refusal, Role};
use crate::connections::Peer;

/// What the listener is called where refusals are counted.
pub(super) const LISTENER: &str = "page";

/// What probes ask tells nothing of what is stored.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// Lets requests in that may have what they ask for.
pub(super) async fn admit(State(page): State<Page>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_open = OPEN.contains(&path) || path == "/metrics" && page.metrics_without_token;
    if is_open || !page.access.is_closed() {
        return next.run(request).await;
    }
    let is_for_programs = path.starts_with("/api/") || path == "/metrics";
    if !is_for_programs && request.method() == Method::POST {
        return login::answer(&page, request).await;
    }
    if !is_for_programs && path.ends_with("/logout") {
        return login::parting(&page, request.headers());
    }
    let refusal = match page.access.judge(request.headers(), needed(request.method())) {
        Ok(grant) => {
            request.extensions_mut().insert(grant);
            let mut response = next.run(request).await;
            let never = HeaderValue::from_static("no-store");
            response.headers_mut().entry(CACHE_CONTROL).or_insert(never);
            return response;
        }
        Err(refusal) => refusal,
    };
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let shows_a_form = !is_for_programs && is_a_person(&request) && refusal.is_of_identity();
    // A person who has yet to log in did nothing wrong.
    if !(shows_a_form && refusal == Refusal::Missing) {
        page.access.refused(LISTENER, peer, &refusal);
    }
    if shows_a_form {
        return login::form(StatusCode::UNAUTHORIZED, "");
    }
    refused(&refusal).into_response()
}

/// What changes nothing is for those who read.
fn needed(method: &Method) -> Role {
    if method == Method::GET || method == Method::HEAD { Role::Read } else { Role::Admin }
}

/// Whether it is a browser that asks for a page.
fn is_a_person(request: &Request) -> bool {
    let accepts = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    accepts.is_some_and(|accepts| accepts.contains("text/html"))
}

fn refused(refusal: &Refusal) -> ApiError {
    let message = refusal.to_string();
    if refusal.is_of_identity() {
        ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    } else {
        ApiError::forbidden(message)
    }
}
