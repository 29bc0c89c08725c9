//! A table straight on the heap: it is larger than some threads' stacks.
#![allow(unsafe_code)]

use crate::measure::table::Table;

/// A table full of zeros. Pages of it that nobody counts in are never touched.
pub(super) fn table() -> Box<Table> {
    let table = Box::<Table>::new_zeroed();
    // SAFETY: a table consists of atomic integers alone, for which all bits zero is the number 0.
    unsafe { table.assume_init() }
}
