//! Stacks of another process: from registers and a copy of a stack to addresses, by the tables that
//! are in the memory of that process. Who copies them is another crate's affair.

use std::borrow::Cow;
use std::ops::Range;

use crate::stack::ffi::Segment;
use crate::stack::modules::{Image, Module, Modules};
use crate::stack::registers::Registers;
use crate::stack::unwind::{Roots, Unwinder};

/// Unwind tables of one process, all modules together.
const TABLES_BYTES_MAX: usize = 1 << 30;
/// Stands for a frame pointer that isn't known: no stack is there, and 0 would mean that there is
/// nothing further out.
const NO_FRAME_POINTER: u64 = 1;

/// A module of another process.
pub struct OutsideModule<'a> {
    /// Its file, for people.
    pub path: String,
    /// What is added to the addresses in the file.
    pub base: u64,
    /// Its program headers, with addresses in memory.
    pub segments: Vec<Segment>,
    /// Copies its memory; empty where that can't be had.
    pub read: &'a dyn Fn(Range<u64>) -> Vec<u8>,
}

/// What a walk starts from.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The instruction.
    pub pc: u64,
    /// The stack's end: the copy begins there.
    pub sp: u64,
    /// `rbp` or `x29`; the kernel doesn't tell it of a thread that sleeps.
    pub fp: Option<u64>,
    /// `x30`; x86_64 has none.
    pub lr: u64,
}

/// Where a walk led.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    /// Addresses inside of the call instructions, leaf first.
    pub addresses: Vec<u64>,
    /// Whether it came to where the thread began. Else outer frames are missing.
    pub complete: bool,
}

/// Where an address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which of the modules.
    pub module: usize,
    /// The address in the module's file.
    pub offset: u64,
}

/// Walks along the stacks of one process.
#[derive(Debug)]
pub struct Walker(Unwinder);

impl Image for OutsideModule<'_> {
    fn name(&self) -> &str {
        &self.path
    }

    fn base(&self) -> u64 {
        self.base
    }

    fn segments(&self) -> &[Segment] {
        &self.segments
    }

    fn bytes(&self, range: Range<u64>) -> Cow<'_, [u8]> {
        (self.read)(range).into()
    }

    fn bytes_for_good(&self, _: Range<u64>) -> Option<&'static [u8]> {
        None
    }
}

impl Walker {
    /// Reads the tables of the modules. What is no module of a program is left out.
    pub fn new<'a>(pid: i32, modules: impl Iterator<Item = OutsideModule<'a>>) -> Self {
        let mut room = TABLES_BYTES_MAX;
        let modules = modules.filter_map(|module| Module::read(&module, &mut room)).collect();
        Self(Unwinder::of(Modules::of_process(pid, modules), Roots::ByTables))
    }

    /// Follows a stack, of which a copy begins at the stack pointer. `is_cut` tells that the copy
    /// ends before the stack does.
    pub fn walk(&mut self, start: Start, stack: &[u8], is_cut: bool) -> Walk {
        let Start { pc, sp, fp, lr } = start;
        let registers = Registers { pc, sp, fp: fp.unwrap_or(NO_FRAME_POINTER), lr };
        let found = match fp {
            Some(_) => self.0.unwind(registers, stack, is_cut),
            None => self.0.unwind_without_frame_pointer(registers, stack, is_cut),
        };
        Walk { addresses: found.addresses, complete: found.complete }
    }

    /// In which module an address is, and where.
    pub fn place(&self, address: u64) -> Option<Place> {
        let mut modules = self.0.modules.all.iter().enumerate();
        let (module, found) = modules.find(|(_, module)| module.range.contains(&address))?;
        Some(Place { module, offset: found.relative(address) })
    }

    /// The path and the build id of a module, by its number in a [`Place`].
    pub fn module(&self, number: usize) -> Option<(&str, String)> {
        let module = self.0.modules.all.get(number)?;
        let id = module.build_id.is_known().then(|| module.build_id.to_string());
        Some((&module.path, id.unwrap_or_default()))
    }
}

impl std::fmt::Debug for OutsideModule<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutsideModule").field("path", &self.path).finish_non_exhaustive()
    }
}
