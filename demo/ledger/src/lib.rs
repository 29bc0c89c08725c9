//! A dependency that blocks.
