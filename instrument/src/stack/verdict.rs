//! Whom to blame for a stall, and the fingerprint of its stacks.
//!
//! The fingerprint has to come out the same wherever and however the program was built. The compiler
//! decides which functions are inlined, so it is made of functions, inlined ones included, and not
//! of addresses. It names functions by what is known of an inlined one, too: the last segment of the
//! name, and the file. Frames of std, of the runtime and of fetched packages don't count, for those
//! change with their versions.

use crate::stack::binary::Frame;
use crate::stack::origin::{self, Root};
use crate::stack::resolve::{Named, NamedStack};

#[derive(Debug)]
pub(super) struct Verdict {
    /// Which of the stacks shows it best.
    pub(super) shown: usize,
    pub(super) blame: Option<Frame>,
    pub(super) id: u64,
}

/// What one stack says.
struct Reading<'a> {
    blame: Option<&'a Frame>,
    /// What the fingerprint is made of, outermost first.
    tokens: Vec<String>,
    /// Whether the outermost is known.
    complete: bool,
}

/// None when there is no stack.
pub(super) fn of(stacks: &[NamedStack]) -> Option<Verdict> {
    let readings = stacks.iter().map(Reading::of).collect::<Vec<_>>();
    // Most stacks of a stall agree; of those that blame nobody, one does for all.
    let votes = |index: usize| {
        let blame = readings[index].blame.map(|frame| &frame.function);
        let same = |other: &&Reading<'_>| other.blame.map(|frame| &frame.function) == blame;
        let count = readings.iter().filter(same).count();
        (blame.is_some(), count, readings[index].complete, usize::MAX - index)
    };
    let shown = (0..readings.len()).max_by_key(|&index| votes(index))?;
    let mut common = readings[shown].tokens.as_slice();
    let complete = readings.iter().filter(|reading| reading.complete);
    for reading in complete.filter(|reading| !reading.tokens.is_empty()) {
        let pairs = common.iter().zip(&reading.tokens);
        let length = pairs.take_while(|(one, other)| one == other).count();
        common = &common[..length];
    }
    if common.is_empty() {
        common = &readings[shown].tokens;
    }
    Some(Verdict { shown, blame: readings[shown].blame.cloned(), id: fingerprint(common) })
}

impl<'a> Reading<'a> {
    fn of(stack: &'a NamedStack) -> Self {
        let NamedStack { frames: stack, complete } = stack;
        let blamed = stack
            .iter()
            .take_while(|named| root(named) != Some(Root::Task))
            .position(|named| user_frame(named).is_some());
        let mut tokens = match blamed {
            Some(blamed) => tokens(&stack[blamed..]),
            None => tokens_without_user(stack),
        };
        tokens.dedup();
        tokens.reverse();
        let blame = blamed.and_then(|index| user_frame(&stack[index]));
        Self { blame, tokens, complete: *complete }
    }
}

/// From the frame to blame out to where its task begins.
fn tokens(stack: &[Named]) -> Vec<String> {
    let of_task = stack.iter().take_while(|named| root(named).is_none());
    let own = of_task.enumerate().filter_map(|(index, named)| {
        let frame = user_frame(named)?;
        (index == 0 || !frame.is_foreign).then(|| token(frame))
    });
    own.collect()
}

/// Where no function of the user's is known: by place in files that have no names, else by the names
/// of all that there are.
fn tokens_without_user(stack: &[Named]) -> Vec<String> {
    let places = stack.iter().filter_map(|named| match named {
        Named::Unknown { build_id, offset, .. } if build_id.is_known() => {
            Some(format!("{build_id} {offset:x}"))
        }
        Named::Unknown { .. } | Named::Frame(_) => None,
    });
    let places = places.collect::<Vec<_>>();
    if !places.is_empty() {
        return places;
    }
    let frames = stack.iter().filter_map(frame).filter(|frame| !frame.crate_name.is_empty());
    frames.map(|frame| format!("{} {}", frame.crate_name, frame.segment)).collect()
}

fn token(frame: &Frame) -> String {
    let file = frame.file.rsplit('/').next().unwrap_or_default();
    format!("{file} {}", frame.segment)
}

fn frame(named: &Named) -> Option<&Frame> {
    match named {
        Named::Frame(frame) => Some(frame),
        Named::Unknown { .. } => None,
    }
}

fn user_frame(named: &Named) -> Option<&Frame> {
    frame(named).filter(|frame| origin::can_be_blamed(&frame.crate_name))
}

fn root(named: &Named) -> Option<Root> {
    frame(named).and_then(|frame| origin::root(&frame.function))
}

