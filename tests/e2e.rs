//! End to end.

// Always so here; written for clippy, which lets tests stop at the first thing that is wrong.
#![cfg(test)]

mod access;
mod alerts;
mod attach;
mod bounds;
mod conformance;
mod connections;
mod dashboards;
mod demo;
mod deploy;
mod durable;
mod engine;
mod forwarding;
mod kafka;
mod measuring;
mod notify;
mod operations;
mod page;
mod receiving;
mod rules;
mod scale;
mod serving;
mod tasks;
mod terminal;
mod tls;
mod upgrade;
