//! The chart: rendered by Helm's own code, checked against Kubernetes's schemas, and started with
//! the arguments that come out.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use holdup_tests::collector::Collector;
use serde_json::{Value, json};

use super::{fits_the_program, folder, read};
use crate::notify::authority::Authority;
use crate::tls::https;

/// The oldest that the chart is for (`kubeVersion` in Chart.yaml), and a late one.
const KUBERNETES: [&str; 2] = ["1.27", "1.34"];

#[derive(Debug, serde::Deserialize)]
struct Rendered {
    lint: Vec<String>,
    objects: Vec<Value>,
    refused: Option<String>,
}

impl Rendered {
    fn all(&self, kind: &str) -> Vec<&Value> {
        self.objects.iter().filter(|it| it["kind"] == kind).collect()
    }

    fn one(&self, kind: &str) -> &Value {
        let all = self.all(kind);
        assert_eq!(all.len(), 1, "{kind}: {all:#?}");
        all[0]
    }

    fn container(&self) -> &Value {
        &self.one("StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    }
}

fn render(values: &Value, kubernetes: &str) -> Rendered {
    let python = holdup_tests::python_of_charts().expect("a Python with Helm");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/helm.py");
    let mut child = Command::new(python)
        .arg(script)
        .arg(folder("helm/holdup"))
        .arg(kubernetes)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(values.to_string().as_bytes()).expect("written");
    drop(stdin);
    let ran = child.wait_with_output().expect("it ends");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).expect("JSON")
}

/// Values that switch on all there is.
fn everything() -> Value {
    json!({
        "clickhouse": { "url": "http://clickhouse:8123", "passwordSecret": { "name": "ch" } },
        "auth": { "tokensSecret": { "name": "tokens" } },
        "tls": { "secret": "tls" },
        "config": "[[receivers]]\nname = 'am'\nalertmanager = { urls = ['http://am:9093'] }\n",
        "configSecrets": ["pagerduty"],
        "page": { "hosts": ["holdup.example.com"], "externalUrl": "https://holdup.example.com" },
        "env": { "HOLDUP_SERVICES_MAX": "100" },
        "log": { "bytesMax": 2_147_483_648_u64, "volume": { "storageClassName": "fast" } },
        "image": { "pullSecrets": ["pull"], "digest": format!("sha256:{}", "a".repeat(64)) },
        "serviceMonitor": { "enabled": true, "labels": { "release": "prometheus" },
            "tokenSecret": { "name": "prometheus" } },
        "prometheusRule": { "enabled": true },
        "autoscaling": { "enabled": true, "maxReplicas": 5 },
        "networkPolicy": { "senders": [{ "podSelector": {} }], "viewers": [{ "podSelector": {} }] },
        "podLabels": { "team": "a" }, "podAnnotations": { "b": "c" },
        "nodeSelector": { "disk": "ssd" }, "tolerations": [{ "operator": "Exists" }],
        "affinity": { "nodeAffinity": {} }, "priorityClassName": "high",
    })
}

#[test]
fn helm_and_kubernetes_take_the_chart() {
    let open = json!({ "allowUnauthenticated": true });
    let least = json!({ "clickhouse": { "url": "http://clickhouse:8123" }, "auth": open });
    for kubernetes in KUBERNETES {
        for (values, kinds) in [(&least, 6), (&everything(), 10)] {
            let rendered = render(values, kubernetes);
            assert_eq!(rendered.refused, None, "{kubernetes}: {values}");
            assert_eq!(rendered.lint, [""; 0], "{kubernetes}: {values}");
            // The StatefulSet, two Services, and so on.
            assert_eq!(rendered.objects.len(), kinds, "{:#?}", rendered.objects);
        }
    }
}

#[test]
fn values_that_cannot_work_are_refused_with_their_name() {
    for (wrong, said) in [
        (json!({}), "/clickhouse/url"),
        (json!({ "clickhouse": { "url": "clickhouse:9000" } }), "/clickhouse/url"),
        (json!({ "auth": {} }), "nothing says who may send and read"),
        (json!({ "replicas": 0 }), "/replicas"),
        // More would know a batch's token for less than an hour.
        (json!({ "autoscaling": { "maxReplicas": 28 } }), "/autoscaling/maxReplicas"),
        (json!({ "replica": 3 }), "replica"),
        (json!({ "env": { "PATH": "/" } }), "PATH"),
        (json!({ "image": { "digest": "latest" } }), "/image/digest"),
        (json!({ "log": { "volume": { "size": "6" } } }), "/log/volume/size"),
        // Not by the chart's schema but by Kubernetes's.
        (json!({ "tolerations": [{ "operators": "Exists" }] }), "operators"),
    ] {
        let mut values = wrong.clone();
        if values["clickhouse"].is_null() && wrong != json!({}) {
            values["clickhouse"] = json!({ "url": "http://clickhouse:8123" });
        }
        if values["auth"].is_null() {
            values["auth"] = json!({ "allowUnauthenticated": true });
        }
        let refused = render(&values, KUBERNETES[0]).refused;
        let refused = refused.unwrap_or_else(|| panic!("{wrong} was taken"));
        assert!(refused.contains(said), "{wrong}: {refused}");
    }
}

fn names<'a>(of: &'a Value, key: &str) -> BTreeSet<&'a str> {
    let all = of.as_array().into_iter().flatten();
    all.map(|it| it[key].as_str().expect("text")).collect()
}

