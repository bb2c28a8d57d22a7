//! The only I/O with the master: carries events to the state machine and its effects back.
//!
//! A call that fails ends the subscription: after the next one the state machine makes up for whatever was lost,
//! so there is one way back from every kind of trouble.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mesos::backoff::Backoff;
use mesos::scheduler::{self, SchedulerClient};
use mesos::v1::FrameworkId;
use mesos::{CallError, StreamError, Subscription};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::display::Display;
use crate::framework::{Effect, Event, State};
use crate::store::{Notice as StoreNotice, Store};
use crate::wire;

const TICK: Duration = Duration::from_millis(500);
/// First and longest pause between two tries to subscribe.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// For the last calls to be answered.
const FLUSH: Duration = Duration::from_secs(10);

/// Carries the state machine through subscription after subscription.
pub(crate) struct Driver<'a> {
    pub config: &'a Config,
    pub client: SchedulerClient,
    pub state: State,
    pub store: &'a Store,
    pub notices: mpsc::UnboundedReceiver<StoreNotice>,
    pub display: &'a Display,
    pub stop: CancellationToken,
}

/// How the driver ended.
pub(crate) struct Outcome {
    /// For the summary.
    pub state: State,
    /// Whether the master took the last calls.
    pub flushed: Result<(), String>,
}

/// Why a subscription is over.
enum End {
    /// The state machine is done.
    Finished,
    /// To be subscribed again.
    Lost(String),
    /// The master gave the framework up.
    Removed,
}

/// The calls of one subscription, sent one after the other.
struct Calls {
    framework: Option<FrameworkId>,
    queue: mpsc::UnboundedSender<mesos::v1::scheduler::Call>,
    sender: JoinHandle<Result<(), CallError>>,
}

impl Calls {
    fn start(client: SchedulerClient) -> Calls {
        let (queue, receiver) = mpsc::unbounded_channel();
        Calls { framework: None, queue, sender: tokio::spawn(send_calls(client, receiver)) }
    }

    /// Waits until all calls are answered.
    async fn flush(self) -> Result<(), String> {
        drop(self.queue);
        let abort = self.sender.abort_handle();
        match timeout(FLUSH, self.sender).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(chain(&error)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => {
                abort.abort();
                Err(format!("no answer within {FLUSH:?}"))
            }
        }
    }
}

