//! Sends calls to the agent one after the other, so that updates arrive in the order in which they were made.

use std::time::Duration;

use mesos::CallError;
use mesos::executor::ExecutorClient;
use mesos::v1::executor::Call;
use mesos::v1::executor::call::Type;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::debug;

/// The pause before an update is repeated for an agent that is not ready. A recovering agent accepts subscriptions at once,
/// but updates only after its executors have reregistered, up to 2 s later.
const NOT_READY_PAUSE: Duration = Duration::from_millis(200);
/// How long the process waits at its end for queued calls.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// The queue. The state machine bounds it: it holds no more than the unacknowledged updates and some messages.
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
        // The receiver lives as long as the queue.
        let _ = self.queue.send(call);
    }

    /// Waits for the next update that cannot be sent. The subscription is useless then.
    pub async fn failed(&mut self) -> CallError {
        match self.failures.recv().await {
            Some(error) => error,
            None => std::future::pending().await,
        }
    }

    /// Waits a short time for all calls to be sent.
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
            // A message may be lost; an update must not.
            if call.r#type() == Type::Update {
                let _ = failures.send(error);
            }
        }
    }
}

/// Sends a call, and repeats an update for an agent that is not ready: giving up the subscription would lose the events
/// that the agent sends before the next one. If the agent dies meanwhile, the next attempt fails.
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
