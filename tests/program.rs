//! Where the programs under test are.

use std::path::PathBuf;

/// Cargo's folder for what it builds.
///
/// # Errors
///
/// Where this program is not in such a folder.
pub fn target_dir() -> Result<PathBuf, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    // target/debug/deps/e2e-…
    let target = exe.ancestors().nth(3).ok_or("the test program is not in cargo's folder")?;
    Ok(target.to_owned())
}

/// A program of this repository, built beside the tests.
///
/// # Errors
///
/// Where it has not been built; the text says how to.
pub fn program(name: &str) -> Result<PathBuf, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let profile = exe.ancestors().nth(2).ok_or("the test program is not in cargo's folder")?;
    let program = profile.join(name);
    if program.is_file() {
        return Ok(program);
    }
    Err(format!(
        "{} is missing: run `cargo xtask test`, or `cargo build -p {}` first",
        program.display(),
        if name == "holdup" { "holdup-collector" } else { name }
    ))
}
