//! All I/O with the master: passes events to the state machine and carries out its effects.
//!
//! A failed call ends the subscription. After the next SUBSCRIBED, the state machine repeats what was lost, so that all failures
//! are handled in one way.

mod call_queue;
mod credentials;
mod inquiry;
mod internal_events;
mod launch_burst;
mod offer_chunks;
mod queued;
mod sandbox_reader;
mod subscription_end;
mod thread;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use database::now_ms;
use mesos::backoff::Backoff;
use mesos::scheduler::{self, SchedulerClient};
use mesos::{StreamError, Subscription};
use problem::Problem;

#[cfg(test)]
pub(crate) use self::call_queue::arrivals;
pub(crate) use self::call_queue::{CallDelays, DelayHistograms};
use self::call_queue::{CallQueue, QueueEvent};
pub(crate) use self::inquiry::Inquiry;
pub(crate) use self::internal_events::InternalEvents;
use self::launch_burst::LaunchBurst;
use self::offer_chunks::OfferChunks;
use self::queued::Queued;
pub(crate) use self::sandbox_reader::SandboxReader;
pub(crate) use self::subscription_end::hint as credentials_hint;
use self::subscription_end::{Loss, SubscriptionEnd};
pub(crate) use self::thread::{DriverExit, run_on_own_thread};
use crate::config::Config;
use crate::constraints::Constraint;
use crate::control::{ControlError, ControlQueue};
use crate::core::State;
use crate::display::{Display, FrameTimer};
use crate::election::{self, Leadership, RunError};
use crate::event::{Effect, Event};
use crate::history::Topic;
use crate::master_access::MasterAccess;
use crate::mesos_api;
use crate::query::QueryQueue;
use crate::store::Store;
use crate::subscription_problem;

/// The first and the longest pause between two attempts to subscribe.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// If a subscription lasted at least this long, the pauses before new attempts to subscribe start with the shortest again.
const GOOD_SUBSCRIPTION: Duration = Duration::from_secs(10);

/// Runs the state machine through successive subscriptions.
pub(crate) struct Driver {
    pub config: Arc<Config>,
    /// The credentials, whose files are read again for each subscription.
    pub access: MasterAccess,
    /// The client of the current subscription or, between two subscriptions, of the previous one.
    pub client: SchedulerClient,
    pub state: State,
    pub store: Store,
    pub display: Arc<Display>,
    /// Whether the user has been told what to do about refused credentials. The advice is given only once.
    pub advised: bool,
    /// Decides when the terminal is redrawn.
    pub frames: FrameTimer,
    /// The leadership won in the election; `None` without an election, because this is the only scheduler.
    pub leadership: Option<Arc<Leadership>>,
    /// Asks the master's operator API.
    pub inquiry: Inquiry,
    /// The incoming queries about the framework's state, which the driver answers between events.
    pub queries: QueryQueue,
    /// The orders of operators, which are events, too.
    pub controls: ControlQueue,
    /// Reads the standard error of executors that do not run.
    pub sandboxes: SandboxReader,
    /// How long the master waits for calls.
    pub delays: CallDelays,
}

/// A subscription, and the driver's state that is dropped when the subscription ends.
struct ActiveSubscription {
    subscription: Subscription<scheduler::Event>,
    calls: CallQueue,
    /// The rest of an OFFERS event that is handled in chunks.
    chunks: OfferChunks,
    burst: LaunchBurst,
}

/// The event that sets the problem of the subscription. The state machine clears it when there is a subscription.
fn no_subscription(problem: Problem) -> Event {
    Event::Problem { topic: Topic::Subscription, problem: Some(problem) }
}

