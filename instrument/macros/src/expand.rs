//! The one expansion.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::visit_mut::{VisitMut, visit_type_mut};
use syn::{Block, Ident, Result, ReturnType, Signature, Type, parse_quote};

use crate::arguments::Arguments;
use crate::target;

pub(crate) fn detect_blocking(arguments: TokenStream, item: &TokenStream) -> Result<TokenStream> {
    let arguments = Arguments::parse(arguments)?;
    let mut function = target::function(item)?;
    let site = site(&arguments, function.sig.ident.span());
    if function.sig.asyncness.is_some() {
        let typed = typed_return(&function.sig);
        let statements = &function.block.stmts;
        let watched = watched(&arguments, &quote!(async move { #typed #(#statements)* }));
        let body: Block = parse_quote!({
            #site
            #watched.await
        });
        function.block = body;
    } else {
        let block = target::returned_async_block(&mut function)?;
        let watched = watched(&arguments, &quote!(#block));
        *block = parse_quote!({
            #site
            #watched
        });
    }
    Ok(quote!(#function))
}

/// The future with its polls timed, or with all of its time if that was asked for.
fn watched(arguments: &Arguments, future: &TokenStream) -> TokenStream {
    let limit = |method: &str, ns: Option<u64>| {
        let method = Ident::new(method, Span::call_site());
        ns.map(|ns| quote!(.#method(::core::time::Duration::from_nanos(#ns))))
    };
    let slow_await = limit("slow_await", arguments.slow_await_ns);
    let starved = limit("starved", arguments.starved_ns);
    if slow_await.is_none() && starved.is_none() {
        return quote!(::holdup::watch(&__HOLDUP_SITE, #future));
    }
    quote!(::holdup::timed_at(&__HOLDUP_SITE, #future) #slow_await #starved)
}

/// The static that a poll is charged to, in the function that it names.
fn site(arguments: &Arguments, function: Span) -> TokenStream {
    let line = quote_spanned!(function=> ::core::line!());
    let site = match &arguments.name {
        Some(name) => quote!(::holdup::Site::new(#name, ::core::file!(), #line)),
        None => quote!(::holdup::Site::around(__holdup_here, ::core::file!(), #line)),
    };
    let here = arguments.name.is_none().then(|| {
        quote!(
            fn __holdup_here() {}
        )
    });
    let threshold = arguments
        .threshold_ns
        .map(|ns| quote!(.threshold(::core::time::Duration::from_nanos(#ns))));
    quote! {
        #here
        static __HOLDUP_SITE: ::holdup::Site = #site #threshold;
    }
}

/// In the async block that the body becomes, `?` and `return` need to know the function's type. An
/// `impl Trait` in it can't be named there, and is left to be inferred.
fn typed_return(signature: &Signature) -> Option<TokenStream> {
    let ReturnType::Type(_, returned) = &signature.output else { return None };
    if matches!(**returned, Type::Never(_)) {
        return None;
    }
    let mut returned = returned.clone();
    let span = returned.span();
    ImplTraitToInferred.visit_type_mut(&mut returned);
    Some(quote_spanned! {span=>
        #[allow(clippy::diverging_sub_expression, clippy::needless_return, unreachable_code)]
        if let ::core::option::Option::Some(__holdup_returned) =
            ::core::option::Option::None::<#returned>
        {
            return __holdup_returned;
        }
    })
}

struct ImplTraitToInferred;

impl VisitMut for ImplTraitToInferred {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        if matches!(ty, Type::ImplTrait(_)) {
            *ty = parse_quote!(_);
        } else {
            visit_type_mut(self, ty);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::ToTokens;

    /// The text of a function with the layout that `quote` gives to all.
    fn layout(text: &str) -> String {
        syn::parse_str::<syn::ItemFn>(text).unwrap().to_token_stream().to_string()
    }

    fn becomes(arguments: &str, function: &str, expansion: &str) {
        let (arguments, function) = (arguments.parse().unwrap(), function.parse().unwrap());
        let expanded = detect_blocking(arguments, &function).unwrap();
        assert_eq!(layout(&expanded.to_string()), layout(expansion));
    }

    #[test]
    fn an_async_method_with_a_threshold() {
        becomes(
            r#"threshold = "200ms""#,
            include_str!("../snapshots/method.rs"),
            include_str!("../snapshots/method.expanded.rs"),
        );
    }

    #[test]
    fn a_function_of_which_all_time_is_accounted_for() {
        becomes(
            r#"slow_await = "1s", starved = "100ms""#,
            include_str!("../snapshots/timed.rs"),
            include_str!("../snapshots/timed.expanded.rs"),
        );
    }

    #[test]
    fn a_function_that_returns_a_boxed_future() {
        becomes(
            r#"name = "shop::checkout""#,
            include_str!("../snapshots/boxed.rs"),
            include_str!("../snapshots/boxed.expanded.rs"),
        );
    }
}
