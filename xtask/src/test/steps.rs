//! The steps, cheapest first.

use super::{need, page};
use crate::interrupt::Interrupt;
use crate::process;
use crate::repository::{binary, cargo, command, made};

/// One step of the tests.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Whether a run of some tests takes it.
    pub(crate) for_filter: bool,
    /// Takes the filter on the tests' names.
    pub(crate) run: fn(Option<&str>, &Interrupt) -> anyhow::Result<()>,
}

pub(crate) const STEPS: [Step; 12] = [
    Step { name: "fmt", about: "sources are formatted", for_filter: false, run: fmt },
    Step { name: "clippy", about: "no lint fires", for_filter: false, run: clippy },
    Step { name: "features", about: "crates without some", for_filter: false, run: features },
    Step { name: "doc", about: "documentation builds", for_filter: false, run: doc },
    Step { name: "deny", about: "licences, bans, sources", for_filter: false, run: deny },
    Step { name: "page", about: "the page's sources and tests", for_filter: false, run: page::run },
    Step { name: "build", about: "the binaries", for_filter: true, run: build },
    Step { name: "engine", about: "the embedded ClickHouse", for_filter: true, run: engine },
    Step { name: "tools", about: "what the tests drive", for_filter: true, run: tools },
    Step { name: "test", about: "unit and end-to-end tests", for_filter: true, run: test },
    Step { name: "doctest", about: "examples in documentation", for_filter: false, run: doctest },
    Step {
        name: "unstable",
        about: "tasks without annotation, with tokio's unstable hooks",
        for_filter: false,
        run: unstable,
    },
];

fn fmt(_: Option<&str>, interrupt: &Interrupt) -> anyhow::Result<()> {
    process::run(cargo().args(["fmt", "--all", "--check"]), interrupt)
}

fn clippy(_: Option<&str>, interrupt: &Interrupt) -> anyhow::Result<()> {
    let mut clippy = cargo();
    clippy.args(["clippy", "--workspace", "--all-targets"]).args(kafka(interrupt)?);
    process::run(clippy.args(["--", "-D", "warnings"]), interrupt)
}

/// The collector as the tests need it: with what reads from Kafka, and links OpenSSL for that.
fn kafka(interrupt: &Interrupt) -> anyhow::Result<[&'static str; 2]> {
    need::openssl(interrupt)?;
    Ok(["--features", "holdup-collector/kafka"])
}

/// The crate as services build it: alone, so that nothing else's features come along. And the
/// collector as it is released.
fn features(_: Option<&str>, interrupt: &Interrupt) -> anyhow::Result<()> {
    for features in ["", "otlp", "stacks", "tls", "tracing-opentelemetry"] {
        let arguments = ["clippy", "--package", "holdup", "--lib", "--no-default-features"];
        let mut clippy = cargo();
        clippy.args(arguments).args(["--features", features, "--", "-D", "warnings"]);
        process::run(&mut clippy, interrupt)?;
    }
    let arguments = ["clippy", "--package", "holdup-collector", "--all-targets"];
    process::run(cargo().args(arguments).args(["--", "-D", "warnings"]), interrupt)
}

fn doc(_: Option<&str>, interrupt: &Interrupt) -> anyhow::Result<()> {
    // The binary `holdup` and the library `holdup` would be written to one folder: the library's
    // documentation is the one that is read, so the binaries are documented by their sources.
    let arguments = ["doc", "--workspace", "--no-deps", "--lib"];
    process::run(cargo().args(arguments).env("RUSTDOCFLAGS", "-D warnings"), interrupt)
}

fn deny(_: Option<&str>, interrupt: &Interrupt) -> anyhow::Result<()> {
    let mut deny = command(need::cargo_deny(interrupt)?);
    // Advisories would need a database from elsewhere.
    process::run(deny.args(["check", "licenses", "bans", "sources"]), interrupt)
}

fn build(_: Option<&str>, interrupt: &Interrupt) -> anyhow::Result<()> {
    let packages = ["holdup-collector", "holdup-demo", "holdup-blocked"];
    let packages = packages.iter().flat_map(|package| ["--package", package]);
    process::run(cargo().arg("build").args(packages).args(kafka(interrupt)?), interrupt)
}

fn engine(_: Option<&str>, interrupt: &Interrupt) -> anyhow::Result<()> {
    need::npm()?;
    process::run(command(binary("holdup")?).args(["engine", "install"]), interrupt)
}

fn tools(_: Option<&str>, interrupt: &Interrupt) -> anyhow::Result<()> {
    need::python(interrupt)?;
    need::faketime(interrupt)?;
    need::alertmanager(interrupt)?;
    need::promtool(interrupt)?;
    need::tmux(interrupt)?;
    need::man(interrupt)?;
    need::chromium(interrupt).map(drop)
}

fn test(filter: Option<&str>, interrupt: &Interrupt) -> anyhow::Result<()> {
    // Every target but the examples in documentation, which the next step runs.
    let mut test = cargo();
    // All that fails is told at once.
    test.args(["test", "--workspace", "--no-fail-fast"]).args(kafka(interrupt)?);
    test.args(["--lib", "--bins", "--tests", "--examples"]).args(filter);
    test.env("CHROMIUM", need::chromium(interrupt)?);
    // Many of them measure time: side by side they would measure each other.
    test.env("RUST_TEST_THREADS", "1");
    process::run(&mut test, interrupt)
}

fn doctest(_: Option<&str>, interrupt: &Interrupt) -> anyhow::Result<()> {
    process::run(cargo().args(["test", "--workspace", "--doc"]), interrupt)
}

fn unstable(_: Option<&str>, interrupt: &Interrupt) -> anyhow::Result<()> {
    // In a folder of its own: with other flags everything is built again.
    let arguments = ["test", "--package", "holdup", "--test", "it", "--target-dir"];
    let mut test = cargo();
    test.args(arguments).arg(made("unstable")?);
    test.args(["--", "spawned::", "runtimes::", "tasks::"])
        .env("RUSTFLAGS", "--cfg tokio_unstable");
    process::run(&mut test, interrupt)
}
