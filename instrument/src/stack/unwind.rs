//! From registers and a copy of a stack to the addresses of its frames.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use framehop::{CacheNative, FrameAddress, MayAllocateDuringUnwind, Unwinder as _, UnwinderNative};

use crate::stack::calls::{self, Calls};
use crate::stack::ffi::{self, Table};
use crate::stack::modules::Modules;
use crate::stack::registers::Registers;

/// Frames of one stack, from the leaf.
const FRAMES_MAX: usize = 256;
/// How many words of the stack are tried as the frame pointer that isn't known.
const TRIES_MAX: usize = 96;
/// `_start` calls the C library within so many bytes.
const ENTRY_BYTES: u64 = 64;

/// The outermost frames of threads that are known to begin there.
#[derive(Clone, Debug)]
pub(super) enum Roots {
    /// Of this process.
    Known {
        /// Of threads that the C library started.
        thread: Option<u64>,
        /// Of the first thread.
        entry: Range<u64>,
    },
    /// Those of which the unwind tables say that nothing called them: in a process where no thread
    /// can be started to see.
    ByTables,
}

/// What one attempt at unwinding found.
#[derive(Debug, Default)]
pub(super) struct Unwound {
    /// Addresses inside of the call instructions, leaf first.
    pub(super) addresses: Vec<u64>,
    /// Whether the stack was followed to where its thread began, or to the end of the copy.
    pub(super) complete: bool,
}

/// One walk from one set of registers.
struct Attempt {
    addresses: Vec<u64>,
    /// Whether it ended because it came to the end of the copy.
    ran_out: bool,
    /// Whether it ended at a function that nothing called.
    ended: bool,
}

pub(super) struct Unwinder {
    pub(super) modules: Arc<Modules>,
    framehop: UnwinderNative<Table, MayAllocateDuringUnwind>,
    cache: CacheNative<MayAllocateDuringUnwind>,
    roots: Roots,
}

impl std::fmt::Debug for Unwinder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unwinder").field("roots", &self.roots).finish_non_exhaustive()
    }
}

impl Unwinder {
    pub(super) fn new() -> Self {
        let entry = ffi::entry_point();
        let entry = entry..entry.saturating_add(ENTRY_BYTES);
        let unknown = Roots::Known { thread: None, entry: entry.clone() };
        let mut unwinder = Self::of(Modules::loaded(), unknown);
        unwinder.roots = Roots::Known { thread: unwinder.thread_root(), entry };
        unwinder
    }

    pub(super) fn of(modules: Modules, roots: Roots) -> Self {
        let mut framehop = UnwinderNative::new();
        for module in &modules.all {
            framehop.add_module(module.for_framehop());
        }
        Self { modules: Arc::new(modules), framehop, cache: CacheNative::new(), roots }
    }

    /// Takes notice of libraries that were loaded or unloaded. Whether there were any.
    pub(super) fn refresh(&mut self) -> bool {
        let is_stale = self.modules.is_stale();
        if is_stale {
            *self = Self::of(Modules::loaded(), self.roots.clone());
        }
        is_stale
    }

    /// Where threads begin, learned from one that tells all its registers.
    fn thread_root(&mut self) -> Option<u64> {
        let thread = std::thread::Builder::new().name("holdup-root".to_owned());
        let own = || {
            let mut stack = Vec::new();
            ffi::own_registers(&mut stack).map(|registers| (registers, stack))
        };
        let (registers, stack) = thread.spawn(own).ok()?.join().ok()??;
        let addresses = self.attempt(registers, &stack).addresses;
        // Else it didn't get out of Rust's own code.
        let last = addresses.last().copied()?;
        let own = self.modules.containing(registers.pc).map(|module| module.base);
        let is_outside = self.modules.containing(last).map(|module| module.base) != own;
        (is_outside || addresses.len() > 4).then_some(last)
    }

    /// Unwinds a stack of which all registers are known.
    pub(super) fn unwind(&mut self, registers: Registers, stack: &[u8], is_cut: bool) -> Unwound {
        let attempt = self.attempt(registers, stack);
        let complete = self.is_whole(&attempt) || (is_cut && attempt.ran_out);
        Unwound { addresses: attempt.addresses, complete }
    }

