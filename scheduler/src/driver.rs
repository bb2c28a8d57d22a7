//! The only I/O with the master: carries events to the state machine and its effects back.
//!
//! A call that fails ends the subscription: after the next one the state machine makes up for whatever was lost,
//! so there is one way back from every kind of trouble.

mod calls;
mod inputs;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mesos::backoff::Backoff;
use mesos::scheduler::{self, SchedulerClient};
use mesos::{CallError, Refusal, Subscription};
use program::chain;

use self::calls::Calls;
pub(crate) use self::inputs::Inputs;
use crate::access::Access;
use crate::config::Config;
use crate::core::{Effect, Event, State};
use crate::display::Display;
use crate::election::{self, Leadership};
use crate::store::Store;
use crate::wire;

/// First and longest pause between two tries to subscribe.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// A subscription that lasted so long makes up for earlier failures.
const GOOD_SUBSCRIPTION: Duration = Duration::from_secs(10);

/// Carries the state machine through subscription after subscription.
pub(crate) struct Driver<'a> {
    pub config: &'a Config,
    /// What the next subscription is made with, once its files are read again.
    pub access: Access,
    /// Of the present subscription, or the last one.
    pub client: SchedulerClient,
    pub state: State,
    pub store: &'a mut Store,
    pub display: &'a Display,
    /// Without it, nobody else ever leads.
    pub leadership: Option<&'a Leadership>,
}

/// How the driver ended.
pub(crate) enum Outcome {
    /// The state machine is done.
    Finished {
        /// For the summary.
        state: Box<State>,
        /// Whether the master took the last calls, or why not.
        flushed: Result<(), String>,
    },
    /// Another scheduler leads, or may lead; why.
    Deposed(String),
}

/// How a subscription, or the try to get one, ended.
enum End {
    /// The state machine is done; whether the master took the last calls.
    Finished(Result<(), String>),
    /// To be tried again after a pause.
    Lost(String),
    /// The master gave the framework up; a new one is to be subscribed.
    Removed,
    /// Another scheduler leads, or may lead; why.
    Deposed(String),
}

