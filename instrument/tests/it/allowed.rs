//! Scopes and lists of what may block.

use std::time::Duration;

use holdup::{AllowBlocking, DetectBlocking, allow_blocking, forbid_blocking};

use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;

use crate::session::{Session, assert_within, block, names, on_one_thread};

#[holdup::detect_blocking(name = "it::inner")]
async fn inner() {
    block(40);
}

#[test]
fn what_is_allowed_to_block_is_not_reported_and_the_rest_of_the_poll_is() {
    let session = Session::start();
    let innocent = async {
        allow_blocking("on purpose", || block(120));
        inner().allow_blocking("calls something that is watched").await;
    };
    on_one_thread(innocent.detect_blocking("it::innocent"));
    let culprit = async {
        allow_blocking("on purpose", || block(120));
        block(40)
    };
    let own = on_one_thread(culprit.detect_blocking("it::culprit"));
    let receiver = session.end();
    let polls = receiver.polls();
    assert_eq!(names(&polls), ["it::culprit"]);
    let most = own + Duration::from_millis(60);
    assert_within(polls[0].own_ns(), own, most);
    let counted = receiver.numbers("holdup.poll.allowed").into_iter();
    let counted = counted.map(|(_, point)| match point.value {
        Some(Value::AsInt(count)) => count,
        other => panic!("{other:?}"),
    });
    assert!(counted.sum::<i64>() >= 2, "they are counted");
}

#[test]
fn outer_may_and_inner_may_not() {
    let session = Session::start();
    let nested = async {
        allow_blocking("outer", || {
            block(30);
            forbid_blocking(|| {
                block(40);
                allow_blocking("and again", || block(50));
            });
        });
        inner().forbid_blocking().allow_blocking("outer").await;
    };
    on_one_thread(nested.detect_blocking("it::nested"));
    // Nothing to forbid: the time is that of the function.
    let plain = async { forbid_blocking(|| block(40)) };
    on_one_thread(plain.detect_blocking("it::plain"));
    let polls = session.finish();
    assert_eq!(names(&polls), ["holdup::forbid_blocking", "it::inner", "it::plain"]);
}

#[test]
fn a_panic_ends_the_scope() {
    let session = Session::start();
    let panics = async {
        let caught = std::panic::catch_unwind(|| {
            allow_blocking("until it panics", || std::panic::resume_unwind(Box::new(7)))
        });
        assert!(caught.is_err());
        block(40);
    };
    on_one_thread(panics.detect_blocking("it::panics"));
    assert_eq!(names(&session.finish()), ["it::panics"]);
}

#[inline(never)]
fn starts_up() {
    serves();
    block(1);
}

#[inline(never)]
fn serves() {
    block(150);
}

#[test]
fn a_list_allows_by_the_functions_on_the_stack() {
    let session = Session::with(|builder| {
        builder.allow("it::allowed::starts_up, it::listed").allow("!it::allowed::serves")
    });
    on_one_thread(async { block(60) }.detect_blocking("it::listed"));
    on_one_thread(async { starts_up() }.detect_blocking("it::starts"));
    on_one_thread(async { serves() }.detect_blocking("it::serves"));
    let polls = session.finish();
    assert_eq!(names(&polls), ["it::serves", "it::starts"]);

    let session = Session::with(|builder| builder.allow("it::allowed::serves"));
    on_one_thread(async { serves() }.detect_blocking("it::serves"));
    on_one_thread(async { block(60) }.detect_blocking("it::other"));
    assert_eq!(names(&session.finish()), ["it::other"]);
}

#[test]
fn what_a_list_allows_leaves_the_budget_to_the_rest_and_is_counted_once() {
    let session =
        Session::with(|builder| builder.allow("it::allowed::serves").reports_per_minute(3));
    // Long enough to be looked at several times while they last.
    for _ in 0..6 {
        on_one_thread(async { serves() }.detect_blocking("it::serves"));
    }
    on_one_thread(async { block(60) }.detect_blocking("it::other"));
    let receiver = session.end();
    assert_eq!(names(&receiver.polls()), ["it::other"]);
    let counted = receiver.numbers("holdup.poll.allowed").into_iter();
    let counted = counted.map(|(_, point)| match point.value {
        Some(Value::AsInt(count)) => count,
        _ => 0,
    });
    assert_eq!(counted.sum::<i64>(), 6);
}
