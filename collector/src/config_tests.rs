//! Flags, files and defaults.

use super::{ClickHouse, Config, Settings};
use std::io::Write;

fn from_file(text: &str) -> Result<Config, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let settings = Settings { config: Some(file.path().into()), ..Settings::default() };
    settings.resolve().map_err(|e| e.to_string())
}

#[test]
fn a_flag_goes_over_the_file_and_that_over_the_default() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "grpc_listen = '127.0.0.1:1'\nhttp_listen = '127.0.0.1:2'").unwrap();
    let settings = Settings {
        config: Some(file.path().into()),
        grpc_listen: Some(([127, 0, 0, 1], 9).into()),
        data_dir: Some("x".into()),
        ..Settings::default()
    };
    let config = settings.resolve().unwrap();
    let ports = [config.grpc_listen, config.http_listen, config.page_listen].map(|a| a.port());
    assert_eq!(ports, [9, 2, 4380]);
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_a_suggestion() {
    let error = from_file("data_dir = 'x'\ngrpc_listn = '127.0.0.1:1'\n").unwrap_err();
    assert!(error.contains("line 2: unknown field `grpc_listn`"), "{error}");
    assert!(error.contains("did you mean `grpc_listen`?"), "{error}");
    assert_eq!(error.lines().count(), 1);
}

#[test]
fn a_wrong_value_is_refused_with_its_line() {
    let error = from_file("\n\nepisode_gap = 'soon'\n").unwrap_err();
    assert!(error.contains("line 3: "), "{error}");
}

#[test]
fn a_user_needs_a_server() {
    let error = from_file("clickhouse_user = 'x'").unwrap_err();
    assert!(error.contains("add --clickhouse-url"), "{error}");
    for url in ["tcp://h:9000", "http://", "http://h:99999", "h"] {
        let error = from_file(&format!("clickhouse_url = '{url}'")).unwrap_err();
        assert!(error.contains("begins with http://"), "{url}: {error}");
    }
}

#[test]
fn bounds_that_would_take_nothing_are_refused() {
    let error = from_file("http_bytes_max = 0").unwrap_err();
    assert!(error.contains("--http-bytes-max is 0"), "{error}");
    let error = from_file("episode_gap = '2h'").unwrap_err();
    assert!(error.contains("more than an hour"), "{error}");
}

#[test]
fn a_password_comes_from_its_file_without_the_newline() {
    let mut password = tempfile::NamedTempFile::new().unwrap();
    writeln!(password, "s3cret").unwrap();
    let config = from_file(&format!(
        "clickhouse_url = 'http://h:8123'\nclickhouse_password_file = {:?}",
        password.path()
    ));
    let ClickHouse::At(address) = config.unwrap().clickhouse else { panic!("a server") };
    assert_eq!((address.user.as_str(), address.password.as_str()), ("default", "s3cret"));
}

#[test]
fn what_the_documentation_of_receivers_shows_is_a_configuration() {
    let page = include_str!("../../docs/alerting-receivers.md");
    let blocks: Vec<&str> = page.split("```toml\n").skip(1).collect();
    assert!(blocks.len() >= 8, "{}", blocks.len());
    for block in blocks {
        let text = block.split("```").next().unwrap();
        assert!(from_file(text).is_ok(), "{:?}: {text}", from_file(text).err());
    }
}
