//! The scheduler from its configuration to its summary.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use mesos::auth::Auth;
use mesos::backoff::Backoff;
use mesos::detector::{DetectError, Detector};
use mesos::scheduler::SchedulerClient;
use program::Summary;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::artifact::ArtifactServer;
use crate::config::{Config, ExecutorSource};
use crate::display::Display;
use crate::driver::{Driver, Inputs, Outcome};
use crate::ended::Ended;
use crate::framework::{Settings, State};
use crate::launch::{Delivery, Template};
use crate::record::Change;
use crate::store::Store;

/// How long to wait for ZooKeeper to name a leader before saying that there is none.
const ELECTION: Duration = Duration::from_secs(15);

/// Runs the framework until `stop` is cancelled, or `duration` or `blocks` are reached, and everything that has to
/// end has ended.
///
/// # Errors
/// If the configuration is no good, the state folder or the executable can't be used, or the master is no Mesos
/// master or refuses the framework; with `retry` off also if it can't be reached.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<Ended> {
    let client = SchedulerClient::with_config(config.master.clone(), client_config(&config));
    let (sender, notices) = mpsc::unbounded_channel();
    let notify = move |notice| drop(sender.send(notice));
    let (mut store, recovered) = Store::open(&config.state_dir, config.ledger_retention, notify)?;
    let display = Display::start(config.quiet);
    for image in config.programs.images() {
        display.say(format!(
            "of {image} only whether it runs is known: its work is in no account but a pool server's of ours"
        ));
    }
    let begun = Instant::now();
    let delivered = tokio::select! {
        delivered = delivery(&config, client.detector(), &display, &stop) => delivered?,
        () = limit(config.duration) => None,
    };
    let Some((delivery, artifact)) = delivered else {
        let summary = Summary { seconds: begun.elapsed().as_secs_f64(), ..Summary::default() };
        return Ok(Ended { summary, ..Ended::default() });
    };
    let age = recovered.framework.as_ref().map_or(Duration::ZERO, |framework| since(framework.started_ms));
    let state = State::new(settings(&config, delivery, begun), recovered, age, Instant::now());
    let driver = Driver { config: &config, client, state, store: &mut store, display: &display };
    let ran = driver.run(Inputs::new(notices, stop)).await;
    drop(artifact);
    let Outcome { mut state, flushed } = match ran {
        Ok(outcome) => outcome,
        Err(error) => {
            // What went wrong first is what the user must know.
            let _ = store.close().inspect_err(|error| tracing::error!(%error));
            return Err(error);
        }
    };
    if config.teardown_on_exit && flushed.is_ok() {
        for change in state.torn_down() {
            store.persist(0, change);
        }
    }
    let mut ended = Ended { summary: state.summary(Instant::now()), ..Ended::default() };
    match (state.framework(), flushed, config.teardown_on_exit) {
        (None, ..) => {}
        (Some(_), _, false) => ended.left_running = Some(state.live_tasks()),
        // The id is of no more use.
        (Some(_), Ok(()), true) => store.persist(0, Change::FrameworkEnded),
        (Some(framework), Err(why), true) => {
            let limit = config.failover_timeout().as_secs();
            ended.failure = Some(format!(
                "framework {framework} could not be torn down ({why}); the master ends it {limit} s after it lost \
                 this scheduler"
            ));
        }
    }
    drop(display);
    store.close()?;
    Ok(ended)
}

fn since(started_ms: u64) -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .saturating_sub(Duration::from_millis(started_ms))
}

/// Passes when a time is over; without one, never.
async fn limit(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

fn settings(config: &Config, delivery: Delivery, begun: Instant) -> Settings {
    Settings {
        template: Template {
            name: config.name.clone(),
            report_interval: config.report_interval,
            live_interval: config.live_interval,
            updates_per_task: config.updates_per_task,
            share_interval: config.share_interval,
            programs: config.programs.clone(),
            backend: config.backend.clone(),
            pool: config.pool.clone(),
            delivery,
        },
        server_cpus_milli: (config.server_cpus * 1000.0).round() as u64,
        placement: config.placement.clone(),
        teardown: config.teardown_on_exit,
        duration: config.duration.map(|duration| duration.saturating_sub(begun.elapsed())),
        blocks: config.blocks,
        seed: rand::random(),
    }
}

fn client_config(config: &Config) -> mesos::Config {
    let auth = match &config.credential {
        Some(credential) => match &credential.secret {
            Some(secret) => Auth::basic(&credential.principal, secret),
            None => Auth::None,
        },
        None => Auth::None,
    };
    mesos::Config { auth, tls: config.tls.clone(), ..mesos::Config::default() }
}

/// How the executor gets to the agents, and the server for it if it is ours; `None` if stopped meanwhile.
async fn delivery(
    config: &Config,
    detector: &Detector,
    display: &Display,
    stop: &CancellationToken,
) -> anyhow::Result<Option<(Delivery, Option<ArtifactServer>)>> {
    let delivery = match &config.executor {
        ExecutorSource::Serve { executable, address } => {
            let Some(local) = local_address(config, detector, display, stop).await? else { return Ok(None) };
            let server = ArtifactServer::start(executable, address.as_deref(), local).await?;
            let delivery = Delivery::Fetch { uri: server.uri().to_owned(), cache: true };
            return Ok(Some((delivery, Some(server))));
        }
        ExecutorSource::Uri(uri) => Delivery::Fetch { uri: uri.clone(), cache: false },
        ExecutorSource::Path(path) => Delivery::Path(path.clone()),
        ExecutorSource::Image { image, containerizer } => {
            Delivery::Image { image: image.clone(), containerizer: *containerizer }
        }
    };
    Ok(Some((delivery, None)))
}

/// This machine's address on the way to the master, which is likely the way to the agents, too.
async fn local_address(
    config: &Config,
    detector: &Detector,
    display: &Display,
    stop: &CancellationToken,
) -> anyhow::Result<Option<IpAddr>> {
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
    loop {
        let found = tokio::select! {
            found = route_to_any(detector) => found,
            () = stop.cancelled() => return Ok(None),
        };
        let error = match found {
            Ok(local) => return Ok(Some(local)),
            Err(error) => error,
        };
        let hopeless = error.downcast_ref::<DetectError>().is_some_and(|error| !error.is_transient());
        if !config.retry || hopeless {
            return Err(error).context(format!("cannot reach master {}", config.master));
        }
        let pause = backoff.delay();
        let (master, seconds) = (&config.master, pause.as_secs_f64());
        display.say(format!("cannot reach master {master}, retrying in {seconds:.1} s ({error:#})"));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return Ok(None),
        }
    }
}

/// The local end of the way to one of the masters.
async fn route_to_any(detector: &Detector) -> anyhow::Result<IpAddr> {
    let mut failed = std::io::Error::from(std::io::ErrorKind::NotFound);
    for master in detector.candidates(ELECTION).await? {
        match tokio::net::lookup_host((master.host.as_str(), master.port)).await {
            Ok(mut found) => match found.find_map(|address| route(address).ok()) {
                Some(local) => return Ok(local),
                None => failed = std::io::ErrorKind::NetworkUnreachable.into(),
            },
            Err(error) => failed = error,
        }
    }
    Err(failed.into())
}

/// The local end of a connection; a datagram socket needs nobody at the other end.
fn route(to: SocketAddr) -> std::io::Result<IpAddr> {
    let any: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    socket.local_addr().map(|local| local.ip())
}
