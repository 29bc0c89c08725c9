//! `holdup serve` from a rule to receivers: Alertmanager, and a webhook with groups of our own.

use std::path::Path;

use holdup_tests::collector::{Collector, eventually, get};
use serde_json::Value;

use super::alertmanager::{Alertmanager, telling};
use super::server::{Reply, Server};

const RULES: &str = "
groups:
- name: of-a-test
  interval: 1s
  rules:
  - alert: Many
    expr: SELECT toString(part) AS piece, 'shop' AS service, 1.0 AS value FROM firing WHERE part < 5000
    labels: {severity: critical}
    annotations: {summary: 'part {{ $labels.piece }} of {{ $labels.service }}'}
  - alert: Quiet
    expr: SELECT toString(part) AS piece, 'quiet' AS service, 1.0 AS value FROM firing WHERE part = 5000
    labels: {severity: critical}
    annotations: {summary: 'nobody wants to know'}
";

fn configuration(folder: &Path, alertmanager: &Alertmanager, webhook: &Server) -> String {
    let rules = folder.join("rules.yaml");
    std::fs::write(&rules, RULES).expect("written");
    let text = format!(
        "alert_rules = ['{}']\n\
         [[receivers]]\nname = 'am'\nalertmanager = {{ urls = ['{}'] }}\n\
         [[receivers]]\nname = 'hook'\nwebhook = {{ url = '{}' }}\n\
         [route]\nreceiver = 'am'\n\
         [[route.routes]]\nmatchers = ['alertname=~\"Many|Quiet\"']\nreceiver = 'am'\ncontinue = true\n\
         [[route.routes]]\nmatchers = ['alertname=~\"Many|Quiet\"']\nreceiver = 'hook'\n\
         group_by = ['alertname', 'service']\ngroup_wait = '0s'\ngroup_interval = '1s'\n\
         [[silences]]\nmatchers = ['alertname=\"Quiet\"']\nuntil = 2099-01-01T00:00:00Z\n\
         comment = 'a test'\n",
        rules.display(),
        alertmanager.url(),
        webhook.url("/"),
    );
    let path = folder.join("holdup.toml");
    std::fs::write(&path, text).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

fn named(alerts: &[Value], name: &str) -> usize {
    alerts.iter().filter(|alert| alert["labels"]["alertname"] == name).count()
}

/// How often the webhook was told that many fire, or that they are over.
fn told(webhook: &Server, status: &str) -> usize {
    let got = webhook.got();
    assert!(got.iter().all(|it| it.json()["groupLabels"]["alertname"] == "Many"), "{got:?}");
    got.iter().filter(|it| it.json()["status"] == status).count()
}

#[test]
fn a_thousand_alerts_are_told_once_and_ended_once_through_a_restart() {
    let of_alertmanager = Server::start(|_| Reply::text(200, ""));
    let alertmanager = Alertmanager::start(&telling(&of_alertmanager));
    let webhook = Server::start(|_| Reply::text(200, ""));
    let folder = tempfile::tempdir().expect("a folder");
    let file = configuration(folder.path(), &alertmanager, &webhook);
    let arguments = ["--config", file.as_str()];
    let collector = Collector::start(folder.path(), &arguments);
    collector.sql("CREATE TABLE firing (part UInt32) ENGINE = MergeTree ORDER BY part");
    collector.sql("INSERT INTO firing SELECT number FROM numbers(1000)");
    collector.sql("INSERT INTO firing VALUES (5000)");

    eventually("Alertmanager knows of all", || {
        (named(&alertmanager.alerts(), "Many") == 1_000).then_some(())
    });
    eventually("the webhook is told", || (told(&webhook, "firing") > 0).then_some(()));
    let body = webhook.got()[0].json();
    let listed = body["alerts"].as_array().map_or(0, Vec::len) as u64;
    assert_eq!(listed + body["truncatedAlerts"].as_u64().unwrap_or(0), 1_000);
    assert_eq!(named(&alertmanager.alerts(), "Quiet"), 0, "it is silenced here");
    eventually("Alertmanager knows of the watchdog", || {
        (named(&alertmanager.alerts(), "HoldupWatchdog") == 1).then_some(())
    });
    let groups = alertmanager.groups();
    let many = groups.iter().find(|group| group["labels"]["alertname"] == "Many");
    assert_eq!(many.map(|group| group["alerts"].as_array().map(Vec::len)), Some(Some(1_000)));
    // Silenced there, they are known and told to nobody.
    alertmanager.silence("Many");
    eventually("they are silenced", || {
        let alerts = alertmanager.alerts();
        let all = alerts.iter().filter(|alert| alert["labels"]["alertname"] == "Many");
        let silenced = all.filter(|alert| alert["status"]["state"] == "suppressed").count();
        (silenced == 1_000).then_some(())
    });
    let metrics = get(&format!("{}/metrics", collector.page())).text;
    let sent = "holdup_notifications_total{receiver=\"hook\",way=\"webhook\",outcome=\"sent\"} 1";
    assert!(metrics.lines().any(|line| line == sent), "{metrics}");
    assert!(metrics.contains("holdup_notify_alerts_silenced 1\n"), "{metrics}");

    assert!(collector.stop().success());
    let collector = Collector::start(folder.path(), &arguments);
    eventually("rules are evaluated again", || {
        let metrics = get(&format!("{}/metrics", collector.page())).text;
        metrics.contains("holdup_notify_alerts_silenced 1\n").then_some(())
    });
    collector.sql("TRUNCATE TABLE firing");
    eventually("the webhook is told of the end", || (told(&webhook, "resolved") > 0).then_some(()));
    assert_eq!((told(&webhook, "firing"), told(&webhook, "resolved")), (1, 1));
    eventually("Alertmanager knows of the end", || {
        (named(&alertmanager.alerts(), "Many") == 0).then_some(())
    });
    assert!(collector.stop().success());
}
