//! The status updates that the agent has not acknowledged.
//!
//! Each SUBSCRIBE call carries these updates. It also carries each task for which the agent has not acknowledged any update.
//! `ACKNOWLEDGED` means that the agent has written an update to its disk.

use std::time::SystemTime;

use mesos::executor::{self, Identity};
use mesos::v1::executor::{Call, event};
use mesos::v1::{TaskId, TaskInfo, TaskState, TaskStatus};
use task::Message;

/// The unacknowledged updates, in the order in which they were created.
#[derive(Debug)]
pub(super) struct Outbox {
    identity: Identity,
    connected: bool,
    tasks: Vec<TaskInfo>,
    updates: Vec<TaskStatus>,
    /// The number of updates that the last SUBSCRIBE call carried. Later updates are sent when the agent has accepted the
    /// subscription.
    carried: usize,
}

impl Outbox {
    pub fn new(identity: Identity) -> Self {
        Outbox { identity, connected: false, tasks: Vec::new(), updates: Vec::new(), carried: 0 }
    }

    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// The number of unacknowledged updates.
    pub fn unacknowledged(&self) -> usize {
        self.updates.len()
    }

    /// The SUBSCRIBE call, with the unacknowledged updates and tasks.
    pub fn subscription(&mut self) -> Call {
        self.carried = self.updates.len();
        executor::subscribe(&self.identity, self.tasks.clone(), self.updates.clone())
    }

    /// The agent accepted the subscription. Returns the calls that send the updates created after the SUBSCRIBE call, because
    /// that call did not carry these updates.
    pub fn connected(&mut self) -> Vec<Call> {
        self.connected = true;
        let not_carried = self.updates.get(self.carried..).unwrap_or_default();
        not_carried.iter().map(|status| executor::update(&self.identity, status.clone())).collect()
    }

    pub fn disconnected(&mut self) {
        self.connected = false;
    }

    pub fn launched(&mut self, task: TaskInfo) {
        self.tasks.push(task);
    }

    pub fn acknowledged(&mut self, acknowledged: &event::Acknowledged) {
        self.updates.retain(|status| status.uuid.as_ref() != Some(&acknowledged.uuid));
        self.tasks.retain(|task| task.task_id != acknowledged.task_id);
    }

    /// Adds an update. Returns the call that sends it, if the agent is connected.
    pub fn update(
        &mut self,
        task_id: TaskId,
        state: TaskState,
        text: Option<String>,
        data: Option<Vec<u8>>,
        healthy: Option<bool>,
    ) -> Option<Box<Call>> {
        let mut status = executor::status(&self.identity, task_id, state, SystemTime::now());
        status.message = text;
        status.data = data;
        status.healthy = healthy;
        self.updates.push(status.clone());
        self.connected.then(|| Box::new(executor::update(&self.identity, status)))
    }

    /// The call that sends a message, if the agent is connected. Messages are not stored.
    pub fn message(&self, message: &Message) -> Option<Box<Call>> {
        self.connected.then(|| Box::new(executor::message(&self.identity, message.encode())))
    }
}
