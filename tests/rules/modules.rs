//! Which file is a module of which.

use std::collections::{BTreeMap, VecDeque};

use proc_macro2::TokenTree;

use super::files::File;
use super::tokens;

/// A module that a file declares to be in another file.
#[derive(Debug)]
struct Declared {
    name: String,
    path: Option<String>,
    test: bool,
}

/// Every file that some root leads to, and whether that is for tests only.
pub(crate) fn reachable(files: &[File]) -> BTreeMap<&str, bool> {
    let rust: BTreeMap<&str, &File> =
        files.iter().filter(|file| file.is_rust()).map(|file| (file.path.as_str(), file)).collect();
    let mut found: BTreeMap<&str, bool> = BTreeMap::new();
    let mut queue: VecDeque<(&str, bool)> = VecDeque::new();
    for path in rust.keys() {
        if is_root(path, files) {
            queue.push_back((path, is_test_root(path)));
        }
    }
    while let Some((path, test)) = queue.pop_front() {
        let known = found.get(path).copied();
        if known == Some(false) || known == Some(test) {
            continue;
        }
        found.insert(path, test);
        for declared in declared(rust[path]) {
            for child in candidates(rust[path], &declared, is_root(path, files)) {
                if let Some((child, _)) = rust.get_key_value(child.as_str()) {
                    queue.push_back((child, test || declared.test));
                }
            }
        }
    }
    found
}

/// True for the files that cargo compiles by themselves.
fn is_root(path: &str, files: &[File]) -> bool {
    let named = files.iter().filter(|file| file.path.ends_with("Cargo.toml"));
    named.into_iter().any(|manifest| {
        let inside = match manifest.folder() {
            "" => Some(path),
            folder => path.strip_prefix(folder).and_then(|path| path.strip_prefix('/')),
        };
        let Some(inside) = inside else { return false };
        let usual = matches!(inside, "src/main.rs" | "src/lib.rs" | "build.rs");
        let alone = ["src/bin/", "examples/", "benches/", "tests/"].iter().any(|folder| {
            let rest = inside.strip_prefix(folder);
            rest.is_some_and(|rest| !rest.contains('/') || rest.ends_with("/main.rs"))
        });
        let package = manifest.text.contains("[package]");
        package && (usual || alone || manifest.text.contains(&format!("path = \"{inside}\"")))
    })
}

fn is_test_root(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "examples" | "benches"))
}

fn declared(file: &File) -> Vec<Declared> {
    let mut all = Vec::new();
    let Some(stream) = tokens::of(&file.text) else { return all };
    let (mut path, mut test) = (None, false);
    let mut words: Vec<String> = Vec::new();
    for token in stream {
        match token {
            TokenTree::Group(group) if group.to_string().starts_with('[') => {
                let attribute = group.stream().to_string().replace(' ', "");
                test |= attribute.starts_with("cfg(") && attribute.contains("test");
                if let Some(quoted) = attribute.strip_prefix("path=") {
                    path = Some(quoted.trim_matches('"').to_owned());
                }
            }
            TokenTree::Ident(ident) => words.push(ident.to_string()),
            TokenTree::Punct(punct) if punct.as_char() == ';' => {
                if let [.., keyword, name] = &words[..]
                    && keyword == "mod"
                {
                    all.push(Declared { name: name.clone(), path: path.take(), test });
                }
                (path, test) = (None, false);
                words.clear();
            }
            TokenTree::Group(group) if group.to_string().starts_with('{') => {
                (path, test) = (None, false);
                words.clear();
            }
            _ => {}
        }
    }
    all
}

fn candidates(file: &File, declared: &Declared, is_root: bool) -> Vec<String> {
    let join = |folder: &str, name: &str| match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    };
    if let Some(path) = &declared.path {
        return vec![join(file.folder(), path)];
    }
    let base = if is_root || file.stem() == "mod" {
        file.folder().to_owned()
    } else {
        join(file.folder(), file.stem())
    };
    let name = &declared.name;
    vec![join(&base, &format!("{name}.rs")), join(&base, &format!("{name}/mod.rs"))]
}

#[test]
fn modules_are_followed_from_their_roots() {
    let files = [
        File::new("a/Cargo.toml", "[package]"),
        File::new("a/src/lib.rs", "mod b; #[cfg(test)] mod c; #[path = \"x.rs\"] mod d;"),
        File::new("a/src/b.rs", "pub(crate) mod e;"),
        File::new("a/src/b/e.rs", ""),
        File::new("a/src/c/mod.rs", "mod f;"),
        File::new("a/src/c/f.rs", ""),
        File::new("a/src/x.rs", ""),
        File::new("a/src/dead.rs", ""),
        File::new("a/tests/it/main.rs", ""),
    ];
    let expected = [
        ("a/src/b.rs", false),
        ("a/src/b/e.rs", false),
        ("a/src/c/f.rs", true),
        ("a/src/c/mod.rs", true),
        ("a/src/lib.rs", false),
        ("a/src/x.rs", false),
        ("a/tests/it/main.rs", true),
    ];
    assert_eq!(reachable(&files), BTreeMap::from(expected));
}
