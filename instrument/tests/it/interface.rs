//! What services may rely on beside the functions: where values can go.

use holdup::{
    Builder, Finding, Guard, HandlerGuard, HoldupLayer, InstallError, Kind, Site, Threshold,
    Watched,
};

fn can_go_anywhere<T: Send + Sync + Unpin + 'static>() {}

/// Fails to compile when one of them loses it.
#[test]
fn values_can_be_kept_sent_and_shared() {
    can_go_anywhere::<Builder>();
    can_go_anywhere::<Finding>();
    can_go_anywhere::<Guard>();
    can_go_anywhere::<HandlerGuard>();
    can_go_anywhere::<HoldupLayer>();
    can_go_anywhere::<InstallError>();
    can_go_anywhere::<Kind>();
    can_go_anywhere::<Site>();
    can_go_anywhere::<Threshold>();
    can_go_anywhere::<Watched<std::future::Ready<()>>>();
}

#[test]
fn errors_are_errors_and_say_what_to_do() {
    let error: Box<dyn std::error::Error + Send + Sync> = Box::new(InstallError::ThresholdIsZero);
    assert!(error.to_string().contains("set at least 1ns"), "{error}");
}
