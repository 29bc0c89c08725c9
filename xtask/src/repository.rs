//! Where things are.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// The folder that cargo puts binaries into: this one is there too, whatever the target directory.
pub(crate) fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("cannot tell where this binary is")?;
    Ok(this.with_file_name(name))
}

/// A folder under cargo's target directory, for what is fetched or made on the way.
pub(crate) fn made(name: &str) -> anyhow::Result<PathBuf> {
    let profile = binary("")?;
    let target = profile.parent().context("this binary is not in a target directory")?;
    Ok(target.join(name))
}

/// A command that runs in the root.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// The cargo that runs this.
pub(crate) fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}
