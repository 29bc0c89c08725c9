//! Configuration files that nobody meant.

use std::path::Path;

use super::Settings;
use super::file::parse;
use crate::corpus::fuzz;

#[test]
fn any_file_is_a_configuration_or_refused_in_one_line() {
    fuzz("configuration", |input| {
        let text = String::from_utf8_lossy(input);
        let parsed = parse(Path::new("holdup.toml"), &text);
        let Err(error) = parsed.and_then(Settings::complete) else { return };
        let error = error.to_string();
        assert!(!error.is_empty() && error.lines().count() == 1, "{error:?}");
    });
}
