//! What the attribute may stand on.

use proc_macro2::TokenStream;
use syn::spanned::Spanned;
use syn::{Error, Expr, ImplItemFn, Item, Result, Stmt, TraitItemFn, parse2};

const NOT_ASYNC: &str = "`#[holdup::detect_blocking]` can only be applied to async functions";

/// A function with a body: free, in an impl, or in a trait.
pub(crate) fn function(item: &TokenStream) -> Result<ImplItemFn> {
    if let Ok(function) = parse2::<ImplItemFn>(item.clone()) {
        return Ok(function);
    }
    if let Ok(declaration) = parse2::<TraitItemFn>(item.clone())
        && declaration.default.is_none()
    {
        let text = "a declaration has no polls: apply the attribute to the implementations";
        return Err(Error::new(declaration.sig.ident.span(), text));
    }
    let span = match parse2::<Item>(item.clone()) {
        Ok(Item::Struct(item)) => item.struct_token.span(),
        Ok(Item::Enum(item)) => item.enum_token.span(),
        Ok(Item::Impl(item)) => item.impl_token.span(),
        Ok(Item::Mod(item)) => item.mod_token.span(),
        Ok(Item::Trait(item)) => item.trait_token.span(),
        Ok(other) => other.span(),
        // Not an item at all: what the compiler says about it is clearer.
        Err(error) => return Err(error),
    };
    Err(Error::new(span, NOT_ASYNC))
}

/// The async block that a function which is not async itself returns.
pub(crate) fn returned_async_block(function: &mut ImplItemFn) -> Result<&mut Expr> {
    let span = function.sig.fn_token.span();
    let tail = match function.block.stmts.last_mut() {
        Some(Stmt::Expr(expression, None)) => async_block(expression),
        _ => None,
    };
    tail.ok_or_else(|| Error::new(span, NOT_ASYNC))
}

fn async_block(expression: &mut Expr) -> Option<&mut Expr> {
    match expression {
        Expr::Async(_) => Some(expression),
        Expr::Paren(inner) => async_block(&mut inner.expr),
        Expr::Call(call) if call.args.len() == 1 && is_box_pin(&call.func) => {
            async_block(call.args.first_mut()?)
        }
        _ => None,
    }
}

fn is_box_pin(function: &Expr) -> bool {
    let Expr::Path(path) = function else { return false };
    let names = path.path.segments.iter().rev().take(2).map(|segment| segment.ident.to_string());
    names.eq(["pin", "Box"])
}
