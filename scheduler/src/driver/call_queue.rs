//! The calls of one subscription. They are decided one after the other; many are on the way to the master at once, since
//! each answer of a master that is far away takes its time. What Mesos needs in order is kept in order ([`order`]), and a
//! master that has too much to do gets fewer at a time ([`pace`]).

mod footprint;
mod lane;
mod order;
mod pace;
mod sender;
#[cfg(test)]
mod tests;
mod unanswered;

use std::sync::Arc;
use std::time::{Duration, Instant};

use logging::error_chain;
use mesos::CallError;
use mesos::scheduler::SchedulerClient;
use mesos::v1::FrameworkId;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

#[cfg(test)]
pub(crate) use self::order::arrivals;
use self::sender::{Input, Sender, SenderEvent};
pub(super) use self::unanswered::{BURST, Unanswered};
use crate::event::Call;

/// Time for the last calls to be answered.
const FLUSH: Duration = Duration::from_secs(10);

/// A queue, and the task that empties it until a call fails.
pub(super) struct CallQueue {
    queue: mpsc::UnboundedSender<Input>,
    sender: JoinHandle<Result<(), CallError>>,
    events: mpsc::UnboundedReceiver<SenderEvent>,
    unanswered: Arc<Unanswered>,
}

/// What is to be known of calls.
#[derive(Debug)]
pub(super) enum Report {
    /// A call failed, and why: the subscription is over.
    Failed(String),
    /// Something for the user.
    Notice(String),
    /// All calls that were decided before this instant are answered.
    Answered(Instant),
}

impl Drop for CallQueue {
    fn drop(&mut self) {
        self.sender.abort();
    }
}

impl CallQueue {
    pub fn start(client: SchedulerClient) -> Self {
        let (queue, inputs) = mpsc::unbounded_channel();
        let (sender, events) = mpsc::unbounded_channel();
        let unanswered = Arc::<Unanswered>::default();
        let counted = Arc::clone(&unanswered);
        let run = async move { Sender::new(&client, sender, counted)?.run(inputs).await };
        CallQueue { queue, sender: tokio::spawn(run), events, unanswered }
    }

    /// Every call carries the framework's id.
    pub fn set_framework_id(&self, framework: &FrameworkId) {
        let _ = self.queue.send(Input::Framework(framework.clone()));
    }

    /// How many calls are not answered.
    pub fn unanswered(&self) -> &Arc<Unanswered> {
        &self.unanswered
    }

    pub fn send(&self, call: Call) {
        match &call {
            // A task's data may contain a password.
            Call::Accept { tasks, .. } => {
                let tasks = tasks.iter().map(|task| &task.task_id.value);
                tracing::debug!(tasks = ?tasks.collect::<Vec<_>>(), "ACCEPT");
            }
            call => tracing::debug!(?call),
        }
        self.unanswered.add();
        // The queue is closed if a call has failed; then the subscription is about to end, too.
        let _ = self.queue.send(Input::Call(call));
    }

    /// Has [`Report::Answered`] reported when all calls that were decided before `now` are answered. What comes later
    /// is not waited for.
    pub fn mark(&self, now: Instant) {
        let _ = self.queue.send(Input::Mark(now));
    }

    /// Waits for something to report. Not to be asked again after a failure.
    pub async fn report(&mut self) -> Report {
        tokio::select! {
            biased;
            Some(event) = self.events.recv() => match event {
                SenderEvent::Slowness(slowness) => Report::Notice(slowness.to_string()),
                SenderEvent::Answered(decided_before) => Report::Answered(decided_before),
            },
            ended = &mut self.sender => Report::Failed(match ended {
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
            Err(_) => Err(format!("no answer within {} s", FLUSH.as_secs())),
        }
    }
}
