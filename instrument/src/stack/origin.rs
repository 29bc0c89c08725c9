//! Whose code a frame is: the one place for the lists that decide whom to blame.

/// Crates that are never to blame: whoever calls them is.
///
/// A framework such as `axum`, `hyper` or `tower` is not among them. It calls the service, so it is
/// further out than what is to blame, unless it blocks by itself.
const NOT_TO_BLAME: [&[&str]; 6] = [
    // What comes with the compiler, and the crates that std is made of. `__rustc` is where the
    // compiler puts the allocator's entry points.
    &[
        "__rustc",
        "std",
        "core",
        "alloc",
        "proc_macro",
        "test",
        "std_detect",
        "compiler_builtins",
        "panic_abort",
        "panic_unwind",
        "hashbrown",
        "addr2line",
        "gimli",
        "object",
        "miniz_oxide",
        "rustc_demangle",
        "memchr",
        "backtrace",
    ],
    // The way to the kernel.
    &["libc", "rustix", "nix", "linux_raw_sys", "socket2", "errno", "syscalls"],
    // Allocators.
    &[
        "jemallocator",
        "jemalloc_sys",
        "tikv_jemallocator",
        "tikv_jemalloc_sys",
        "mimalloc",
        "libmimalloc_sys",
        "snmalloc_rs",
        "dhat",
    ],
    // Async runtimes and what futures are put together with.
    &[
        "tokio",
        "tokio_util",
        "tokio_stream",
        "mio",
        "futures",
        "futures_core",
        "futures_util",
        "futures_executor",
        "futures_channel",
        "futures_lite",
        "async_trait",
        "async_std",
        "async_executor",
        "async_task",
        "smol",
        "polling",
        "pin_project",
        "pin_project_lite",
        "pollster",
    ],
    // Locks, channels, pools.
    &[
        "parking_lot",
        "parking_lot_core",
        "lock_api",
        "once_cell",
        "lazy_static",
        "crossbeam",
        "crossbeam_channel",
        "crossbeam_utils",
        "flume",
        "async_channel",
        "event_listener",
        "spin",
        "thread_local",
        "rayon",
        "rayon_core",
    ],
    &["holdup", "holdup_macros"],
];

/// Where a task begins: what is further out is not the task's. Beginnings of paths.
const TASK_ROOTS: [&str; 4] = [
    "tokio::runtime::task::raw::",
    "tokio::runtime::task::harness::",
    "tokio::runtime::task::core::",
    "tokio::task::local::",
];

/// Where the future of `block_on` or a thread begins. Code that blocks on a future within a task is
/// further out than these, so they end a task only where something of the user's is inside.
const OUTER_ROOTS: [&str; 5] = [
    "tokio::runtime::scheduler::",
    "tokio::runtime::context::",
    "tokio::runtime::park::",
    "std::sys::backtrace::__rust_begin_short_backtrace",
    "std::rt::lang_start",
];

/// What a frame begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// A task.
    Task,
    /// The future of `block_on`, or a thread.
    Outer,
}

/// Whether code of the crate can be to blame.
pub fn can_be_blamed(name: &str) -> bool {
    !name.is_empty() && !NOT_TO_BLAME.iter().any(|group| group.contains(&name))
}

/// Whether the frame is where a task or more begins.
pub fn root(function: &str) -> Option<Root> {
    let path = function.trim_start_matches('<');
    let is = |roots: &[&str]| roots.iter().any(|root| path.starts_with(root));
    if is(&TASK_ROOTS) {
        return Some(Root::Task);
    }
    is(&OUTER_ROOTS).then_some(Root::Outer)
}

/// The crate of a source file by where such files are kept: of std, or of a package that cargo
/// fetched. None for a file of the user's own.
pub(super) fn crate_of_file(file: &str) -> Option<String> {
    // `/rustc/<commit>/library/core/src/…`, or the same below `lib/rustlib/src/rust`.
    if let Some((before, rest)) = file.split_once("/library/")
        && (before.starts_with("/rustc/") || before.ends_with("/lib/rustlib/src/rust"))
    {
        let name = rest.split('/').next().unwrap_or_default();
        return Some(if name == "backtrace" { "std" } else { name }.to_owned());
    }
    let package = fetched_package(file)?;
    // `name-1.2.3`: a version begins with a digit.
    let mut parts = package.rmatch_indices('-');
    let end = parts.find(|(at, _)| package[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
    let name = end.map_or(package, |(at, _)| &package[..at]);
    Some(name.replace('-', "_"))
}

/// The folder of a package that cargo fetched, from a registry or from git; or one that std brings.
fn fetched_package(file: &str) -> Option<&str> {
    if let Some((_, rest)) = file.split_once("/registry/src/") {
        return rest.split('/').nth(1);
    }
    if let Some((_, rest)) = file.split_once("/git/checkouts/") {
        // `name-hash/commit/…`, where a package may be in a folder of its own.
        let mut parts: Vec<&str> = rest.split('/').collect();
        parts.truncate(parts.iter().position(|part| *part == "src")?);
        return match parts[..] {
            [repository, _commit] => Some(repository.rsplit_once('-').map_or(repository, |p| p.0)),
            [.., folder] => Some(folder),
            [] => None,
        };
    }
    file.strip_prefix("/rust/deps/").and_then(|rest| rest.split('/').next())
}

/// Whether the file is of a package that cargo fetched, or of std.
pub(super) fn is_foreign(file: &str) -> bool {
    crate_of_file(file).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_tell_their_crate() {
        let registry = "/a/.cargo/registry/src/index-1949cf8c6b5b557f";
        for (file, name) in [
            ("/rustc/59807616e1fa/library/core/src/ops/function.rs", Some("core")),
            ("/t/lib/rustlib/src/rust/library/std/src/thread/mod.rs", Some("std")),
            ("/rust/deps/hashbrown-0.16.1/src/raw.rs", Some("hashbrown")),
            (&format!("{registry}/tokio-1.54.1/src/lib.rs"), Some("tokio")),
            (&format!("{registry}/futures-util-0.3.31/src/lib.rs"), Some("futures_util")),
            (&format!("{registry}/foo-1.0.0-alpha.1/src/lib.rs"), Some("foo")),
            (
                "/a/.cargo/git/checkouts/sea-orm-0123456789abcdef/1a2b3c4/src/lib.rs",
                Some("sea_orm"),
            ),
            ("/a/.cargo/git/checkouts/x-0123/1a2b3c4/crates/y-z/src/lib.rs", Some("y_z")),
            ("/src/shop/src/library/cart.rs", None),
            ("src/cart.rs", None),
        ] {
            assert_eq!(crate_of_file(file).as_deref(), name, "{file}");
        }
    }

    #[test]
    fn who_calls_a_lock_is_to_blame_and_not_the_lock() {
        assert!(can_be_blamed("shop") && can_be_blamed("hyper"));
        for innocent in ["", "std", "tokio", "parking_lot", "holdup"] {
            assert!(!can_be_blamed(innocent), "{innocent}");
        }
    }
}