impl Driver<'_> {
    /// Runs until the state machine is done.
    ///
    /// # Errors
    /// If the master can't be reached and retrying is not wanted, is no Mesos master, or refuses the framework.
    pub async fn run(mut self, mut inputs: Inputs) -> anyhow::Result<Outcome> {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let mut ever = false;
        loop {
            let begun = Instant::now();
            let flushed = match self.subscribe_and_serve(&mut inputs, &mut ever).await? {
                End::Finished(flushed) => flushed,
                End::Removed => {
                    if self.handle(Event::Removed, None).is_continue() {
                        continue;
                    }
                    Ok(())
                }
                End::Deposed(why) => return Ok(Outcome::Deposed(why)),
                End::Lost(why) => {
                    if begun.elapsed() >= GOOD_SUBSCRIPTION {
                        backoff.reset();
                    }
                    let done = match self.handle(Event::Disconnected, None) {
                        ControlFlow::Continue(()) => self.pause(&mut inputs, &why, &mut backoff).await,
                        ControlFlow::Break(()) => Err(Done::Finished),
                    };
                    match done {
                        Ok(()) => continue,
                        Err(Done::Finished) => Err(why),
                        Err(Done::Deposed(why)) => return Ok(Outcome::Deposed(why)),
                    }
                }
            };
            return Ok(Outcome::Finished { state: Box::new(self.state), flushed });
        }
    }

    /// One subscription; `ever` is set when it stands.
    async fn subscribe_and_serve(&mut self, inputs: &mut Inputs, ever: &mut bool) -> anyhow::Result<End> {
        let call = scheduler::subscribe(wire::framework_info(self.config, self.state.framework()));
        // Why the last one ended may be that the secret was replaced, or a certificate has run out.
        self.client = self.client.reconfigured(self.access.renew().clone());
        let (client, leadership) = (self.client.clone(), self.leadership);
        let subscribing = async move {
            // The subscription would be taken from whoever leads.
            match leadership {
                Some(leadership) if !leadership.confirm().await => None,
                _ => Some(client.subscribe(&call).await),
            }
        };
        let mut subscription = match self.meanwhile(inputs, subscribing).await {
            Ok(Some(Ok(subscription))) => subscription,
            Ok(Some(Err(error))) => return self.unreachable(error, *ever),
            Ok(None) => return Ok(End::Deposed(self.why_deposed())),
            Err(Done::Deposed(why)) => return Ok(End::Deposed(why)),
            Err(Done::Finished) => return Ok(End::Finished(Err("there is no subscription".to_owned()))),
        };
        let mut calls = Calls::start(self.client.clone());
        match self.serve(inputs, &mut subscription, &mut calls, ever).await? {
            // The subscription must live as long as there are calls.
            End::Finished(_) => Ok(End::Finished(calls.flush().await)),
            end => Ok(end),
        }
    }

    /// What to do about a master that did not take the subscription.
    fn unreachable(&self, error: CallError, ever: bool) -> anyhow::Result<End> {
        let master = &self.config.master;
        // A master that was one before is only out of order.
        if !ever && !error.is_transient() {
            let hint = hint(&error);
            return Err(error)
                .with_context(|| format!("cannot run a framework on the master at {master}{hint}"));
        }
        if !self.config.retry {
            return Err(error).with_context(|| format!("giving up on master {master}, as --no-retry says"));
        }
        Ok(End::Lost(chain(&error)))
    }

    /// Waits before the next try, unless a new leader makes that worthwhile at once.
    async fn pause(&mut self, inputs: &mut Inputs, why: &str, backoff: &mut Backoff) -> Result<(), Done> {
        let pause = backoff.delay();
        let (master, seconds) = (&self.config.master, pause.as_secs_f64());
        self.display.say(format!("cannot reach master {master}, retrying in {seconds:.1} s ({why})"));
        let changed = self.client.detector().changed();
        let pause = async move {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // It will be ready soon, however long there was none.
                _ = changed => backoff.reset(),
            }
        };
        self.meanwhile(inputs, pause).await
    }

    /// Waits for something while there is no subscription.
    async fn meanwhile<T>(&mut self, inputs: &mut Inputs, work: impl Future<Output = T>) -> Result<T, Done> {
        let mut work = std::pin::pin!(work);
        loop {
            let events = tokio::select! {
                done = &mut work => return Ok(done),
                why = election::lost(self.leadership) => return Err(Done::Deposed(why)),
                events = inputs.next(self.display) => events,
            };
            if self.handle_all(events, None).is_break() {
                return Err(Done::Finished);
            }
        }
    }

    async fn serve(
        &mut self,
        inputs: &mut Inputs,
        subscription: &mut Subscription<scheduler::Event>,
        calls: &mut Calls,
        ever: &mut bool,
    ) -> anyhow::Result<End> {
        loop {
            let events = tokio::select! {
                next = subscription.next() => match next {
                    Ok(Some(scheduler::Event::Error(message))) => return self.refused(&message).await,
                    Ok(Some(event)) => {
                        if let scheduler::Event::Subscribed(subscribed) = &event {
                            // Whoever leads after this answer subscribes later, which ends this subscription.
                            if let Some(leadership) = self.leadership
                                && !leadership.confirm().await
                            {
                                return Ok(End::Deposed(self.why_deposed()));
                            }
                            // Now there is something to keep.
                            self.store.start()?;
                            *ever = true;
                            calls.belong_to(&subscribed.framework_id);
                        }
                        wire::events(event)
                    }
                    Ok(None) => return Ok(End::Lost("it ended the event stream".to_owned())),
                    Err(error) => return Ok(End::Lost(chain(&error))),
                },
                why = election::lost(self.leadership) => return Ok(End::Deposed(why)),
                why = calls.failed() => return Ok(End::Lost(why)),
                events = inputs.next(self.display) => events,
            };
            // After a long sleep the event may have come first.
            if self.leadership.is_some_and(|leadership| !leadership.lease().holds(Instant::now())) {
                return Ok(End::Deposed(self.why_deposed()));
            }
            if self.handle_all(events, Some(calls)).is_break() {
                return Ok(End::Finished(Ok(())));
            }
        }
    }

    /// ERROR is the last event of a subscription.
    async fn refused(&mut self, message: &str) -> anyhow::Result<End> {
        if message.contains("failed over") {
            if let Some(leadership) = self.leadership {
                if leadership.confirm().await {
                    return Ok(End::Lost(
                        "a scheduler that does not lead has subscribed in between".to_owned(),
                    ));
                }
                return Ok(End::Deposed(self.why_deposed()));
            }
            bail!(
                "another scheduler has subscribed with this framework's id and goes on with its tasks (the master \
                 says: {message}); where several are to stand in for each other, give each --zk"
            );
        }
        if message.contains("removed") && self.state.framework().is_some() {
            return Ok(End::Removed);
        }
        bail!("the master refuses the framework: {message}");
    }

    fn why_deposed(&self) -> String {
        self.leadership.map(|leadership| leadership.lease().why()).unwrap_or_default()
    }

    fn handle_all(&mut self, events: Vec<Event>, calls: Option<&Calls>) -> ControlFlow<()> {
        events.into_iter().try_for_each(|event| self.handle(event, calls))
    }

    /// Has the state machine decide, and does what it wants; breaks when it is done.
    fn handle(&mut self, event: Event, calls: Option<&Calls>) -> ControlFlow<()> {
        let now = Instant::now();
        let tick = matches!(event, Event::Tick);
        let mut flow = ControlFlow::Continue(());
        for effect in self.state.on_event(event, now) {
            match effect {
                Effect::Persist(ticket, change) => self.store.persist(ticket, change),
                Effect::Publish(notice) => self.display.say(notice.to_string()),
                Effect::Finish => flow = ControlFlow::Break(()),
                Effect::Call(call) => {
                    if let Some(calls) = calls {
                        calls.send(call);
                    }
                }
            }
        }
        if tick || flow.is_break() {
            self.display.show(|| self.state.snapshot(now));
        }
        flow
    }
}

/// Which options are about what went wrong.
fn hint(error: &CallError) -> &'static str {
    match error {
        error if error.concerns_credentials() => " (--principal, --secret-file)",
        CallError::Refused { refusal: Refusal::Forbidden, .. } => " (--principal, --role)",
        _ => "",
    }
}

/// Nothing is to be waited for any more.
enum Done {
    /// The state machine is done.
    Finished,
    /// Another scheduler leads, or may lead; why.
    Deposed(String),
}