impl Driver {
    /// Runs until the state machine has finished. The inner result is an error if the master did not accept all calls.
    ///
    /// # Errors
    /// If another scheduler leads; if the master is not a Mesos master, refuses the framework, or cannot be reached and `retry`
    /// is off.
    pub async fn run(&mut self, mut internal: InternalEvents) -> Result<Result<(), String>, RunError> {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let mut ever = false;
        let waiting = no_subscription(subscription_problem::waiting(&self.config.master));
        // Nothing can end the run yet, since the user's signals are read later.
        let _ = self.handle_all(vec![waiting], None);
        loop {
            let begun = Instant::now();
            match self.subscribe_and_serve(&mut internal, &mut ever).await? {
                SubscriptionEnd::Finished(flushed) => return Ok(flushed),
                SubscriptionEnd::Removed => {
                    // The removal is to be written to the store. The store does not run yet if this scheduler has never been
                    // subscribed.
                    self.confirm_and_start_store().await?;
                    let removed = Event::Removed { now_ms: now_ms() };
                    if self.handle_all(vec![removed], None).is_break() {
                        return Ok(Ok(()));
                    }
                }
                SubscriptionEnd::Lost(loss) => {
                    if begun.elapsed() >= GOOD_SUBSCRIPTION {
                        backoff.reset();
                    }
                    let lost = vec![Event::Disconnected, no_subscription(loss.problem())];
                    let done = self.handle_all(lost, None).is_break()
                        || self.pause(&mut internal, &loss, &mut backoff).await?.is_break();
                    if done {
                        return Ok(Err(loss.why));
                    }
                }
            }
        }
    }

    /// Subscribes, and handles events until the subscription ends. Sets `ever` to true when the master has confirmed the
    /// subscription.
    async fn subscribe_and_serve(
        &mut self,
        internal: &mut InternalEvents,
        ever: &mut bool,
    ) -> Result<SubscriptionEnd, RunError> {
        let call = scheduler::subscribe(mesos_api::framework_info(&self.config, self.state.framework()));
        // The credentials are read again, because the last subscription may have ended when the secret was replaced or a
        // certificate expired.
        self.client = self.client.reconfigured(self.access.reload());
        let (client, leadership) = (self.client.clone(), self.leadership.clone());
        let subscribing = async move {
            // SUBSCRIBE ends the subscription of any other scheduler of this framework, so it must not be sent unless this
            // scheduler leads.
            election::confirm(leadership.as_deref()).await?;
            Ok::<_, RunError>(client.subscribe(&call).await)
        };
        let subscription = match self.wait_without_subscription(internal, subscribing).await? {
            ControlFlow::Continue(subscribed) => match subscribed? {
                Ok(subscription) => subscription,
                Err(error) => return self.on_subscribe_error(error, *ever),
            },
            ControlFlow::Break(()) => {
                return Ok(SubscriptionEnd::Finished(Err("there is no subscription".to_owned())));
            }
        };
        self.inquiry.master = Some(subscription.endpoint().clone());
        let workers = &self.config.placement.workers;
        let mut active = ActiveSubscription {
            subscription,
            calls: CallQueue::start(self.client.clone(), self.delays.clone()),
            chunks: OfferChunks::new(workers.iter().any(Constraint::waits_for_others)),
            burst: LaunchBurst::default(),
        };
        match self.serve(internal, &mut active, ever).await? {
            // The subscription must last until all calls are answered.
            SubscriptionEnd::Finished(_) => Ok(SubscriptionEnd::Finished(active.calls.flush().await)),
            end => Ok(end),
        }
    }

