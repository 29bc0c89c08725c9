//! The embedded ClickHouse: the real program with the real library, and clients of all kinds.

// Always so here; written for clippy, which lets tests stop at the first thing that is wrong.
#![cfg(test)]

mod clients;
mod http;
mod interface;
mod limits;
mod process;
mod running;
