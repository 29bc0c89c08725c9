//! The whole of it against servers that take what is sent, or do not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::Value;
use tokio::net::TcpListener;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// What a server answers to its nth request.
type Script = fn(usize) -> Reply;

#[derive(Clone, Copy)]
enum Reply {
    Status(u16),
    /// 429 with so many seconds of `Retry-After`.
    Slower(u64),
    Hang,
}

/// A server on loopback that keeps what it gets, with the time.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    got: Arc<Mutex<Vec<(Instant, Value)>>>,
}

impl Server {
    async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::new(Mutex::new(Vec::new()));
        let server = Self { address, got };
        let kept = server.clone();
        let take = move |body: Bytes| {
            let kept = kept.clone();
            async move { kept.answer(&body, script).await }
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(take)).await });
        server
    }

    async fn answer(&self, body: &[u8], script: Script) -> axum::response::Response {
        let nth = {
            let mut got = self.got.lock().unwrap();
            got.push((Instant::now(), serde_json::from_slice(body).unwrap()));
            got.len() - 1
        };
        match script(nth) {
            Reply::Status(code) => StatusCode::from_u16(code).unwrap().into_response(),
            Reply::Slower(seconds) => {
                (StatusCode::TOO_MANY_REQUESTS, [("retry-after", seconds.to_string())])
                    .into_response()
            }
            Reply::Hang => std::future::pending().await,
        }
    }

    fn bodies(&self) -> Vec<Value> {
        self.got.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }
}

/// Waits until something is there.
async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Settings of a file's text.
fn settings(text: &str) -> Settings {
    #[derive(serde::Deserialize)]
    struct Written {
        receivers: Vec<Receiver>,
        route: Option<RouteKeys>,
        #[serde(default)]
        silences: Vec<Silence>,
    }
    let Written { receivers, route, silences } = toml::from_str(text).unwrap();
    let keys = Keys { receivers, route, silences, ..Keys::default() };
    Settings::new(keys, "http://holdup.example".into()).unwrap()
}

fn webhook(name: &str, server: &Server) -> String {
    format!("[[receivers]]\nname = '{name}'\nwebhook = {{ url = 'http://{}/' }}\n", server.address)
}

fn alert(name: &str, service: &str, ends_at: Option<SystemTime>) -> Alert {
    let labels = [("alertname", name), ("service", service)];
    Alert {
        labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        annotations: BTreeMap::new(),
        starts_at: SystemTime::now() - Duration::from_secs(10),
        ends_at,
        generator_url: String::new(),
    }
}

/// A notifier, and what it says of its doing.
struct Running {
    notifier: Notifier,
    lead: watch::Sender<Lead>,
    sent: mpsc::Receiver<Sent>,
    counters: Counters,
}

fn start(text: &str, folder: &Path, leads: bool) -> Running {
    let (lead, heard) = watch::channel(Lead { leads, told: None });
    let (to_history, sent) = mpsc::channel(10_000);
    let counters = Counters::default();
    let notifier =
        Notifier::start(settings(text), folder.into(), heard, to_history, counters.clone());
    Running { notifier: notifier.unwrap(), lead, sent, counters }
}

impl Running {
    fn tell(&self, alerts: Vec<Alert>) {
        self.notifier.update(alerts, SystemTime::now());
    }

    /// Has it take over, given what is known to have been told.
    fn lead(&self, told: Option<AlreadyTold>) {
        self.lead.send_replace(Lead { leads: true, told: told.map(Arc::new) });
    }

    async fn stop(self) {
        self.notifier.stop(PATIENCE).await;
    }
}

const AT_ONCE: &str = "group_wait = '0s'\ngroup_interval = '1s'\nrepeat_interval = '1h'\n";

