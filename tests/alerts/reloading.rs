//! Rules and receivers that are read again on SIGHUP.

use std::path::Path;

use holdup_tests::collector::{Collector, eventually, signal};

use super::{SWITCH, SWITCHED, Webhook, alert, is, number, switched};

const ADDED: &str = "  - alert: Added
    expr: SELECT service, value FROM switch
    labels: {severity: warning}
";

fn write(path: &str, text: &str) {
    std::fs::write(Path::new(path), text).expect("written");
}

#[test]
fn rules_and_receivers_are_read_again_on_sighup_and_what_fires_fires_on() {
    let data = tempfile::tempdir().expect("a folder");
    let (hook, other) = (Webhook::start(), Webhook::start());
    let rules = switched(data.path());
    let config = hook.at_once(data.path());
    let collector = Collector::start(data.path(), &["--alert-rules", &rules, "--config", &config]);
    let reloads = |outcome: &str| {
        number(&collector, &format!("holdup_alert_reloads_total{{outcome=\"{outcome}\"}}"))
    };
    collector.sql(SWITCH);
    collector.sql("INSERT INTO switch VALUES ('on', 1)");
    eventually("a page", || (hook.told("on", "firing") == 1).then_some(()));

    // One rule more, and another receiver of the same name.
    write(&rules, &format!("{SWITCHED}{ADDED}"));
    assert_eq!(other.at_once(data.path()), config);
    signal(collector.pid(), "HUP");
    eventually("it was read again", || (reloads("ok") == 1.0).then_some(()));
    eventually("what was added is told", || (other.told("on", "firing") > 0).then_some(()));
    let added = alert(&collector, "Added", "on");
    assert!(is(added.as_ref(), "firing"), "{added:?}");

    // What can't be used changes nothing.
    write(&rules, "groups: [{name: g, rules: [{alert: A, exprr: x}]}]");
    signal(collector.pid(), "HUP");
    eventually("it was refused", || (reloads("failed") == 1.0).then_some(()));
    assert_eq!(number(&collector, "holdup_alert_reload_ok"), 0.0);
    assert!(collector.log().contains("unknown field `exprr`"), "{}", collector.log());
    write(&rules, &format!("{SWITCHED}{ADDED}"));
    let text = std::fs::read_to_string(&config).expect("the configuration");
    write(&config, &text.replace("url = ", "url_file = '/no/such/file' } # "));
    signal(collector.pid(), "HUP");
    eventually("it was refused", || (reloads("failed") == 2.0).then_some(()));
    assert!(collector.log().contains("/no/such/file"), "{}", collector.log());

    // One rule less: its alert is over, the other fires on and is told of no second time.
    write(&config, &text);
    write(&rules, SWITCHED);
    signal(collector.pid(), "HUP");
    eventually("what was taken away is over", || {
        is(alert(&collector, "Added", "on").as_ref(), "resolved").then_some(())
    });
    eventually("its end is told", || (other.told("on", "resolved") == 1).then_some(()));
    assert_eq!(number(&collector, "holdup_alert_reload_ok"), 1.0);
    assert!(is(alert(&collector, "Switched", "on").as_ref(), "firing"));
    assert_eq!((hook.told("on", "firing"), hook.told("on", "resolved")), (1, 0));
    assert_eq!(other.told("on", "firing"), 1, "what was added, alone");
    collector.sql("TRUNCATE TABLE switch");
    eventually("the end of the other is told", || {
        (other.told("on", "resolved") == 2).then_some(())
    });
}
