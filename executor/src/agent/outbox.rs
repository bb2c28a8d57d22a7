//! What must not be lost on the way to the agent.
//!
//! Updates, and tasks of which no update has arrived, are kept until the agent acknowledges them, and go with every
//! new subscription. `ACKNOWLEDGED` means that the agent has an update on disk.

use std::time::SystemTime;

use mesos::executor::{self, Identity};
use mesos::v1::executor::{Call, event};
use mesos::v1::{TaskId, TaskInfo, TaskState, TaskStatus};
use task::Live;

/// The updates, in the order in which they were made.
#[derive(Debug)]
pub(super) struct Outbox {
    identity: Identity,
    connected: bool,
    tasks: Vec<TaskInfo>,
    updates: Vec<TaskStatus>,
    /// How many updates the last subscription carried.
    carried: usize,
}

impl Outbox {
    pub fn new(identity: Identity) -> Outbox {
        Outbox { identity, connected: false, tasks: Vec::new(), updates: Vec::new(), carried: 0 }
    }

    pub fn is_connected(&self) -> bool {
        self.connected
    }

    /// Updates that are not acknowledged.
    pub fn waiting(&self) -> usize {
        self.updates.len()
    }

    /// The SUBSCRIBE call with all that is not acknowledged.
    pub fn subscription(&mut self) -> Call {
        self.carried = self.updates.len();
        executor::subscribe(&self.identity, self.tasks.clone(), self.updates.clone())
    }

    /// The subscription holds. Returns the updates made while it was under way, which it did not carry.
    pub fn connected(&mut self) -> Vec<Call> {
        self.connected = true;
        let missed = self.updates.get(self.carried..).unwrap_or_default();
        missed.iter().map(|status| executor::update(&self.identity, status.clone())).collect()
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

    /// Keeps an update, and returns the call that sends it if there is somebody to send it to.
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

    /// The call that sends a message, which is not kept.
    pub fn message(&self, live: &Live) -> Option<Box<Call>> {
        self.connected.then(|| Box::new(executor::message(&self.identity, live.encode())))
    }
}
