//! Sends calls to the agent one at a time, so that status updates arrive in the order in which they were created.

use std::time::Duration;

use mesos::CallError;
use mesos::executor::ExecutorClient;
use mesos::v1::executor::Call;
use mesos::v1::executor::call::Type;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::debug;

/// The pause before an update is sent again to an agent that was not ready. A recovering agent accepts subscriptions
/// immediately, but accepts updates only after its executors have reregistered, up to 2 s later.
const NOT_READY_PAUSE: Duration = Duration::from_millis(200);
/// Before the process exits, it waits at most this long for queued calls to be sent.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// The calls that wait to be sent. Their queue needs no limit: it holds only the unacknowledged updates and a few other calls.
pub(super) struct Calls {
    queue: mpsc::UnboundedSender<Call>,
    failures: mpsc::UnboundedReceiver<CallError>,
    sender: JoinHandle<()>,
}

impl Calls {
    pub fn start(client: ExecutorClient) -> Self {
        let (queue, calls) = mpsc::unbounded_channel();
        let (report_failure, failures) = mpsc::unbounded_channel();
        let sender = tokio::spawn(send_all(client, calls, report_failure));
        Calls { queue, failures, sender }
    }

    pub fn send(&self, call: Call) {
        // Cannot fail: the task that receives the calls ends only when the queue is dropped.
        let _ = self.queue.send(call);
    }

    /// Waits until sending an update fails. The executor must then subscribe again.
    pub async fn failed(&mut self) -> CallError {
        match self.failures.recv().await {
            Some(error) => error,
            None => std::future::pending().await,
        }
    }

    /// Waits at most [`FLUSH_TIMEOUT`] for all queued calls to be sent.
    pub async fn flush(self) {
        drop(self.queue);
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, self.sender).await;
    }
}

async fn send_all(
    client: ExecutorClient,
    mut calls: mpsc::UnboundedReceiver<Call>,
    failures: mpsc::UnboundedSender<CallError>,
) {
    while let Some(call) = calls.recv().await {
        if let Err(error) = send(&client, &call).await {
            debug!(%error, "a call failed");
            // Report only the failure of UPDATE calls. A MESSAGE call that fails is not repeated.
            if call.r#type() == Type::Update {
                let _ = failures.send(error);
            }
        }
    }
}

/// Sends a call. If the agent is not ready for an update, sends the update again after a pause. The executor keeps its
/// subscription meanwhile: with a new one, it would lose events that the agent has sent on the old one. If the agent dies, the
/// next attempt fails.
async fn send(client: &ExecutorClient, call: &Call) -> Result<(), CallError> {
    loop {
        match client.call(call).await {
            Err(CallError::NotReady { .. }) if call.r#type() == Type::Update => {
                tokio::time::sleep(NOT_READY_PAUSE).await;
            }
            result => return result,
        }
    }
}
