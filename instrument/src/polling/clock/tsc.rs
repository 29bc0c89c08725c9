//! The time-stamp counter of x86_64.
#![allow(unsafe_code)]

use std::arch::x86_64::{__cpuid, _rdtsc};

/// CPUID leaf that tells how many extended leaves there are.
const EXTENDED: u32 = 0x8000_0000;
/// CPUID leaf of power management.
const POWER: u32 = 0x8000_0007;
/// Bit in EDX of [`POWER`]: the counter runs at one rate in every state of the CPU.
const INVARIANT: u32 = 1 << 8;

#[inline(always)]
pub(super) fn read() -> u64 {
    // SAFETY: every x86_64 CPU has the instruction, and Linux lets user space use it unless a
    // process asked otherwise for itself with PR_SET_TSC.
    unsafe { _rdtsc() }
}

pub(super) fn is_invariant() -> bool {
    __cpuid(EXTENDED).eax >= POWER && __cpuid(POWER).edx & INVARIANT != 0
}
