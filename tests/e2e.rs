//! End to end.

mod demo;
mod engine;
mod receiving;
mod rules;
mod serving;