#[test]
fn the_parts_of_the_chart_agree() {
    let rendered = render(&everything(), KUBERNETES[1]);
    let set = rendered.one("StatefulSet");
    let pod = &set["spec"]["template"];
    let container = rendered.container();
    let ports = names(&container["ports"], "name");
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let port = container[probe]["httpGet"]["port"].as_str().expect("a name");
        assert!(ports.contains(port), "{probe}: {port}");
    }
    let selects = |selector: &Value, labels: &Value| {
        let selector = selector.as_object().expect("labels");
        assert!(!selector.is_empty());
        selector.iter().all(|(name, value)| labels[name] == *value)
    };
    let labels = &pod["metadata"]["labels"];
    let services = rendered.all("Service");
    for service in &services {
        assert!(selects(&service["spec"]["selector"], labels));
        let targets = names(&service["spec"]["ports"], "targetPort");
        assert!(targets.is_subset(&ports), "{targets:?}");
    }
    let scaler = &rendered.one("HorizontalPodAutoscaler")["spec"];
    assert_eq!(scaler["scaleTargetRef"]["name"], set["metadata"]["name"]);
    // Whoever scales says how many there are, and takes none away.
    assert!(set["spec"]["replicas"].is_null());
    assert_eq!(scaler["behavior"]["scaleDown"]["selectPolicy"], "Disabled");
    assert!(container["resources"]["requests"]["cpu"].is_string(), "a share of nothing");
    let headless = &set["spec"]["serviceName"];
    assert!(services.iter().any(|it| it["metadata"]["name"] == *headless), "{headless}");
    let of_set = &set["spec"]["selector"]["matchLabels"];
    let of_budget = &rendered.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"];
    let policy = &rendered.one("NetworkPolicy")["spec"];
    for selector in [of_set, of_budget, &policy["podSelector"]["matchLabels"]] {
        assert!(selects(selector, labels), "{selector}");
    }
    for rule in policy["ingress"].as_array().expect("rules") {
        assert!(names(&rule["ports"], "port").is_subset(&ports), "{rule}");
        assert!(!rule["from"].as_array().expect("peers").is_empty());
    }
    let monitored = &rendered.one("ServiceMonitor")["spec"]["selector"]["matchLabels"];
    let scraped = services.iter().filter(|it| selects(monitored, &it["metadata"]["labels"]));
    let scraped: Vec<_> = scraped.map(|it| it["metadata"]["name"].as_str()).collect();
    assert_eq!(scraped, [Some("shop-holdup")], "each collector is scraped once");
    let mounted = names(&container["volumeMounts"], "name");
    let mut volumes = names(&pod["spec"]["volumes"], "name");
    volumes.insert("data");
    assert_eq!(mounted, volumes);
    assert_eq!(
        pod["spec"]["serviceAccountName"],
        rendered.one("ServiceAccount")["metadata"]["name"]
    );
    let rules = holdup_tests::yaml(&folder("prometheus/holdup.rules.yaml")).expect("YAML");
    assert_eq!(rendered.one("PrometheusRule")["spec"], rules);
    // The rules look for this name; by the operator, the job is the service.
    assert!(read("prometheus/holdup.rules.yaml").contains("job=~\".*holdup.*\""));
}

#[test]
fn the_program_starts_with_the_arguments_of_the_chart_and_answers_its_probes() {
    let clickhouse = Collector::start_in(tempfile::tempdir().expect("a folder"), &[]);
    let data = tempfile::tempdir().expect("a folder");
    let config = data.path().join("holdup.toml");
    let password = data.path().join("password");
    std::fs::write(&password, "").expect("written");
    let tokens = data.path().join("tokens.toml");
    crate::access::token(&tokens, &["a"]);
    let authority = Authority::new(&["localhost"]);
    let (cert, key) = authority.issued_files(data.path(), "server");
    let rendered = render(&everything(), KUBERNETES[1]);
    let map = &rendered.one("ConfigMap")["data"]["holdup.toml"];
    std::fs::write(&config, map.as_str().expect("text")).expect("written");
    let container = rendered.container();
    let given = container["args"].as_array().expect("arguments").iter();
    let given: Vec<&str> = given.map(|it| it.as_str().expect("text")).collect();
    fits_the_program("the arguments", &given.join(" "));
    let mut replaced = 0;
    let mut command = Command::new(holdup_tests::program("holdup").expect("built"));
    for argument in given {
        let (flag, _) = argument.split_once('=').unwrap_or((argument, ""));
        let value = match flag {
            "--grpc-listen" | "--http-listen" | "--page-listen" => "127.0.0.1:0".into(),
            "--data-dir" => data.path().display().to_string(),
            "--config" => config.display().to_string(),
            "--clickhouse-url" => clickhouse.clickhouse(),
            "--clickhouse-password-file" => password.display().to_string(),
            "--tokens-file" => tokens.display().to_string(),
            "--tls-cert" => cert.display().to_string(),
            "--tls-key" => key.display().to_string(),
            _ => {
                command.arg(argument);
                continue;
            }
        };
        replaced += 1;
        command.arg(format!("{flag}={value}"));
    }
    assert_eq!(replaced, 10, "all that is of this machine");
    for variable in container["env"].as_array().expect("variables") {
        let text = |key: &str| variable[key].as_str().expect("text");
        command.env(text("name"), text("value"));
    }
    let collector = Collector::spawn(data.path(), command);
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let asked = &container[probe]["httpGet"];
        let (path, scheme) = (asked["path"].as_str(), asked["scheme"].as_str());
        assert_eq!(scheme, Some("HTTPS"), "{probe}");
        let url = format!("{}{}", https(&collector.page()), path.expect("a path"));
        let answer = authority.client().get(url).send().expect("it answers");
        assert_eq!(answer.status(), 200, "{path:?}");
    }
    assert!(collector.stop().success());
}
