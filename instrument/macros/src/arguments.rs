//! `threshold = "200ms", slow_await = "1s", starved = "100ms", name = "…"`.

use proc_macro2::TokenStream;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Ident, LitStr, Result, Token};

#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) threshold_ns: Option<u64>,
    /// Either of these asks for more than the time of polls.
    pub(crate) slow_await_ns: Option<u64>,
    pub(crate) starved_ns: Option<u64>,
    pub(crate) name: Option<LitStr>,
}

const KEYS: [&str; 4] = ["threshold", "slow_await", "starved", "name"];

struct Argument {
    key: Ident,
    value: LitStr,
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let key = input.parse::<Ident>()?;
        if !KEYS.iter().any(|known| key == known) {
            let text = format!("unknown argument `{key}`: expected one of `{}`", KEYS.join("`, `"));
            return Err(syn::Error::new(key.span(), text));
        }
        input.parse::<Token![=]>()?;
        let example = if key == "name" { "shop::checkout" } else { "200ms" };
        let value = input.parse::<LitStr>().map_err(|error| {
            let text = format!("expected a string: `{key} = \"{example}\"`");
            syn::Error::new(error.span(), text)
        })?;
        Ok(Self { key, value })
    }
}

impl Arguments {
    pub(crate) fn parse(tokens: TokenStream) -> Result<Self> {
        let parser = Punctuated::<Argument, Token![,]>::parse_terminated;
        let mut arguments = Self::default();
        for Argument { key, value } in parser.parse2(tokens)? {
            let duration = match key.to_string().as_str() {
                "threshold" => Some(&mut arguments.threshold_ns),
                "slow_await" => Some(&mut arguments.slow_await_ns),
                "starved" => Some(&mut arguments.starved_ns),
                _ => None,
            };
            let is_second = if let Some(duration) = duration {
                duration.replace(nanoseconds(&value)?).is_some()
            } else {
                if value.value().trim().is_empty() {
                    return Err(syn::Error::new(value.span(), "the name is empty"));
                }
                arguments.name.replace(value).is_some()
            };
            if is_second {
                return Err(syn::Error::new(key.span(), format!("`{key}` is given twice")));
            }
        }
        Ok(arguments)
    }
}

/// A whole number with a unit, greater than zero. `HOLDUP_THRESHOLD` has the same form.
pub(crate) fn nanoseconds(literal: &LitStr) -> Result<u64> {
    let text = literal.value();
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let factor = match text[digits..].trim_start() {
        "ns" => Some(1),
        "us" | "µs" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(1_000_000_000),
        "m" => Some(60_000_000_000),
        _ => None,
    };
    let number = text[..digits].parse::<u64>().ok();
    match number.zip(factor).and_then(|(number, factor): (u64, u64)| number.checked_mul(factor)) {
        Some(0) => Err(syn::Error::new(literal.span(), "the threshold is zero")),
        Some(nanoseconds) => Ok(nanoseconds),
        None => {
            let text = format!(
                "`{text}` is not a duration: write a whole number and one of the units ns, us, \
                 ms, s, m, such as \"200ms\""
            );
            Err(syn::Error::new(literal.span(), text))
        }
    }
}
