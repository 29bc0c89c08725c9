//! Who may send, read and change, as clients meet it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use holdup_tests::collector::{Answer, Collector, client, eventually, get, signal};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message;
use reqwest::blocking::RequestBuilder;
use reqwest::redirect::Policy;
use tonic::{Code, Status};

use crate::receiving::{JSON, PROTOBUF, request};

/// A tokens file, with a token of each kind.
struct Tokens {
    file: PathBuf,
    sends: String,
    shop: String,
    reads: String,
    administers: String,
}

fn holdup(arguments: &[&str]) -> Command {
    let mut command = Command::new(holdup_tests::program("holdup").expect("built"));
    command.args(arguments).env("RUST_LOG", "off");
    command
}

/// A token, made as an operator makes one.
pub(crate) fn token(file: &Path, arguments: &[&str]) -> String {
    let file = file.to_str().expect("UTF-8");
    let made = holdup(&["token", "new"]).args(arguments).args(["--tokens-file", file]).output();
    let made = made.expect("holdup runs");
    assert!(made.status.success(), "{made:?}");
    let text = String::from_utf8(made.stdout).expect("text");
    text.strip_suffix('\n').expect("one line").to_owned()
}

impl Tokens {
    fn new(folder: &Path) -> Self {
        let file = folder.join("tokens.toml");
        Self {
            sends: token(&file, &["sends"]),
            shop: token(&file, &["shop", "--service", "shop", "--service", "shop-*"]),
            reads: token(&file, &["reads", "--role", "read"]),
            administers: token(&file, &["administers", "--role", "admin"]),
            file,
        }
    }
}

/// A collector that asks for tokens, and its tokens.
fn closed(data: &Path, more: &[&str]) -> (Collector, Tokens) {
    let tokens = Tokens::new(data);
    let file = tokens.file.to_str().expect("UTF-8");
    let arguments = [&["--tokens-file", file], more].concat();
    (Collector::start(data, &arguments), tokens)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn sent(request: RequestBuilder) -> Answer {
    request.send().expect("it answers").into()
}

/// What is answered to a poll of the service, over HTTP.
fn sent_over_http(collector: &Collector, service: &str, token: Option<&str>) -> Answer {
    let body = request(service, [1]).encode_to_vec();
    let url = format!("{}/v1/traces", collector.http());
    let request = client().post(url).header(PROTOBUF.0, PROTOBUF.1).body(body);
    sent(match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    })
}

/// The same over gRPC.
fn sent_over_grpc(collector: &Collector, service: &str, token: Option<&str>) -> Code {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let client = TraceServiceClient::connect(collector.grpc()).await.expect("it listens");
        let bearer = token.map(|token| format!("Bearer {token}").parse().expect("a header"));
        let mut client = client;
        let mut request = tonic::Request::new(request(service, [2]));
        if let Some(bearer) = bearer {
            request.metadata_mut().insert("authorization", bearer);
        }
        client.export(request).await.map_or_else(|status: Status| status.code(), |_| Code::Ok)
    })
}

fn metric(collector: &Collector, tokens: &Tokens, line: &str) -> Option<u64> {
    let url = format!("{}/metrics", collector.page());
    let text = sent(client().get(url).bearer_auth(&tokens.reads)).text;
    text.lines().find_map(|it| it.strip_prefix(line)?.trim().parse().ok())
}

#[test]
fn only_who_shows_a_token_for_it_may_send() {
    let data = folder();
    let (collector, tokens) = closed(data.path(), &[]);
    let wrong = tokens.sends.to_uppercase();
    for (token, http, grpc) in [
        (None, 401, Code::Unauthenticated),
        (Some(wrong.as_str()), 401, Code::Unauthenticated),
        (Some(tokens.reads.as_str()), 403, Code::PermissionDenied),
        (Some(tokens.sends.as_str()), 200, Code::Ok),
    ] {
        let answer = sent_over_http(&collector, "any", token);
        assert_eq!(answer.status, http, "{answer:?}");
        assert_eq!(sent_over_grpc(&collector, "any", token), grpc, "{token:?}");
    }
    // What clients are told is a google.rpc.Status in their own encoding, and how to do better.
    let url = format!("{}/v1/traces", collector.http());
    let answer = client().post(url).header(JSON.0, JSON.1).body("{}").send().expect("it answers");
    assert_eq!(answer.headers()["www-authenticate"], "Bearer realm=\"holdup\"");
    let told: serde_json::Value = serde_json::from_str(&Answer::from(answer).text).expect("JSON");
    assert_eq!(told["code"], i32::from(Code::Unauthenticated));
    let text = told["message"].as_str().expect("a text");
    assert!(text.contains("OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20TOKEN"), "{text}");
    for (line, at_least) in [
        ("{listener=\"http\",reason=\"missing\"}", 2),
        ("{listener=\"http\",reason=\"unknown\"}", 1),
        ("{listener=\"http\",reason=\"role\"}", 1),
        ("{listener=\"grpc\",reason=\"missing\"}", 1),
    ] {
        let line = format!("holdup_auth_failures_total{line}");
        assert!(metric(&collector, &tokens, &line) >= Some(at_least), "{line}");
    }
    assert_eq!(metric(&collector, &tokens, "holdup_auth_tokens"), Some(4));
    let log = collector.log();
    assert!(log.contains("a request was not let in"), "{log}");
    for secret in [&tokens.sends, &tokens.reads, &wrong] {
        assert!(!log.contains(secret.as_str()), "{log}");
    }
}

