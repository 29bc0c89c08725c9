//! A web service with faults: six functions that block a runtime thread, each for another reason,
//! four innocents that naive tools blame, and a load of its own.
//!
//! What a service adds to be watched is in this crate twice: one line in [`service`] and one
//! attribute per function in [`faults`] and [`innocents`].

mod faults;
mod innocents;
mod load;
mod options;
mod password;
mod peer;
mod routes;
mod service;
mod single;
mod stock;
mod truth;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use options::{Options, Parsed};

fn main() -> ExitCode {
    let options = match Options::from_command_line() {
        Parsed::Run(options) => options,
        Parsed::Stop(code) => return code,
    };
    log_to_stderr();
    match service::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // When stderr is gone there is nobody left to tell.
            let _ = writeln!(io::stderr(), "holdup-demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Standard output belongs to the two lines that a program reads.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
}