async fn send_calls(
    client: SchedulerClient,
    mut queue: mpsc::UnboundedReceiver<mesos::v1::scheduler::Call>,
) -> Result<(), CallError> {
    while let Some(call) = queue.recv().await {
        match client.call(&call).await {
            Ok(()) => {}
            // The same call would be refused again, and others need not be.
            Err(error) if !error.is_transient() => tracing::error!("{}", chain(&error)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Driver<'_> {
    /// Runs until the state machine is done.
    ///
    /// # Errors
    /// If the master can't be reached and retrying is not wanted, is no Mesos master, or refuses the framework.
    pub async fn run(mut self) -> anyhow::Result<Outcome> {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let mut ever = false;
        loop {
            let Some(tried) = self.subscribe().await else {
                return Ok(self.outcome(Err("there is no subscription".to_owned())));
            };
            let mut subscription = match tried {
                Ok(subscription) => subscription,
                Err(error) if !ever && !error.is_transient() => return Err(refused(error, self.config)),
                Err(error) if !self.config.retry => {
                    let master = &self.config.master;
                    return Err(error)
                        .with_context(|| format!("giving up on master {master}, as --no-retry says"));
                }
                Err(error) => {
                    if self.pause(&chain(&error), backoff.delay()).await {
                        return Ok(self.outcome(Err(chain(&error))));
                    }
                    continue;
                }
            };
            let mut calls = Calls::start(self.client.clone());
            let end = self.serve(&mut subscription, &mut calls, &mut ever).await?;
            match end {
                End::Finished => {
                    // The subscription must live as long as there are calls.
                    let flushed = calls.flush().await;
                    return Ok(self.outcome(flushed));
                }
                End::Removed => {
                    calls.sender.abort();
                    self.handle(Event::Removed, None);
                }
                End::Lost(why) => {
                    calls.sender.abort();
                    backoff.reset();
                    self.display.say(format!("lost the master: {why}"));
                    if self.handle(Event::Disconnected, None) || self.pause(&why, backoff.delay()).await {
                        return Ok(self.outcome(Err(why)));
                    }
                }
            }
        }
    }

    fn outcome(self, flushed: Result<(), String>) -> Outcome {
        Outcome { state: self.state, flushed }
    }

    /// One try to subscribe; `None` if the state machine is done meanwhile.
    async fn subscribe(&mut self) -> Option<Result<Subscription<scheduler::Event>, CallError>> {
        let call = scheduler::subscribe(wire::framework_info(self.config, self.state.framework()));
        let client = self.client.clone();
        let mut trying = std::pin::pin!(async move { client.subscribe(&call).await });
        let mut tick = ticker();
        loop {
            let event = tokio::select! {
                tried = &mut trying => return Some(tried),
                event = inputs(&mut self.notices, self.display, &self.stop, &mut tick) => event,
            };
            if self.handle_all(event, None) {
                return None;
            }
        }
    }

    /// Waits before the next try; whether the state machine is done meanwhile.
    async fn pause(&mut self, why: &str, pause: Duration) -> bool {
        let master = &self.config.master;
        let seconds = pause.as_secs_f64();
        self.display.say(format!("cannot reach master {master}, retrying in {seconds:.1} s ({why})"));
        let mut over = std::pin::pin!(tokio::time::sleep(pause));
        let mut tick = ticker();
        loop {
            let event = tokio::select! {
                () = &mut over => return false,
                event = inputs(&mut self.notices, self.display, &self.stop, &mut tick) => event,
            };
            if self.handle_all(event, None) {
                return true;
            }
        }
    }

    /// One subscription, from its first event to its end. `ever` is set when it stands.
    async fn serve(
        &mut self,
        subscription: &mut Subscription<scheduler::Event>,
        calls: &mut Calls,
        ever: &mut bool,
    ) -> anyhow::Result<End> {
        let mut tick = ticker();
        loop {
            let events = tokio::select! {
                next = subscription.next() => match next {
                    Ok(Some(scheduler::Event::Error(message))) => return self.refused_by_master(&message),
                    Ok(Some(event)) => {
                        if let scheduler::Event::Subscribed(subscribed) = &event {
                            *ever = true;
                            calls.framework = Some(subscribed.framework_id.clone());
                        }
                        wire::event(event).into_iter().collect()
                    }
                    Ok(None) => return Ok(End::Lost("it ended the event stream".to_owned())),
                    Err(error) => return Ok(End::Lost(stream_error(&error))),
                },
                ended = &mut calls.sender => {
                    let why = match ended {
                        Ok(Err(error)) => chain(&error),
                        Ok(Ok(())) => "calls have ended".to_owned(),
                        Err(error) => error.to_string(),
                    };
                    return Ok(End::Lost(why));
                }
                events = inputs(&mut self.notices, self.display, &self.stop, &mut tick) => events,
            };
            if self.handle_all(events, Some(calls)) {
                return Ok(End::Finished);
            }
        }
    }

    /// ERROR is the last event of a subscription.
    fn refused_by_master(&self, message: &str) -> anyhow::Result<End> {
        if message.contains("failed over") {
            bail!("another scheduler has taken this framework over (the master says: {message})");
        }
        if message.contains("removed") && self.state.framework().is_some() {
            return Ok(End::Removed);
        }
        bail!("the master refuses the framework: {message}");
    }

    fn handle_all(&mut self, events: Vec<Event>, calls: Option<&Calls>) -> bool {
        let mut finished = false;
        for event in events {
            finished |= self.handle(event, calls);
        }
        finished
    }

    /// Has the state machine decide, and does what it wants; whether it is done.
    fn handle(&mut self, event: Event, calls: Option<&Calls>) -> bool {
        let now = Instant::now();
        let tick = matches!(event, Event::Tick);
        let mut finished = false;
        for effect in self.state.on_event(event, now) {
            match effect {
                Effect::Persist(ticket, change) => self.store.persist(ticket, change),
                Effect::Publish(notice) => self.display.say(notice.to_string()),
                Effect::Finish => finished = true,
                Effect::Call(call) => {
                    tracing::debug!(?call);
                    let Some(calls) = calls else { continue };
                    let call = calls.framework.as_ref().and_then(|framework| wire::call(framework, call));
                    if let Some(call) = call {
                        // A closed queue shows in `serve`, which then ends this subscription.
                        let _ = calls.queue.send(call);
                    }
                }
            }
        }
        if tick || finished {
            self.display.show(|| self.state.snapshot(now));
        }
        finished
    }
}

fn ticker() -> tokio::time::Interval {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

/// What comes from elsewhere than the master.
async fn inputs(
    notices: &mut mpsc::UnboundedReceiver<StoreNotice>,
    display: &Display,
    stop: &CancellationToken,
    tick: &mut tokio::time::Interval,
) -> Vec<Event> {
    tokio::select! {
        Some(notice) = notices.recv() => match notice {
            StoreNotice::Persisted(tickets) => tickets.into_iter().map(Event::Persisted).collect(),
            StoreNotice::Refused(error) => {
                display.say(format!("cannot write to the state folder, trying again: {error}"));
                Vec::new()
            }
        },
        _ = tick.tick() => match stop.is_cancelled() {
            true => vec![Event::Stop, Event::Tick],
            false => vec![Event::Tick],
        },
    }
}

/// What to tell the user when the first subscription is refused for good.
fn refused(error: CallError, config: &Config) -> anyhow::Error {
    anyhow::Error::new(error).context(format!("cannot run a framework on the master at {}", config.master))
}

fn stream_error(error: &StreamError) -> String {
    chain(error)
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
