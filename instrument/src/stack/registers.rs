//! What unwinding starts from.

/// Registers of a stopped thread; 0 for one that isn't known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Registers {
    pub(super) pc: u64,
    pub(super) sp: u64,
    /// `rbp` or `x29`.
    pub(super) fp: u64,
    /// `x30`; x86_64 has none.
    pub(super) lr: u64,
}
