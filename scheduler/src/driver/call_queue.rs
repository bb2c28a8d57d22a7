//! The calls of one subscription, sent one after the other in the order in which they were decided.

use std::time::Duration;

use mesos::CallError;
use mesos::scheduler::SchedulerClient;
use mesos::v1::FrameworkId;
use mesos::v1::scheduler::Call as WireCall;
use mesos::v1::scheduler::call::Type;
use program::chain;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::event::Call;
use crate::wire;

/// Time for the last calls to be answered.
const FLUSH: Duration = Duration::from_secs(10);

/// A queue, and the task that empties it until a call fails.
pub(super) struct CallQueue {
    framework: Option<FrameworkId>,
    queue: mpsc::UnboundedSender<WireCall>,
    sender: JoinHandle<Result<(), CallError>>,
}

impl Drop for CallQueue {
    fn drop(&mut self) {
        self.sender.abort();
    }
}

impl CallQueue {
    pub fn start(client: SchedulerClient) -> Self {
        let (queue, receiver) = mpsc::unbounded_channel();
        CallQueue { framework: None, queue, sender: tokio::spawn(send(client, receiver)) }
    }

    /// Every call carries the framework's id.
    pub fn set_framework_id(&mut self, framework: &FrameworkId) {
        self.framework = Some(framework.clone());
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
        if let Some(call) = self.framework.as_ref().and_then(|framework| wire::call(framework, call)) {
            // The queue is closed if a call has failed; then the subscription is about to end, too.
            let _ = self.queue.send(call);
        }
    }

    /// Waits until a call fails; why.
    pub async fn failed(&mut self) -> String {
        match (&mut self.sender).await {
            Ok(Err(error)) => chain(&error),
            Ok(Ok(())) => "calls have ended".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// Waits until all calls are answered.
    pub async fn flush(mut self) -> Result<(), String> {
        self.queue = mpsc::unbounded_channel().0;
        match timeout(FLUSH, &mut self.sender).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error))) => Err(chain(&error)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", FLUSH.as_secs())),
        }
    }
}

async fn send(
    client: SchedulerClient,
    mut queue: mpsc::UnboundedReceiver<WireCall>,
) -> Result<(), CallError> {
    while let Some(call) = queue.recv().await {
        match client.call(&call).await {
            Ok(()) => {}
            Err(error) if concerns_this_call_only(&call, &error) => tracing::error!("{}", chain(&error)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether only this call is refused, so that the others go on. If it is about credentials or the connection, all calls
/// would fail; and if TEARDOWN fails, nothing has ended.
fn concerns_this_call_only(call: &WireCall, error: &CallError) -> bool {
    let all =
        error.is_transient() || error.concerns_credentials() || matches!(error, CallError::Connect { .. });
    !all && call.r#type() != Type::Teardown
}
