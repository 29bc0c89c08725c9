//! A file is read in one sitting, a function on one screen.

use std::collections::BTreeSet;

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::files::File;
use super::{caught, obey, tokens};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;

fn files_too_long(files: &[File]) -> Vec<String> {
    let rust = files.iter().filter(|file| file.is_rust());
    rust.filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > FILE_LINES_MAX).then(|| {
            format!(
                "{}: {lines} lines, {FILE_LINES_MAX} at most; split it by what it does",
                file.path
            )
        })
    })
    .collect()
}

fn functions_too_long(files: &[File]) -> Vec<String> {
    let mut long = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        // What doesn't parse doesn't compile either, and is told there.
        let Ok(parsed) = syn::parse_file(&file.text) else { continue };
        Functions { path: &file.path, long: &mut long }.visit_file(&parsed);
    }
    long
}

struct Functions<'a> {
    path: &'a str,
    long: &'a mut Vec<String>,
}

impl Functions<'_> {
    fn check(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.span().start().line;
        let lines = block.span().end().line + 1 - first;
        if lines > FUNCTION_LINES_MAX {
            self.long.push(format!(
                "{}:{first}: `{}` has {lines} lines, {FUNCTION_LINES_MAX} at most; give its steps \
                 names",
                self.path, signature.ident
            ));
        }
    }
}

impl<'a> Visit<'a> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'a syn::ItemFn) {
        self.check(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'a syn::ImplItemFn) {
        self.check(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'a syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.check(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// A URL can't be broken, and a string need not be.
fn lines_too_long(files: &[File]) -> Vec<String> {
    let mut long = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let strings = tokens::of(&file.text).map(tokens::strings).unwrap_or_default();
        let in_strings: BTreeSet<usize> =
            strings.into_iter().flat_map(|(first, last, _)| first..=last).collect();
        for (number, line) in (1..).zip(file.text.lines()) {
            let columns = line.chars().count();
            if columns > COLUMNS_MAX && !in_strings.contains(&number) && !line.contains("://") {
                long.push(format!(
                    "{}:{number}: {columns} columns, {COLUMNS_MAX} at most; break it",
                    file.path
                ));
            }
        }
    }
    long
}

#[test]
fn files_have_at_most_500_lines() {
    obey(files_too_long);
    caught(&files_too_long(&[File::new("a.rs", &"\n".repeat(501))]), "a.rs: 501 lines");
    assert!(files_too_long(&[File::new("a.rs", &"\n".repeat(500))]).is_empty());
}

#[test]
fn functions_have_at_most_70_lines() {
    obey(functions_too_long);
    let method = |lines: usize| {
        let body = "        f();\n".repeat(lines - 2);
        File::new("a.rs", &format!("impl A {{\n    #[b]\n    fn c() {{\n{body}    }}\n}}\n"))
    };
    caught(&functions_too_long(&[method(71)]), "a.rs:3: `c` has 71 lines");
    assert!(functions_too_long(&[method(70)]).is_empty());
}

#[test]
fn lines_have_at_most_100_columns() {
    obey(lines_too_long);
    let comment = File::new("a.rs", &format!("// {}", "a".repeat(98)));
    caught(&lines_too_long(&[comment]), "a.rs:1: 101 columns");
    let url = File::new("a.rs", &format!("// https://{}", "a".repeat(98)));
    let string = File::new("a.rs", &format!("const A: &str = \"{}\";", "a".repeat(98)));
    assert!(lines_too_long(&[url, string]).is_empty());
}
