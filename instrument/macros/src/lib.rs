//! The attribute macros of `holdup`.
