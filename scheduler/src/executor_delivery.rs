//! Prepares how agents get the executor, before anything is launched.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use mesos::backoff::Backoff;
use mesos::detector::{DetectError, Detector};
use problem::{Problem, ProblemKind};
use text::InWords;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::artifact::ArtifactServer;
use crate::config::{Config, ExecutorSource};
use crate::display::Display;
use crate::executable::Executable;
use crate::query::SchedulerPhase;
use crate::subscription_problem;
use crate::task_info::Delivery;

/// How long to wait for ZooKeeper to tell which master leads.
const ELECTION: Duration = Duration::from_secs(15);

/// If agents fetch the executor from this scheduler, starts the HTTP server for it. Returns `None` if the scheduler was stopped
/// meanwhile.
pub(crate) async fn prepare_delivery(
    config: &Config,
    detector: &Detector,
    display: &Display,
    phase: &watch::Sender<SchedulerPhase>,
    stop: &CancellationToken,
) -> anyhow::Result<Option<(Delivery, Option<ArtifactServer>)>> {
    match &config.executor {
        ExecutorSource::Provided(delivery) => Ok(Some((delivery.clone(), None))),
        ExecutorSource::Serve { executable, address } => {
            let Some(local) = local_address(config, detector, display, phase, stop).await? else {
                return Ok(None);
            };
            let server = ArtifactServer::start(executable, &config.state_dir, address, local).await?;
            tell_what_agents_need(executable, display);
            if server.is_loopback() && !local.is_loopback() {
                let uri = server.uri();
                display.warn(format!(
                    "agents on other machines than this one cannot fetch the executor from {uri}: give --artifact-address HOST"
                ));
            }
            let delivery = Delivery::Fetch { uri: server.uri().to_owned(), cache: true };
            Ok(Some((delivery, Some(server))))
        }
    }
}

/// Tells the user what agents need to run the executable. Says nothing about a static build for this program's own architecture.
fn tell_what_agents_need(executable: &Path, display: &Display) {
    match Executable::read(executable) {
        Ok(found) => {
            if let Some(advice) = found.advice() {
                display.log(advice);
            }
        }
        Err(error) => {
            let file = executable.display();
            display.warn(format!("cannot tell which agents can run {file}: {error}"));
        }
    }
}

/// The address from which this machine connects to the master. Agents can probably reach this address, too.
async fn local_address(
    config: &Config,
    detector: &Detector,
    display: &Display,
    phase: &watch::Sender<SchedulerPhase>,
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
        let permanent = error.downcast_ref::<DetectError>().is_some_and(|error| !error.is_transient());
        if !config.retry || permanent {
            return Err(error).context(format!("cannot reach master {}", config.master));
        }
        phase.send_replace(SchedulerPhase::Starting(Some(problem(&error))));
        let pause = backoff.delay();
        let (master, next) = (&config.master, InWords(pause));
        display.warn(format!("cannot reach master {master}, retrying in {next} ({error:#})"));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return Ok(None),
        }
    }
}

/// The problem of a scheduler that does not find a master for this reason.
fn problem(error: &anyhow::Error) -> Problem {
    match error.downcast_ref::<DetectError>() {
        Some(error) => subscription_problem::no_leader(error),
        None => subscription_problem::not_subscribed(ProblemKind::NotSubscribed, &format!("{error:#}")),
    }
}

/// This machine's address on the route to a master: the first master to which there is a route.
async fn route_to_any(detector: &Detector) -> anyhow::Result<IpAddr> {
    let mut failed = std::io::Error::from(std::io::ErrorKind::NotFound);
    for master in detector.candidates(ELECTION).await? {
        match net::resolve(&master.host, master.port).await {
            Ok(found) => match found.into_iter().find_map(|address| route(address).ok()) {
                Some(local) => return Ok(local),
                None => failed = std::io::ErrorKind::NetworkUnreachable.into(),
            },
            Err(error) => failed = error,
        }
    }
    Err(failed.into())
}

/// This machine's address on the route to `to`. The function connects a datagram socket, which sends nothing.
fn route(to: SocketAddr) -> std::io::Result<IpAddr> {
    let any: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    socket.local_addr().map(|local| local.ip())
}
