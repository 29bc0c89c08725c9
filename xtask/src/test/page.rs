//! The page: its types, its tests, and that what is committed is what the sources give.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::need;
use crate::interrupt::Interrupt;
use crate::process;
use crate::repository::{command, root};

type Contents = BTreeMap<PathBuf, Vec<u8>>;

pub(crate) fn run(_: Option<&str>, interrupt: &Interrupt) -> anyhow::Result<()> {
    need::npm()?;
    let page = root().join("collector/page");
    process::run(npm(&page).args(["ci", "--no-audit", "--no-fund"]), interrupt)?;
    process::run(npm(&page).args(["run", "check"]), interrupt)?;

    let committed = contents(&page.join("dist"))?;
    process::run(npm(&page).args(["run", "build"]), interrupt)?;
    let differing = differing(&committed, &contents(&page.join("dist"))?);
    if !differing.is_empty() {
        bail!(
            "collector/page/dist was not what its sources give and is rebuilt: commit {}",
            differing.join(", ")
        );
    }
    let browser = need::chromium(interrupt)?;
    process::run(npm(&page).arg("test").env("CHROMIUM", browser), interrupt)
}

fn npm(page: &Path) -> Command {
    let mut npm = command("npm");
    npm.arg("--loglevel=error").current_dir(page);
    npm
}

/// Every file in the folder.
fn contents(folder: &Path) -> anyhow::Result<Contents> {
    let mut found = Contents::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let content = fs::read(&path)?;
                found.insert(path, content);
            }
        }
    }
    Ok(found)
}

/// Names of the files that are not the same in both.
fn differing(before: &Contents, after: &Contents) -> Vec<String> {
    let paths = before.keys().chain(after.keys().filter(|path| !before.contains_key(*path)));
    paths
        .filter(|path| before.get(*path) != after.get(*path))
        .map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_added_and_removed_files_differ() {
        let of = |files: &[(&str, &str)]| -> Contents {
            files.iter().map(|(name, text)| (name.into(), text.as_bytes().to_vec())).collect()
        };
        let before = of(&[("dist/a", "1"), ("dist/b", "1"), ("dist/c", "1")]);
        let after = of(&[("dist/a", "1"), ("dist/b", "2"), ("dist/d", "1")]);
        assert_eq!(differing(&before, &after), ["b", "c", "d"]);
        assert!(differing(&before, &before).is_empty());
    }
}
