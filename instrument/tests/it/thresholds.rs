//! Thresholds by function and by runtime, from the start and while the service runs.

use std::time::Duration;

use holdup::{DetectBlocking, Threshold};
use tokio::runtime::Builder;

use crate::session::{Session, block, eventually, names, on_one_thread};

const MS: fn(u64) -> Duration = Duration::from_millis;

fn blocks(name: &'static str, milliseconds: u64) {
    on_one_thread(async move { block(milliseconds) }.detect_blocking(name));
}

#[test]
fn a_function_has_the_threshold_of_the_first_rule_that_matches() {
    let session = Session::with(|builder| {
        builder
            .threshold(MS(40))
            .threshold_for("it::report::daily", MS(5))
            .threshold_for("it::report::*", MS(200))
    });
    blocks("it::report::daily", 15);
    blocks("it::report::weekly", 60);
    blocks("it::other", 15);
    blocks("it::other", 60);
    let polls = session.finish();
    assert_eq!(names(&polls), ["it::other", "it::report::daily"]);
    let daily = polls.iter().find(|poll| poll.function() == "it::report::daily").unwrap();
    assert_eq!(daily.integer("holdup.threshold_ns"), Some(5_000_000));
}

#[test]
fn a_rule_wins_over_the_code_and_a_later_one_over_both() {
    #[holdup::detect_blocking(threshold = "1s", name = "it::patient")]
    async fn patient(milliseconds: u64) {
        block(milliseconds);
    }
    let session = Session::with(|builder| builder.threshold_for("it::pat*", MS(50)));
    on_one_thread(patient(70));
    let receiver = &session.receiver;
    eventually("the rule is in force", || receiver.polls().len() == 1);
    holdup::set_threshold("it::patient", MS(500)).unwrap();
    on_one_thread(patient(70));
    holdup::set_threshold("it::patient", MS(5)).unwrap();
    on_one_thread(patient(20));
    let polls = session.finish();
    let thresholds = polls.iter().map(|poll| poll.integer("holdup.threshold_ns").unwrap());
    assert_eq!(thresholds.collect::<Vec<_>>(), [50_000_000, 5_000_000]);
}

#[test]
fn a_runtime_has_a_threshold_by_its_name() {
    let session = Session::with(|builder| builder.threshold_for("runtime:it-batch", MS(300)));
    let run = |name: &str, function: &'static str| {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).name(name).enable_all().build().unwrap();
        let task = async { block(40) }.detect_blocking(function);
        runtime.block_on(async { runtime.spawn(task).await.unwrap() });
    };
    run("it-batch", "it::in batch");
    run("it-front", "it::in front");
    let polls = session.finish();
    assert_eq!(names(&polls), ["it::in front"]);
    assert_eq!(polls[0].text("holdup.runtime").as_deref(), Some("it-front"));
}

#[test]
fn a_threshold_may_follow_what_the_function_usually_takes() {
    let session = Session::with(|builder| {
        builder.threshold_for("it::usual", Threshold::TimesP99(5.0)).threshold(MS(400))
    });
    let usual = |milliseconds| {
        on_one_thread(async move { block(milliseconds) }.detect_blocking("it::usual"));
    };
    (0..300).for_each(|_| usual(1));
    // Any rule that is set has all of them looked up again.
    holdup::set_threshold("it::nothing", MS(1)).unwrap();
    usual(250);
    blocks("it::unusual", 250);
    assert_eq!(names(&session.finish()), ["it::usual"]);
}

#[test]
fn rules_that_can_not_be_used_are_refused() {
    let _alone = crate::session::alone();
    for (pattern, threshold) in [("", MS(5)), ("runtime:", MS(5)), ("it::zero", Duration::ZERO)] {
        let error = holdup::builder().threshold_for(pattern, threshold).install().unwrap_err();
        assert!(matches!(error, holdup::InstallError::Rule { .. }), "{error}");
    }
    let early = holdup::set_threshold("it::early", MS(5)).unwrap_err();
    assert!(matches!(early, holdup::InstallError::NotInstalled), "{early}");
    let relative = holdup::builder().threshold_for("runtime:a", Threshold::TimesP99(2.0));
    assert!(relative.install().unwrap_err().to_string().contains("runtime"));
}

#[test]
fn reports_have_a_budget_and_what_it_leaves_out_is_counted() {
    let session = Session::with(|builder| builder.reports_per_minute(60));
    on_one_thread(async {
        for _ in 0..100 {
            async { block(11) }.detect_blocking("it::often").await;
        }
    });
    // The next span that the budget allows says how many it did not.
    let receiver = &session.receiver;
    let mut suppressed = 0;
    eventually("the count arrives", || {
        blocks("it::often", 11);
        let polls = receiver.polls();
        suppressed = polls.iter().filter_map(|p| p.integer("holdup.poll.suppressed")).sum::<u64>();
        suppressed >= 35
    });
    let polls = session.finish();
    assert!(polls.len() < 100, "{}", polls.len());
}
