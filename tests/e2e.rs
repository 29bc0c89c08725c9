//! End to end.

mod rules;
