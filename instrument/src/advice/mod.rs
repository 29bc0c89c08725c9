//! What to write instead: one sentence for each way to block that a stack shows, and where
//! [`docs/advice.md`] says more.
//!
//! Data and pure functions, without dependencies: the crate uses them, and so does the collector.
//!
//! [`docs/advice.md`]: https://docs.rs/holdup

mod table;

pub use table::ALL;

/// One way to block, and what to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Advice {
    /// Its name, which is the anchor in `docs/advice.md` too, such as `thread-sleep`.
    pub id: &'static str,
    /// What to do, in a sentence.
    pub sentence: &'static str,
    /// Beginnings of the functions' paths that show it.
    functions: &'static [&'static str],
    rank: Rank,
    /// The cause that shows it where no function does; empty for none.
    cause: &'static str,
}

/// Which advice is the better one for a stack that shows several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Said if there is nothing else to say.
    Last,
    Primitive,
    /// A library says more than the primitive that it blocks in.
    Library,
}

impl Advice {
    /// Where `docs/advice.md` says more: `docs/advice.md#thread-sleep`.
    ///
    /// # Examples
    ///
    /// ```
    /// let advice = holdup::advice::by_id("files").unwrap();
    /// assert_eq!(advice.link(), "docs/advice.md#files");
    /// ```
    pub fn link(&self) -> String {
        format!("docs/advice.md#{}", self.id)
    }

    fn matches(&self, function: &str) -> bool {
        self.functions.iter().any(|prefix| begins(function, prefix))
    }
}

/// The advice for a stack, or none where the stack shows only code of the service's own.
///
/// `frames` are names of functions, innermost first, as poll spans have them (`code.stacktrace`); what
/// follows a name, ` at src/cart.rs:7`, is left out of account. Only the innermost task counts.
///
/// # Examples
///
/// ```
/// let frames = ["clock_nanosleep", "std::thread::sleep", "shop::checkout at src/shop.rs:7"];
/// let advice = holdup::advice::for_frames(&frames).unwrap();
/// assert_eq!(advice.id, "thread-sleep");
/// assert!(advice.sentence.contains("tokio::time::sleep"));
/// ```
pub fn for_frames<S: AsRef<str>>(frames: &[S]) -> Option<&'static Advice> {
    let mut best: Option<&'static Advice> = None;
    for frame in frames {
        let function = path(frame.as_ref());
        if is_root(function, table::TASK_ROOTS) {
            break;
        }
        match ALL.iter().find(|advice| advice.matches(function)) {
            Some(found) if best.is_none_or(|best| best.rank < found.rank) => best = Some(found),
            Some(_) => {}
            None if is_between(function) || calls_back(frame.as_ref()) => {}
            // The service's own code: what is further out only called it.
            None => break,
        }
    }
    best
}

/// The same with the cause that the kernel told (`holdup.cause`), which counts where the frames show
/// nothing or were not taken.
///
/// # Examples
///
/// ```
/// use holdup::advice::for_stall;
///
/// let spins = ["shop::spin at src/shop.rs:7", "shop::checkout at src/shop.rs:20"];
/// assert_eq!(for_stall(&spins, "cpu").unwrap().id, "computing");
/// assert_eq!(for_stall::<&str>(&[], "disk").unwrap().id, "files");
/// assert!(for_stall(&spins, "unknown").is_none());
/// ```
pub fn for_stall<S: AsRef<str>>(frames: &[S], cause: &str) -> Option<&'static Advice> {
    let by_cause = || ALL.iter().find(|advice| !cause.is_empty() && advice.cause == cause);
    let by_frames = for_frames(frames);
    match by_frames {
        // Code that waits isn't freeing memory, whatever is being dropped.
        Some(found) if found.rank == Rank::Last && !["cpu", "page_fault"].contains(&cause) => {
            by_cause().or(by_frames)
        }
        Some(found) => Some(found),
        None => by_cause(),
    }
}

/// The advice with this id.
///
/// # Examples
///
/// ```
/// assert!(holdup::advice::by_id("mutex").is_some());
/// assert!(holdup::advice::by_id("luck").is_none());
/// ```
pub fn by_id(id: &str) -> Option<&'static Advice> {
    ALL.iter().find(|advice| advice.id == id)
}

/// The path of a frame's function: without its place, and without what stands before a type. What a
/// trait does for a type that has no path, such as `str` or a parameter, is the trait's.
fn path(frame: &str) -> &str {
    let name = frame.split(" at ").next().unwrap_or(frame).trim();
    let of_type = without_prefix(name);
    match of_type.split_once(" as ") {
        Some((of, implemented)) if !of.contains("::") => without_prefix(implemented),
        _ => of_type,
    }
}

