//! Which crate a source file is of: each compile unit tells where its crate's sources are.
//!
//! With `debug = "line-tables-only"` the debugging information has but the last segment of an inlined
//! function's name. Its file, and the folder of its crate, give the rest.

use crate::stack::origin;

/// Crates that are remembered: three times as many as large programs have.
const FOLDERS_MAX: usize = 4096;

/// The sources of one crate.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Folder {
    name: String,
    /// Where the compiler ran.
    built_in: String,
    /// What the compiler was given: `lib.rs`, `main.rs`.
    root: String,
}

/// The folders of all crates of a program.
#[derive(Clone, Debug, Default)]
pub(super) struct Folders {
    all: Vec<Folder>,
}

/// What a file's path tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Source {
    /// Empty when it isn't known.
    pub(super) crate_name: String,
    /// `crate::module`, or as much of it as is known.
    pub(super) module: String,
    /// The path without what only the machine has that built it.
    pub(super) shown: String,
}

impl Folders {
    /// Units of rustc are named `src/lib.rs/@/crate.hash-cgu.0`.
    pub(super) fn add(&mut self, unit: &str, built_in: &str) {
        let Some((root, name)) = unit.split_once("/@/") else { return };
        let name = name.split('.').next().unwrap_or_default().to_owned();
        let root = joined(built_in, root);
        let folder = Folder { name, built_in: built_in.to_owned(), root };
        // The units of one crate follow each other.
        let is_known = self.all.iter().rev().any(|known| *known == folder);
        if !is_known && self.all.len() < FOLDERS_MAX {
            self.all.push(folder);
        }
    }

    /// What it takes of memory.
    pub(super) fn bytes(&self) -> usize {
        let texts = |folder: &Folder| {
            folder.name.capacity() + folder.built_in.capacity() + folder.root.capacity()
        };
        self.all.capacity() * size_of::<Folder>() + self.all.iter().map(texts).sum::<usize>()
    }

    /// What is known of a source file, given by its whole path.
    pub(super) fn source(&self, file: &str) -> Source {
        let around = |folder: &&Folder| {
            let (directory, _) = folder.root.rsplit_once('/').unwrap_or_default();
            file.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
        };
        // The innermost; of several there, the one that begins in this very file, or the library.
        let likelihood = |folder: &&Folder| {
            (
                folder.root.matches('/').count(),
                folder.root == file,
                folder.root.ends_with("/lib.rs"),
            )
        };
        if let Some(folder) = self.all.iter().filter(around).max_by_key(likelihood) {
            let crate_name = folder.name.clone();
            let module = module(&crate_name, &folder.root, file);
            let inside = file.strip_prefix(folder.built_in.as_str());
            let inside = inside.map(|rest| rest.trim_start_matches('/')).unwrap_or(file);
            let shown = match origin::is_foreign(file) && !file.starts_with("/rustc/") {
                true => format!("{}/{inside}", last_of(&folder.built_in)),
                false => inside.to_owned(),
            };
            return Source { crate_name, module, shown };
        }
        let crate_name = origin::crate_of_file(file).unwrap_or_default();
        Source { module: crate_name.clone(), crate_name, shown: file.to_owned() }
    }
}

/// `crate::a::b` for the file `a/b.rs` or `a/b/mod.rs` beside the crate's root.
fn module(crate_name: &str, root: &str, file: &str) -> String {
    let (directory, _) = root.rsplit_once('/').unwrap_or_default();
    let inside = file.strip_prefix(directory).unwrap_or_default().trim_start_matches('/');
    if root == file {
        return crate_name.to_owned();
    }
    let stem = inside.strip_suffix(".rs").unwrap_or(inside);
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    format!("{crate_name}::{}", stem.replace('/', "::"))
}

fn joined(directory: &str, path: &str) -> String {
    match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("{}/{path}", directory.trim_end_matches('/')),
    }
}

fn last_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_belong_to_the_crate_whose_folder_they_are_in() {
        let mut folders = Folders::default();
        folders.add("src/lib.rs/@/shop.1a2b-cgu.0", "/build/shop");
        folders.add("src/lib.rs/@/shop.1a2b-cgu.1", "/build/shop");
        folders.add("src/main.rs/@/shop_bin.1a2b-cgu.0", "/build/shop");
        folders.add("demo/ledger/src/lib.rs/@/ledger.77-cgu.0", "/build/shop");
        folders.add("library/core/src/lib.rs/@/core.9-cgu.0", "/rustc/5980");
        let tokio = "/a/.cargo/registry/src/index-1/tokio-1.54.1";
        folders.add("src/lib.rs/@/tokio.3-cgu.0", tokio);
        folders.add("a.c", "/build/c");
        assert_eq!(folders.all.len(), 5);
        let source = |file: &str| {
            let Source { crate_name, module, shown } = folders.source(file);
            [crate_name, module, shown]
        };
        for (file, expected) in [
            ("/build/shop/src/lib.rs", ["shop", "shop", "src/lib.rs"]),
            ("/build/shop/src/cart/mod.rs", ["shop", "shop::cart", "src/cart/mod.rs"]),
            ("/build/shop/src/main.rs", ["shop_bin", "shop_bin", "src/main.rs"]),
            (
                "/build/shop/demo/ledger/src/disk.rs",
                ["ledger", "ledger::disk", "demo/ledger/src/disk.rs"],
            ),
            (
                "/rustc/5980/library/core/src/ops/function.rs",
                ["core", "core::ops::function", "library/core/src/ops/function.rs"],
            ),
            (
                &format!("{tokio}/src/runtime/task/core.rs"),
                ["tokio", "tokio::runtime::task::core", "tokio-1.54.1/src/runtime/task/core.rs"],
            ),
            ("/elsewhere/x.c", ["", "", "/elsewhere/x.c"]),
        ] {
            assert_eq!(source(file), expected, "{file}");
        }
    }
}
