//! Where a request comes from.
//!
//! A page elsewhere must not be able to have a visitor's browser change anything here, with a session
//! or, on loopback, without any. Browsers tell where a request comes from.

use axum::http::{HeaderMap, Uri};

use super::bare_host;

/// Whether a browser says that the page itself asks, or it is no browser.
pub(super) fn from_here(headers: &HeaderMap, hosts: &[String]) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let site = text("sec-fetch-site").unwrap_or("same-origin");
    let same_site = site == "same-origin" || site == "none";
    let Some(origin) = text("origin") else { return same_site };
    let Some(origin) = origin.parse::<Uri>().ok().and_then(|uri| uri.authority().cloned()) else {
        return false;
    };
    let asked = text("host").unwrap_or_default();
    // A proxy in front may have asked by another name: then it is one that we were told.
    same_site
        && (origin.as_str() == asked || hosts.iter().any(|host| host == bare_host(origin.as_str())))
}

#[cfg(test)]
mod tests {
    use super::from_here;
    use axum::http::{HeaderMap, HeaderValue};

    #[test]
    fn only_the_page_itself_and_what_is_no_browser_may_change_anything() {
        let hosts = ["holdup.example".to_owned()];
        let asked = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("127.0.0.1:4380"));
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            from_here(&headers, &hosts)
        };
        assert!(asked(&[]), "curl");
        assert!(asked(&[("origin", "http://127.0.0.1:4380"), ("sec-fetch-site", "same-origin")]));
        assert!(asked(&[("origin", "https://holdup.example")]), "through a proxy");
        assert!(!asked(&[("origin", "http://127.0.0.1:8000")]), "another port is another page");
        assert!(!asked(&[("origin", "https://evil.example")]));
        assert!(!asked(&[("origin", "null")]), "a frame without an origin");
        assert!(!asked(&[("sec-fetch-site", "cross-site")]));
        assert!(!asked(&[("origin", "http://127.0.0.1:4380"), ("sec-fetch-site", "same-site")]));
    }
}
