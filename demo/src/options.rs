//! The command line.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::error::ErrorKind;

/// Exit code of a mistake on the command line.
const USAGE: u8 = 2;

/// A web service that blocks its own runtime threads on purpose, under a load of its own.
///
/// Poll spans go to OTEL_EXPORTER_OTLP_ENDPOINT. GET /truth tells what the service itself measured.
/// Standard output has two lines: the address when it listens, and /truth when it has stopped.
#[derive(Debug, Parser)]
#[command(name = "holdup-demo", version)]
pub(crate) struct Options {
    /// Address to listen on; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4390")]
    pub(crate) listen: SocketAddr,

    /// Stop after this time, such as 30s or 2m; without it, on SIGINT or SIGTERM.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) duration: Option<Duration>,
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Parsed {
    Run(Options),
    Stop(ExitCode),
}

impl Options {
    /// Reads the command line; a mistake is one line on stderr and exit code 2.
    pub(crate) fn from_command_line() -> Parsed {
        match Self::try_parse() {
            Ok(options) => Parsed::Run(options),
            Err(error) if is_answer(&error) => {
                let _ = error.print();
                Parsed::Stop(ExitCode::SUCCESS)
            }
            Err(error) => {
                let _ = writeln!(io::stderr(), "holdup-demo: {}", one_line(&error));
                Parsed::Stop(ExitCode::from(USAGE))
            }
        }
    }
}

/// True for what was asked for: help and version.
fn is_answer(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    format!("{}; see --help", first.trim_start_matches("error: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_told_in_one_line_with_the_flag_and_the_value() {
        let error = Options::try_parse_from(["holdup-demo", "--duration", "soon"]).unwrap_err();
        let line = one_line(&error);
        assert!(!line.contains('\n'), "{line}");
        assert!(line.contains("'soon'") && line.contains("--duration"), "{line}");
        assert!(line.ends_with("; see --help"), "{line}");
    }

    #[test]
    fn help_is_no_mistake() {
        let error = Options::try_parse_from(["holdup-demo", "--help"]).unwrap_err();
        assert!(is_answer(&error));
    }
}
