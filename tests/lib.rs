//! Helpers that the end-to-end tests share.

pub mod collector;
mod program;
mod python;

pub use program::{program, target_dir};
pub use python::{json_of, python, python_of_charts, yaml};
