//! Calls to the agent, one after the other, so that updates arrive in the order in which they were made.

use std::time::Duration;

use mesos::CallError;
use mesos::executor::ExecutorClient;
use mesos::v1::executor::Call;
use mesos::v1::executor::call::Type;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

/// Pause before an update is sent again to an agent that is not ready for it. One that recovers takes subscriptions at once,
/// but updates only when its executors are back: up to 2 s later.
const NOT_READY: Duration = Duration::from_millis(200);
/// How long the process waits at its end for calls that are under way.
const FLUSH: Duration = Duration::from_millis(500);

enum Job {
    Call(Box<Call>),
    Flush(oneshot::Sender<()>),
}

/// The queue. Bounded by the state machine: it holds no more than what is unacknowledged.
pub(super) struct Calls {
    queue: mpsc::UnboundedSender<Job>,
    failures: mpsc::UnboundedReceiver<CallError>,
}

impl Calls {
    pub fn start(client: ExecutorClient) -> Calls {
        let (queue, jobs) = mpsc::unbounded_channel();
        let (report, failures) = mpsc::unbounded_channel();
        tokio::spawn(send_all(client, jobs, report));
        Calls { queue, failures }
    }

    pub fn send(&self, call: Call) {
        // The task at the other end lives as long as this.
        let _ = self.queue.send(Job::Call(Box::new(call)));
    }

    /// The next update that could not be sent: the subscription is worth nothing then.
    pub async fn failed(&mut self) -> CallError {
        match self.failures.recv().await {
            Some(error) => error,
            None => std::future::pending().await,
        }
    }

    /// Waits until everything is sent, for a short time.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        let _ = self.queue.send(Job::Flush(done));
        let _ = tokio::time::timeout(FLUSH, flushed).await;
    }
}

async fn send_all(
    client: ExecutorClient,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    failures: mpsc::UnboundedSender<CallError>,
) {
    while let Some(job) = jobs.recv().await {
        match job {
            Job::Flush(done) => drop(done.send(())),
            Job::Call(call) => {
                if let Err(error) = send(&client, &call).await {
                    debug!(%error, "a call failed");
                    // A message may be lost; an update may not.
                    if call.r#type() == Type::Update {
                        let _ = failures.send(error);
                    }
                }
            }
        }
    }
}

/// An agent that is not ready is no reason to give the subscription up: events that it sends before the next one would be
/// lost. When it dies meanwhile, the next try fails.
async fn send(client: &ExecutorClient, call: &Call) -> Result<(), CallError> {
    loop {
        match client.call(call).await {
            Err(CallError::NotReady { .. }) if call.r#type() == Type::Update => {
                tokio::time::sleep(NOT_READY).await;
            }
            result => return result,
        }
    }
}
