async fn fetch(id: u64) {
    send(id).await;
}
