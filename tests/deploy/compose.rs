//! The Compose file and the image: whether both are whole, and agree with each other and with the
//! program.

use std::process::Command;

use holdup_tests::collector::{Collector, get};
use serde_json::Value;

use super::{fits_the_program, folder, read};

const FILE: &str = "compose/docker-compose.yaml";

/// The file, with what it takes over from its anchors.
fn compose() -> Value {
    holdup_tests::yaml(&folder(FILE)).expect("YAML")
}

fn services(compose: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let services = compose["services"].as_object().expect("services");
    services.iter().map(|(name, service)| (name.as_str(), service))
}

fn strings(of: &Value) -> Vec<&str> {
    of.as_array().into_iter().flatten().map(|it| it.as_str().expect("text")).collect()
}

/// Arguments of an instruction of the image's stage: `USER` of `collector`.
fn instructions<'a>(dockerfile: &'a str, stage: &str, wanted: &str) -> Vec<&'a str> {
    let mut within = "";
    let mut found = Vec::new();
    for line in dockerfile.lines() {
        let Some((word, rest)) = line.trim().split_once(' ') else { continue };
        if word == "FROM" {
            within = rest.rsplit(' ').next().unwrap_or_default();
        }
        if within == stage && word == wanted {
            found.push(rest);
        }
    }
    found
}

#[test]
fn the_compose_file_is_one_by_the_specification() {
    let script = "import compose_spec as c, sys\n\
                  it = c.PyOptions(apply_merge=True).from_yaml(open(sys.argv[1]).read())\n\
                  it.validate()\n\
                  print(it.to_json())";
    let read = holdup_tests::json_of(script, &folder(FILE)).expect("a Compose file");
    let names: Vec<&str> = services(&read).map(|(name, _)| name).collect();
    assert_eq!(names.len(), 5, "{names:?}");
    // What judges must be able to say no.
    let wrong = tempfile::NamedTempFile::new().expect("a file");
    let text = super::read(FILE).replace("    mem_limit: 1g", "    mem_limits: 1g");
    std::fs::write(wrong.path(), text).expect("written");
    let said = holdup_tests::json_of(script, wrong.path()).expect_err("a key that is misspelt");
    assert!(said.contains("mem_limits"), "{said}");
}

#[test]
fn all_that_the_compose_file_mounts_and_waits_for_is_there() {
    let compose = compose();
    for (name, service) in services(&compose) {
        for mount in strings(&service["volumes"]) {
            let source = mount.split(':').next().expect("a source");
            if source.starts_with('.') {
                assert!(mount.ends_with(":ro"), "{name} may write to the repository: {mount}");
                assert!(folder("compose").join(source).exists(), "{name}: no {source}");
            } else {
                assert!(compose["volumes"].get(source).is_some(), "{name}: no volume {source}");
            }
        }
        for config in service["configs"].as_array().into_iter().flatten() {
            let source = config["source"].as_str().expect("a source");
            assert!(compose["configs"].get(source).is_some(), "{name}: no config {source}");
        }
        for (other, on) in service["depends_on"].as_object().into_iter().flatten() {
            assert_eq!(on["condition"], "service_healthy", "{name} waits for {other}");
            assert!(compose["services"][other]["healthcheck"]["test"].is_array(), "{other}");
        }
        for port in strings(&service["ports"]) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port} is open to the network");
        }
        assert!(service["mem_limit"].is_string(), "{name} may take all memory");
    }
}

