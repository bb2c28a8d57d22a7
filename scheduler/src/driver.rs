//! The only I/O with the master: takes events to the state machine and carries out its effects.
//!
//! A call that fails ends the subscription. After the next one the state machine makes up for whatever was lost, so
//! every failure is recovered from in the same way.

mod call_queue;
mod inputs;
mod launching;
mod pieces;
mod thread;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use logging::error_chain;
use mesos::backoff::Backoff;
use mesos::recordio::RecordError;
use mesos::scheduler::{self, SchedulerClient};
use mesos::{CallError, Refusal, StreamError, Subscription};

#[cfg(test)]
pub(crate) use self::call_queue::arrivals;
use self::call_queue::{CallQueue, Report};
pub(crate) use self::inputs::Inputs;
use self::launching::Launching;
use self::pieces::Pieces;
pub(crate) use self::thread::{Driven, run_on_own_thread};
use crate::config::Config;
use crate::constraints::Constraint;
use crate::core::State;
use crate::display::{Display, FrameTimer};
use crate::election::{self, Leadership, TermError};
use crate::event::{Effect, Event};
use crate::journal::{Change, Ticket};
use crate::master_access::MasterAccess;
use crate::mesos_api;
use crate::query::QueryQueue;
use crate::store::Store;

/// First and longest pause between two tries to subscribe.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// After a subscription that lasted so long, the pauses begin with the shortest again.
const GOOD_SUBSCRIPTION: Duration = Duration::from_secs(10);

/// Carries the state machine through subscription after subscription.
pub(crate) struct Driver {
    pub config: Arc<Config>,
    /// The credentials, which are read again for each subscription.
    pub access: MasterAccess,
    /// The client of the present subscription, or of the last one.
    pub client: SchedulerClient,
    pub state: State,
    pub store: Store,
    pub display: Arc<Display>,
    /// When the terminal is drawn.
    pub frames: FrameTimer,
    /// Without it, no other scheduler ever leads.
    pub leadership: Option<Arc<Leadership>>,
    /// What others want to know of the state.
    pub queries: QueryQueue,
}

/// Why a subscription, or the try to get one, ended.
enum SubscriptionEnd {
    /// The state machine is done; whether the master took the last calls, or why not.
    Finished(Result<(), String>),
    /// It is to be tried again after a pause.
    Lost(String),
    /// The master has removed the framework; a new one is to be subscribed.
    Removed,
}

impl Driver {
    /// Runs until the state machine is done; whether the master took the last calls, or why not.
    ///
    /// # Errors
    /// If another scheduler leads; or the master cannot be reached and retrying is not wanted, is no Mesos master, or
    /// refuses the framework.
    pub async fn run(&mut self, mut inputs: Inputs) -> Result<Result<(), String>, TermError> {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let mut ever = false;
        loop {
            let begun = Instant::now();
            match self.subscribe_and_serve(&mut inputs, &mut ever).await? {
                SubscriptionEnd::Finished(flushed) => return Ok(flushed),
                SubscriptionEnd::Removed => {
                    if self.handle_all(vec![Event::Removed], None).is_break() {
                        return Ok(Ok(()));
                    }
                }
                SubscriptionEnd::Lost(why) => {
                    if begun.elapsed() >= GOOD_SUBSCRIPTION {
                        backoff.reset();
                    }
                    let done = self.handle_all(vec![Event::Disconnected], None).is_break()
                        || self.pause(&mut inputs, &why, &mut backoff).await?.is_break();
                    if done {
                        return Ok(Err(why));
                    }
                }
            }
        }
    }

    /// One subscription; `ever` is set when it stands.
    async fn subscribe_and_serve(
        &mut self,
        inputs: &mut Inputs,
        ever: &mut bool,
    ) -> Result<SubscriptionEnd, TermError> {
        let call = scheduler::subscribe(mesos_api::framework_info(&self.config, self.state.framework()));
        // The last one may have ended because the secret was replaced or a certificate has expired.
        self.client = self.client.reconfigured(self.access.reload().clone());
        let (client, leadership) = (self.client.clone(), self.leadership.clone());
        let subscribing = async move {
            // Otherwise the subscription would be taken from the scheduler that leads.
            election::confirm(leadership.as_deref()).await?;
            Ok::<_, TermError>(client.subscribe(&call).await)
        };
        let mut subscription = match self.meanwhile(inputs, subscribing).await? {
            ControlFlow::Continue(subscribed) => match subscribed? {
                Ok(subscription) => subscription,
                Err(error) => return self.unreachable(error, *ever),
            },
            ControlFlow::Break(()) => {
                return Ok(SubscriptionEnd::Finished(Err("there is no subscription".to_owned())));
            }
        };
        let mut calls = CallQueue::start(self.client.clone());
        match self.serve(inputs, &mut subscription, &mut calls, ever).await? {
            // The subscription must live as long as there are calls.
            SubscriptionEnd::Finished(_) => Ok(SubscriptionEnd::Finished(calls.flush().await)),
            end => Ok(end),
        }
    }