#[test]
fn a_token_for_some_services_sends_of_no_other() {
    let data = folder();
    let (collector, tokens) = closed(data.path(), &[]);
    let shop = Some(tokens.shop.as_str());
    assert_eq!(sent_over_http(&collector, "shop", shop).status, 200);
    assert_eq!(sent_over_grpc(&collector, "shop-eu", shop), Code::Ok);
    let answer = sent_over_http(&collector, "bank", shop);
    assert_eq!(answer.status, 403);
    assert!(answer.text.contains("may not send of the service \"bank\""), "{}", answer.text);
    assert_eq!(sent_over_grpc(&collector, "bank", shop), Code::PermissionDenied);
    // One service that is not its own, and the request is refused as a whole; so is one that names
    // two services for a resource, of which each reader may believe another.
    let mut both = request("shop", [3]);
    both.resource_spans.extend(request("bank", [4]).resource_spans);
    let mut twice = request("shop", [5]);
    let bank = request("bank", [5]).resource_spans.remove(0).resource.expect("set").attributes;
    let resource = twice.resource_spans[0].resource.as_mut().expect("set");
    resource.attributes.splice(0..0, bank);
    for mixed in [both, twice] {
        let url = format!("{}/v1/traces", collector.http());
        let request = client().post(url).header(PROTOBUF.0, PROTOBUF.1);
        let answer = sent(request.bearer_auth(&tokens.shop).body(mixed.encode_to_vec()));
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    let url = format!("{}/api/v1/query/services", collector.page());
    let services = eventually("both services are stored", || {
        let answer = sent(client().get(&url).bearer_auth(&tokens.reads));
        assert_eq!(answer.status, 200, "{answer:?}");
        (answer.text.contains("\"shop-eu\"") && answer.text.contains("\"shop\"")).then_some(answer)
    });
    assert!(!services.text.contains("bank"), "{}", services.text);
    let line = "holdup_auth_failures_total{listener=\"http\",reason=\"service\"}";
    assert_eq!(metric(&collector, &tokens, line), Some(3));
}

#[test]
fn opentelemetrys_sdk_for_python_sends_with_a_token() {
    let data = folder();
    let (collector, tokens) = closed(data.path(), &[]);
    let script = "
import sys
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http
import time
for name, exporter in [('grpc', Grpc(endpoint=sys.argv[1], insecure=True)), ('http', Http(endpoint=sys.argv[2] + '/v1/traces'))]:
    provider = TracerProvider(resource=Resource({'service.name': 'py-' + name}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    span = provider.get_tracer('holdup').start_span('poll py::' + name)
    time.sleep(0.05)
    span.end()
    assert provider.force_flush()
";
    let ran = Command::new(holdup_tests::python().expect("a Python"))
        .args(["-c", script, &collector.grpc(), &collector.http()])
        .env("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{}", tokens.sends))
        .output()
        .expect("it runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let url = format!("{}/api/v1/query/services", collector.page());
    eventually("both came", || {
        let text = sent(client().get(&url).bearer_auth(&tokens.reads)).text;
        (text.contains("py-grpc") && text.contains("py-http")).then_some(())
    });
}

#[test]
fn the_page_and_the_api_are_behind_the_same_tokens() {
    let data = folder();
    let (collector, tokens) = closed(data.path(), &[]);
    let page = collector.page();
    let asked = |path: &str, token: &str| {
        sent(client().get(format!("{page}{path}")).bearer_auth(token)).status
    };
    for path in ["/", "/app.js", "/api/v1/status", "/api/v1/openapi.json", "/metrics", "/nothing"] {
        assert_eq!(get(&format!("{page}{path}")).status, 401, "{path}");
        assert_eq!(asked(path, &tokens.sends), 403, "{path}");
        assert_eq!(asked(path, &tokens.reads), 200, "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(&format!("{page}{path}")).status, 200, "{path}");
    }
    let mute = |token: &str| {
        let body = serde_json::json!({"service": "shop", "function": "a::b", "reason": "known",
            "until_ms": 0, "version": "2"});
        let request = client().post(format!("{page}/api/v1/mutes")).header(JSON.0, JSON.1);
        sent(request.bearer_auth(token).body(body.to_string())).status
    };
    assert_eq!([mute(&tokens.reads), mute(&tokens.administers)], [403, 200]);

    let shown = data.path().join("reads.token");
    std::fs::write(&shown, format!("{}\n", tokens.reads)).expect("written");
    let mut query = holdup(&["query", "top", "--page", &page]);
    let said = query.output().expect("holdup runs");
    assert!(!said.status.success() && String::from_utf8_lossy(&said.stderr).contains("a token is"));
    query.env("HOLDUP_TOKEN_FILE", &shown);
    assert!(query.output().expect("holdup runs").status.success());
}

#[test]
fn metrics_are_read_without_a_token_where_that_is_said() {
    let data = folder();
    let (collector, _tokens) = closed(data.path(), &["--metrics-without-token"]);
    assert_eq!(get(&format!("{}/metrics", collector.page())).status, 200);
    assert_eq!(get(&format!("{}/api/v1/status", collector.page())).status, 401);
}

/// A browser as far as headers go; it follows no redirect by itself.
fn browser() -> reqwest::blocking::Client {
    reqwest::blocking::Client::builder().redirect(Policy::none()).build().expect("a client")
}

fn log_in(collector: &Collector, path: &str, token: &str) -> reqwest::blocking::Response {
    let request =
        browser().post(format!("{}{path}", collector.page())).header("accept", "text/html");
    let form = ("content-type", "application/x-www-form-urlencoded");
    request.header(form.0, form.1).body(format!("token={token}")).send().expect("it answers")
}

#[test]
fn a_browser_logs_in_with_a_form_and_out_again() {
    let data = folder();
    let (collector, tokens) = closed(data.path(), &[]);
    let page = collector.page();
    let shown = browser().get(format!("{page}/f/a?service=x")).header("accept", "text/html").send();
    let shown = shown.expect("it answers");
    let policy = shown.headers()["content-security-policy"].to_str().expect("text").to_owned();
    for part in ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert_eq!(shown.headers()["referrer-policy"], "same-origin", "else its origin is `null`");
    let shown = Answer::from(shown);
    assert!(shown.status == 401 && shown.text.contains("<form method=\"post\">"), "{shown:?}");

    for token in ["wrong", &tokens.sends] {
        let refused = log_in(&collector, "/", token);
        assert!(refused.headers().get("set-cookie").is_none() && refused.status() == 401);
    }
    let let_in = log_in(&collector, "/f/a?service=x", &tokens.reads);
    assert_eq!(
        (let_in.status().as_u16(), &let_in.headers()["location"]),
        (303, &"./a?service=x".parse().expect("text"))
    );
    let cookie = let_in.headers()["set-cookie"].to_str().expect("text").to_owned();
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(&tokens.reads), "{cookie}");
    let session = cookie.split(';').next().expect("a pair").to_owned();
    let with = |method: &str, path: &str| {
        let request = browser().request(method.parse().expect("a method"), format!("{page}{path}"));
        request.header("cookie", &session).header("accept", "text/html")
    };
    let shown = sent(with("GET", "/"));
    assert!(shown.status == 200 && shown.text.contains("app.js"), "{shown:?}");
    // A session may do what its token may, and only for the page itself.
    assert_eq!(sent(with("POST", "/api/v1/mutes").header(JSON.0, JSON.1).body("{}")).status, 403);
    let administers = log_in(&collector, "/", &tokens.administers);
    let session_2 = administers.headers()["set-cookie"].to_str().expect("text").to_owned();
    let mute = |from: &str| {
        let body = serde_json::json!({"service": "shop", "function": "a::b", "reason": "known",
            "until_ms": 0, "version": "2"});
        let request = browser().post(format!("{page}/api/v1/mutes")).header(JSON.0, JSON.1);
        let request = request.header("cookie", session_2.split(';').next().expect("a pair"));
        sent(request.header("origin", from).body(body.to_string())).status
    };
    assert_eq!([mute("http://evil.example"), mute(&page)], [403, 200]);
    // Another site's page can't log a visitor in either.
    let elsewhere = with("POST", "/").header("origin", "http://evil.example").body("token=x");
    assert_eq!(sent(elsewhere).status, 403);

    assert_eq!(sent(with("GET", "/logout")).status, 303);
    assert_eq!(sent(with("GET", "/")).status, 401);
}

#[test]
fn whoever_guesses_has_to_wait() {
    let data = folder();
    let (collector, tokens) = closed(data.path(), &[]);
    let statuses: Vec<u16> =
        (0..12).map(|_| log_in(&collector, "/", "guess").status().as_u16()).collect();
    assert_eq!(statuses, [vec![401; 10], vec![429; 2]].concat());
    assert_eq!(log_in(&collector, "/", &tokens.reads).status(), 429);
    // Clients with a token are not held up by what others at their address do.
    assert_eq!(sent_over_http(&collector, "any", Some(&tokens.sends)).status, 200);
}

#[test]
fn tokens_are_read_again_on_sighup() {
    let data = folder();
    let (collector, tokens) = closed(data.path(), &[]);
    let later = token(&tokens.file, &["later"]);
    assert_eq!(sent_over_http(&collector, "any", Some(&later)).status, 401);
    signal(collector.pid(), "HUP");
    eventually("it is known", || {
        (sent_over_http(&collector, "any", Some(&later)).status == 200).then_some(())
    });
    // A file that can't be used changes nothing, and that is said.
    let text = std::fs::read_to_string(&tokens.file).expect("the file");
    std::fs::write(&tokens.file, text.replace("roles", "rolls")).expect("written");
    signal(collector.pid(), "HUP");
    eventually("it is told", || collector.log().contains("did you mean `roles`?").then_some(()));
    assert_eq!(sent_over_http(&collector, "any", Some(&later)).status, 200);
    // What was taken out is known no more.
    std::fs::write(&tokens.file, without(&text, "later")).expect("written");
    signal(collector.pid(), "HUP");
    eventually("it is forgotten", || {
        (sent_over_http(&collector, "any", Some(&later)).status == 401).then_some(())
    });
}

/// A tokens file in which one is no more.
fn without(text: &str, name: &str) -> String {
    let kept = text.split("[[tokens]]").filter(|it| !it.contains(&format!("{name:?}")));
    kept.collect::<Vec<_>>().join("[[tokens]]")
}

/// An open stream of what is live, past its first event.
fn looking(collector: &Collector, header: (&str, &str)) -> BufReader<reqwest::blocking::Response> {
    let url = format!("{}/api/v1/live", collector.page());
    let stream = client().get(url).header(header.0, header.1).send().expect("it answers");
    assert_eq!(stream.status(), 200);
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).expect("a line");
    assert_eq!(line, "event: seen\n");
    stream
}

/// The rest of a stream: it is over.
fn rest(mut stream: impl Read) -> String {
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("it ends");
    rest
}

#[test]
fn a_stream_ends_with_its_token_and_with_its_session() {
    let data = folder();
    let (collector, tokens) = closed(data.path(), &[]);
    let let_in = log_in(&collector, "/", &tokens.administers);
    let cookie = let_in.headers()["set-cookie"].to_str().expect("text").to_owned();
    let session = cookie.split(';').next().expect("a pair");
    let of_session = looking(&collector, ("cookie", session));
    let bearer = |token: &str| format!("Bearer {token}");
    let of_token = looking(&collector, ("authorization", &bearer(&tokens.reads)));
    let of_other = looking(&collector, ("authorization", &bearer(&tokens.administers)));

    let page = collector.page();
    let left = sent(browser().get(format!("{page}/logout")).header("cookie", session));
    assert_eq!(left.status, 303);
    let said = rest(of_session);
    assert!(said.ends_with("\n\n") && said.contains("event: ended\ndata: a token is"), "{said}");

    let text = std::fs::read_to_string(&tokens.file).expect("the file");
    std::fs::write(&tokens.file, without(&text, "reads")).expect("written");
    signal(collector.pid(), "HUP");
    let said = rest(of_token);
    assert!(said.contains("event: ended\ndata: this token is not known here"), "{said}");
    // Nobody else's ends.
    let mut lines = of_other.lines().map(|line| line.expect("a line"));
    let seen = lines.by_ref().filter(|line| line == "event: seen").take(2).count();
    assert_eq!(seen, 2);
}

#[test]
fn a_token_is_shown_once_and_its_file_is_the_owners() {
    use std::os::unix::fs::PermissionsExt;
    let data = folder();
    let tokens = Tokens::new(data.path());
    let mode = std::fs::metadata(&tokens.file).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&tokens.file).expect("the file");
    assert!(!text.contains(&tokens.sends) && text.contains("name = \"sends\""), "{text}");
    let twice = holdup(&["token", "new", "sends", "--tokens-file"]).arg(&tokens.file).output();
    let twice = twice.expect("holdup runs");
    assert!(!twice.status.success() && twice.stdout.is_empty(), "{twice:?}");
    assert!(String::from_utf8_lossy(&twice.stderr).contains("there is another token"), "{twice:?}");
    let printed = holdup(&["token", "new", "x", "--service", "a'b*"]).output().expect("it runs");
    let entry = String::from_utf8(printed.stderr).expect("text");
    assert!(entry.contains("services = [\"a'b*\"]"), "{entry}");
}
