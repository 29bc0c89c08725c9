//! The attribute macros of the crate `holdup`; use them from there.

use proc_macro::TokenStream;

mod arguments;
mod expand;
mod target;
mod test;

/// Times each poll of an async function, and reports those that hold their thread for too long.
///
/// Goes on async functions and methods, and on functions whose last expression is an async block,
/// or `Box::pin` of one, as `#[async_trait]` makes them. Works with generics, lifetimes and
/// `impl Trait`, and beside `#[tracing::instrument]`. An attribute that takes `async` away, such as
/// `#[tokio::main]`, has to come after this one.
///
/// # Arguments
/// - `threshold = "200ms"`: a poll of this function is reported from this duration on, in place of
///   the global threshold. A whole number with one of the units `ns`, `us`, `ms`, `s`, `m`.
/// - `slow_await = "1s"`, `starved = "100ms"`: with either of them all of the function's time is
///   accounted for, as by [`timed`](https://docs.rs/holdup/latest/holdup/fn.timed.html), and it is
///   reported when it was suspended, or ready and not polled, for so long altogether. That costs an
///   allocation a call, and more reads of the clock a poll.
/// - `name = "shop::checkout"`: reported in place of the function's full path.
///
/// # Examples
///
/// ```
/// struct Shop;
///
/// impl Shop {
///     #[holdup::detect_blocking(threshold = "200ms")]
///     async fn checkout(&self, id: u64) -> Result<u64, String> {
///         Ok(id)
///     }
/// }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap()
/// #     .block_on(async { assert_eq!(Shop.checkout(7).await, Ok(7)) });
/// ```
///
/// # Expansion
///
/// The method above becomes what you could write by hand:
///
/// ```
/// # struct Shop;
/// # impl Shop {
/// async fn checkout(&self, id: u64) -> Result<u64, String> {
///     fn here() {}
///     static SITE: holdup::Site = holdup::Site::around(here, file!(), line!())
///         .threshold(std::time::Duration::from_nanos(200_000_000));
///     holdup::watch(&SITE, async move {
///         // Tells the compiler the type of what is returned; never runs.
///         if let Some(returned) = None::<Result<u64, String>> {
///             return returned;
///         }
///         Ok(id)
///     })
///     .await
/// }
/// # }
/// ```
#[proc_macro_attribute]
pub fn detect_blocking(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let original = proc_macro2::TokenStream::from(item);
    expand::detect_blocking(arguments.into(), &original)
        .unwrap_or_else(|error| {
            // The function itself stays, so that its callers bring no errors of their own.
            let mut tokens = error.to_compile_error();
            tokens.extend(original);
            tokens
        })
        .into()
}

/// An async test that fails when one of its polls blocks, with the stack and what to write instead.
///
/// The body runs on a runtime of its own, as with `#[tokio::test]`; your crate needs `tokio` for that.
/// Watched are the body itself, what has [`detect_blocking`](macro@detect_blocking), what is spawned
/// with `holdup::spawn`, and, from 100 ms on, what else holds a thread of the runtime. Time that a
/// thread was ready and had no CPU doesn't count, so that a busy machine fails no test. Such tests run
/// one after the other.
///
/// # Arguments
/// - `max_poll = "50ms"`: no poll may keep its thread for so long or longer. A whole number with one of
///   the units `ns`, `us`, `ms`, `s`, `m`; 50 ms if it isn't given.
/// - `allow = "shop::migrate::*"`: functions that may block, by pattern; `!` before a pattern forbids
///   again. May be given several times; of several that match the last counts.
/// - `flavor = "multi_thread"`, with `worker_threads = 2` if you like; else `current_thread`.
///
/// # Examples
///
/// ```
/// #[holdup::test(max_poll = "50ms", flavor = "multi_thread", worker_threads = 2)]
/// async fn checkout_does_not_block() {
///     tokio::time::sleep(std::time::Duration::from_millis(60)).await;
/// }
/// ```
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    test::test(arguments.into(), item.into())
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
