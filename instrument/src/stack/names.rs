//! Names of functions: from what compilers write to what is shown, and to what is compared.

/// A function's name for people: demangled, without the hash, and without the closures in which the
/// body of an async function is.
pub(super) fn shown(symbol: &str) -> String {
    let name = demangled(symbol);
    let mut end = name.len();
    while let Some((before, last)) = name[..end].rsplit_once("::") {
        if !is_anonymous(last) || is_anonymous(before) {
            break;
        }
        end = before.len();
    }
    name[..end].to_owned()
}

/// Demangled, without the hash. What isn't mangled stays as it is.
pub(super) fn demangled(symbol: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(symbol))
}

/// A closure, an async block, the body of an async function: all have a number where a name would be.
pub(super) fn is_anonymous(segment: &str) -> bool {
    segment.starts_with('{')
}

/// The last segment of a name without its generic arguments; `{}` for what has no name.
pub(super) fn last_segment(name: &str) -> &str {
    let name = without_trailing_generics(name);
    let last = split_segments(name).last().unwrap_or(name);
    if is_anonymous(last) { "{}" } else { without_trailing_generics(last) }
}

/// `f` for `f<T>` and `f::<T>`.
fn without_trailing_generics(name: &str) -> &str {
    if !name.ends_with('>') {
        return name;
    }
    let mut depth = 0_u32;
    for (at, byte) in name.bytes().enumerate().rev() {
        match byte {
            // `->` of a function's type.
            b'>' if at > 0 && name.as_bytes()[at - 1] == b'-' => {}
            b'>' => depth += 1,
            b'<' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    let before = name[..at].trim_end_matches("::");
                    // `<T as Trait>` is a segment of its own.
                    return if before.is_empty() { name } else { before };
                }
            }
            _ => {}
        }
    }
    name
}

/// The segments of a path; `<…>` with what is in it belongs to one.
fn split_segments(name: &str) -> impl Iterator<Item = &str> {
    let bytes = name.as_bytes();
    let mut rest = Some(0);
    std::iter::from_fn(move || {
        let start = rest?;
        let mut depth = 0_u32;
        let mut at = start;
        while at < bytes.len() {
            match bytes[at] {
                b'<' | b'(' | b'[' | b'{' => depth += 1,
                b'>' if at > 0 && bytes[at - 1] == b'-' => {}
                b'>' | b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                b':' if depth == 0 && bytes.get(at + 1) == Some(&b':') => {
                    rest = Some(at + 2);
                    return Some(&name[start..at]);
                }
                _ => {}
            }
            at += 1;
        }
        rest = None;
        Some(&name[start..])
    })
}

/// The crates that a name could belong to, the likelier first: for `<A as B>::f` that of the type
/// and that of the trait, else that in which the path begins. Empty for names that are no paths of
/// Rust.
pub(super) fn crates(name: &str) -> Vec<&str> {
    let first = split_segments(name).next().unwrap_or(name);
    let inside = first.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    match inside {
        None if first.len() == name.len() => Vec::new(),
        None => vec![first],
        Some(inside) => {
            let inside = inside.strip_prefix("impl ").unwrap_or(inside);
            match split_as(inside) {
                Some((of_type, of_trait)) => {
                    crate_of_type(of_type).into_iter().chain(crate_of_type(of_trait)).collect()
                }
                None => crate_of_type(inside).into_iter().collect(),
            }
        }
    }
}

/// `A` and `B` of `A as B` or of `B for A`, outside of brackets.
fn split_as(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let mut depth = 0_u32;
    for at in 0..bytes.len() {
        match bytes[at] {
            b'<' | b'(' | b'[' | b'{' => depth += 1,
            b'>' if at > 0 && bytes[at - 1] == b'-' => {}
            b'>' | b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b' ' if depth == 0 && text[at..].starts_with(" as ") => {
                return Some((&text[..at], &text[at + 4..]));
            }
            b' ' if depth == 0 && text[at..].starts_with(" for ") => {
                return Some((&text[at + 5..], &text[..at]));
            }
            _ => {}
        }
    }
    None
}

/// The crate in which a type is defined; none for a primitive or a generic parameter.
fn crate_of_type(text: &str) -> Option<&str> {
    let mut text = text;
    loop {
        let before = text;
        for prefix in ["&", "mut ", "*", "const ", "dyn ", "[", "(", "<", "impl ", "for<'a> "] {
            text = text.strip_prefix(prefix).unwrap_or(text);
        }
        if text == before {
            break;
        }
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (rest.starts_with("::") && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_and_bodies_of_async_functions_are_taken_off() {
        let legacy = "_ZN4shop4cart5total28_$u7b$$u7b$closure$u7d$$u7d$17h1014f11d78ad2b5bE";
        assert_eq!(shown(legacy), "shop::cart::total");
        assert_eq!(demangled(legacy), "shop::cart::total::{{closure}}");
        assert_eq!(shown("_RNCNvNtCs1234_4shop4cart5total0B5_"), "shop::cart::total");
        assert_eq!(shown("shop::cart::total::{{closure}}::{{closure}}"), "shop::cart::total");
        assert_eq!(shown("clock_nanosleep"), "clock_nanosleep");
        assert_eq!(shown("{async_fn#0}"), "{async_fn#0}");
    }

    #[test]
    fn the_last_segment_has_neither_generics_nor_numbers() {
        for (name, last) in [
            ("shop::cart::total", "total"),
            ("total<u32>", "total"),
            ("shop::total::<alloc::vec::Vec<u8>>", "total"),
            ("shop::Cart<T>::total", "total"),
            ("<shop::cart::Cart as core::fmt::Display>::fmt", "fmt"),
            ("shop::total::{{closure}}", "{}"),
            ("{async_fn#0}", "{}"),
            ("{closure#3}<fn(u8) -> u8>", "{}"),
            ("call<fn() -> bool, (u8, u16)>", "call"),
            ("main", "main"),
            ("<shop::Cart>", "<shop::Cart>"),
        ] {
            assert_eq!(last_segment(name), last, "{name}");
        }
    }

    #[test]
    fn the_crate_is_that_of_the_path_the_type_or_the_trait() {
        for (name, expected) in [
            ("shop::cart::total", &["shop"][..]),
            ("<shop::cart::Cart as core::fmt::Display>::fmt", &["shop", "core"]),
            ("<alloc::vec::Vec<T> as shop::Sum>::sum", &["alloc", "shop"]),
            ("<&mut shop::Cart as core::iter::Iterator>::next", &["shop", "core"]),
            ("<T as core::convert::Into<U>>::into", &["core"]),
            ("<[shop::Item] as core::slice::Sort>::sort", &["shop", "core"]),
            ("shop::cart::<impl core::fmt::Display for shop::cart::Cart>::fmt", &["shop"]),
            ("<impl core::fmt::Display for shop::Cart>::fmt", &["shop", "core"]),
            ("<shop::Cart>::total", &["shop"]),
            ("<dyn shop::Backend>::go", &["shop"]),
            ("core::ptr::drop_in_place<shop::Cart>", &["core"]),
            ("<F as core::future::Future>::poll", &["core"]),
            ("<i32 as core::iter::range::Step>::forward", &["core"]),
            ("clock_nanosleep", &[]),
        ] {
            assert_eq!(crates(name), expected, "{name}");
        }
    }
}