fn to_one(server: &Server) -> String {
    format!("{}\n[route]\nreceiver = 'one'\n{AT_ONCE}", webhook("one", server))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_is_told_once_and_its_end_once_with_a_restart_between() {
    let server = Server::start(|_| Reply::Status(200)).await;
    let folder = tempfile::tempdir().unwrap();
    let text = to_one(&server);
    let fires = alert("a", "s", None);
    let over = Alert { ends_at: Some(SystemTime::now()), ..fires.clone() };
    for (run, told) in [&fires, &fires, &fires, &over, &over].into_iter().enumerate() {
        let mut running = start(&text, folder.path(), true);
        // When the end of another has been told, an interval is over, and what there was to say.
        let mark = alert(&format!("mark {run}"), "s", None);
        running.tell(vec![told.clone(), mark.clone()]);
        while !running.sent.recv().await.unwrap().group_key.contains("mark") {}
        running.tell(vec![told.clone(), Alert { ends_at: Some(SystemTime::now()), ..mark }]);
        while !running.sent.recv().await.unwrap().group_key.contains("mark") {}
        running.stop().await;
    }
    let mut bodies = server.bodies();
    bodies.retain(|body| body["groupLabels"]["alertname"] == "a");
    assert_eq!(bodies.len(), 2, "{bodies:#?}");
    assert_eq!(
        (&bodies[0]["status"], &bodies[1]["status"]),
        (&"firing".into(), &"resolved".into())
    );
    assert_eq!(bodies[0]["version"], "4");
    assert_eq!(bodies[0]["groupKey"], "{}:{alertname=\"a\", service=\"s\"}");
    assert_eq!(bodies[0]["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
    assert_eq!(bodies[1]["alerts"][0]["fingerprint"], fires.fingerprint().to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_taken_before_a_restart_is_told_after_it() {
    let away = Server::start(|_| Reply::Status(503)).await;
    let folder = tempfile::tempdir().unwrap();
    let running = start(&to_one(&away), folder.path(), true);
    running.tell(vec![alert("a", "s", None)]);
    eventually("it was tried", || (!away.bodies().is_empty()).then_some(())).await;
    running.stop().await;
    let back = Server::start(|_| Reply::Status(200)).await;
    // Nobody says that it fires: the queue alone knows.
    let mut running = start(&to_one(&back), folder.path(), true);
    let sent = running.sent.recv().await.unwrap();
    assert_eq!(sent.outcome, Outcome::Sent);
    assert!(sent.tries >= 2, "{sent:?}");
    assert_eq!(back.bodies()[0]["alerts"][0]["labels"]["alertname"], "a");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_hangs_or_fails_delays_no_other() {
    let hangs = Server::start(|_| Reply::Hang).await;
    let fails = Server::start(|_| Reply::Status(500)).await;
    let takes = Server::start(|_| Reply::Status(200)).await;
    let text = format!(
        "{}{}{}[route]\nreceiver = 'takes'\ngroup_by = ['...']\n{AT_ONCE}\n[[route.routes]]\n\
         receiver = 'hangs'\ncontinue = true\n[[route.routes]]\nreceiver = 'fails'\ncontinue = true\n\
         [[route.routes]]\nreceiver = 'takes'\n",
        webhook("hangs", &hangs),
        webhook("fails", &fails),
        webhook("takes", &takes),
    );
    let folder = tempfile::tempdir().unwrap();
    let running = start(&text, folder.path(), true);
    let began = Instant::now();
    running.tell((0..50).map(|n| alert(&n.to_string(), "s", None)).collect());
    eventually("all are told", || (takes.bodies().len() == 50).then_some(())).await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(!hangs.bodies().is_empty() && !fails.bodies().is_empty());
    drop(running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_asks_for_a_pause_gets_it_and_what_it_refuses_does_not_come_again() {
    let slower = |nth| if nth == 0 { Reply::Slower(2) } else { Reply::Status(200) };
    let server = Server::start(slower).await;
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(&to_one(&server), folder.path(), true);
    running.tell(vec![alert("a", "s", None)]);
    let sent = running.sent.recv().await.unwrap();
    assert_eq!((sent.outcome, sent.tries), (Outcome::Sent, 2));
    let got = server.got.lock().unwrap().clone();
    let pause = got[1].0 - got[0].0;
    assert!(pause >= Duration::from_millis(1_900), "{pause:?}");
    running.stop().await;

    let refuses = Server::start(|nth| Reply::Status(if nth == 0 { 400 } else { 200 })).await;
    let folder = tempfile::tempdir().unwrap();
    let mut running = start(&to_one(&refuses), folder.path(), true);
    running.tell(vec![alert("a", "s", None)]);
    let sent = running.sent.recv().await.unwrap();
    assert_eq!((sent.outcome, sent.tries), (Outcome::Refused, 1));
    // The next that comes is another.
    running.tell(vec![alert("b", "t", None), alert("a", "s", None)]);
    let sent = running.sent.recv().await.unwrap();
    assert_eq!((sent.outcome, sent.group_key.contains("\"b\"")), (Outcome::Sent, true));
    assert_eq!(refuses.bodies().len(), 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_collectors_sends_and_the_other_takes_over() {
    let server = Server::start(|_| Reply::Status(200)).await;
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let text = to_one(&server);
    let (mut first, mut second) = (start(&text, one.path(), true), start(&text, two.path(), false));
    let fires = vec![alert("a", "s", None)];
    for running in [&first, &second] {
        running.tell(fires.clone());
    }
    first.sent.recv().await.unwrap();
    assert_eq!(server.bodies().len(), 1);
    first.stop().await;
    second.lead(None);
    // What became due within the minute before may not have been sent: it is, again.
    second.sent.recv().await.unwrap();
    second.tell(vec![alert("b", "s", None), fires[0].clone()]);
    let sent = second.sent.recv().await.unwrap();
    assert!(sent.group_key.contains("\"b\""), "{sent:?}");
    assert_eq!(server.bodies().len(), 3);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_due_before_it_was_known_who_leads_is_told_after_a_restart() {
    let server = Server::start(|_| Reply::Status(200)).await;
    let folder = tempfile::tempdir().unwrap();
    let text = to_one(&server);
    let running = start(&text, folder.path(), false);
    running.tell(vec![alert("a", "s", None)]);
    let file = folder.path().join("notifications.json");
    eventually("it is on disk", || file.exists().then_some(())).await;
    running.stop().await;
    assert!(server.bodies().is_empty());
    let mut running = start(&text, folder.path(), false);
    running.lead(None);
    assert_eq!(running.sent.recv().await.unwrap().outcome, Outcome::Sent);
    running.stop().await;
    assert_eq!(server.bodies().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_alerts_are_one_message() {
    let server = Server::start(|_| Reply::Status(200)).await;
    let folder = tempfile::tempdir().unwrap();
    let text = to_one(&server).replace("[route]", "[route]\ngroup_by = ['service']");
    let mut running = start(&text, folder.path(), true);
    running.tell((0..1_000).map(|n| alert(&n.to_string(), "s", None)).collect());
    let sent = running.sent.recv().await.unwrap();
    assert!(sent.took < Duration::from_secs(5), "{:?}", sent.took);
    let body = &server.bodies()[0];
    let told = body["alerts"].as_array().unwrap().len() as u64;
    assert_eq!(told + body["truncatedAlerts"].as_u64().unwrap(), 1_000);
    let text = {
        let mut registry = prometheus_client::registry::Registry::default();
        let counted = Counters::register(&mut registry);
        counted.begin("x", &settings(&text).receivers[0].way);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text
    };
    assert!(
        text.contains("notifications_total{receiver=\"x\",way=\"webhook\",outcome=\"sent\"} 0")
    );
    assert_eq!(running.counters.firing(), 1_000);
    running.stop().await;
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    let refused = |text: &str| toml::from_str::<Receiver>(text).unwrap_err().to_string();
    assert!(refused("name = 'a'").contains("needs one of"));
    let two = "name = 'a'\nwebhook = { url = 'http://h' }\ncommand = { argv = ['x'] }";
    assert!(refused(two).contains("write two receivers"));
    let user = refused("name = 'a'\nwebhook = { url = 'https://me:s3cret@h' }");
    assert!(user.contains("password_file"), "{user}");
    let plain = "name = 'a'\n[email]\nhost = 'h'\ntls = 'none'\nfrom = 'a@b.c'\nto = ['a@b.c']\n\
                 username = 'u'\npassword_file = '/x'";
    assert!(refused(plain).contains("could be read by all"));
    assert!(refused("name = 'a'\nslack = { url_fil = 'x' }").contains("unknown field"));
    assert!(refused("name = 'a b'\ncommand = { argv = ['x'] }").contains("letters"));
    assert!(refused("name = 'a'\ncommand = { argv = [] }").contains("no program"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_alert_that_alertmanager_refuses_keeps_no_other_away() {
    // The whole batch is refused, and of its three alerts the second.
    let script = |nth| Reply::Status(if nth == 0 || nth == 2 { 400 } else { 200 });
    let server = Server::start(script).await;
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "[[receivers]]\nname = 'am'\nalertmanager = {{ urls = ['http://{}'] }}\n",
        server.address
    );
    let mut running = start(&text, folder.path(), true);
    let mut alerts: Vec<Alert> = ["a", "b", "c"].map(|name| alert(name, "s", None)).into();
    alerts[0].labels.insert("a.b".into(), "dots are not taken".into());
    alerts[0].labels.insert("empty".into(), String::new());
    running.tell(alerts);
    let sent = running.sent.recv().await.unwrap();
    assert_eq!((sent.outcome, sent.alerts.len()), (Outcome::Sent, 3));
    assert!(sent.detail.contains("1 of 3 refused"), "{}", sent.detail);
    let bodies = server.bodies();
    let sizes: Vec<usize> = bodies.iter().map(|body| body.as_array().unwrap().len()).collect();
    assert_eq!(sizes, [3, 1, 1, 1]);
    for alert in bodies.iter().flat_map(|body| body.as_array().unwrap()) {
        let labels = alert["labels"].as_object().unwrap();
        assert!(
            labels.keys().all(|name| name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_'))
        );
        assert!(labels.values().all(|value| value != ""), "{labels:?}");
        let seconds = |key: &str| {
            let time = humantime::parse_rfc3339(alert[key].as_str().unwrap()).unwrap();
            time.duration_since(SystemTime::now()).map_or(0, |time| time.as_secs())
        };
        assert!((230..=240).contains(&seconds("endsAt")), "four minutes from now: {alert}");
    }
    running.stop().await;
}

#[test]
fn a_trace_has_a_link_where_there_is_something_to_show_it() {
    let keys = |url: &str| Keys { trace_url: Some(url.into()), ..Keys::default() };
    assert!(Settings::new(keys("https://t/"), String::new()).unwrap_err().contains("{trace_id}"));
    let settings = Settings::new(keys("https://t/{trace_id}?x"), String::new()).unwrap();
    let link = |id: &str| {
        let mut alert = alert("a", "s", None);
        alert.annotations.insert("trace_id".into(), id.into());
        settings.link_trace(&mut alert);
        alert.annotations.get("trace_url").cloned()
    };
    let id = "0123456789ABCDEF0123456789abcdef";
    assert_eq!(link(id), Some(format!("https://t/{}?x", id.to_ascii_lowercase())));
    assert_eq!((link(""), link("../../x")), (None, None));
}

fn fires_since(at: SystemTime) -> Last {
    Last { status: Status::Firing, at, ended: None }
}

/// The state of a collector that followed, with what it left to another decided so long ago.
async fn followed(text: &str, folder: &Path, alerts: Vec<Alert>, ago: Duration) {
    let running = start(text, folder, false);
    running.tell(alerts);
    let file = folder.join("notifications.json");
    let read = || -> Option<Value> { serde_json::from_slice(&std::fs::read(&file).ok()?).ok() };
    let mut kept = eventually("it is on disk", read).await;
    running.stop().await;
    let seconds = &mut kept["followed"][0]["at"]["secs_since_epoch"];
    *seconds = (seconds.as_u64().unwrap() - ago.as_secs()).into();
    std::fs::write(&file, serde_json::to_vec(&kept).unwrap()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_takes_over_tells_what_nobody_was_told_however_long_ago() {
    let server = Server::start(|_| Reply::Status(200)).await;
    let text = to_one(&server);
    let began = SystemTime::now() - Duration::from_secs(1_800);
    let fires = Alert { starts_at: began, ..alert("a", "s", None) };
    let ago = Duration::from_secs(1_700);
    let folder = tempfile::tempdir().unwrap();
    followed(&text, folder.path(), vec![fires.clone()], ago).await;
    let mut running = start(&text, folder.path(), false);
    running.lead(Some(AlreadyTold::default()));
    let sent = running.sent.recv().await.unwrap();
    assert_eq!((sent.outcome, server.bodies().len()), (Outcome::Sent, 1));
    running.stop().await;

    // And what the one before it told, it does not tell again.
    let folder = tempfile::tempdir().unwrap();
    followed(&text, folder.path(), vec![fires.clone()], ago).await;
    let mut running = start(&text, folder.path(), false);
    let mut told = AlreadyTold::default();
    let group = ("one".to_owned(), sent.group_key);
    told.add(group, fires.fingerprint(), fires_since(began + Duration::from_secs(9)));
    running.lead(Some(told));
    running.tell(vec![fires, alert("b", "s", None)]);
    let sent = running.sent.recv().await.unwrap();
    assert!(sent.group_key.contains("\"b\""), "{sent:?}");
    assert_eq!(server.bodies().len(), 2);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_leads_again_does_not_tell_what_was_told_meanwhile() {
    let away = Server::start(|_| Reply::Status(503)).await;
    let folder = tempfile::tempdir().unwrap();
    let fires = alert("a", "s", None);
    let running = start(&to_one(&away), folder.path(), true);
    running.tell(vec![fires.clone()]);
    eventually("it was tried", || (!away.bodies().is_empty()).then_some(())).await;
    let key = away.bodies()[0]["groupKey"].as_str().unwrap().to_owned();
    running.stop().await;

    let back = Server::start(|_| Reply::Status(200)).await;
    let mut running = start(&to_one(&back), folder.path(), false);
    let mut told = AlreadyTold::default();
    told.add(("one".into(), key), fires.fingerprint(), fires_since(SystemTime::now()));
    running.lead(Some(told));
    running.tell(vec![fires, alert("b", "s", None)]);
    let sent = running.sent.recv().await.unwrap();
    assert!(sent.group_key.contains("\"b\""), "{sent:?}");
    assert_eq!(back.bodies().len(), 1);
    running.stop().await;
}