    /// What to do about a master that did not take the subscription.
    fn unreachable(&self, error: CallError, ever: bool) -> Result<SubscriptionEnd, TermError> {
        let master = &self.config.master;
        // What was a master before is one, and only fails at present.
        if !ever && !error.is_transient() {
            let hint = hint(&error);
            let what = format!("cannot run a framework on the master at {master}{hint}");
            return Err(TermError::Failed(anyhow::Error::from(error).context(what)));
        }
        if !self.config.retry {
            let what = format!("giving up on master {master}, as --no-retry says");
            return Err(TermError::Failed(anyhow::Error::from(error).context(what)));
        }
        Ok(SubscriptionEnd::Lost(error_chain(&error)))
    }

    /// Waits before the next try, unless a new leader makes that worthwhile at once. Breaks when the state machine is
    /// done.
    async fn pause(
        &mut self,
        inputs: &mut Inputs,
        why: &str,
        backoff: &mut Backoff,
    ) -> Result<ControlFlow<()>, TermError> {
        let pause = backoff.delay();
        let (master, seconds) = (&self.config.master, pause.as_secs_f64());
        self.display.log(format!("cannot reach master {master}, retrying in {seconds:.1} s ({why})"));
        let changed = self.client.detector().changed();
        let pause = async move {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // The new leader will be ready soon, however long there was none.
                _ = changed => backoff.reset(),
            }
        };
        self.meanwhile(inputs, pause).await
    }

    /// Waits for something while there is no subscription. Breaks when the state machine is done.
    async fn meanwhile<T>(
        &mut self,
        inputs: &mut Inputs,
        work: impl Future<Output = T>,
    ) -> Result<ControlFlow<(), T>, TermError> {
        let mut work = std::pin::pin!(work);
        loop {
            let events = tokio::select! {
                done = &mut work => return Ok(ControlFlow::Continue(done)),
                why = election::lost(self.leadership.as_deref()) => return Err(TermError::Deposed(why)),
                events = inputs.next(&self.display) => events,
                query = self.queries.next() => {
                    self.queries.answer(query, &self.state);
                    continue;
                }
            };
            if self.handle_all(events, None).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    async fn serve(
        &mut self,
        inputs: &mut Inputs,
        subscription: &mut Subscription<scheduler::Event>,
        calls: &mut CallQueue,
        ever: &mut bool,
    ) -> Result<SubscriptionEnd, TermError> {
        let mut launching = Launching::default();
        // Whether a mark is on its way through the calls.
        let mut marked = false;
        let unanswered = Arc::clone(calls.unanswered());
        let workers = &self.config.placement.workers;
        let mut pieces = Pieces::new(workers.iter().any(Constraint::waits_for_others));
        loop {
            if let Some(piece) = pieces.next() {
                self.between_pieces().await;
                if self.handle_all(mesos_api::events(piece), Some(calls)).is_break() {
                    return Ok(SubscriptionEnd::Finished(Ok(())));
                }
                launching.note(self.state.unsent_launches() + unanswered.count(), Instant::now());
                continue;
            }
            let events = tokio::select! {
                // What is on disk comes before what the master says: launches wait for it, and thousands of updates may
                // come meanwhile. Neither disk nor clock nor users have so much to say that the master is not heard.
                biased;
                why = election::lost(self.leadership.as_deref()) => return Err(TermError::Deposed(why)),
                report = calls.report() => match report {
                    Report::Failed(why) => return Ok(SubscriptionEnd::Lost(why)),
                    Report::Notice(text) => {
                        self.display.log(text);
                        continue;
                    }
                    Report::Answered(decided_before) => {
                        marked = false;
                        vec![Event::CallsAnswered { decided_before }]
                    }
                },
                // Pages must not wait until the disk has nothing more to say, and take a small part of the time.
                query = self.queries.next() => {
                    self.queries.answer(query, &self.state);
                    continue;
                }
                events = inputs.next(&self.display) => events,
                () = unanswered.few(), if launching.comes_first(Instant::now()) => Vec::new(),
                next = subscription.next(), if !launching.comes_first(Instant::now()) => {
                    match self.heard(next, calls, ever).await? {
                        Ok(event) => mesos_api::events(pieces.cut(event)),
                        Err(end) => return Ok(end),
                    }
                }
            };
            if !marked && matches!(events[..], [Event::Tick]) {
                marked = true;
                calls.mark(Instant::now());
            }
            // After this process was stopped for long, an event may come before the end of the lease.
            election::check_lease(self.leadership.as_deref())?;
            if self.handle_all(events, Some(calls)).is_break() {
                return Ok(SubscriptionEnd::Finished(Ok(())));
            }
            launching.note(self.state.unsent_launches() + unanswered.count(), Instant::now());
        }
    }

    /// Has calls sent and a question answered, if there is one, and waits for nothing.
    async fn between_pieces(&mut self) {
        tokio::task::yield_now().await;
        tokio::select! {
            biased;
            query = self.queries.next() => self.queries.answer(query, &self.state),
            () = std::future::ready(()) => {}
        }
    }

    /// The master's next event, or how the subscription ends; `ever` is set when it stands.
    async fn heard(
        &mut self,
        next: Result<Option<scheduler::Event>, StreamError>,
        calls: &mut CallQueue,
        ever: &mut bool,
    ) -> Result<Result<scheduler::Event, SubscriptionEnd>, TermError> {
        let event = match next {
            Ok(Some(scheduler::Event::Error(message))) => return self.refused(&message).await.map(Err),
            Ok(Some(event)) => event,
            Ok(None) => return Ok(Err(SubscriptionEnd::Lost("it ended the event stream".to_owned()))),
            Err(error) => return self.broken(error).map(Err),
        };
        if let scheduler::Event::Subscribed(subscribed) = &event {
            self.confirm_subscription().await?;
            *ever = true;
            calls.set_framework_id(&subscribed.framework_id);
        }
        Ok(Ok(event))
    }

    /// Makes sure that this scheduler may act on a subscription that stands.
    async fn confirm_subscription(&mut self) -> Result<(), TermError> {
        // Whoever leads after this answer subscribes later, which ends this subscription.
        election::confirm(self.leadership.as_deref()).await?;
        // From now on there is something to keep.
        self.store.start().map_err(anyhow::Error::from)?;
        Ok(())
    }

    /// What to do about a stream that has ended other than in good order.
    fn broken(&self, error: StreamError) -> Result<SubscriptionEnd, TermError> {
        if let StreamError::Record { source: RecordError::TooLong { .. }, .. } = &error {
            // It would come again with each subscription.
            let what = "the master sends an event that this build does not take";
            return Err(TermError::Failed(anyhow::Error::from(error).context(what)));
        }
        Ok(SubscriptionEnd::Lost(error_chain(&error)))
    }

    /// ERROR is the last event of a subscription.
    async fn refused(&mut self, message: &str) -> Result<SubscriptionEnd, TermError> {
        if message.contains("failed over") {
            if self.leadership.is_some() {
                election::confirm(self.leadership.as_deref()).await?;
                let why = "a scheduler that does not lead has subscribed in between";
                return Ok(SubscriptionEnd::Lost(why.to_owned()));
            }
            return Err(TermError::Failed(anyhow!(
                "another scheduler has subscribed with this framework's id and goes on with its tasks (the master \
                 says: {message}); where several are to stand in for each other, give each --zk"
            )));
        }
        if message.contains("removed") && self.state.framework().is_some() {
            return Ok(SubscriptionEnd::Removed);
        }
        Err(TermError::Failed(anyhow!("the master refuses the framework: {message}")))
    }

    /// Has the state machine decide, and does what it wants; breaks when it is done.
    fn handle_all(&mut self, events: Vec<Event>, calls: Option<&CallQueue>) -> ControlFlow<()> {
        let mut queued = Queued::default();
        let flow = events.into_iter().try_for_each(|event| self.handle(event, calls, &mut queued));
        // To wake a thread costs a system call: what follows from all these events wakes each once.
        self.store.persist_all(queued.changes);
        self.display.log_all(queued.lines);
        flow
    }

    fn handle(&mut self, event: Event, calls: Option<&CallQueue>, queued: &mut Queued) -> ControlFlow<()> {
        let now = Instant::now();
        let tick = matches!(event, Event::Tick);
        let mut flow = ControlFlow::Continue(());
        for effect in self.state.on_event(event, now) {
            match effect {
                Effect::Persist(ticket, change) => queued.changes.push((ticket, change)),
                Effect::Notify(notice) => queued.lines.push(notice.to_string()),
                Effect::Finish => flow = ControlFlow::Break(()),
                Effect::Call(call) => {
                    if let Some(calls) = calls {
                        calls.send(call);
                    }
                }
            }
        }
        if tick && self.frames.is_due(now) {
            self.display.show(self.state.overview(now));
        }
        flow
    }
}

/// What is on its way to other threads.
#[derive(Default)]
struct Queued {
    changes: Vec<(Ticket, Change)>,
    lines: Vec<String>,
}

/// The options that are likely to be wrong.
fn hint(error: &CallError) -> &'static str {
    match error {
        error if error.concerns_credentials() => " (--principal, --secret-file)",
        CallError::Refused { refusal: Refusal::Forbidden, .. } => " (--principal, --role)",
        _ => "",
    }
}