/// FNV-1a over the tokens, each with a mark at its end. Never 0, which means that there is none.
fn fingerprint(tokens: &[String]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for token in tokens {
        for byte in token.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::modules::BuildId;

    fn frame(crate_name: &str, function: &str, file: &str) -> Named {
        let segment = crate::stack::names::last_segment(function).to_owned();
        let (function, crate_name) = (function.to_owned(), crate_name.to_owned());
        let file = file.to_owned();
        let is_foreign = !matches!(crate_name.as_str(), "shop" | "ledger");
        Named::Frame(Frame { function, crate_name, segment, file, line: 1, is_foreign })
    }

    fn whole(frames: &[Named]) -> NamedStack {
        NamedStack { frames: frames.to_vec(), complete: true }
    }

    fn stack(inner: &[Named]) -> NamedStack {
        let mut stack = vec![frame("", "clock_nanosleep", ""), frame("std", "std::sleep", "")];
        stack.extend_from_slice(inner);
        stack.push(frame("shop", "shop::handler", "src/web.rs"));
        stack.push(frame("axum", "axum::serve::call", "axum/src/serve.rs"));
        stack.push(frame("tokio", "tokio::runtime::task::raw::poll", ""));
        stack.push(frame("shop", "shop::main", "src/main.rs"));
        whole(&stack)
    }

    #[test]
    fn the_first_frame_of_the_user_s_is_to_blame() {
        let found = of(&[stack(&[frame("ledger", "ledger::post", "src/lib.rs")])]).unwrap();
        assert_eq!(found.blame.unwrap().function, "ledger::post");
        let found = of(&[stack(&[])]).unwrap();
        assert_eq!(found.blame.unwrap().function, "shop::handler");
    }

    #[test]
    fn what_is_outside_of_the_task_is_not_to_blame() {
        let stack = [
            frame("tokio", "tokio::net::poll", ""),
            frame("tokio", "tokio::runtime::task::harness::poll_future", ""),
            frame("shop", "shop::main", "src/main.rs"),
        ];
        assert!(of(&[whole(&stack)]).unwrap().blame.is_none());
        assert!(of(&[]).is_none());
    }

    #[test]
    fn a_runtime_within_the_task_is_passed() {
        let stack = [
            frame("tokio", "tokio::runtime::park::CachedParkThread::block_on", ""),
            frame("shop", "shop::bridge", "src/bridge.rs"),
            frame("tokio", "tokio::runtime::task::raw::poll", ""),
        ];
        assert_eq!(of(&[whole(&stack)]).unwrap().blame.unwrap().function, "shop::bridge");
    }

    #[test]
    fn the_fingerprint_is_that_of_the_common_ancestor() {
        let spin = frame("shop", "shop::spin", "src/work.rs");
        let left = stack(&[frame("shop", "shop::left", "src/work.rs"), spin.clone()]);
        let right = stack(&[frame("shop", "shop::right", "src/work.rs"), spin.clone()]);
        let both = of(&[left.clone(), right.clone(), left.clone()]).unwrap();
        assert_eq!(both.blame.unwrap().function, "shop::left", "two of three");
        assert_eq!(both.id, of(&[stack(&[spin])]).unwrap().id);
        assert_ne!(both.id, of(&[left]).unwrap().id);
    }

    #[test]
    fn stacks_without_their_outer_frames_say_little_of_a_fingerprint() {
        let full = stack(&[frame("shop", "shop::spin", "src/work.rs")]);
        let cut = NamedStack { frames: full.frames[..3].to_vec(), complete: false };
        let both = of(&[cut.clone(), full.clone()]).unwrap();
        assert_eq!((both.shown, both.id), (1, of(&[full]).unwrap().id));
        assert_eq!(of(&[cut]).unwrap().blame.unwrap().function, "shop::spin");
    }

    #[test]
    fn what_inlining_changes_does_not_change_the_fingerprint() {
        let physical = stack(&[
            frame("shop", "shop::cart::Cart::total", "src/cart.rs"),
            frame("shop", "shop::cart::sum::{{closure}}", "src/cart.rs"),
            frame("core", "core::ops::function::FnOnce::call_once", ""),
            frame("shop", "shop::cart::sum", "src/cart.rs"),
        ]);
        let inlined = stack(&[
            frame("shop", "total<u64>", "/b/src/cart.rs"),
            frame("shop", "{closure#1}", "/b/src/cart.rs"),
            frame("shop", "sum", "/b/src/cart.rs"),
        ]);
        assert_eq!(of(&[physical]).unwrap().id, of(&[inlined]).unwrap().id);
    }

    #[test]
    fn without_names_the_places_make_the_fingerprint() {
        let place = |offset: u64| Named::Unknown {
            module: "shop".to_owned(),
            build_id: BuildId::new(&[1, 2]),
            offset,
        };
        let one = of(&[whole(&[frame("", "nanosleep", ""), place(16), place(32)])]).unwrap();
        let same = of(&[whole(&[frame("", "poll", ""), place(16), place(32)])]).unwrap();
        let other = of(&[whole(&[place(17), place(32)])]).unwrap();
        assert!(one.blame.is_none() && one.id != 0);
        assert_eq!(one.id, same.id);
        assert_ne!(one.id, other.id);
    }
}
