//! End to end.

mod engine;
mod receiving;
mod rules;
mod serving;