#[test]
fn the_compose_file_fits_the_program_and_the_image() {
    let compose = compose();
    let holdup = &compose["services"]["holdup"];
    let command = strings(&holdup["command"]);
    assert_eq!(command[0], "serve");
    fits_the_program("the command", &command.join(" "));
    let dockerfile = read("image/Dockerfile");
    fits_the_program("the image", &instructions_of_settings(&dockerfile));
    for (name, service) in services(&compose).filter(|(_, service)| service["build"].is_object()) {
        let build = &service["build"];
        let context = folder("compose").join(build["context"].as_str().expect("a context"));
        let file = context.join(build["dockerfile"].as_str().expect("a file"));
        assert_eq!(std::fs::read_to_string(file).expect("there"), dockerfile, "{name}");
        let stage = build["target"].as_str().expect("a stage");
        assert_eq!(instructions(&dockerfile, stage, "USER"), ["65532:65532"], "{name}");
        let exposed = instructions(&dockerfile, stage, "EXPOSE").join(" ");
        for port in strings(&service["ports"]) {
            let inside = port.rsplit(':').next().expect("a port");
            assert!(exposed.split(' ').any(|it| it == inside), "{name}: {inside} of {exposed:?}");
        }
        for restriction in ["read_only", "cap_drop", "security_opt"] {
            assert!(!service[restriction].is_null(), "{name}: no {restriction}");
        }
    }
    // The health check is a question that the program understands: what fails is the connection.
    let check = strings(&holdup["healthcheck"]["test"]);
    let entrypoint = instructions(&dockerfile, "collector", "ENTRYPOINT")[0];
    assert_eq!(entrypoint, format!("[{:?}]", check[1]));
    let program = holdup_tests::program("holdup").expect("built");
    let away = check[2..].iter().map(|it| it.replace(":4380", ":9"));
    let ran = Command::new(program).args(away).output().expect("it runs");
    assert_eq!(ran.status.code(), Some(1), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn the_image_has_a_list_of_the_parts_of_its_program() {
    let dockerfile = read("image/Dockerfile");
    let (_, made) = dockerfile.split_once("&& cargo xtask ").expect("it makes the list");
    let (arguments, to) = made.split_once(" > ").expect("into a file");
    let to = to.split(' ').next().expect("a file");
    let copied = instructions(&dockerfile, "collector", "COPY").join("\n");
    assert!(copied.contains(&format!("--from=build {to} ")), "{copied}");
    // As it is built unless `FEATURES` says more.
    let arguments = arguments.split(' ').map(|it| if it == "\"$FEATURES\"" { "" } else { it });
    let program = holdup_tests::program("xtask").expect("built");
    let ran = Command::new(program).args(arguments).output().expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let list: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    assert_eq!(list["bomFormat"], "CycloneDX");
    let has = |name: &str| {
        let mut all = list["components"].as_array().expect("components").iter();
        all.any(|it| it["name"] == name)
    };
    assert!(has("holdup-collector") && has("rustls") && !has("rdkafka"));
}

/// The variables that the image sets.
fn instructions_of_settings(dockerfile: &str) -> String {
    let from = dockerfile.find("ENV ").expect("variables");
    let to = dockerfile[from..].find("EXPOSE").expect("ports");
    dockerfile[from..from + to].to_owned()
}

#[test]
fn names_and_ports_of_the_compose_file_agree() {
    let compose = compose();
    let toml = read("compose/holdup.toml");
    let command = strings(&compose["services"]["holdup"]["command"]).join("\n");
    let demo = compose["services"]["demo"]["environment"].to_string();
    let mut met = 0;
    for text in [&toml, &command, &demo] {
        for (_, rest) in text.match_indices("http://").map(|(at, it)| (at, &text[at + it.len()..]))
        {
            let end = rest.find(['"', '\n']).unwrap_or(rest.len());
            let (host, port) = rest[..end].split_once(':').expect("a port");
            if host == "localhost" {
                continue;
            }
            let test = compose["services"][host]["healthcheck"]["test"].to_string();
            let ports = compose["services"][host]["ports"].to_string();
            let listens = test.contains(&format!(":{port}")) || ports.contains(&format!(":{port}"));
            assert!(listens, "nothing is known to listen at {host}:{port}");
            met += 1;
        }
    }
    assert_eq!(met, 3, "ClickHouse, Alertmanager, and the collector for the demo");
    let source = read("grafana/provisioning/datasources/holdup.yaml");
    let environment = &compose["services"]["grafana"]["environment"];
    let words = source.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '$');
    let mut variables: Vec<&str> = words.filter_map(|word| word.strip_prefix('$')).collect();
    variables.dedup();
    assert_eq!(variables.len(), 3, "{variables:?}");
    for variable in variables {
        assert!(environment[variable].is_string(), "Grafana is not told {variable}");
    }
    let reader = environment["HOLDUP_CLICKHOUSE_USER"].as_str().expect("a user");
    let script = "import json, sys, xml.etree.ElementTree as x\n\
                  users = x.parse(sys.argv[1]).find('users')\n\
                  print(json.dumps({it.tag: [g.text for g in it.iter('query')] for it in users}))";
    let users = holdup_tests::json_of(script, &folder("compose/clickhouse-reader.xml"));
    let sql = read("clickhouse/reader.sql");
    let grants = sql.lines().filter_map(|line| line.strip_suffix(" TO holdup_reader;"));
    let grants: Vec<&str> = grants.collect();
    assert_eq!(grants.len(), 2, "{grants:?}");
    assert_eq!(users.expect("XML"), serde_json::json!({ reader: grants }));
}

#[test]
fn the_collector_starts_with_the_configuration_of_the_compose_file() {
    let config = folder("compose/holdup.toml");
    let arguments = ["--config", config.to_str().expect("UTF-8")];
    let collector = Collector::start_in(tempfile::tempdir().expect("a folder"), &arguments);
    assert_eq!(get(&format!("{}/readyz", collector.page())).status, 200);
}

#[test]
fn the_parts_of_the_compose_file_reach_each_other_as_plain_processes() {
    let programs = holdup_tests::program("holdup").expect("built");
    holdup_tests::program("holdup-demo").expect("built");
    let mut script = Command::new(folder("compose/plain.sh"));
    script.env("HOLDUP_PROGRAMS", programs.parent().expect("a folder"));
    let ports = ["OTLP_GRPC", "OTLP_HTTP", "PAGE", "ENGINE", "ALERTMANAGER", "DEMO"];
    // All are held until each is known, so that no two are one.
    let held = ports.map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a port"));
    for (name, listener) in ports.iter().zip(&held) {
        script.env(name, listener.local_addr().expect("an address").port().to_string());
    }
    drop(held);
    let ran = script.output().expect("it runs");
    let told = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{told}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(told.contains("Alertmanager has been told of an alert"), "{told}");
}
