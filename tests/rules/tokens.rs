//! Rust sources as tokens: what is in a comment or a string is no code, what is in a macro is.

use std::str::FromStr;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// Something at a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// The tokens of a source; `None` when it is no Rust.
pub(crate) fn of(source: &str) -> Option<TokenStream> {
    TokenStream::from_str(source).ok()
}

/// Without what only tests contain.
pub(crate) fn without_tests(stream: TokenStream) -> TokenStream {
    let mut kept: Vec<TokenTree> = Vec::new();
    let mut in_test = false;
    for token in stream {
        if in_test {
            in_test = !ends_item(&token);
            continue;
        }
        match token {
            TokenTree::Group(group) if is_test_attribute(&kept, &group) => {
                kept.pop();
                in_test = true;
            }
            TokenTree::Group(group) => {
                let mut cut = Group::new(group.delimiter(), without_tests(group.stream()));
                cut.set_span(group.span());
                kept.push(cut.into());
            }
            token => kept.push(token),
        }
    }
    kept.into_iter().collect()
}

fn is_test_attribute(before: &[TokenTree], group: &Group) -> bool {
    let hash = matches!(before.last(), Some(TokenTree::Punct(hash)) if hash.as_char() == '#');
    let text = group.stream().to_string().replace(' ', "");
    hash && group.delimiter() == Delimiter::Bracket && (text == "cfg(test)" || text == "test")
}

fn ends_item(token: &TokenTree) -> bool {
    match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        _ => false,
    }
}

/// Every token in order, groups flattened.
pub(crate) fn flat(stream: TokenStream) -> Vec<TokenTree> {
    let mut all = Vec::new();
    for token in stream {
        if let TokenTree::Group(group) = &token {
            all.extend(flat(group.stream()));
        }
        all.push(token);
    }
    all
}

/// Every identifier.
pub(crate) fn idents(stream: TokenStream) -> Vec<At> {
    let idents = flat(stream).into_iter().filter_map(|token| match token {
        TokenTree::Ident(ident) => {
            Some(At { line: ident.span().start().line, text: ident.to_string() })
        }
        _ => None,
    });
    idents.collect()
}

/// Every string literal with its lines, first and last.
pub(crate) fn strings(stream: TokenStream) -> Vec<(usize, usize, String)> {
    let strings = flat(stream).into_iter().filter_map(|token| match token {
        TokenTree::Literal(literal) if literal.to_string().contains('"') => {
            let span = literal.span();
            Some((span.start().line, span.end().line, literal.to_string()))
        }
        _ => None,
    });
    strings.collect()
}

/// Every path, such as `std::fs::File`, with the trees of `use` spread out.
pub(crate) fn paths(stream: TokenStream) -> Vec<At> {
    let mut found = Vec::new();
    collect_paths(stream, &[], &mut found);
    found
}

fn collect_paths(stream: TokenStream, prefix: &[String], found: &mut Vec<At>) {
    let mut path: Vec<String> = Vec::new();
    let mut line = 0;
    let mut colons = 0;
    for token in stream {
        match token {
            TokenTree::Ident(ident) => {
                if colons < 2 || path.is_empty() {
                    finish(&mut path, line, found);
                    path = prefix.to_vec();
                    line = ident.span().start().line;
                }
                path.push(ident.to_string());
                colons = 0;
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
            TokenTree::Group(group) => {
                let tree = colons == 2 && group.delimiter() == Delimiter::Brace;
                let inner = if tree { std::mem::take(&mut path) } else { Vec::new() };
                finish(&mut path, line, found);
                collect_paths(group.stream(), &inner, found);
                colons = 0;
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {
                finish(&mut path, line, found);
                colons = 0;
            }
        }
    }
    finish(&mut path, line, found);
}

fn finish(path: &mut Vec<String>, line: usize, found: &mut Vec<At>) {
    if !path.is_empty() {
        found.push(At { line, text: std::mem::take(path).join("::") });
    }
}

#[test]
fn paths_are_found_in_uses_expressions_and_macros() {
    let source = "use std::{fs::File, io};\nfn f() { vec![tokio::spawn(x)]; }";
    let found = paths(of(source).unwrap());
    let found: Vec<_> = found.iter().map(|at| (at.line, at.text.as_str())).collect();
    for expected in [(1, "std::fs::File"), (1, "std::io"), (2, "tokio::spawn")] {
        assert!(found.contains(&expected), "{found:?}");
    }
}

#[test]
fn tests_are_cut_out() {
    let source = "fn a() {} #[cfg(test)] mod tests { fn b() {} } #[cfg(test)] mod c; fn d() {}";
    let kept = without_tests(of(source).unwrap()).to_string();
    assert!(kept.contains('a') && kept.contains('d'), "{kept}");
    assert!(!kept.contains('b') && !kept.contains("mod"), "{kept}");
}

#[test]
fn strings_are_no_code_and_code_is_no_string() {
    let stream = of("// unsafe\nfn f() { g(\"unsafe\nb\") }").unwrap();
    assert!(idents(stream.clone()).iter().all(|at| at.text != "unsafe"));
    assert_eq!(strings(stream), [(2, 3, "\"unsafe\nb\"".to_owned())]);
}
