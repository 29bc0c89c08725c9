//! The page's files, embedded in the binary.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "page/dist"]
struct Dist;

/// What the page's advice links to.
const ADVICE: &str = include_str!("../../../docs/advice.md");

/// A file of the page; for any other path the page itself, which reads the address.
pub(super) async fn serve(method: Method, uri: Uri) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, "use GET\n").into_response();
    }
    let name = uri.path().rsplit('/').next().unwrap_or_default();
    if name == "advice.md" {
        let headers = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
        return (headers, ADVICE).into_response();
    }
    let (name, file) = match Dist::get(name) {
        Some(file) if !name.is_empty() => (name, file),
        _ if name.contains('.') => {
            return (StatusCode::NOT_FOUND, "no such file\n").into_response();
        }
        _ => match Dist::get("index.html") {
            Some(file) => ("index.html", file),
            None => return (StatusCode::NOT_FOUND, "built without its page\n").into_response(),
        },
    };
    let headers = [(CONTENT_TYPE, content_type(name)), (CACHE_CONTROL, "no-cache")];
    (headers, file.data).into_response()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::serve;
    use axum::http::header::CONTENT_TYPE;
    use axum::http::{Method, StatusCode, Uri};

    #[tokio::test]
    async fn the_advice_is_served_as_text_below_any_path() {
        for path in ["/advice.md", "/holdup/advice.md"] {
            let answer = serve(Method::GET, Uri::from_static(path)).await;
            assert_eq!(answer.status(), StatusCode::OK);
            assert_eq!(answer.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
            let text = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
            let heading = format!("\n## {}\n", holdup::advice::ALL[0].id);
            assert!(String::from_utf8(text.to_vec()).unwrap().contains(&heading));
        }
        let missing = serve(Method::GET, Uri::from_static("/other.md")).await;
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    }
}
