//! Whether the frames of a stack called each other, as far as the code tells.
//!
//! A stack that was followed from a guess may come to the right end by the wrong way: old words lie
//! between the live ones. But where a frame would return to, there is a call before, and most calls
//! say what they call.

use crate::stack::modules::Modules;

/// The most that is searched of a function for the jump with which it ends.
const FUNCTION_BYTES_MAX: u64 = 4096;

/// What is known of the call that made each frame, from the leaf.
#[derive(Debug)]
pub(super) struct Calls(Vec<Call>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    /// The caller calls this very function, or one that ends by jumping to it.
    Confirmed,
    /// It calls another.
    Contradicted,
    /// It calls through a register, or the functions aren't known.
    Unknown,
}

impl Calls {
    pub(super) fn of(modules: &Modules, addresses: &[u64]) -> Self {
        let call = |pair: &[u64]| {
            let (callee, back) = (pair[0], pair[1].wrapping_add(1));
            let start =
                |of: u64| modules.containing(of).and_then(|module| module.function_start(of));
            let (Some(called), Some(begins)) = (target(modules, back), start(callee)) else {
                return Call::Unknown;
            };
            match called == begins || jumps_to(modules, called, begins) {
                true => Call::Confirmed,
                false => Call::Contradicted,
            }
        };
        Self(addresses.windows(2).map(call).collect())
    }

    pub(super) fn contradicted(&self) -> usize {
        self.0.iter().filter(|call| **call == Call::Contradicted).count()
    }

    pub(super) fn confirmed(&self) -> usize {
        self.0.iter().filter(|call| **call == Call::Confirmed).count()
    }

    /// Whether the caller of this frame is sure.
    pub(super) fn is_confirmed(&self, frame: usize) -> bool {
        self.0.get(frame) == Some(&Call::Confirmed)
    }
}

/// Whether the function ends by jumping to another: then it is not on the stack.
#[cfg(target_arch = "x86_64")]
fn jumps_to(modules: &Modules, function: u64, other: u64) -> bool {
    let mut code = [0; FUNCTION_BYTES_MAX as usize];
    let length = modules.read_memory(function, &mut code);
    let jump = |(at, bytes): (usize, &[u8])| {
        let away = i32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
        let next = function + at as u64 + 5;
        bytes[0] == 0xe9 && next.wrapping_add_signed(i64::from(away)) == other
    };
    code[..length].windows(5).enumerate().any(jump)
}

#[cfg(target_arch = "aarch64")]
fn jumps_to(modules: &Modules, function: u64, other: u64) -> bool {
    let mut code = [0; FUNCTION_BYTES_MAX as usize];
    let length = modules.read_memory(function, &mut code);
    let jump = |(at, bytes): (usize, &[u8])| {
        let instruction = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let distance = (instruction << 6).cast_signed() >> 4;
        let from = function + at as u64 * 4;
        instruction >> 26 == 0b00_0101 && from.wrapping_add_signed(i64::from(distance)) == other
    };
    code[..length].chunks_exact(4).enumerate().any(jump)
}

/// Whether the instruction before the address is a call.
#[cfg(target_arch = "x86_64")]
pub(super) fn follows_call(modules: &Modules, back: u64) -> bool {
    let Some(before) = read::<7>(modules, back.wrapping_sub(7)) else { return false };
    // call rel32; call through a register or memory, with no, one or four bytes of displacement,
    // with or without a SIB byte.
    let indirect = |at: usize| before[at] == 0xff && before[at + 1] & 0o70 == 0o20;
    before[2] == 0xe8 || [0, 1, 3, 4, 5].into_iter().any(indirect)
}

/// What the call before the address calls, if it is in the code or in a table of addresses.
#[cfg(target_arch = "x86_64")]
fn target(modules: &Modules, back: u64) -> Option<u64> {
    let before = read::<6>(modules, back.wrapping_sub(6))?;
    let [a, b, .., d3, d2, d1, d0] = before;
    let away = back.wrapping_add_signed(i64::from(i32::from_le_bytes([d3, d2, d1, d0])));
    match (a, b) {
        (0xff, 0x15) => read::<8>(modules, away).map(u64::from_le_bytes),
        (_, 0xe8) => Some(through_stub(modules, away)),
        _ => None,
    }
}

/// Where a jump leads that stands for a function of another library.
#[cfg(target_arch = "x86_64")]
fn through_stub(modules: &Modules, target: u64) -> u64 {
    let Some(code) = read::<12>(modules, target) else { return target };
    // It may begin with `endbr64`, and its jump may have a `bnd` prefix.
    let marked = if code.starts_with(&[0xf3, 0x0f, 0x1e, 0xfa]) { 4 } else { 0 };
    let prefixed = marked + usize::from(code[marked] == 0xf2);
    let Some([0xff, 0x25, d @ ..]) = code.get(prefixed..prefixed + 6) else { return target };
    let Ok(distance) = d.try_into().map(i32::from_le_bytes) else { return target };
    let next = target + prefixed as u64 + 6;
    let entry = read::<8>(modules, next.wrapping_add_signed(i64::from(distance)));
    entry.map_or(target, u64::from_le_bytes)
}

/// Whether the instruction before the address is a branch with link: `bl`, or `blr`.
#[cfg(target_arch = "aarch64")]
pub(super) fn follows_call(modules: &Modules, back: u64) -> bool {
    let Some(before) = read::<4>(modules, back.wrapping_sub(4)) else { return false };
    let instruction = u32::from_le_bytes(before);
    instruction >> 26 == 0b10_0101 || instruction & 0xffff_fc1f == 0xd63f_0000
}

/// What the call before the address calls, if the code says so and it isn't a stub.
#[cfg(target_arch = "aarch64")]
fn target(modules: &Modules, back: u64) -> Option<u64> {
    let call = back.wrapping_sub(4);
    let instruction = u32::from_le_bytes(read::<4>(modules, call)?);
    let distance = (instruction << 6).cast_signed() >> 4;
    let target = call.wrapping_add_signed(i64::from(distance));
    // `adrp x16` begins a stub.
    let is_stub = read::<4>(modules, target)
        .is_some_and(|code| code[0] & 0x1f == 16 && code[3] & 0x9f == 0x90);
    (instruction >> 26 == 0b10_0101 && !is_stub).then_some(target)
}

fn read<const N: usize>(modules: &Modules, address: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    (modules.read_memory(address, &mut bytes) == N).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::ffi;
    use crate::stack::unwind::Unwinder;

    #[test]
    fn a_true_stack_has_no_contradiction_and_one_without_a_frame_has() {
        let mut unwinder = Unwinder::new();
        let thread = std::thread::spawn(|| {
            let mut stack = Vec::new();
            ffi::own_registers(&mut stack).map(|registers| (registers, stack))
        });
        let (registers, stack) = thread.join().unwrap().unwrap();
        let addresses = unwinder.unwind(registers, &stack, false).addresses;
        let back = addresses[1] + 1;
        let modules = &unwinder.modules;
        assert!(follows_call(modules, back) && !follows_call(modules, back + 1));
        let calls = Calls::of(&unwinder.modules, &addresses);
        assert!(calls.is_confirmed(0) && calls.contradicted() == 0, "{calls:?}");
        // Without this frame, the one that called it would have called another.
        let without = [&addresses[..1], &addresses[2..]].concat();
        assert_eq!(Calls::of(&unwinder.modules, &without).contradicted(), 1);
    }
}
