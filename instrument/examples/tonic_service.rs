//! A gRPC service on tonic with a handler that blocks, and a client that calls it once. Written by
//! hand, so that it needs no protoc; what `tonic-build` generates is wrapped the same way: put the
//! attribute on the method of your `impl Shop for …`.
//!
//! `cargo run -p holdup --example tonic_service`

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::server::{NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower::Service;
use tracing_subscriber::filter::LevelFilter;

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What is asked and what is answered.
#[derive(Clone, PartialEq, prost::Message)]
struct Order {
    #[prost(uint64, tag = "1")]
    id: u64,
}

#[derive(Clone)]
struct Shop;

impl Shop {
    /// Reported as `tonic_service::Shop::checkout`: the thread can do nothing else meanwhile.
    #[holdup::detect_blocking]
    async fn checkout(order: Order) -> Result<Response<Order>, Status> {
        std::thread::sleep(Duration::from_millis(50));
        Ok(Response::new(order))
    }
}

impl UnaryService<Order> for Shop {
    type Response = Order;
    type Future = Answer<Result<Response<Order>, Status>>;

    fn call(&mut self, request: Request<Order>) -> Self::Future {
        Box::pin(Self::checkout(request.into_inner()))
    }
}

impl NamedService for Shop {
    const NAME: &'static str = "shop.Shop";
}

impl Service<http::Request<Body>> for Shop {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<Order, Order>::default());
            Ok(grpc.unary(Self, request).await)
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).with_writer(std::io::stderr).init();
    let _guard = holdup::builder().service_name("tonic-example").install()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let incoming = TcpIncoming::from(listener);
    tokio::spawn(Server::builder().add_service(Shop).serve_with_incoming(incoming));

    let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await?;
    let path = http::uri::PathAndQuery::from_static("/shop.Shop/Checkout");
    let codec = ProstCodec::<Order, Order>::default();
    let answer = client.unary(Request::new(Order { id: 7 }), path, codec).await?;
    assert_eq!(answer.into_inner().id, 7);
    Ok(())
}