    /// Waits before the next attempt to subscribe, but not longer than until a new master leads. Returns `Break` when the state
    /// machine has finished.
    async fn pause(
        &mut self,
        internal: &mut InternalEvents,
        loss: &Loss,
        backoff: &mut Backoff,
    ) -> Result<ControlFlow<()>, RunError> {
        let pause = backoff.delay();
        self.display.warn(loss.text(&self.config.master, pause));
        let changed = self.client.detector().changed();
        let pause = async move {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // The new master will be ready soon, so the pauses start with the shortest again.
                _ = changed => backoff.reset(),
            }
        };
        self.wait_without_subscription(internal, pause).await
    }

    /// Waits for `work` while there is no subscription, and handles internal events and queries. Returns `Break` when the state
    /// machine has finished.
    async fn wait_without_subscription<T>(
        &mut self,
        internal: &mut InternalEvents,
        work: impl Future<Output = T>,
    ) -> Result<ControlFlow<(), T>, RunError> {
        let mut work = std::pin::pin!(work);
        loop {
            let events = tokio::select! {
                done = &mut work => return Ok(ControlFlow::Continue(done)),
                why = election::lost(self.leadership.as_deref()) => return Err(RunError::LeadershipLost(why)),
                events = internal.next(self.state.next_deadline(), &self.display) => events,
                query = self.queries.next() => {
                    self.queries.answer(query, &self.state);
                    continue;
                }
                // An order is answered when it is recorded, so it needs the store.
                order = self.controls.next() => {
                    if !self.store.is_started() {
                        self.controls.answer(Err(ControlError::NotSubscribed));
                        continue;
                    }
                    vec![Event::Order(Box::new(order))]
                }
            };
            if self.handle_all(events, None).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }

    /// Handles events until the subscription ends.
    async fn serve(
        &mut self,
        internal: &mut InternalEvents,
        active: &mut ActiveSubscription,
        ever: &mut bool,
    ) -> Result<SubscriptionEnd, RunError> {
        loop {
            let events = match active.chunks.next() {
                Some(chunk) => {
                    self.yield_between_chunks().await;
                    mesos_api::events(chunk)
                }
                None => match self.next_events(internal, active, ever).await? {
                    ControlFlow::Continue(events) => events,
                    ControlFlow::Break(end) => return Ok(end),
                },
            };
            if matches!(events[..], [Event::Tick]) {
                active.calls.mark(Instant::now());
            }
            // If this process was frozen, an event may be received before the end of the lease is noticed.
            election::check_lease(self.leadership.as_deref())?;
            if self.handle_all(events, Some(&mut active.calls)).is_break() {
                return Ok(SubscriptionEnd::Finished(Ok(())));
            }
            let unsent = self.state.unsent_launches() + active.calls.unanswered().count();
            active.burst.update(unsent, Instant::now());
        }
    }

    /// Waits for the next events. The list is empty if nothing concerns the state machine, for example after a message to the
    /// user. Returns `Break` when the subscription ends.
    async fn next_events(
        &mut self,
        internal: &mut InternalEvents,
        active: &mut ActiveSubscription,
        ever: &mut bool,
    ) -> Result<ControlFlow<SubscriptionEnd, Vec<Event>>, RunError> {
        let unanswered = Arc::clone(active.calls.unanswered());
        let delayed = active.burst.delays_events(Instant::now());
        let events = tokio::select! {
            // Internal events come before the master's. Otherwise launches whose records are on disk would wait behind thousands
            // of status updates. Disk, clock and user produce so few events that the master's are not delayed for long.
            biased;
            why = election::lost(self.leadership.as_deref()) => return Err(RunError::LeadershipLost(why)),
            event = active.calls.event() => match event {
                QueueEvent::CallFailed(why) => {
                    let end = self.on_failed_call(&mut active.subscription, why).await?;
                    return Ok(ControlFlow::Break(end));
                }
                QueueEvent::Message(text) => {
                    self.display.log(text);
                    Vec::new()
                }
                QueueEvent::Answered(decided_before) => vec![Event::CallsAnswered { decided_before }],
            },
            // Queries take little time, so they come before the store's events, of which there may be many.
            query = self.queries.next() => {
                self.queries.answer(query, &self.state);
                Vec::new()
            }
            order = self.controls.next() => vec![Event::Order(Box::new(order))],
            events = internal.next(self.state.next_deadline(), &self.display) => events,
            () = unanswered.below_burst(), if delayed => Vec::new(),
            next = active.subscription.next(), if !delayed => {
                match self.check_event(next, &mut active.calls, ever).await? {
                    Ok(event) => mesos_api::events(active.chunks.split(event)),
                    Err(end) => return Ok(ControlFlow::Break(end)),
                }
            }
        };
        Ok(ControlFlow::Continue(events))
    }

    /// Gives the call queue time to send calls, and answers at most one query, without waiting.
    async fn yield_between_chunks(&mut self) {
        tokio::task::yield_now().await;
        tokio::select! {
            biased;
            query = self.queries.next() => self.queries.answer(query, &self.state),
            () = std::future::ready(()) => {}
        }
    }

    /// Checks the result of the event stream, and returns the master's next event or how the subscription ends.
    async fn check_event(
        &mut self,
        next: Result<Option<scheduler::Event>, StreamError>,
        calls: &mut CallQueue,
        ever: &mut bool,
    ) -> Result<Result<scheduler::Event, SubscriptionEnd>, RunError> {
        let event = match next {
            Ok(Some(scheduler::Event::Error(message))) => {
                return self.on_error_event(&message).await.map(Err);
            }
            Ok(Some(event)) => event,
            Ok(None) => return Ok(Err(SubscriptionEnd::ended("it closed the event stream".to_owned()))),
            Err(error) => return self.on_stream_error(error).map(Err),
        };
        if let scheduler::Event::Subscribed(subscribed) = &event {
            self.confirm_and_start_store().await?;
            *ever = true;
            if self.state.framework().is_some_and(|known| known != subscribed.framework_id.value) {
                return Ok(Err(self.on_other_framework(&subscribed.framework_id).await));
            }
            calls.set_framework_id(&subscribed.framework_id);
            let secure = self.access.settings().tls.is_some();
            self.sandboxes.set_master(subscribed.master_info.as_ref(), secure);
        }
        calls.received(&event);
        Ok(Ok(event))
    }

    /// Makes sure that this scheduler may act on what the master has said of its framework, and starts the store.
    async fn confirm_and_start_store(&mut self) -> Result<(), RunError> {
        // Another scheduler may become the leader after this check. This does no harm: when that scheduler subscribes, the master
        // ends this subscription.
        election::confirm(self.leadership.as_deref()).await?;
        // The store is started only now, because there is nothing to write before the master has spoken.
        self.store.start().map_err(anyhow::Error::from)?;
        Ok(())
    }

    /// Passes events to the state machine and carries out its effects. Returns `Break` when the state machine has finished.
    fn handle_all(&mut self, events: Vec<Event>, calls: Option<&mut CallQueue>) -> ControlFlow<()> {
        let mut queued = Queued { calls, ..Queued::default() };
        let flow = events.into_iter().try_for_each(|event| self.handle(event, &mut queued));
        // All changes go to the store together, and all lines go to the display together, because each handover costs a system
        // call.
        self.store.persist_all(queued.changes);
        self.display.log_all(queued.lines);
        flow
    }

    fn handle(&mut self, event: Event, queued: &mut Queued<'_>) -> ControlFlow<()> {
        let now = Instant::now();
        let tick = matches!(event, Event::Tick);
        let mut flow = ControlFlow::Continue(());
        for effect in self.state.on_event(event, now) {
            match effect {
                Effect::Persist(change_id, change) => queued.changes.push((change_id, change)),
                Effect::ReadStderr(sandbox, end) => self.sandboxes.read(sandbox, end),
                Effect::Answer(answer) => self.controls.answer(answer.map_err(ControlError::Refused)),
                Effect::AskMaster(question) => self.inquiry.ask(self.access.settings(), question),
                Effect::Notify(notice) => queued.lines.push((notice.level(), notice.to_string())),
                Effect::Finish => flow = ControlFlow::Break(()),
                Effect::Call(call) => queued.call(call),
            }
        }
        if tick && self.frames.is_due(now) {
            self.display.show(self.state.overview(now));
        }
        flow
    }
}
