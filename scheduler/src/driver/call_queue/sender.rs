//! The task that sends calls and reads the answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use logging::error_chain;
use mesos::CallError;
use mesos::scheduler::{CallOutcome, EncodedCall, Pipeline, PipelineSettings, SchedulerClient};
use mesos::v1::FrameworkId;
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::footprint::Footprint;
use super::order::Order;
use super::pace::Pace;
use super::unanswered::Unanswered;
use crate::event::Call;
use crate::mesos_api;

/// The subscription ends when the master has taken no call for so long.
const GIVE_UP: Duration = Duration::from_secs(5 * 60);
/// Decisions taken up at once.
const BATCH: usize = 256;

/// What the sender is told.
#[derive(Debug)]
pub(super) enum Input {
    /// Every call carries the framework's id.
    Framework(FrameworkId),
    /// What was decided.
    Call(Call),
    /// Asks to be told when all calls that were decided before this instant are answered.
    Mark(Instant),
}

/// What waits its turn.
#[derive(Clone, Debug)]
enum Item {
    Call(EncodedCall),
    /// Nothing is sent for it.
    Mark(Instant),
}

/// What the driver should know of the calls.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SenderEvent {
    /// All calls that were decided before this instant are answered.
    Answered(Instant),
    /// The master is slow, or no longer.
    Slowness(Slowness),
}

/// What the user should know of the master.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Slowness {
    /// It takes fewer calls than there are.
    Slow {
        /// What it says.
        why: String,
        /// Calls that are not sent.
        waiting: usize,
        /// Calls on the way at most.
        window: usize,
    },
    /// It takes all again.
    Over,
}

impl std::fmt::Display for Slowness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Slowness::Slow { why, waiting, window } => {
                write!(
                    f,
                    "the master is slow to take calls ({why}): {waiting} wait, {window} at a time are sent"
                )
            }
            Slowness::Over => f.write_str("the master takes calls as fast as they come again"),
        }
    }
}

/// See above.
pub(super) struct Sender {
    framework: Option<FrameworkId>,
    order: Order<Item>,
    /// How many of the items are marks.
    marks: usize,
    pace: Pace,
    pipeline: Pipeline,
    events: mpsc::UnboundedSender<SenderEvent>,
    unanswered: Arc<Unanswered>,
}

impl Sender {
    /// # Errors
    /// If the client has no subscription.
    pub fn new(
        client: &SchedulerClient,
        events: mpsc::UnboundedSender<SenderEvent>,
        unanswered: Arc<Unanswered>,
    ) -> Result<Self, CallError> {
        let settings = PipelineSettings::default();
        let most = settings.connections * settings.calls_per_connection;
        Ok(Sender {
            framework: None,
            order: Order::new(),
            marks: 0,
            pace: Pace::new(most),
            pipeline: client.pipeline(settings)?,
            events,
            unanswered,
        })
    }

    /// Sends what comes until nothing more can come and all is answered, or until a call fails.
    ///
    /// # Errors
    /// Why a call failed.
    pub async fn run(mut self, mut inputs: mpsc::UnboundedReceiver<Input>) -> Result<(), CallError> {
        let mut decided = Vec::new();
        let mut open = true;
        loop {
            // What came meanwhile may be more important than what waits.
            for _ in 0..BATCH {
                let Ok(input) = inputs.try_recv() else { break };
                self.take(input);
            }
            if !inputs.is_empty() {
                // Tens of thousands of calls may be decided at once, and the driver shares this thread.
                tokio::task::yield_now().await;
            }
            if !open && self.order.is_empty() {
                return Ok(());
            }
            self.send();
            let resume = self.pace.resume();
            let paused = async move {
                match resume {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                answers = self.pipeline.outcomes() => {
                    for (number, outcome) in answers {
                        self.answered(number, outcome)?;
                    }
                }
                count = inputs.recv_many(&mut decided, BATCH), if open => {
                    open = count > 0;
                    decided.drain(..).for_each(|input| self.take(input));
                }
                () = paused => {}
            }
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Framework(id) => self.framework = Some(id),
            Input::Call(call) => {
                let Some(framework) = &self.framework else { return self.unanswered.remove() };
                let footprint = self.order.footprint(&call);
                match mesos_api::call(framework, call) {
                    Some(call) => self.order.add(footprint, Item::Call(EncodedCall::from(&call))),
                    None => self.unanswered.remove(),
                }
            }
            Input::Mark(decided_before) => {
                self.order.add(Footprint::of_mark(), Item::Mark(decided_before));
                self.marks += 1;
            }
        }
    }

    fn send(&mut self) {
        let room = self.pace.room(self.pipeline.in_flight(), Instant::now());
        let room = room.min(self.pipeline.free_capacity());
        if room == 0 || self.order.ready() == 0 {
            return;
        }
        let mut calls = Vec::new();
        while calls.len() < room
            && let Some((number, item)) = self.order.next()
        {
            match item.clone() {
                Item::Call(call) => calls.push((number, call)),
                Item::Mark(decided_before) => {
                    self.order.done(number);
                    self.marks -= 1;
                    let _ = self.events.send(SenderEvent::Answered(decided_before));
                }
            }
        }
        self.pipeline.send(calls);
    }

    fn answered(&mut self, number: u64, outcome: CallOutcome) -> Result<(), CallError> {
        match outcome {
            CallOutcome::Accepted => self.taken(number),
            CallOutcome::NotSent => self.order.put_back(number),
            // Not taken: all others would be refused in the same way, and this one is sent once more.
            CallOutcome::Failed(error) if is_refused_for_now(&error) => return self.refused(number, error),
            CallOutcome::Failed(error) if self.concerns_this_call_only(number, &error) => {
                tracing::error!("{}", error_chain(&error));
                self.taken(number);
            }
            CallOutcome::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn taken(&mut self, number: u64) {
        self.order.done(number);
        self.unanswered.remove();
        if self.pace.taken(self.waiting(), Instant::now()) {
            let _ = self.events.send(SenderEvent::Slowness(Slowness::Over));
        }
    }

    /// How many calls are not sent.
    fn waiting(&self) -> usize {
        self.order.len().saturating_sub(self.marks + self.pipeline.in_flight())
    }

    /// Whether only this call is refused, so that the others go on. If it is about credentials or the connection, all
    /// calls would fail; and if TEARDOWN fails, nothing has ended.
    fn concerns_this_call_only(&self, number: u64, error: &CallError) -> bool {
        let all = error.is_transient()
            || error.concerns_credentials()
            || matches!(error, CallError::Connect { .. });
        let teardown = match self.order.content(number) {
            Some(Item::Call(call)) => call.name() == "TEARDOWN",
            Some(Item::Mark(_)) | None => true,
        };
        !all && !teardown
    }

    fn refused(&mut self, number: u64, error: CallError) -> Result<(), CallError> {
        let now = Instant::now();
        self.order.put_back(number);
        let tell = self.pace.refused(now);
        if self.pace.refused_for(now) >= GIVE_UP {
            return Err(error);
        }
        if tell {
            let waiting = self.waiting();
            let why = match &error {
                CallError::NotReady { status, message, .. } => format!("HTTP {status}: {message}"),
                error => error_chain(error),
            };
            let slow = Slowness::Slow { why, waiting, window: self.pace.window() };
            let _ = self.events.send(SenderEvent::Slowness(slow));
        }
        Ok(())
    }
}

/// Whether a call was not taken, but would be later: the master recovers, or what is in front of it has had enough.
fn is_refused_for_now(error: &CallError) -> bool {
    matches!(error, CallError::NotReady { status: 429 | 503, .. })
}
