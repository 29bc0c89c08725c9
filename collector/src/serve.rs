//! `holdup serve`: wires everything together, and takes it apart again.
//!
//! Shutdown runs along the way that data takes: no more connections, then the requests under way,
//! then what the log has, then the engine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout_at;

use crate::access::{Access, Tokens};
use crate::batch::{Batcher, Intake, Reread};
use crate::config::{ClickHouse, Config, ConfigError};
use crate::connections;
use crate::descriptors;
use crate::engine::{Supervisor, SupervisorOptions};
use crate::evaluate::{self, Evaluator, Reload, Shown};
use crate::forward::Forwarder;
#[cfg(feature = "kafka")]
use crate::kafka::Consumer;
use crate::log::{Log, RealDisk, Recovered};
use crate::manager;
use crate::metrics::Metrics;
use crate::own_polls;
use crate::page::{self, Page};
use crate::receive::{self, Receiver, RequestLimits};
use crate::store::{Address, MigrateError, Store, StoreError};
use crate::tls::Tls;

/// The listeners, bound before anything else, so that a port in use is told at once.
struct Listeners {
    grpc: TcpListener,
    http: TcpListener,
    page: TcpListener,
}

/// Runs until SIGTERM or SIGINT. On SIGHUP it reads the configuration again, and goes on with its
/// rules and receivers.
pub(crate) async fn run(reread: impl Fn() -> Result<Config, ConfigError>) -> anyhow::Result<()> {
    let config = reread()?;
    let mut stop_signal = StopSignal::new()?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot watch for signals")?;
    descriptors::allow_all();
    let listeners = Listeners {
        grpc: bind(config.grpc_listen, "OTLP over gRPC", "--grpc-listen").await?,
        http: bind(config.http_listen, "OTLP over HTTP", "--http-listen").await?,
        page: bind(config.page_listen, "the page", "--page-listen").await?,
    };
    let metrics = Arc::new(Metrics::new());
    let _watch = own_polls::watch(metrics.own_polls());
    let (settings, counters) = (config.log.clone(), metrics.log());
    let log = tokio::task::block_in_place(|| Log::open(settings, Box::new(RealDisk), counters))?;
    let (address, engine) = clickhouse(&config.clickhouse).await?;
    let counters = metrics.evaluate();
    let served = tokio::select! {
        served = serve(&config, listeners, (log, metrics), address, engine.as_ref()) => served,
        () = stop_signal.wait() => Ok(None),
    };
    let alive = manager::stay_alive();
    tokio::pin!(alive);
    let outcome = match served {
        Ok(Some(mut running)) => loop {
            tokio::select! {
                () = stop_signal.wait() => {
                    manager::stopping();
                    tokio::select! {
                        () = running.stop(config.stop_within) => {}
                        () = stop_signal.wait() => tracing::warn!("stopped at once, as asked"),
                    }
                    break Ok(());
                }
                failed = running.failed() => break Err(failed),
                _ = hangup.recv() => {
                    manager::reloading();
                    running.reload(&config, &reread, &counters).await;
                    manager::ready();
                }
                () = &mut alive => {}
            }
        },
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Some(engine) = engine {
        engine.stop().await;
    }
    outcome
}

/// Where ClickHouse is: where the user said, or in an engine started here.
async fn clickhouse(wanted: &ClickHouse) -> anyhow::Result<(Address, Option<Supervisor>)> {
    let (data_dir, listen, library, database) = match wanted {
        ClickHouse::At(address) => return Ok((address.clone(), None)),
        ClickHouse::Embedded { data_dir, listen, library, database } => {
            (data_dir, listen, library, database)
        }
    };
    let options = SupervisorOptions {
        program: None,
        path: data_dir.join("clickhouse"),
        listen: *listen,
        library: library.clone(),
        user: None,
        password_file: None,
    };
    let engine = Supervisor::start(options).await?;
    let address = Address {
        url: engine.url(),
        user: "default".into(),
        password: String::new(),
        database: database.clone(),
        cluster: None,
    };
    Ok((address, Some(engine)))
}

/// Everything that runs.
struct Running {
    stop_serving: watch::Sender<bool>,
    stop_batching: watch::Sender<bool>,
    servers: Vec<JoinHandle<()>>,
    batcher: JoinHandle<()>,
    forwarder: Option<JoinHandle<()>>,
    evaluator: JoinHandle<()>,
    reloads: mpsc::Sender<Reload>,
    access: Arc<Access>,
    tls: Option<Arc<Tls>>,
}

impl Running {
    /// Returns when what should run for ever has ended.
    async fn failed(&mut self) -> anyhow::Error {
        let (what, ended) = tokio::select! {
            ended = &mut self.batcher => ("the batcher", ended),
            // Without it nobody would be told of anything, and nobody would notice.
            ended = &mut self.evaluator => ("the evaluation of rules", ended),
        };
        match ended {
            Ok(()) => anyhow!("{what} has ended, which is a bug in holdup"),
            Err(error) => anyhow!("{what} failed, which is a bug in holdup: {error}"),
        }
    }

    /// Has tokens, certificates, rules and receivers read again. What is wrong with them is told, and
    /// those that it has go on.
    async fn reload(
        &self,
        began: &Config,
        reread: &impl Fn() -> Result<Config, ConfigError>,
        counters: &evaluate::Counters,
    ) {
        match tokio::task::block_in_place(reread) {
            Ok(config) => {
                for what in began.needs_restart_for(&config) {
                    tracing::warn!("{what} changed, which waits for a restart");
                }
                self.take_tokens(config.tokens);
                if let Some(tls) = &self.tls {
                    tokio::task::block_in_place(|| tls.reload());
                }
                let reload = Reload { rules: config.alerts.rules, receivers: config.notify };
                if self.reloads.send(reload).await.is_err() {
                    tracing::error!("nobody evaluates rules any more, which is a bug in holdup");
                }
            }
            Err(error) => {
                tracing::error!("{error}; all is as before");
                counters.reloaded(false);
            }
        }
    }

    /// Goes on with other tokens. Whether any are needed does not change while it runs: a file that was
    /// taken out of the configuration must not open it.
    fn take_tokens(&self, tokens: Option<Tokens>) {
        match tokens {
            Some(tokens) if self.access.is_closed() => self.access.replace(tokens),
            None if !self.access.is_closed() => {}
            _ => tracing::error!(
                "whether tokens are needed changes at a restart only: it is as before"
            ),
        }
    }

    /// Ends what runs, in the order in which data goes through it.
    async fn stop(&mut self, within: Duration) {
        tracing::info!("stopping: finishing the requests under way");
        let deadline = tokio::time::Instant::now() + within;
        // Half of the time is for clients that are slow, the rest for ClickHouse.
        let for_requests = deadline - within / 2;
        self.stop_serving.send_replace(true);
        for server in &mut self.servers {
            if timeout_at(for_requests, &mut *server).await.is_err() {
                tracing::warn!("requests under way were cut off after {:?}", within / 2);
                server.abort();
            }
        }
        if timeout_at(for_requests, &mut self.evaluator).await.is_err() {
            self.evaluator.abort();
        }
        self.stop_batching.send_replace(true);
        if timeout_at(deadline, &mut self.batcher).await.is_err() {
            tracing::warn!(
                "ClickHouse did not take within {within:?} what was left: it is in the log"
            );
        }
        if let Some(forwarder) = &mut self.forwarder
            && timeout_at(deadline, &mut *forwarder).await.is_err()
        {
            forwarder.abort();
        }
    }
}

async fn serve(
    config: &Config,
    listeners: Listeners,
    ((log, recovered), metrics): ((Log, Recovered), Arc<Metrics>),
    address: Address,
    engine: Option<&Supervisor>,
) -> anyhow::Result<Option<Running>> {
    let clickhouse_url = address.url.clone();
    let store = Store::new(address);
    migrate(&store, &recovered, &metrics).await?;
    let forwarder = forwarder(config, &log, &recovered, &metrics)?;
    let (intake, batcher) = Batcher::new(
        store.clone(),
        (log, &recovered),
        reread(&config.requests),
        config.batches.clone(),
        Arc::clone(&metrics),
    );
    let access = Arc::new(Access::new(config.tokens.clone(), metrics.access()));
    let (limits, for_senders) = (config.requests.clone(), Arc::clone(&access));
    let receiver = Receiver::new(intake.clone(), limits, Arc::clone(&metrics), for_senders);
    let receiver = if forwarder.is_some() { receiver.that_forwards() } else { receiver };
    let evaluator = evaluator(config, &store, &intake, &metrics)?;
    let (stop_serving, stopped) = watch::channel(false);
    let page = Page {
        engine_restarts: engine.map(Supervisor::restarts),
        ..page(config, (store, intake), (&metrics, &access), (evaluator.shown(), &stopped))
    };
    let ready = ready(&listeners, &clickhouse_url)?;
    let tls = tls(config, &metrics, &stopped)?;
    let (stop_batching, batch_no_more) = watch::channel(false);
    let listen = |listener, routes| {
        let metrics = Arc::clone(&metrics);
        tokio::spawn(connections::serve(
            listener,
            tls.clone(),
            routes,
            config.connections,
            metrics,
            stopped.clone(),
        ))
    };
    let kafka = read_kafka(config, &receiver, &metrics, &stopped)?;
    let servers = [
        listen(listeners.grpc, receive::grpc_routes(receiver.clone())),
        listen(listeners.http, receive::http_routes(receiver)),
        listen(listeners.page, page::routes(page)),
    ];
    let servers = servers.into_iter().chain(kafka).collect();
    let forwarder = forwarder.map(|it| tokio::spawn(it.run(batch_no_more.clone())));
    let batcher = tokio::spawn(batcher.run(batch_no_more));
    let (reloads, reloaded) = mpsc::channel(1);
    let evaluator = tokio::spawn(evaluator.run(reloaded, stopped, config.stop_within / 4));
    announce(&ready)?;
    manager::ready();
    Ok(Some(Running {
        stop_serving,
        stop_batching,
        servers,
        batcher,
        forwarder,
        evaluator,
        reloads,
        access,
        tls,
    }))
}

/// Where all is, for whoever started it.
fn ready(listeners: &Listeners, clickhouse_url: &str) -> anyhow::Result<serde_json::Value> {
    Ok(serde_json::json!({
        "grpc": listeners.grpc.local_addr()?.to_string(),
        "http": listeners.http.local_addr()?.to_string(),
        "page": listeners.page.local_addr()?.to_string(),
        "clickhouse": clickhouse_url,
    }))
}

/// What the page's listener has, but for the engine.
fn page(
    config: &Config,
    (store, intake): (Store, Intake),
    (metrics, access): (&Arc<Metrics>, &Arc<Access>),
    (rules, stopped): (watch::Receiver<Shown>, &watch::Receiver<bool>),
) -> Page {
    Page {
        store,
        intake,
        metrics: Arc::clone(metrics),
        rules,
        access: Arc::clone(access),
        metrics_without_token: config.metrics_without_token,
        is_https: config.tls.is_some() || config.notify.external_url.starts_with("https:"),
        hosts: config.page_hosts.as_slice().into(),
        trace_url: config.notify.trace_url.clone().unwrap_or_default(),
        streams: Page::streams(),
        stopped: stopped.clone(),
        engine_restarts: None,
    }
}

/// What the listeners speak TLS with, if they do; it follows its files.
fn tls(
    config: &Config,
    metrics: &Metrics,
    stopped: &watch::Receiver<bool>,
) -> anyhow::Result<Option<Arc<Tls>>> {
    let Some(files) = config.tls.clone() else { return Ok(None) };
    let tls = Arc::new(Tls::open(files, metrics.tls()).map_err(ConfigError::Tls)?);
    tokio::spawn(Arc::clone(&tls).follow(stopped.clone()));
    Ok(Some(tls))
}

/// What evaluates rules, and tells of alerts.
fn evaluator(
    config: &Config,
    store: &Store,
    intake: &Intake,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Evaluator> {
    let (alerts, notify) = (config.alerts.clone(), config.notify.clone());
    Ok(Evaluator::new(alerts, notify, store.clone(), intake.clone(), Arc::clone(metrics))?)
}

/// Brings the tables up to date, as far as ClickHouse is there.
async fn migrate(
    store: &Store,
    recovered: &Recovered,
    metrics: &Metrics,
) -> Result<(), MigrateError> {
    match store.migrate().await {
        Ok(steps) => {
            steps.iter().for_each(|step| tracing::info!("applied schema step {step}"));
            metrics.clickhouse(true);
            Ok(())
        }
        // Only the first start needs ClickHouse, or nobody would notice a wrong address.
        Err(MigrateError::Store(
            error @ (StoreError::Unreachable { .. } | StoreError::Slow { .. }),
        )) if !recovered.is_empty() => {
            tracing::warn!("{error}; the log takes requests meanwhile");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// What passes requests on, if that is wanted.
fn forwarder(
    config: &Config,
    log: &Log,
    recovered: &Recovered,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Option<Forwarder>> {
    let Some(settings) = config.forward.clone() else { return Ok(None) };
    let forwarder = Forwarder::new(settings, log, recovered, Arc::clone(metrics));
    let what = "cannot tell from the log's folder how far requests were passed on";
    Ok(Some(forwarder.context(what)?))
}

/// Begins to read messages of Kafka, if that is wanted.
#[cfg(feature = "kafka")]
fn read_kafka(
    config: &Config,
    receiver: &Receiver,
    metrics: &Metrics,
    stopped: &watch::Receiver<bool>,
) -> anyhow::Result<Option<JoinHandle<()>>> {
    let Some(settings) = &config.kafka else { return Ok(None) };
    let receiver = receiver.clone();
    let consumer = Consumer::new(settings, receiver, metrics.kafka(), stopped.clone());
    let consumer = consumer.map_err(|error| ConfigError::Conflict(error.to_string()))?;
    Ok(Some(tokio::spawn(consumer.run())))
}

/// No configuration says to, without the client.
#[cfg(not(feature = "kafka"))]
fn read_kafka(
    _: &Config,
    _: &Receiver,
    _: &Metrics,
    _: &watch::Receiver<bool>,
) -> anyhow::Result<Option<JoinHandle<()>>> {
    Ok(None)
}

/// How the rows of an entry of the log are made again.
fn reread(limits: &RequestLimits) -> Reread {
    let limits = limits.span.clone();
    Arc::new(move |entry| receive::rows_again(entry, &limits).map_err(|error| error.to_string()))
}

/// One line on stdout, for whoever started it.
fn announce(ready: &serde_json::Value) -> anyhow::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{ready}").and_then(|()| out.flush()).context("cannot write to stdout")
}

async fn bind(address: SocketAddr, what: &str, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {address} for {what}: stop what listens there, or choose another \
             address with {flag} (port 0 takes any that is free)"
        )
    })
}

/// The signals that ask it to stop.
struct StopSignal {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignal {
    fn new() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("cannot watch for signals");
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
