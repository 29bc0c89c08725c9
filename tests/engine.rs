//! The embedded ClickHouse: the real program with the real library, and clients of all kinds.

mod clients;
mod http;
mod interface;
mod limits;
mod process;
mod running;