fn without_prefix(name: &str) -> &str {
    let mut path = name.trim_start_matches(['<', '&', '(']);
    for word in ["mut ", "dyn ", "impl "] {
        path = path.strip_prefix(word).unwrap_or(path);
    }
    path
}

fn begins(function: &str, prefix: &str) -> bool {
    function.strip_prefix(prefix).is_some_and(|rest| {
        let next = rest.chars().next();
        next.is_none_or(|next| !next.is_alphanumeric() && next != '_')
    })
}

fn is_root(function: &str, roots: &[&str]) -> bool {
    roots.iter().any(|root| begins(function, root))
}

/// Whether the frame may be between a library's call and what it blocks in: a crate that is known for
/// it, or C, which has no path.
fn is_between(function: &str) -> bool {
    match function.split_once("::") {
        Some((first, _)) => table::BETWEEN.contains(&first),
        None => true,
    }
}

/// Whether the frame is code that is made for a library or a type, so that what calls it is meant:
/// taking documents apart, and dropping.
fn calls_back(frame: &str) -> bool {
    ["serde::", "serde_core::", "core::ops::drop::Drop"].iter().any(|part| frame.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(frames: &[&str]) -> &'static str {
        for_frames(frames).map_or("", |advice| advice.id)
    }

    #[test]
    fn every_advice_has_its_section() {
        let page = include_str!("../../../docs/advice.md");
        for advice in ALL {
            assert!(page.contains(&format!("\n## {}\n", advice.id)), "no section {}", advice.id);
            assert!(advice.sentence.ends_with('.'), "{} is no sentence", advice.id);
        }
        for heading in page.lines().filter_map(|line| line.strip_prefix("## ")) {
            assert!(by_id(heading).is_some(), "{heading} is no advice");
        }
    }

    #[test]
    fn what_a_trait_does_for_a_plain_type_is_the_trait_s() {
        let leaf = "<str as std::net::socket_addr::ToSocketAddrs>::to_socket_addrs";
        assert_eq!(id(&[leaf, "shop::rates"]), "name-lookup");
        let frames = [
            "__rustc::__rust_dealloc",
            "<T as alloc::slice::<impl [T]>::to_vec_in::ConvertVec>::to_vec",
            "core::ptr::drop_in_place<alloc::vec::Vec<u8>>",
            "shop::forgets",
        ];
        assert_eq!(id(&frames), "drop");
    }

    #[test]
    fn a_library_says_more_than_what_it_blocks_in() {
        let frames = [
            "syscall",
            "std::sys::pal::unix::futex::futex_wait",
            "std::thread::park_timeout",
            "reqwest::blocking::wait::timeout",
            "reqwest::blocking::client::Client::execute",
            "shop::rates",
        ];
        assert_eq!(id(&frames), "reqwest-blocking");
        let frames = ["fsync", "<std::fs::File>::sync_all", "rusqlite::Connection::execute"];
        assert_eq!(id(&frames), "sqlite");
        let frames = [
            "epoll_wait",
            "mio::poll::Poll::poll",
            "tokio::runtime::runtime::Runtime::block_on",
            "postgres::connection::Connection::block_on",
            "shop::orders",
        ];
        assert_eq!(id(&frames), "postgres");
    }

    #[test]
    fn a_library_is_not_charged_with_what_it_calls_back() {
        let frames = [
            "clock_nanosleep",
            "std::thread::sleep",
            "shop::pay::{{closure}}",
            "diesel::connection::Connection::transaction",
        ];
        assert_eq!(id(&frames), "thread-sleep");
    }

    #[test]
    fn types_in_brackets_count_and_longer_names_do_not() {
        assert_eq!(id(&["<&std::fs::File as std::io::Read>::read", "shop::f"]), "files");
        assert_eq!(id(&["image_tools::resize", "shop::f"]), "");
        assert_eq!(id(&["std::thread::sleep_well", "shop::f"]), "");
    }

    #[test]
    fn what_is_around_the_task_says_nothing() {
        let around = ["tokio::runtime::runtime::Runtime::block_on", "shop::main"];
        assert_eq!(id(&["shop::spin", around[0], around[1]]), "");
        assert_eq!(id(&["epoll_wait", around[0], around[1]]), "block-on");
        let task = "tokio::runtime::task::raw::poll";
        assert_eq!(id(&["shop::spin", task, "std::net::TcpListener::accept"]), "");
    }

    #[test]
    fn a_drop_is_advice_of_last_resort() {
        let drop = "core::ptr::drop_in_place<std::fs::File>";
        assert_eq!(id(&["close", drop, "shop::f"]), "drop");
        let node = "<shop::Node as core::ops::drop::Drop>::drop";
        assert_eq!(id(&[node, drop, "shop::f"]), "drop");
        assert_eq!(for_stall(&["close", drop], "disk").unwrap().id, "files");
        assert_eq!(for_stall(&[drop], "cpu").unwrap().id, "drop");
    }
}
