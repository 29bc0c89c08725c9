//! A web service on axum with a handler that blocks, and a client that calls it once.
//!
//! `cargo run -p holdup --example axum_service`

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tracing_subscriber::filter::LevelFilter;

/// Reported as `axum_service::report`, once it takes 20 ms.
#[holdup::detect_blocking(threshold = "20ms")]
async fn report() -> String {
    std::thread::sleep(Duration::from_millis(50));
    "done".to_owned()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).with_writer(std::io::stderr).init();
    let _guard = holdup::builder().service_name("axum-example").install()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let service = Router::new().route("/report", get(report));
    tokio::spawn(async move { axum::serve(listener, service).await });

    let mut client = TcpStream::connect(address).await?;
    client.write_all(b"GET /report HTTP/1.1\r\nhost: it\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await?;
    assert!(answer.ends_with("done"), "{answer}");
    Ok(())
}
