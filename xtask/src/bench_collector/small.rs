//! Many services that send little: what their requests cost, each on a connection of its own.

use std::thread;
use std::time::{Duration, Instant};

use super::send::{Client, Way};
use super::spans::{Random, Shape, prepare};
use super::usage::Process;
use super::{Bench, REST, TIME_MAX, address, sink};

const SERVICES: usize = 1_000;
/// Spans of one request.
const SPANS: usize = 20;
/// How often each sends.
const EVERY: Duration = Duration::from_secs(5);
const ROUNDS: u32 = 6;
/// Each has its part of the services.
const THREADS: usize = 8;

pub(super) fn run(bench: &Bench<'_>) -> anyhow::Result<String> {
    let (sink, _swallowed) = sink::start(bench.engine.address)?;
    let folder = tempfile::tempdir_in(bench.folder)?;
    let url = format!("http://{sink}");
    let (mut service, ready) = bench.serve(folder.path(), &["--clickhouse-url", &url])?;
    let to = address(&ready, "http")?;
    let process = Process(service.id());
    bench.interrupt.wait(REST, || Ok(None::<()>))?;
    let resting = process.cpu()?;
    bench.interrupt.wait(REST, || Ok(None::<()>))?;
    let (before, began) = (process.cpu()?, Instant::now());
    process.forget_peak()?;
    let all = |of: (Duration, Duration)| of.0 + of.1;
    let at_rest = (all(before) - all(resting)).as_secs_f64() / REST.as_secs_f64();
    let own = process.of_threads("holdup-")?;
    thread::scope(|scope| {
        let senders: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || send(to, thread, began))).collect();
        senders
            .into_iter()
            .try_for_each(|sender| sender.join().map_err(|_| anyhow::anyhow!("a sender failed"))?)
    })?;
    bench.interrupt.wait(EVERY, || Ok(None::<()>))?;
    let (after, took) = (process.cpu()?, began.elapsed());
    let used = all(after) - all(before);
    let own = process.of_threads("holdup-")? - own;
    let spans = (SERVICES * SPANS) as u32 * ROUNDS;
    let peak = process.resident_peak()? >> 20;
    service.stop(TIME_MAX)?;
    Ok(format!(
        "{SERVICES} services of {SPANS} spans every {} s: {:.1} % of a core ({:.0} ns a span, {:.0} \
         us a request), {peak} MiB at most; at rest {:.2} % of a core; its watch of itself {:.2} %",
        EVERY.as_secs(),
        100.0 * used.as_secs_f64() / took.as_secs_f64(),
        used.as_nanos() as f64 / f64::from(spans),
        used.as_micros() as f64 / f64::from(spans) * SPANS as f64,
        100.0 * at_rest,
        100.0 * own.as_secs_f64() / took.as_secs_f64(),
    ))
}

/// Sends what this thread's services do, spread evenly.
fn send(to: std::net::SocketAddr, thread: usize, began: Instant) -> anyhow::Result<()> {
    let way = Way { grpc: false, gzip: false };
    let mut random = Random::new(thread as u64 + 1);
    let mut clients = Vec::new();
    for service in (thread..SERVICES).step_by(THREADS) {
        let shape = Shape { service, spans: SPANS, functions: 20, first: 0 };
        clients.push((service, Client::connect(way, to)?, prepare(shape)));
    }
    for round in 0..ROUNDS {
        for (service, client, request) in &mut clients {
            let due = began + EVERY * round + EVERY.mul_f64(*service as f64 / SERVICES as f64);
            thread::sleep(due.saturating_duration_since(Instant::now()));
            request.renew(&mut random);
            while !client.send(&request.bytes)? {
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
    Ok(())
}
