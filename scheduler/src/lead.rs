//! The scheduler while it leads, from its store to the framework's end.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mesos::scheduler::SchedulerClient;
use program::Summary;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::core::{Settings, State};
use crate::delivery::delivery;
use crate::display::Display;
use crate::driver::{Driver, Inputs, Outcome};
use crate::election::{self, Leadership};
use crate::ended::{Ended, Left};
use crate::journal::{Change, Recovered};
use crate::launch::{Delivery, Template};
use crate::store::{SharedError, Store};

/// How it came to an end.
pub(crate) enum Led {
    /// As wished.
    Ended(Box<Ended>),
    /// Another scheduler leads, or may lead; why.
    Deposed(String),
}

/// Runs the framework until it ends, or another scheduler leads. Time counts from `begun`.
///
/// # Errors
/// As [`run`](crate::run).
pub(crate) async fn lead(
    config: &Config,
    leadership: Option<&Leadership>,
    begun: Instant,
    display: &Display,
    stop: CancellationToken,
) -> anyhow::Result<Led> {
    display.leads(true);
    let client = SchedulerClient::with_config(config.master.clone(), config.access.settings().clone());
    let (sender, notices) = mpsc::unbounded_channel();
    let notify = move |notice| drop(sender.send(notice));
    let (mut store, recovered) = Store::open(&config.state_dir, config.ledger_retention, notify)?;
    let delivered = tokio::select! {
        delivered = delivery(config, client.detector(), display, &stop) => delivered?,
        () = limit(config.duration.map(|duration| duration.saturating_sub(begun.elapsed()))) => None,
        why = election::lost(leadership) => return Ok(Led::Deposed(why)),
    };
    let Some((delivery, artifact)) = delivered else {
        let summary = Summary { seconds: begun.elapsed().as_secs_f64(), ..Summary::default() };
        let ended = match leadership {
            Some(_) => Ended::new(summary, Left::Led),
            None => before_all(config, &recovered, summary),
        };
        return Ok(Led::Ended(Box::new(ended)));
    };
    let recovered = match leadership {
        None => recovered,
        Some(leadership) => match store.share(leadership, recovered).await {
            Ok(recovered) => recovered,
            Err(SharedError::Deposed { why }) => return Ok(Led::Deposed(why)),
            Err(error) => return Err(error.into()),
        },
    };
    let state = state(config, delivery, recovered, begun);
    let access = config.access.clone();
    let driver = Driver { config, access, client, state, store: &mut store, display, leadership };
    let ran = driver.run(Inputs::new(notices, stop)).await;
    drop(artifact);
    match ran {
        Ok(Outcome::Finished { state, flushed }) => {
            let mut ended = end(config, *state, flushed, &store);
            if let Err(error) = store.finish().await {
                ended.failure.get_or_insert(format!("{error:#}"));
            }
            Ok(Led::Ended(Box::new(ended)))
        }
        Ok(Outcome::Deposed(why)) => {
            // What is not in ZooKeeper never counted, so it does not matter here.
            let _ = store.abandon().await.inspect_err(|error| tracing::warn!(%error));
            Ok(Led::Deposed(why))
        }
        Err(error) => {
            // What went wrong first is what the user must know.
            let _ = store.finish().await.inspect_err(|error| tracing::error!(%error));
            Err(error)
        }
    }
}

/// The last entries, and what is left.
fn end(config: &Config, mut state: State, flushed: Result<(), String>, store: &Store) -> Ended {
    if config.teardown_on_exit && flushed.is_ok() {
        for change in state.torn_down(Instant::now()) {
            store.persist(0, change);
        }
    }
    let summary = state.summary(Instant::now());
    match (state.framework(), flushed, config.teardown_on_exit) {
        (None, ..) => Ended::new(summary, Left::NeverBegan),
        (Some(_), _, false) => Ended::new(summary, Left::Running(state.live_tasks())),
        // The id is of no more use.
        (Some(_), Ok(()), true) => {
            store.persist(0, Change::FrameworkEnded);
            Ended::new(summary, Left::TornDown)
        }
        (Some(framework), Err(why), true) => not_torn_down(config, framework, &why, summary),
    }
}

/// It was stopped before it knew where to subscribe: all is as its earlier life has left it.
fn before_all(config: &Config, recovered: &Recovered, summary: Summary) -> Ended {
    match &recovered.framework {
        None => Ended::new(summary, Left::NeverBegan),
        Some(framework) if config.teardown_on_exit => {
            not_torn_down(config, &framework.id, "there is no subscription", summary)
        }
        Some(_) => Ended::new(summary, Left::Running(recovered.live_tasks())),
    }
}

fn not_torn_down(config: &Config, framework: &str, why: &str, summary: Summary) -> Ended {
    let limit = config.failover_timeout().as_secs();
    let failure = format!(
        "framework {framework} could not be torn down ({why}); the master ends it {limit} s after it lost this scheduler"
    );
    Ended { failure: Some(failure), ..Ended::new(summary, Left::NotTornDown) }
}

fn state(config: &Config, delivery: Delivery, recovered: Recovered, begun: Instant) -> State {
    let age = recovered.framework.as_ref().map_or(Duration::ZERO, |framework| since(framework.started_ms));
    State::new(settings(config, delivery, begun), recovered, age, Instant::now())
}

fn since(started_ms: u64) -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .saturating_sub(Duration::from_millis(started_ms))
}

/// Passes when a time is over; without one, never.
pub(crate) async fn limit(duration: Option<Duration>) {
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
        silence_timeout: config.silence_timeout,
        server_cpus_milli: (config.server_cpus * 1000.0).round() as u64,
        placement: config.placement.clone(),
        on_server_loss: config.on_server_loss,
        teardown: config.teardown_on_exit,
        duration: config.duration.map(|duration| duration.saturating_sub(begun.elapsed())),
        blocks: config.blocks,
        seed: rand::random(),
    }
}
