//! `scheduler plan`: what the scheduler would launch, without launching anything.
//!
//! The command subscribes as a separate framework, holds the offers that come within a few seconds, and then tears this framework
//! down. It accepts no offer, touches no state folder, and takes part in no election. What would be launched is decided by
//! [`offers`](crate::offers), as in the scheduler. If this process is killed, the master removes the framework at once, since its
//! failover timeout is 0.

mod forecast;
mod output;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use command_line::Hangups;
use logging::Level;
use mesos::address::Endpoint;
use mesos::scheduler::{self, SchedulerClient};
use mesos::v1::{FrameworkId, FrameworkInfo, Offer};
use mesos::{CallError, Subscription};
use problem::Problem;
use text::InWords;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

pub use self::forecast::Forecast;
use crate::cluster_view::{self, OfferOptions, Question, inquiry};
use crate::config::Config;
use crate::driver::credentials_hint;
use crate::event::{Event, Unavailability};
use crate::mesos_api;

/// Offers are held for at most this long after the master has accepted the subscription.
const HOLD: Duration = Duration::from_secs(5);
/// If no further offer comes for this long, the offers are complete: by default, the master offers resources every second.
const QUIET: Duration = Duration::from_millis(1500);
/// How long to wait for the master's first event.
const ANSWER: Duration = Duration::from_secs(5);
/// How long to wait for the master's answer to TEARDOWN. Without an answer, the framework still ends when this process
/// disconnects.
const TEARDOWN: Duration = Duration::from_secs(2);
/// How long to wait for the answer to TEARDOWN after a signal has asked this process to end.
const TEARDOWN_AFTER_STOP: Duration = Duration::from_millis(500);

/// The exit status if nothing would be launched.
const NOTHING: u8 = 3;

/// Prints what the scheduler would launch with this configuration, as one line of JSON if wanted.
///
/// # Errors
/// For one of the reasons for which [`run`] fails.
pub async fn execute(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let stop = command_line::stop_token().context("cannot wait for signals")?;
    end_on_hangup(&stop).context("cannot wait for signals")?;
    let forecast = run(config, &stop).await?;
    output::print(&forecast, json)?;
    Ok(if forecast.is_empty() { ExitCode::from(NOTHING) } else { ExitCode::SUCCESS })
}

/// Makes SIGHUP cancel `stop`, unless it is ignored, as under `nohup`. A plan reads its files once, so there is nothing that
/// SIGHUP could make it read again.
fn end_on_hangup(stop: &CancellationToken) -> std::io::Result<()> {
    if let Some(mut hangups) = Hangups::new()? {
        let stop = stop.clone();
        tokio::spawn(async move {
            hangups.next().await;
            stop.cancel();
        });
    }
    Ok(())
}

/// Subscribes as a separate framework, collects offers, ends this framework, and decides what would be launched on the offers.
///
/// # Errors
/// If the master cannot be reached or refuses the framework, if the subscription is lost, or if `stop` is cancelled meanwhile.
pub async fn run(config: &Config, stop: &CancellationToken) -> anyhow::Result<Forecast> {
    let client = SchedulerClient::with_config(config.master.clone(), config.master_access.settings());
    let call = scheduler::subscribe(framework_info(config));
    let mut subscription = tokio::select! {
        subscribed = client.subscribe(&call) => subscribed.map_err(|error| not_subscribed(config, error))?,
        () = stop.cancelled() => return Err(stopped()),
    };
    let framework = tokio::select! {
        framework = timeout(ANSWER, subscribed(&mut subscription)) => framework.with_context(|| {
            format!("the master {} does not confirm the subscription within {}", config.master, InWords(ANSWER))
        })??,
        () = stop.cancelled() => return Err(stopped()),
    };
    let id = &framework.value;
    logging::notice(
        Level::INFO,
        format_args!(
            "subscribed as framework {id}: holding offers for at most {}, launching nothing",
            InWords(HOLD)
        ),
    );
    let held = tokio::select! {
        held = hold_offers(&mut subscription) => held,
        () = stop.cancelled() => Err(stopped()),
    };
    let no_offers = match &held {
        Ok(held) if held.offers.is_empty() => no_offers(config, subscription.endpoint()).await,
        _ => None,
    };
    // The subscription must last until TEARDOWN is answered.
    tear_down(&client, &framework, stop).await;
    drop(subscription);
    let held = held?;
    let now = std::time::Instant::now();
    Ok(Forecast { no_offers, ..forecast::forecast(config, &held.offers, &held.unavailabilities, now) })
}

