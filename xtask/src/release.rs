//! `cargo xtask release`: the version and the changelog's section, then what is published of it: the
//! packages of the crates, the collector's binary, its list of parts, and checksums. It commits,
//! tags and uploads nothing.

pub(crate) mod parts;

use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::interrupt::Interrupt;
use crate::process::run as run_command;
use crate::repository;
use crate::terminal::say;

/// What services depend on; the rest is not published.
const CRATES: [&str; 2] = ["holdup-macros", "holdup"];
const UNRELEASED: &str = "## [Unreleased]\n";

/// Options of `cargo xtask release`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// The version, such as 0.2.0.
    version: String,
    /// Its date, such as 2026-11-30.
    #[arg(long)]
    date: String,
    /// Leave the collector's binary out, which takes longest.
    #[arg(long)]
    without_binary: bool,
}

pub(crate) fn run(options: &Options, interrupt: &Interrupt) -> anyhow::Result<()> {
    let root = repository::root();
    let Options { version, date, without_binary } = options;
    is_version(version)?;
    is_clean()?;
    change(&root.join("Cargo.toml"), |text| with_version(text, version))?;
    change(&root.join("CHANGELOG.md"), |text| with_section(text, version, date))?;
    // The lock file has the versions of the workspace's own crates, too.
    run_command(repository::cargo().args(["update", "--workspace", "--offline"]), interrupt)?;

    let out = repository::made(&format!("release-{version}"))?;
    fs::create_dir_all(&out).context("cannot make the folder")?;
    let mut package = repository::cargo();
    package.args(["package", "--locked", "--allow-dirty"]);
    package.args(CRATES.iter().flat_map(|name| ["--package", name]));
    run_command(&mut package, interrupt)?;
    let mut files = Vec::new();
    for name in CRATES {
        let file = format!("{name}-{version}.crate");
        keep(&repository::made("package")?.join(&file), &out.join(&file))?;
        files.push(file);
    }
    if !without_binary {
        let script = root.join("deploy/release/build.sh");
        run_command(repository::command(script).arg(out.join("holdup")), interrupt)?;
        files.push("holdup".to_owned());
    }
    fs::write(out.join("holdup.cdx.json"), parts::list(version, "")?).context("cannot write")?;
    files.push("holdup.cdx.json".to_owned());
    let mut sums = repository::command("sha256sum");
    let sums = sums.current_dir(&out).args(&files).output().context("sha256sum does not run")?;
    ensure!(sums.status.success(), "sha256sum: {}", String::from_utf8_lossy(&sums.stderr));
    fs::write(out.join("SHA256SUMS"), sums.stdout).context("cannot write")?;
    say(&format!(
        "{} is made. Look at `git diff`, run `cargo xtask test`, commit, and tag v{version}.",
        out.display()
    ))
    .context("standard output")
}

fn is_version(version: &str) -> anyhow::Result<()> {
    let numbers: Vec<_> = version.split('.').map(str::parse::<u32>).collect();
    ensure!(numbers.len() == 3 && numbers.iter().all(Result::is_ok), "{version} is no version");
    Ok(())
}

fn is_clean() -> anyhow::Result<()> {
    let mut git = repository::command("git");
    let status = git.args(["status", "--porcelain"]).output().context("git does not run")?;
    ensure!(status.status.success(), "git: {}", String::from_utf8_lossy(&status.stderr));
    if !status.stdout.is_empty() {
        bail!("there are changes that are not committed: a release is made of what is");
    }
    Ok(())
}

fn change(path: &Path, to: impl Fn(&str) -> anyhow::Result<String>) -> anyhow::Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    fs::write(path, to(&text)?).with_context(|| format!("{}", path.display()))
}

fn keep(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

/// The workspace's manifest with another version, of the crates that depend on each other as well.
fn with_version(text: &str, version: &str) -> anyhow::Result<String> {
    let manifest: toml::Table = text.parse().context("Cargo.toml")?;
    let held = manifest.get("workspace").and_then(|it| it.get("package")?.get("version")?.as_str());
    let held = held.context("Cargo.toml has no workspace.package.version")?;
    let own = |line: &&str| line.starts_with("version = ") || line.contains("{ path = ");
    let changed = |line: &str| {
        let is_own = own(&line);
        if is_own {
            line.replace(&format!("\"{held}\""), &format!("\"{version}\""))
        } else {
            line.to_owned()
        }
    };
    Ok(text.lines().map(changed).collect::<Vec<_>>().join("\n") + "\n")
}

/// The changelog with what is unreleased under a version's heading.
fn with_section(text: &str, version: &str, date: &str) -> anyhow::Result<String> {
    let (head, rest) = text.split_once(UNRELEASED).context("CHANGELOG.md has no Unreleased")?;
    let end = rest.find("\n## [").unwrap_or(rest.len());
    ensure!(rest[..end].contains("\n- "), "nothing is unreleased: CHANGELOG.md says so");
    ensure!(!text.contains(&format!("## [{version}]")), "{version} is in CHANGELOG.md already");
    Ok(format!("{head}{UNRELEASED}\n## [{version}] - {date}\n{rest}"))
}

#[cfg(test)]
mod tests {
    use super::{is_version, with_section, with_version};

    #[test]
    fn a_version_is_of_all_crates_of_the_workspace_and_of_no_other() {
        let text = "[workspace.package]\nversion = \"0.1.0\"\n\n[workspace.dependencies]\n\
                    holdup = { path = \"instrument\", version = \"0.1.0\" }\n\
                    other = { version = \"0.1.0\" }\n";
        let changed = with_version(text, "0.2.0").unwrap();
        assert_eq!(changed.matches("\"0.2.0\"").count(), 2);
        assert!(changed.contains("other = { version = \"0.1.0\" }"));
        assert!(with_version("[workspace]\n", "0.2.0").is_err());
        assert!(is_version("0.2.0").is_ok() && is_version("0.2").is_err());
        assert!(is_version("v0.2.0").is_err());
    }

    #[test]
    fn what_is_unreleased_gets_a_heading() {
        let text = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- A thing.\n";
        let changed = with_section(text, "0.2.0", "2026-11-30").unwrap();
        let expected = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-11-30\n\n### Added\n\n- A thing.\n";
        assert_eq!(changed, expected);
        assert!(with_section(&changed, "0.3.0", "2026-12-01").is_err(), "nothing is unreleased");
    }
}
