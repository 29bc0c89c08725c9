//! From the log to ClickHouse: entries become batches, each of which is stored once.
//!
//! Which entries a batch has, and the token under which ClickHouse knows it, are in the log before
//! it is sent. A restart sends the same batch again, and ClickHouse drops what it has already.

mod ahead;
mod aside;
mod batcher;
mod flight;
mod gather;
mod intake;
mod lane;
mod mark;
mod names;
mod pace;
mod progress;
mod repeats;
mod replay;
mod send;
mod shared;
mod source;
mod spans;
mod stacks;
mod tail;

pub(crate) use aside::{Aside, AsideFile};
pub(crate) use batcher::{Batcher, Settings};
pub(crate) use intake::{Intake, NotTaken, Room};
pub(crate) use names::{NameLimits, Overflowed};
pub(crate) use source::Reread;
