//! Two arguments are known, each may be given once.

#[holdup::detect_blocking(treshold = "200ms")]
async fn misspelt() {}

#[holdup::detect_blocking(name = "a", name = "b")]
async fn twice() {}

#[holdup::detect_blocking(name = "")]
async fn empty() {}

#[holdup::detect_blocking("200ms")]
async fn no_key() {}

fn main() {}
