//! The task that sends calls and reads the answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use logging::error_chain;
use mesos::CallError;
use mesos::scheduler::{CallOutcome, EncodedCall, Pipeline, PipelineSettings, SchedulerClient};
use mesos::v1::FrameworkId;
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::congestion::CongestionWindow;
use super::delays::{CallDelays, Wait};
use super::footprint::Footprint;
use super::order::CallOrder;
use super::unanswered::Unanswered;
use crate::event::Call;
use crate::mesos_api;

/// If the master has refused every call for this time, the sender gives up, which ends the subscription.
const GIVE_UP: Duration = Duration::from_secs(5 * 60);
/// Maximum number of [`Input`]s that the sender takes from its queue at once. Then it sends calls before it takes more inputs.
const BATCH: usize = 256;

/// The input of the sender.
#[derive(Debug)]
pub(super) enum Input {
    /// The framework id, which every call contains.
    Framework(FrameworkId),
    /// A call to be sent, and the wait of the master that it ends.
    Call(Call, Option<Wait>),
    /// Requests [`SenderEvent::Answered`] for the calls that were queued before this instant.
    Mark(Instant),
}

/// An entry of the queue.
#[derive(Clone, Debug)]
enum Item {
    Call(EncodedCall, Option<Wait>),
    /// An entry that is not sent. When all calls before the mark are answered, the sender reports this to the driver.
    Mark(Instant),
}

/// An event that the sender reports to the driver.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SenderEvent {
    /// All calls that were queued before this instant are answered.
    Answered(Instant),
    /// The master is overloaded, or has recovered.
    MasterLoad(MasterLoad),
}

/// What the user should know about the master's load.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MasterLoad {
    /// The master refuses calls for now.
    Overloaded {
        /// The master's answer: the HTTP status and the message.
        why: String,
        /// The number of calls that wait to be sent.
        waiting: usize,
        /// Maximum number of calls in flight from now on.
        window: usize,
    },
    /// The master accepts all calls again.
    Recovered,
}

impl std::fmt::Display for MasterLoad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            MasterLoad::Overloaded { why, waiting, window } => {
                write!(
                    f,
                    "the master is overloaded ({why}): {waiting} calls wait, at most {window} are sent at a time"
                )
            }
            MasterLoad::Recovered => f.write_str("the master accepts calls at full speed again"),
        }
    }
}

/// Sends calls and handles the answers.
pub(super) struct Sender {
    framework: Option<FrameworkId>,
    order: CallOrder<Item>,
    /// The number of [`Item::Mark`] entries in `order`. They are not sent, so they do not count as waiting calls.
    marks: usize,
    window: CongestionWindow,
    pipeline: Pipeline,
    events: mpsc::UnboundedSender<SenderEvent>,
    unanswered: Arc<Unanswered>,
    delays: CallDelays,
}

impl Sender {
    /// Makes a sender of calls for the client's current subscription.
    ///
    /// # Errors
    /// If the client has no subscription.
    pub fn new(
        client: &SchedulerClient,
        events: mpsc::UnboundedSender<SenderEvent>,
        unanswered: Arc<Unanswered>,
        delays: CallDelays,
    ) -> Result<Self, CallError> {
        let settings = PipelineSettings::default();
        let most = settings.connections * settings.calls_per_connection;
        Ok(Sender {
            framework: None,
            order: CallOrder::new(),
            marks: 0,
            window: CongestionWindow::new(most),
            pipeline: client.pipeline(settings)?,
            events,
            unanswered,
            delays,
        })
    }

    /// Sends calls until the queue is closed and all are answered, or until a call fails.
    ///
    /// # Errors
    /// The error of the failed call.
    pub async fn run(mut self, mut inputs: mpsc::UnboundedReceiver<Input>) -> Result<(), CallError> {
        let mut queued = Vec::new();
        let mut open = true;
        loop {
            // New calls are taken from the queue first, because they may have a higher priority than the waiting calls.
            for _ in 0..BATCH {
                let Ok(input) = inputs.try_recv() else { break };
                self.take(input);
            }
            if !inputs.is_empty() {
                // Tens of thousands of calls may be queued together. The driver shares this thread, so it gets a turn after each
                // batch.
                tokio::task::yield_now().await;
            }
            self.send();
            // `order` may still contain an `Item::Mark`, which is removed by `send`. So `send` comes before this check.
            if !open && self.order.is_empty() {
                return Ok(());
            }
            let resume = self.window.resume();
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
                count = inputs.recv_many(&mut queued, BATCH), if open => {
                    open = count > 0;
                    queued.drain(..).for_each(|input| self.take(input));
                }
                () = paused => {}
            }
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Framework(id) => self.framework = Some(id),
            Input::Call(call, wait) => {
                let Some(framework) = &self.framework else { return self.unanswered.remove() };
                let footprint = self.order.footprint(&call);
                match mesos_api::call(framework, call) {
                    Some(call) => self.order.add(footprint, Item::Call(EncodedCall::from(&call), wait)),
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
        let room = self.window.room(self.pipeline.in_flight(), Instant::now());
        let room = room.min(self.pipeline.free_capacity());
        if room == 0 || self.order.ready() == 0 {
            return;
        }
        let mut calls = Vec::new();
        while calls.len() < room
            && let Some((number, item)) = self.order.next()
        {
            match item.clone() {
                Item::Call(call, _) => calls.push((number, call)),
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
            CallOutcome::Accepted => {
                if let Some(Item::Call(_, Some(wait))) = self.order.content(number) {
                    self.delays.record(*wait, Instant::now());
                }
                self.taken(number);
            }
            CallOutcome::NotSent => self.order.put_back(number),
            // The master would now refuse other calls, too, so no call is sent for a while. Then this call is sent again.
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
        if self.window.taken(self.waiting(), Instant::now()) {
            let _ = self.events.send(SenderEvent::MasterLoad(MasterLoad::Recovered));
        }
    }

    /// The number of calls that wait to be sent.
    fn waiting(&self) -> usize {
        self.order.len().saturating_sub(self.marks + self.pipeline.in_flight())
    }

    /// Whether an error concerns only this call, so that other calls can still be sent. An error about credentials or the
    /// connection concerns all calls. So does a failed TEARDOWN, because the framework goes on and the driver must know this.
    fn concerns_this_call_only(&self, number: u64, error: &CallError) -> bool {
        let all = error.is_transient()
            || error.concerns_credentials()
            || matches!(error, CallError::Connect { .. });
        let teardown = match self.order.content(number) {
            Some(Item::Call(call, _)) => call.name() == "TEARDOWN",
            Some(Item::Mark(_)) | None => true,
        };
        !all && !teardown
    }

    fn refused(&mut self, number: u64, error: CallError) -> Result<(), CallError> {
        let now = Instant::now();
        self.order.put_back(number);
        let tell = self.window.refused(now);
        if self.window.refused_for(now) >= GIVE_UP {
            return Err(error);
        }
        if tell {
            let waiting = self.waiting();
            let why = match &error {
                CallError::NotReady { status, message, .. } => format!("HTTP {status}: {message}"),
                error => error_chain(error),
            };
            let load = MasterLoad::Overloaded { why, waiting, window: self.window.window() };
            let _ = self.events.send(SenderEvent::MasterLoad(load));
        }
        Ok(())
    }
}

/// Whether the master, or a proxy in front of it, would accept the call later.
fn is_refused_for_now(error: &CallError) -> bool {
    matches!(error, CallError::NotReady { status: 429 | 503, .. })
}
