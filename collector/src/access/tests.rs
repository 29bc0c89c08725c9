//! Who is let in, and what files say so.

use std::path::Path;

use axum::http::{HeaderMap, HeaderValue};

use super::{Access, Counters, Grant, Refusal, Role, Tokens, digest, hex, new_token};
use crate::config::parse_tokens;

fn tokens(text: &str) -> Result<Tokens, String> {
    parse_tokens(Path::new("tokens.toml"), text).map_err(|error| error.to_string())
}

fn entry(name: &str, token: &str, rest: &str) -> String {
    format!("[[tokens]]\nname = {name:?}\nsha256 = \"{}\"\n{rest}\n", hex(&digest(token)))
}

fn access(text: &str) -> Access {
    Access::new(Some(tokens(text).unwrap()), Counters::default())
}

fn shown(name: &'static str, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_str(value).unwrap())])
}

fn judged(access: &Access, token: &str, role: Role) -> Result<Grant, Refusal> {
    access.judge(&shown("authorization", &format!("Bearer {token}")), role)
}

#[test]
fn a_token_gives_its_role_and_no_other() {
    let all = ["in", "out", "all"].map(|_| new_token().unwrap());
    let [sends, reads, administers] = &all;
    let access = access(
        &(entry("sends", sends, "")
            + &entry("reads", reads, "roles = ['read']")
            + &entry("administers", administers, "roles = ['admin']")),
    );
    let roles = [Role::Ingest, Role::Read, Role::Admin];
    for (token, may) in [
        (sends, [true, false, false]),
        (reads, [false, true, false]),
        (administers, [false, true, true]),
    ] {
        assert_eq!(roles.map(|role| judged(&access, token, role).is_ok()), may);
    }
    let refusal = judged(&access, sends, Role::Read).unwrap_err();
    assert_eq!(refusal, Refusal::Role { name: "sends".to_owned(), role: Role::Read });
    assert!(!refusal.is_of_identity());
}

#[test]
fn what_is_no_token_of_the_file_is_not_let_in() {
    let token = new_token().unwrap();
    let access = access(&entry("a", &token, ""));
    let refused = |headers: &HeaderMap| access.judge(headers, Role::Ingest).unwrap_err();
    for value in [
        format!("Bearer {token}x"),
        format!("Bearer {}", &token[1..]),
        format!("Bearer {}", hex(&digest(&token))),
        "Bearer ".to_owned(),
        format!("Bearer {}", "x".repeat(100_000)),
    ] {
        assert_eq!(refused(&shown("authorization", &value)), Refusal::Unknown, "{value:.60}");
    }
    for headers in [
        HeaderMap::new(),
        shown("authorization", &format!("Basic {token}")),
        shown("authorization", &token),
        shown("cookie", &format!("holdup_session={token}")),
    ] {
        assert_eq!(refused(&headers), Refusal::Missing, "{headers:?}");
    }
    assert!(
        access.judge(&shown("authorization", &format!("bEARER {token}")), Role::Ingest).is_ok()
    );
}

#[test]
fn patterns_bound_the_services_of_a_token() {
    let token = new_token().unwrap();
    let access = access(&entry("shop", &token, "services = ['shop', 'shop-*']"));
    let grant = judged(&access, &token, Role::Ingest).unwrap();
    for (service, may) in
        [("shop", true), ("shop-eu", true), ("shopping", false), ("", false), ("bank", false)]
    {
        assert_eq!(grant.may_send_of(service), may, "{service}");
    }
}

#[test]
fn a_session_ends_with_its_token() {
    let (gone, stays) = (new_token().unwrap(), new_token().unwrap());
    let of = |name, token: &str| entry(name, token, "roles = ['read']");
    let access = access(&(of("gone", &gone) + &of("stays", &stays)));
    let cookies = [&gone, &stays].map(|token| {
        shown("cookie", &format!("a=b; holdup_session={}", access.log_in(token).unwrap()))
    });
    let let_in = || cookies.clone().map(|cookie| access.judge(&cookie, Role::Read).is_ok());
    assert_eq!(let_in(), [true, true]);
    access.replace(tokens(&of("stays", &stays)).unwrap());
    assert_eq!(let_in(), [false, true]);
    access.log_out(&cookies[1]);
    assert_eq!(let_in(), [false, false]);
}

#[test]
fn who_may_only_send_gets_no_session() {
    let token = new_token().unwrap();
    let access = access(&entry("sends", &token, ""));
    assert_eq!(access.log_in(&token), None);
}

#[test]
fn a_file_that_can_not_be_used_is_refused_with_its_line_and_without_its_secrets() {
    let token = new_token().unwrap();
    let good = entry("a", &token, "");
    let sum = hex(&digest("another"));
    let other = |rest: &str| format!("{good}[[tokens]]\n{rest}");
    for (text, said) in [
        (String::new(), "line 1: it has 0 tokens"),
        (other(&format!("name = 'b'\nsha256 = '{token}'")), "line 5: sha256 of the token \"b\""),
        (other(&format!("name = 'a'\nsha256 = '{sum}'")), "line 5: there is another token \"a\""),
        (format!("{good}{}", entry("b", &token, "")), "are one token"),
        (entry("a", &token, "roles = []"), "has no role"),
        (entry("a", &token, "roles = ['write']"), "line 4: unknown variant `write`"),
        (entry("a", &token, "role = ['read']"), "did you mean `roles`?"),
        (entry("a", &token, "roles = ['read']\nservices = ['x']"), "not the role ingest"),
        (entry("a", &token, "services = ['[x']"), "no pattern"),
        (good.replace("\"a\"", "\"a\\u0007\""), "can be printed"),
        (format!("tokens = '{token}'"), "(hidden)"),
        (format!("[[tokens]]\nname = 'a'\n{token} = 1"), "(hidden)"),
    ] {
        let error = tokens(&text).unwrap_err();
        assert!(error.contains(said), "{error}");
        assert!(!error.contains(&token) && error.lines().count() == 1, "{error}");
    }
}
