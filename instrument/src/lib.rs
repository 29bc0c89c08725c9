//! Holdup.
pub mod contract;
