async fn fetch(id: u64) {
    fn __holdup_here() {}
    static __HOLDUP_SITE: ::holdup::Site =
        ::holdup::Site::around(__holdup_here, ::core::file!(), ::core::line!());
    ::holdup::timed_at(&__HOLDUP_SITE, async move {
        send(id).await;
    })
    .slow_await(::core::time::Duration::from_nanos(1000000000u64))
    .starved(::core::time::Duration::from_nanos(100000000u64))
    .await
}
