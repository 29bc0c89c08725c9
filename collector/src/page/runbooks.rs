//! The runbooks that alerts link to: whoever is woken has them at hand, wherever the sources are.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../docs/runbooks"]
#[include = "*.md"]
struct Runbooks;

pub(super) async fn serve(Path(name): Path<String>) -> Response {
    match Runbooks::get(&name) {
        // Text, so that browsers show it.
        Some(file) => {
            ([(CONTENT_TYPE, "text/plain; charset=utf-8")], file.data.into_owned()).into_response()
        }
        None => {
            let names: Vec<_> = Runbooks::iter().collect();
            let text = format!("no runbook {name:?}: there are {}\n", names.join(", "));
            (StatusCode::NOT_FOUND, text).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Runbooks;
    use crate::rules::load;

    #[test]
    fn each_rule_has_a_runbook_that_names_it_and_each_runbook_a_rule() {
        let mut linked = BTreeSet::new();
        for rule in load(&[]).unwrap() {
            let url = rule.annotations["runbook_url"].text();
            let name = url.strip_prefix("docs/runbooks/").unwrap().to_owned();
            let file = Runbooks::get(&name).unwrap_or_else(|| panic!("{}: no {url}", rule.name));
            let text = String::from_utf8(file.data.into_owned()).unwrap();
            let title = text.lines().next().unwrap();
            assert!(title.contains(&rule.name), "{name} does not name {}: {title}", rule.name);
            let steps = ["## Look", "## Do"];
            assert!(steps.iter().all(|step| text.contains(step)), "{name} says nothing to do");
            linked.insert(name);
        }
        let all: BTreeSet<String> = Runbooks::iter().map(std::borrow::Cow::into_owned).collect();
        assert_eq!(all, linked);
    }
}
