//! The calls of one subscription. Many calls are in flight at the same time, because a distant master takes time to answer. Calls
//! whose order matters to Mesos are kept in order ([`order`]), and an overloaded master gets fewer calls at a time
//! ([`congestion`]).

mod congestion;
mod delays;
mod footprint;
mod lane;
mod order;
mod received;
mod sender;
#[cfg(test)]
mod tests;
mod unanswered;

use std::sync::Arc;
use std::time::{Duration, Instant};

use logging::error_chain;
use mesos::CallError;
use mesos::scheduler::{self, SchedulerClient};
use mesos::v1::FrameworkId;
use text::InWords;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) use self::delays::{CallDelays, DelayHistograms};
#[cfg(test)]
pub(crate) use self::order::arrivals;
use self::received::Received;
use self::sender::{Input, Sender, SenderEvent};
pub(super) use self::unanswered::{BURST, Unanswered};
use crate::event::Call;

/// When the queue is closed, it waits at most this long for the master's answers to the unanswered calls.
const FLUSH: Duration = Duration::from_secs(10);

/// The queue of calls, and the task that sends them until one fails.
pub(super) struct CallQueue {
    queue: mpsc::UnboundedSender<Input>,
    sender: JoinHandle<Result<(), CallError>>,
    events: mpsc::UnboundedReceiver<SenderEvent>,
    unanswered: Arc<Unanswered>,
    /// Whether `mark` was called and the resulting [`QueueEvent::Answered`] has not been reported yet.
    marked: bool,
    received: Received,
}

/// An event that the queue reports.
#[derive(Debug)]
pub(super) enum QueueEvent {
    /// A call failed, for this reason. The failure ends the subscription.
    CallFailed(String),
    /// A message for the user.
    Message(String),
    /// All calls that were queued before this instant are answered.
    Answered(Instant),
}

impl Drop for CallQueue {
    fn drop(&mut self) {
        self.sender.abort();
    }
}

impl CallQueue {
    /// Starts the task that sends calls through this client. `delays` gets how long the master waited for them.
    pub fn start(client: SchedulerClient, delays: CallDelays) -> Self {
        let (queue, inputs) = mpsc::unbounded_channel();
        let (sender, events) = mpsc::unbounded_channel();
        let unanswered = Arc::<Unanswered>::default();
        let counted = Arc::clone(&unanswered);
        let run = async move { Sender::new(&client, sender, counted, delays)?.run(inputs).await };
        let sender = tokio::spawn(run);
        CallQueue { queue, sender, events, unanswered, marked: false, received: Received::default() }
    }

    /// Sets the framework id, which every call contains.
    pub fn set_framework_id(&self, framework: &FrameworkId) {
        let _ = self.queue.send(Input::Framework(framework.clone()));
    }

    /// The number of unanswered calls.
    pub fn unanswered(&self) -> &Arc<Unanswered> {
        &self.unanswered
    }

    /// Remembers what the master has just sent, if a call is to answer it.
    pub fn received(&mut self, event: &scheduler::Event) {
        self.received.add(event, Instant::now());
    }

    /// Queues a call.
    pub fn send(&mut self, call: Call) {
        match &call {
            // A task's data may contain a password, so it is not logged.
            Call::Accept { tasks, .. } => {
                let tasks = tasks.iter().map(|task| &task.task_id.value);
                tracing::debug!(tasks = ?tasks.collect::<Vec<_>>(), "ACCEPT");
            }
            call => tracing::debug!(?call),
        }
        self.unanswered.add();
        // The queue is closed if a call has failed. Then the subscription is about to end.
        let wait = self.received.answer(&call);
        let _ = self.queue.send(Input::Call(call, wait));
    }

    /// Makes the queue report [`QueueEvent::Answered`] when all calls that were queued before `now` are answered. Does nothing
    /// while an earlier such report is outstanding.
    pub fn mark(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.marked, true) {
            let _ = self.queue.send(Input::Mark(now));
        }
    }

    /// Waits for the next event. This method must not be called again after a failure.
    pub async fn event(&mut self) -> QueueEvent {
        tokio::select! {
            biased;
            Some(event) = self.events.recv() => match event {
                SenderEvent::MasterLoad(load) => QueueEvent::Message(load.to_string()),
                SenderEvent::Answered(decided_before) => {
                    self.marked = false;
                    QueueEvent::Answered(decided_before)
                }
            },
            ended = &mut self.sender => QueueEvent::CallFailed(match ended {
                Ok(Err(error)) => error_chain(&error),
                Ok(Ok(())) => "calls have ended".to_owned(),
                Err(error) => error.to_string(),
            }),
        }
    }

    /// Waits until all calls are answered.
    pub async fn flush(mut self) -> Result<(), String> {
        self.queue = mpsc::unbounded_channel().0;
        match timeout(FLUSH, &mut self.sender).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(error_chain(&error)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {}", InWords(FLUSH))),
        }
    }
}
