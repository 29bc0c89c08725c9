//! Receivers of alerts: `holdup alerts test` against servers that check what they get, and
//! misbehave.

mod alertmanager;
pub(crate) mod authority;
mod mail;
pub(crate) mod server;
mod serving;
mod vendors;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use holdup_tests::program;
use serde_json::Value;

use authority::Authority;
use server::{Reply, Server};

/// What `holdup alerts test` did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A folder with a configuration and secrets, and the program that reads it.
pub(crate) struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    /// Writes a file and tells where it is.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("the file is written");
        path.to_str().expect("UTF-8").to_owned()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sends the sample to the receiver `it`.
    pub(crate) fn test(&self, receiver: &str) -> Ran {
        self.run(&format!("[[receivers]]\nname = 'it'\n{receiver}\n"), "it")
    }

    pub(crate) fn run(&self, configuration: &str, receiver: &str) -> Ran {
        let path = self.file("holdup.toml", configuration);
        let mut command = Command::new(program("holdup").expect("built"));
        command.args(["alerts", "test", "--receiver", receiver, "--config", &path]);
        let Output { status, stdout, stderr } = command.output().expect("it runs");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: status.code(), stdout: text(&stdout), stderr: text(&stderr) }
    }
}

const KEY: &str = "R0UT1NGKEY0000000000000000000000";

fn pagerduty(bench: &Bench, url: &str, more: &str) -> Ran {
    let key = bench.file("key", &format!("{KEY}\n"));
    bench.test(&format!("pagerduty = {{ routing_key_file = '{key}', url = '{url}' {more} }}"))
}

