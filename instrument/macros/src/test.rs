//! `#[holdup::test]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Error, Ident, ItemFn, Lit, LitInt, LitStr, Result, Token};

use crate::arguments::nanoseconds;

/// What a poll of a test may take unless it says otherwise.
const MAX_POLL_NS: u64 = 50_000_000;

#[derive(Default)]
struct Arguments {
    max_poll_ns: Option<u64>,
    allow: Vec<LitStr>,
    is_multi_thread: Option<(bool, LitStr)>,
    worker_threads: Option<LitInt>,
}

struct Argument {
    key: Ident,
    value: Lit,
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let key = input.parse::<Ident>()?;
        input.parse::<Token![=]>()?;
        Ok(Self { key, value: input.parse()? })
    }
}

impl Arguments {
    fn parse(tokens: TokenStream) -> Result<Self> {
        let parser = Punctuated::<Argument, Token![,]>::parse_terminated;
        let mut arguments = Self::default();
        for Argument { key, value } in parser.parse2(tokens)? {
            let is_second = match (key.to_string().as_str(), value) {
                ("max_poll", Lit::Str(text)) => {
                    arguments.max_poll_ns.replace(nanoseconds(&text)?).is_some()
                }
                ("max_poll", other) => return Err(expected(&other, "max_poll = \"50ms\"")),
                ("allow", Lit::Str(text)) => {
                    arguments.allow.push(text);
                    false
                }
                ("allow", other) => return Err(expected(&other, "allow = \"shop::migrate::*\"")),
                ("flavor", Lit::Str(text)) => {
                    let is_multi = is_multi_thread(&text)?;
                    arguments.is_multi_thread.replace((is_multi, text)).is_some()
                }
                ("flavor", other) => return Err(expected(&other, "flavor = \"multi_thread\"")),
                ("worker_threads", Lit::Int(number)) if number.base10_parse::<usize>()? > 0 => {
                    arguments.worker_threads.replace(number).is_some()
                }
                ("worker_threads", other) => {
                    return Err(expected(&other, "worker_threads = 2"));
                }
                (unknown, _) => {
                    let text = format!(
                        "unknown argument `{unknown}`: expected `max_poll`, `allow`, `flavor` or \
                         `worker_threads`"
                    );
                    return Err(Error::new(key.span(), text));
                }
            };
            if is_second {
                return Err(Error::new(key.span(), format!("`{key}` is given twice")));
            }
        }
        arguments.checked()
    }

    fn checked(self) -> Result<Self> {
        let is_multi = self.is_multi_thread.as_ref().is_some_and(|(is_multi, _)| *is_multi);
        match &self.worker_threads {
            Some(number) if !is_multi => {
                let text = "`worker_threads` needs `flavor = \"multi_thread\"`";
                Err(Error::new(number.span(), text))
            }
            _ => Ok(self),
        }
    }

    fn runtime(&self) -> TokenStream {
        if !self.is_multi_thread.as_ref().is_some_and(|(is_multi, _)| *is_multi) {
            return quote!(::tokio::runtime::Builder::new_current_thread());
        }
        let workers = self.worker_threads.as_ref().map_or_else(|| quote!(2), |n| quote!(#n));
        quote!({
            let mut runtime = ::tokio::runtime::Builder::new_multi_thread();
            runtime.worker_threads(#workers);
            runtime
        })
    }
}

fn expected(found: &Lit, example: &str) -> Error {
    Error::new(found.span(), format!("expected a value like `{example}`"))
}

fn is_multi_thread(flavor: &LitStr) -> Result<bool> {
    match flavor.value().as_str() {
        "multi_thread" => Ok(true),
        "current_thread" => Ok(false),
        other => {
            let text =
                format!("unknown flavor `{other}`: expected `current_thread` or `multi_thread`");
            Err(Error::new(flavor.span(), text))
        }
    }
}

pub(crate) fn test(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let arguments = Arguments::parse(arguments)?;
    let function = syn::parse2::<ItemFn>(item)?;
    if function.sig.asyncness.is_none() {
        let text = "`#[holdup::test]` can only be applied to async functions";
        return Err(Error::new(function.sig.fn_token.span(), text));
    }
    if let Some(input) = function.sig.inputs.first() {
        return Err(Error::new(input.span(), "a test has no arguments"));
    }
    let max_poll_ns = arguments.max_poll_ns.unwrap_or(MAX_POLL_NS);
    let allow = &arguments.allow;
    let runtime = arguments.runtime();
    let (attributes, visibility, block) = (&function.attrs, &function.vis, &function.block);
    let mut signature = function.sig.clone();
    signature.asyncness = None;
    let line = quote_spanned!(function.sig.ident.span()=> ::core::line!());
    let output = match &function.sig.output {
        syn::ReturnType::Default => quote!(()),
        syn::ReturnType::Type(_, output) => quote!(#output),
    };
    Ok(quote! {
        #(#attributes)*
        #[::core::prelude::v1::test]
        #visibility #signature {
            fn __holdup_here() {}
            static __HOLDUP_SITE: ::holdup::Site =
                ::holdup::Site::around(__holdup_here, ::core::file!(), #line);
            async fn __holdup_test() -> #output #block
            let limits =
                ::holdup::testing::Limits::new(::core::time::Duration::from_nanos(#max_poll_ns))
                #(.allow(#allow))*;
            ::holdup::testing::run(&__HOLDUP_SITE, limits, #runtime, __holdup_test())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: &str = "async fn checkout() {}";

    fn refused(arguments: &str, function: &str) -> String {
        test(arguments.parse().unwrap(), function.parse().unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (arguments, text) in [
            ("max_pol = \"50ms\"", "unknown argument `max_pol`"),
            ("max_poll = 50", "max_poll = \"50ms\""),
            ("max_poll = \"50\"", "`50` is not a duration"),
            ("flavor = \"many\"", "unknown flavor `many`"),
            ("worker_threads = 2", "needs `flavor = \"multi_thread\"`"),
            ("flavor = \"multi_thread\", worker_threads = 0", "worker_threads = 2"),
            ("max_poll = \"1s\", max_poll = \"2s\"", "`max_poll` is given twice"),
        ] {
            let error = refused(arguments, TEST);
            assert!(error.contains(text), "{arguments}: {error}");
        }
        assert!(refused("", "fn checkout() {}").contains("only be applied to async functions"));
        assert!(refused("", "async fn checkout(id: u64) {}").contains("no arguments"));
    }

    #[test]
    fn the_limits_and_the_runtime_are_those_of_the_arguments() {
        let arguments = "max_poll = \"20ms\", allow = \"a::*\", flavor = \"multi_thread\", \
                         worker_threads = 3";
        let expanded = test(arguments.parse().unwrap(), TEST.parse().unwrap()).unwrap().to_string();
        for part in ["20000000u64", "\"a::*\"", "new_multi_thread", "worker_threads (3)"] {
            assert!(expanded.contains(part), "no {part} in {expanded}");
        }
        let plain = test(TokenStream::new(), TEST.parse().unwrap()).unwrap().to_string();
        assert!(plain.contains("50000000u64") && plain.contains("new_current_thread"), "{plain}");
    }
}
