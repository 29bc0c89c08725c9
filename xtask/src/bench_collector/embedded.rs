//! The collector with its embedded engine: how much both store together, and how long it takes from
//! an answer to a row that can be asked for.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::send::{self, Client, Load, Way};
use super::spans::{Random, SPANS, Shape, prepare};
use super::{Bench, TIME_MAX, address, stored};
use crate::repository::root;

/// Service whose spans are looked for.
const PROBE: usize = 9_999;
/// How often one of them is sent,
const PROBE_EVERY: Duration = Duration::from_millis(100);
/// and how often is looked for them.
const LOOK_EVERY: Duration = Duration::from_millis(40);

const HTTP: Way = Way { grpc: false, gzip: false };

/// As fast as it goes.
pub(super) fn stores(bench: &Bench<'_>) -> anyhow::Result<String> {
    let load = bench.load(HTTP, 1_000);
    let mut to_send = send::ready(load)?;
    let folder = tempfile::tempdir_in(bench.folder)?;
    let (mut service, ready) = bench.serve(folder.path(), &["--engine-listen", "127.0.0.1:0"])?;
    let (page, to) = (address(&ready, "page")?, address(&ready, "http")?);
    let began = Instant::now();
    let sent = send::send(&mut to_send, to, bench.interrupt)?;
    let rows = load.spans() as u64;
    let all = || Ok((stored(page)? >= rows).then_some(()));
    bench.interrupt.wait(TIME_MAX * 5, all)?.context("not all is stored")?;
    let took = began.elapsed();
    service.stop(TIME_MAX)?;
    let a_second = |time: Duration| rows as f64 / time.as_secs_f64();
    Ok(format!(
        "{rows} spans into the embedded engine: {:.0} a second acknowledged, {:.0} stored, {} \
         requests turned away",
        a_second(sent.took),
        a_second(took),
        sent.again
    ))
}

/// With so many spans a second, for each of these `--batch-interval`s.
pub(super) fn lateness(bench: &Bench<'_>, spans_a_second: usize) -> anyhow::Result<String> {
    let mut out = String::new();
    for interval in ["2s", "1s", "500ms"] {
        let mut late = at_interval(bench, spans_a_second, interval)?;
        late.sort_unstable();
        let part = |of: usize| late[(late.len() - 1) * of / 100].as_secs_f64();
        let _infallible = writeln!(
            out,
            "{spans_a_second} spans a second, --batch-interval {interval}: {} looked for; from the \
             answer until one can be asked for {:.2} s in the middle, {:.2} s p99, {:.2} s at most",
            late.len(),
            part(50),
            part(99),
            part(100),
        );
    }
    Ok(out)
}

fn at_interval(
    bench: &Bench<'_>,
    spans_a_second: usize,
    interval: &str,
) -> anyhow::Result<Vec<Duration>> {
    let pace = u32::try_from(spans_a_second / SPANS).unwrap_or(1).max(1);
    let load = Load { pace: Some(pace), ..bench.load(HTTP, 1_000) };
    let mut to_send = send::ready(load)?;
    let folder = tempfile::tempdir_in(bench.folder)?;
    let arguments = ["--engine-listen", "127.0.0.1:0", "--batch-interval", interval];
    let (mut service, ready) = bench.serve(folder.path(), &arguments)?;
    let to = address(&ready, "http")?;
    let engine = ready["clickhouse"].as_str().context("no address of the engine")?;
    let ends = AtomicBool::new(false);
    let late = thread::scope(|scope| {
        let probes = scope.spawn(|| probe(to, engine, &ends));
        let sent = send::send(&mut to_send, to, bench.interrupt);
        ends.store(true, Ordering::Relaxed);
        let late = probes.join().map_err(|_| anyhow::anyhow!("looking failed"))?;
        sent.and(late)
    })?;
    service.stop(TIME_MAX)?;
    Ok(late)
}

/// Sends single spans, and tells how long after its answer each could be asked for.
fn probe(
    to: std::net::SocketAddr,
    engine: &str,
    ends: &AtomicBool,
) -> anyhow::Result<Vec<Duration>> {
    let mut client = Client::connect(HTTP, to)?;
    let mut request = prepare(Shape { service: PROBE, spans: 1, functions: 1, first: 0 });
    let (mut random, began) = (Random::new(PROBE as u64), Instant::now());
    let (mut due, mut late) = (HashMap::<String, Instant>::new(), Vec::new());
    let (mut next, looked) = (began, reqwest::blocking::Client::builder().no_proxy().build()?);
    let query =
        fs::read_to_string(root().join("queries/bench").join("probe").with_extension("sql"))?;
    let engine = format!("{}/?param_service=shop-{PROBE}", engine.trim_end_matches('/'));
    loop {
        let ended = ends.load(Ordering::Relaxed);
        if !ended && Instant::now() >= next {
            next += PROBE_EVERY;
            request.renew(&mut random);
            if client.send(&request.bytes)? {
                due.insert(request.first_id(), Instant::now());
            }
        }
        let found = looked.post(&engine).body(query.clone()).send()?.error_for_status()?.text()?;
        let now = Instant::now();
        let found = found.lines().filter_map(|id| due.remove(id));
        late.extend(found.map(|answered| now - answered));
        if ended && due.is_empty() {
            return Ok(late);
        }
        if due.values().any(|answered| answered.elapsed() > TIME_MAX) {
            bail!("a span that was acknowledged can't be found");
        }
        thread::sleep(LOOK_EVERY.min(next.saturating_duration_since(now).max(LOOK_EVERY / 8)));
    }
}