/// Why there are no offers.
async fn no_offers(config: &Config, master: &Endpoint) -> Option<Problem> {
    let wanted = OfferOptions::new(&config.role, &config.placement);
    let question = Question { wanted: wanted.clone(), shortage: None };
    let view = inquiry::ask(&config.master_access.settings(), master, question).await;
    cluster_view::problem(view.as_ref(), &wanted, false)
}

/// The `FrameworkInfo` of the scheduler, but with a name that says what this framework is for, and with no failover timeout, so
/// that the framework ends with this process, however that ends.
fn framework_info(config: &Config) -> FrameworkInfo {
    FrameworkInfo {
        name: format!("{} (plan)", config.name),
        failover_timeout: Some(0.0),
        ..mesos_api::framework_info(config, None)
    }
}

fn stopped() -> anyhow::Error {
    anyhow!("stopped before the offers were complete; nothing was launched")
}

fn not_subscribed(config: &Config, error: CallError) -> anyhow::Error {
    let (master, hint) = (&config.master, credentials_hint(&error));
    let what = if error.is_transient() {
        format!("cannot reach master {master}")
    } else {
        format!("cannot run a framework on the master at {master}{hint}")
    };
    anyhow::Error::from(error).context(what)
}

/// The next event from the master.
async fn next(subscription: &mut Subscription<scheduler::Event>) -> anyhow::Result<scheduler::Event> {
    match subscription.next().await.context("the subscription is lost")? {
        Some(scheduler::Event::Error(message)) => bail!("the master refuses the framework: {message}"),
        Some(event) => Ok(event),
        None => bail!("the master has ended the subscription"),
    }
}

/// Waits for SUBSCRIBED. Returns the framework's id.
async fn subscribed(subscription: &mut Subscription<scheduler::Event>) -> anyhow::Result<FrameworkId> {
    loop {
        if let scheduler::Event::Subscribed(subscribed) = next(subscription).await? {
            let id = subscribed.framework_id;
            ensure!(!id.value.is_empty(), "the master gives the framework no id");
            return Ok(id);
        }
    }
}

/// The offers that are held.
#[derive(Default)]
struct HeldOffers {
    offers: Vec<Offer>,
    /// For each agent whose machine becomes unavailable: its id, and when.
    unavailabilities: HashMap<String, Unavailability>,
}

impl HeldOffers {
    /// Returns whether there are new offers.
    fn apply(&mut self, event: Event) -> bool {
        match event {
            Event::Offers(offers) => {
                self.offers.extend(offers);
                return true;
            }
            Event::Unavailabilities(agents) => {
                for (agent, unavailability) in agents {
                    match unavailability {
                        Some(unavailability) => self.unavailabilities.insert(agent, unavailability),
                        None => self.unavailabilities.remove(&agent),
                    };
                }
            }
            Event::Rescinded(id) => self.offers.retain(|offer| offer.id.value != id),
            _ => {}
        }
        false
    }
}

/// Collects offers until no more come, at most for [`HOLD`].
async fn hold_offers(subscription: &mut Subscription<scheduler::Event>) -> anyhow::Result<HeldOffers> {
    let limit = Instant::now() + HOLD;
    let (mut held, mut end) = (HeldOffers::default(), limit);
    loop {
        let event = tokio::select! {
            event = next(subscription) => event?,
            () = sleep_until(end) => return Ok(held),
        };
        let mut new = false;
        for event in mesos_api::events(event) {
            new |= held.apply(event);
        }
        if new {
            end = limit.min(Instant::now() + QUIET);
        }
    }
}

/// Ends the framework, which frees the offers. If this fails, the framework ends when the connection does.
async fn tear_down(client: &SchedulerClient, framework: &FrameworkId, stop: &CancellationToken) {
    let call = scheduler::teardown(framework);
    let why = match answer_to_teardown(client.call(&call), stop).await {
        Some(Ok(())) => return,
        Some(Err(error)) => logging::error_chain(&error),
        None => "no answer in time".to_owned(),
    };
    tracing::warn!(
        "framework {} could not be torn down ({why}); the master ends it when it loses this connection",
        framework.value
    );
}

/// Waits for an answer, but not for long, and only a moment once `stop` is cancelled.
async fn answer_to_teardown<T>(answer: impl Future<Output = T>, stop: &CancellationToken) -> Option<T> {
    let soon = async {
        stop.cancelled().await;
        sleep(TEARDOWN_AFTER_STOP).await;
    };
    tokio::select! {
        answer = answer => Some(answer),
        () = sleep(TEARDOWN) => None,
        () = soon => None,
    }
}