    /// Unwinds a stack of which only `pc` and `sp` are known. Functions that keep the frame pointer
    /// were followed wrongly or not at all if the end isn't where threads begin: then each place of
    /// the stack that looks like a saved frame is tried as what the frame pointer points to, until one
    /// comes to that end by calls that are in the code.
    pub(super) fn unwind_without_frame_pointer(
        &mut self,
        registers: Registers,
        stack: &[u8],
        is_cut: bool,
    ) -> Unwound {
        let first = self.unwind(registers, stack, is_cut);
        if first.complete {
            return first;
        }
        // The last frame that was found is the first that was left by the frame pointer.
        let guessed = first.addresses.len().saturating_sub(1);
        let (mut tries, mut best) = (0, None);
        'tries: for strict in [true, false] {
            for offset in (0..stack.len().saturating_sub(16)).step_by(8) {
                if !self.looks_like_saved_frame(registers.sp, stack, offset, strict) {
                    continue;
                }
                let found = self.unwind_from(registers, stack, offset, is_cut);
                if found.complete {
                    let calls = Calls::of(&self.modules, &found.addresses);
                    if calls.contradicted() == 0 && calls.is_confirmed(guessed) {
                        return found;
                    }
                    let merit = (Reverse(calls.contradicted()), calls.confirmed());
                    if best.as_ref().is_none_or(|(most, _)| merit > *most) {
                        best = Some((merit, found));
                    }
                }
                tries += 1;
                if tries == TRIES_MAX {
                    break 'tries;
                }
            }
        }
        best.map_or(first, |(_, found)| found)
    }

    #[cfg(target_arch = "x86_64")]
    fn unwind_from(
        &mut self,
        registers: Registers,
        stack: &[u8],
        offset: usize,
        is_cut: bool,
    ) -> Unwound {
        let fp = registers.sp + offset as u64;
        self.unwind(Registers { fp, ..registers }, stack, is_cut)
    }

    /// The leaf's caller may be in `lr` alone, which isn't known: the walk is taken up at the saved
    /// frame, and the leaf set before it.
    #[cfg(target_arch = "aarch64")]
    fn unwind_from(
        &mut self,
        registers: Registers,
        stack: &[u8],
        offset: usize,
        is_cut: bool,
    ) -> Unwound {
        let fp = registers.sp + offset as u64;
        let lr = word(stack, offset + 8).unwrap_or(0);
        let whole = self.unwind(Registers { fp, lr, ..registers }, stack, is_cut);
        if whole.complete {
            return whole;
        }
        let next = word(stack, offset).unwrap_or(0);
        let resumed = Registers { pc: lr.wrapping_sub(1), sp: fp + 16, fp: next, lr: 0 };
        let rest = stack.get(offset + 16..).unwrap_or_default();
        let mut found = self.unwind(resumed, rest, is_cut);
        found.addresses.insert(0, registers.pc);
        found
    }

    /// Whether the two words at the offset could be a saved frame pointer and a return address. With
    /// `strict`, the frame pointer has to point further up; else it may have been anything, for a
    /// caller may use that register as it likes.
    fn looks_like_saved_frame(&self, sp: u64, stack: &[u8], offset: usize, strict: bool) -> bool {
        let (Some(saved), Some(back)) = (word(stack, offset), word(stack, offset + 8)) else {
            return false;
        };
        let here = sp + offset as u64;
        let points_up = saved > here && saved < sp + stack.len() as u64 && saved.is_multiple_of(8);
        points_up == strict
            && self.modules.is_code(back)
            && calls::follows_call(&self.modules, back)
    }

    fn attempt(&mut self, registers: Registers, stack: &[u8]) -> Attempt {
        let Registers { pc, sp, .. } = registers;
        let mut ran_out = false;
        let mut read = |address: u64| {
            let offset = address.checked_sub(sp).and_then(|offset| usize::try_from(offset).ok());
            let found = offset.and_then(|offset| word(stack, offset));
            ran_out = found.is_none() && address >= sp + stack.len() as u64;
            found.ok_or(())
        };
        let registers = for_framehop(registers);
        let mut frames = self.framehop.iter_frames(pc, registers, &mut self.cache, &mut read);
        let mut addresses = Vec::with_capacity(32);
        let ended = loop {
            match frames.next() {
                Ok(Some(FrameAddress::InstructionPointer(address))) => addresses.push(address),
                Ok(Some(frame)) => addresses.push(frame.address_for_lookup()),
                Ok(None) => break true,
                Err(_) => break false,
            }
            if addresses.len() == FRAMES_MAX {
                break false;
            }
        };
        Attempt { addresses, ran_out, ended }
    }

    fn is_whole(&self, attempt: &Attempt) -> bool {
        let last = attempt.addresses.last().copied().unwrap_or(0);
        match &self.roots {
            Roots::Known { thread, entry } => Some(last) == *thread || entry.contains(&last),
            Roots::ByTables => attempt.ended,
        }
    }
}

fn word(stack: &[u8], offset: usize) -> Option<u64> {
    let bytes = stack.get(offset..offset.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(target_arch = "x86_64")]
fn for_framehop(registers: Registers) -> framehop::UnwindRegsNative {
    framehop::UnwindRegsNative::new(registers.pc, registers.sp, registers.fp)
}

/// Pointer authentication keeps its bits above those of user-space addresses.
#[cfg(target_arch = "aarch64")]
fn for_framehop(registers: Registers) -> framehop::UnwindRegsNative {
    let mask = framehop::aarch64::PtrAuthMask(u64::MAX >> 8);
    framehop::UnwindRegsNative::new_with_ptr_auth_mask(
        mask,
        registers.lr,
        registers.sp,
        registers.fp,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_threads_is_learned() {
        let unwinder = Unwinder::new();
        let Roots::Known { thread: Some(root), .. } = unwinder.roots else { panic!("unknown") };
        let module = unwinder.modules.containing(root).unwrap();
        assert!(module.name().starts_with("libc"), "{}", module.path);
    }

    #[test]
    fn a_thread_that_tells_its_registers_is_unwound_to_its_root() {
        let mut unwinder = Unwinder::new();
        let thread = std::thread::spawn(|| {
            let mut stack = Vec::new();
            ffi::own_registers(&mut stack).map(|registers| (registers, stack))
        });
        let (registers, stack) = thread.join().unwrap().unwrap();
        let found = unwinder.unwind(registers, &stack, false);
        assert!(found.complete && found.addresses.len() > 4, "{found:?}");
    }
}