#[test]
fn pagerduty_gets_a_trigger_and_a_resolve_by_its_rules() {
    let server = Server::start(|_| Reply::json(202, r#"{"status": "success"}"#));
    let bench = Bench::new();
    let ran = pagerduty(&bench, &server.url("/v2/enqueue"), "");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("firing sent") && ran.stdout.contains("resolved sent"), "{ran:?}");
    let events: Vec<Value> = server.got().iter().map(server::Request::json).collect();
    let problems: Vec<String> = events.iter().flat_map(vendors::pagerduty).collect();
    assert_eq!(problems, [""; 0]);
    let [trigger, resolve] = events.as_slice() else { panic!("{events:#?}") };
    assert_eq!(
        (&trigger["event_action"], &resolve["event_action"]),
        (&"trigger".into(), &"resolve".into())
    );
    assert_eq!(trigger["dedup_key"], resolve["dedup_key"]);
    let payload = &trigger["payload"];
    assert_eq!(payload["component"], "checkout::pay");
    let alert = &payload["custom_details"]["alerts"][0];
    assert_eq!(
        (&alert["Blame"], &alert["Cause"]),
        (&"ledger::read_all (crate ledger)".into(), &"disk".into())
    );
    assert!(alert["stack"].as_str().is_some_and(|it| it.starts_with("std::fs::read\n")), "{alert}");
}

#[test]
fn slack_gets_a_message_by_its_rules_and_its_address_is_not_shown() {
    let server = Server::start(|nth| match nth {
        0 => Reply::text(200, "ok"),
        _ => Reply::text(404, "no_service"),
    });
    let bench = Bench::new();
    let url = bench.file("url", &server.url("/services/T000/B000/s3cret"));
    let ran = bench.test(&format!("slack = {{ url_file = '{url}' }}"));
    let messages: Vec<Value> = server.got().iter().map(server::Request::json).collect();
    assert_eq!(messages.iter().flat_map(vendors::slack).collect::<Vec<_>>(), [""; 0]);
    let text = messages[0].to_string();
    for part in
        ["checkout::pay", "ledger::read_all", "Advice", "std::fs::read", "Tasks that wait: 12"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    // The second was refused.
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("firing sent") && ran.stdout.contains("no_service"), "{ran:?}");
    assert!(!format!("{ran:?}").contains("s3cret"), "{ran:?}");
}

#[test]
fn what_a_server_answers_in_anger_is_told_without_the_secret() {
    let script = |nth| match nth {
        0 => Reply::text(429, "slow down").with("retry-after", "7"),
        1 => Reply::text(500, "oops"),
        2 => Reply::Reset,
        3 => Reply::json(400, &format!(r#"{{"errors": ["no key {KEY}"]}}"#)),
        4 => Reply::text(302, "").with("location", "http://127.0.0.1:1/"),
        _ => Reply::Garbage,
    };
    let server = Server::start(script);
    let bench = Bench::new();
    let outcomes = ["again", "again", "again", "refused", "refused", "again"];
    for (nth, outcome) in outcomes.into_iter().enumerate() {
        let ran = pagerduty(&bench, &server.url("/"), "");
        assert_eq!(ran.code, Some(1), "{nth}: {ran:?}");
        assert!(ran.stdout.contains(outcome), "{nth}: {ran:?}");
        assert!(!format!("{ran:?}").contains(KEY), "{nth}: {ran:?}");
        assert_eq!(server.got().len(), nth + 1, "once, and nowhere else");
    }
}

#[test]
fn a_server_that_never_answers_is_left_after_its_time() {
    let server = Server::start(|_| Reply::Hang);
    let bench = Bench::new();
    let began = Instant::now();
    let ran = pagerduty(&bench, &server.url("/"), "");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("timed out"), "{ran:?}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn tls_is_trusted_by_its_authority_alone() {
    let authority = Authority::new(&["localhost"]);
    let server = Server::start_tls(authority.server(), |_| Reply::text(202, "{}"));
    let bench = Bench::new();
    let url = format!("https://localhost:{}/", server.port());
    let ran = pagerduty(&bench, &url, "");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("certificate"), "{ran:?}");
    let ca = bench.file("ca.pem", &authority.pem());
    let trusts = format!(", http = {{ ca_file = '{ca}' }}");
    let ran = pagerduty(&bench, &url, &trusts);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = pagerduty(&bench, &format!("https://127.0.0.1:{}/", server.port()), &trusts);
    assert_eq!(ran.code, Some(1), "it has another name: {ran:?}");
    let other = bench.file("other.pem", &Authority::new(&["localhost"]).pem());
    let ran = pagerduty(&bench, &url, &format!(", http = {{ ca_file = '{other}' }}"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    // And one that speaks no TLS at all.
    let plain = Server::start(|_| Reply::text(202, "{}"));
    let ran = pagerduty(&bench, &format!("https://localhost:{}/", plain.port()), &trusts);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(server.got().len(), 2, "what was sent, was sent to whom it was meant for");
}

#[test]
fn a_webhook_gets_the_password_that_is_in_its_file() {
    let server = Server::start(|_| Reply::text(200, ""));
    let bench = Bench::new();
    let token = bench.file("token", "t0ken\n");
    let http = format!("http = {{ bearer_token_file = '{token}' }}");
    let ran = bench.test(&format!("webhook = {{ url = '{}', {http} }}", server.url("/a?b=c")));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let got = server.got();
    assert_eq!(got[0].header("authorization"), Some("Bearer t0ken"));
    assert_eq!((got[0].target.as_str(), got.len()), ("/a?b=c", 2));
    let problems: Vec<String> = got.iter().flat_map(|it| vendors::webhook(&it.json())).collect();
    assert_eq!(problems, [""; 0]);
}

#[test]
fn a_command_is_told_on_stdin_and_killed_with_all_that_it_started() {
    let bench = Bench::new();
    let (out, pid) = (bench.folder().join("out"), bench.folder().join("pid"));
    let script = format!("cat >> {}; echo fine >&2", out.display());
    let ran = bench.test(&format!("command = {{ argv = ['sh', '-c', '{script}'] }}"));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("fine"), "{ran:?}");
    let told = fs::read_to_string(&out).expect("it was told");
    let told: Vec<Value> = serde_json::Deserializer::from_str(&told)
        .into_iter()
        .collect::<Result<_, _>>()
        .expect("JSON");
    assert_eq!(told.iter().flat_map(vendors::webhook).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(told.len(), 2);

    let script = format!("sleep 600 & echo $! > {}; wait", pid.display());
    let ran =
        bench.test(&format!("command = {{ argv = ['sh', '-c', '{script}'], timeout = '1s' }}"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("killed"), "{ran:?}");
    let pid = fs::read_to_string(&pid).expect("it ran");
    let status = format!("/proc/{}/stat", pid.trim());
    holdup_tests::collector::eventually("what it started is gone", || {
        let stat = fs::read_to_string(&status).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    });

    let refuses = bench.test("command = { argv = ['sh', '-c', 'echo no such team >&2; exit 65'] }");
    assert_eq!(refuses.code, Some(1), "{refuses:?}");
    assert!(refuses.stdout.contains("refused") && refuses.stdout.contains("no such team"));
    let absent = bench.test("command = { argv = ['no-such-program-of-holdup'] }");
    assert_eq!(absent.code, Some(1), "{absent:?}");
}

#[test]
fn a_configuration_that_can_not_be_used_has_its_own_exit_code() {
    let bench = Bench::new();
    let one = "[[receivers]]\nname = 'it'\ncommand = { argv = ['true'] }\n";
    let refused = |text: &str, receiver: &str, reason: &str| {
        let ran = bench.run(text, receiver);
        assert_eq!(ran.code, Some(78), "{ran:?}");
        assert!(ran.stderr.contains(reason), "{reason}: {ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    };
    refused(one, "ti", "did you mean \"it\"");
    refused(&one.replace("argv", "arg"), "it", "line 3: unknown field `arg`");
    refused(&one.replace("argv", "arg"), "it", "did you mean `argv`");
    refused(&one.replace("command", "comand"), "it", "did you mean `command`");
    let slack = "[[receivers]]\nname = 'it'\nslack = { url_file = '/no/such/file' }\n";
    refused(slack, "it", "/no/such/file");
    refused(&format!("{one}[route]\nreceiver = 'it'\ngroup_wait = 'soon'"), "it", "line 6");
    refused(&format!("{one}[route]\nreceiver = 'at'"), "it", "did you mean \"it\"");
    refused(&format!("{one}{}", one.replace("'it'", "'at'")), "it", "no [route]");
}
