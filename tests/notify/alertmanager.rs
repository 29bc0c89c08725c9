//! Debian's Alertmanager, asked through its API what it was told.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use holdup_tests::collector::{eventually, get, post};
use serde_json::{Value, json};

use super::Bench;
use super::server::{Reply, Server};

/// A running one on loopback.
pub(crate) struct Alertmanager {
    child: Child,
    url: String,
    _folder: tempfile::TempDir,
}

/// The program. Debian's finds its templates where the package puts them: it is installed, not
/// unpacked somewhere.
fn alertmanager() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut programs = ["prometheus-alertmanager", "alertmanager"]
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    programs.find(|program| program.is_file()).expect(
        "no Alertmanager: run `cargo xtask test`, or install Debian's prometheus-alertmanager",
    )
}

impl Alertmanager {
    pub(crate) fn start(configuration: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("alertmanager.yml"), configuration).expect("written");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let log = File::create(file("log")).expect("a log");
        let mut command = Command::new(alertmanager());
        command
            .arg(format!("--config.file={}", file("alertmanager.yml").display()))
            .arg(format!("--storage.path={}", file("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--cluster.listen-address=");
        let child = command.stdout(Stdio::null()).stderr(log).spawn().expect("it starts");
        let started = Self { child, url: format!("http://{address}"), _folder: folder };
        let client = holdup_tests::collector::client();
        eventually("Alertmanager is ready", || {
            let answer = client.get(format!("{}/-/ready", started.url)).send().ok()?;
            answer.status().is_success().then_some(())
        });
        started
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What it knows to fire.
    pub(crate) fn alerts(&self) -> Vec<Value> {
        self.ask("alerts")
    }

    pub(crate) fn groups(&self) -> Vec<Value> {
        self.ask("alerts/groups")
    }

    fn ask(&self, what: &str) -> Vec<Value> {
        let answer = get(&format!("{}/api/v2/{what}", self.url));
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str(&answer.text).expect("a list")
    }

    /// Silences alerts with a name.
    pub(crate) fn silence(&self, alertname: &str) {
        let matcher = json!({"name": "alertname", "value": alertname, "isRegex": false});
        let silence = json!({
            "matchers": [matcher],
            "startsAt": "2020-01-01T00:00:00Z",
            "endsAt": "2099-01-01T00:00:00Z",
            "createdBy": "a test",
            "comment": "it is known",
        });
        let url = format!("{}/api/v2/silences", self.url);
        let answer = post(&url, &[("content-type", "application/json")], silence.to_string());
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        // Nothing is left behind; what can't be ended is gone already.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Tells a webhook at once.
pub(crate) fn telling(webhook: &Server) -> String {
    format!(
        "route:\n  receiver: hook\n  group_by: [alertname]\n  group_wait: 0s\n  group_interval: 1s\n\
         receivers:\n  - name: hook\n    webhook_configs:\n      - url: {}\n",
        webhook.url("/")
    )
}

#[test]
fn alertmanager_is_told_of_an_alert_and_its_end() {
    let webhook = Server::start(|_| Reply::text(200, ""));
    let alertmanager = Alertmanager::start(&telling(&webhook));
    let bench = Bench::new();
    // The second of them is away: one that takes it is enough.
    let urls = format!("['{}', 'http://127.0.0.1:1']", alertmanager.url());
    let firing = bench.test(&format!("send_resolved = false\nalertmanager = {{ urls = {urls} }}"));
    assert_eq!(firing.code, Some(0), "{firing:?}");
    assert!(firing.stdout.contains("by one at least"), "{firing:?}");
    let alerts = alertmanager.alerts();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    assert_eq!(alerts[0]["labels"]["function"], "checkout::pay");
    assert_eq!(alerts[0]["annotations"]["cause"], "disk");
    assert_eq!(alerts[0]["generatorURL"], "http://127.0.0.1:4380/");
    assert_eq!(alertmanager.groups()[0]["labels"]["alertname"], "HoldupTest");
    let status = |nth: usize| {
        let got = webhook.got();
        got.get(nth).map(|it| it.json()["status"].as_str().map(str::to_owned))
    };
    let first = eventually("it tells its receiver", || status(0));
    assert_eq!(first.as_deref(), Some("firing"));
    let both = bench.test(&format!("alertmanager = {{ urls = ['{}/'] }}", alertmanager.url()));
    assert_eq!(both.code, Some(0), "{both:?}");
    eventually("it tells of the end", || {
        webhook.got().iter().any(|it| it.json()["status"] == "resolved").then_some(())
    });
    assert!(alertmanager.alerts().is_empty());
}

#[test]
fn what_alertmanager_silences_it_is_told_all_the_same() {
    let webhook = Server::start(|_| Reply::text(200, ""));
    let alertmanager = Alertmanager::start(&telling(&webhook));
    alertmanager.silence("HoldupTest");
    let bench = Bench::new();
    let url = alertmanager.url();
    let ran = bench.test(&format!("send_resolved = false\nalertmanager = {{ urls = ['{url}'] }}"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let alerts = alertmanager.alerts();
    assert_eq!(alerts[0]["labels"]["alertname"], "HoldupTest");
    eventually("it is silenced", || {
        (alertmanager.alerts()[0]["status"]["state"] == "suppressed").then_some(())
    });
    assert!(webhook.got().is_empty());
}

#[test]
fn alertmanager_takes_the_configuration_that_is_shipped() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/alertmanager/alertmanager.yml");
    let amtool = alertmanager().with_file_name("amtool");
    let checked = Command::new(amtool).arg("check-config").arg(shipped).output().expect("amtool");
    assert!(checked.status.success(), "{checked:?}");
}
