//! Orders in which one thread may write its innermost poll while another reads it: the module of the
//! crate itself, with loom's atomics.

// A scene may stop at the first thing that is wrong, as a test may.
#![allow(clippy::unwrap_used)]

mod polling;
