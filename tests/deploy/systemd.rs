//! The unit, as systemd's own tools see it.

use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use super::{fits_the_program, folder, read};

/// Highest score of `systemd-analyze security`, in tenths: 0 is nothing exposed, 100 all.
const EXPOSURE_MAX: &str = "12";
/// That of a service that restricts nothing is 96: what lets this pass judges nothing.
const UNRESTRICTED: &str = "[Service]\nExecStart=/bin/true\n";

/// What systemd-analyze says of a unit; `None` where there is no systemd.
fn analyze(arguments: &[&str], unit: &Path) -> Option<(bool, String)> {
    let ran = match Command::new("systemd-analyze").args(arguments).arg(unit).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let why = "skipped: systemd-analyze is missing (Debian's package systemd has it)";
            writeln!(io::stderr(), "{why}").expect("stderr is there");
            return None;
        }
        ran => ran.expect("it runs"),
    };
    let said = [ran.stdout, ran.stderr].concat();
    Some((ran.status.success(), String::from_utf8(said).expect("UTF-8")))
}

/// The unit in a folder of its own, with the program where it was built, and with the drop-ins for a
/// ClickHouse server and for tokens if that is wanted.
fn installed(with_server: bool) -> tempfile::TempDir {
    let at = tempfile::tempdir().expect("a folder");
    let unit = read("systemd/holdup.service");
    let program = holdup_tests::program("holdup").expect("built");
    let placed = unit.replace("/usr/local/bin/holdup", program.to_str().expect("UTF-8"));
    assert_ne!(unit, placed, "the unit starts another program");
    std::fs::write(at.path().join("holdup.service"), placed).expect("written");
    if with_server {
        std::fs::create_dir(at.path().join("holdup.service.d")).expect("a folder");
        for name in ["clickhouse-server.conf", "tokens.conf"] {
            let name = format!("holdup.service.d/{name}");
            std::fs::copy(folder("systemd").join(&name), at.path().join(&name)).expect("copied");
        }
    }
    at
}

#[test]
fn systemd_takes_the_unit_and_finds_little_exposed() {
    for with_server in [false, true] {
        let at = installed(with_server);
        let unit = at.path().join("holdup.service");
        let Some((taken, said)) = analyze(&["verify", "--man=no"], &unit) else { return };
        // A key that it does not know is a warning, and would be a restriction that is not there.
        assert!(taken && !said.contains("holdup.service"), "with a server {with_server}: {said}");
        let threshold = format!("--threshold={EXPOSURE_MAX}");
        let security = ["security", "--no-pager", "--offline=true", &threshold];
        let (within, said) = analyze(&security, &unit).expect("it was there");
        assert!(within, "with a server {with_server}: {said}");
        let unrestricted = at.path().join("other.service");
        std::fs::write(&unrestricted, UNRESTRICTED).expect("written");
        let (within, said) = analyze(&security, &unrestricted).expect("it was there");
        assert!(!within, "{said}");
    }
}

#[test]
fn systemd_tells_of_a_restriction_that_is_misspelt() {
    let at = installed(false);
    let unit = at.path().join("holdup.service");
    let text = std::fs::read_to_string(&unit).expect("written");
    std::fs::write(&unit, text.replace("ProtectSystem=", "ProtectSystems=")).expect("written");
    let Some((_, said)) = analyze(&["verify", "--man=no"], &unit) else { return };
    assert!(said.contains("holdup.service") && said.contains("ProtectSystems"), "{said}");
}

#[test]
fn the_unit_names_settings_that_the_program_has() {
    let files = ["holdup.service", "holdup.env"];
    let added = ["holdup.service.d/clickhouse-server.conf", "holdup.service.d/tokens.conf"];
    for file in files.into_iter().chain(added) {
        fits_the_program(file, &read(&format!("systemd/{file}")));
    }
}
