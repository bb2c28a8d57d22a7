//! The status update manager: per task one unacknowledged update at a time, repeated until the scheduler
//! acknowledges it.

use super::{Agent, Effect};
use crate::link::{Now, ToMaster, is_terminal};
use mesos::v1::{TaskState, TaskStatus};
use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// First time between repeats; doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_secs(10);
/// Longest time between repeats.
const RETRY_MAX: Duration = Duration::from_secs(600);

/// The updates of one task.
#[derive(Clone, Debug, Default)]
pub(super) struct UpdateStream {
    /// The first has been sent and waits for its acknowledgement.
    pending: VecDeque<TaskStatus>,
    /// All that ever came: an executor may send one twice.
    seen: HashSet<Vec<u8>>,
    /// When the first is repeated; none: it has not been sent.
    pub retry_at: Option<Instant>,
    interval: Duration,
    /// A terminal update came: nothing after it counts.
    ended: bool,
}

impl UpdateStream {
    /// Takes an update in. False: it is known already, or the task has ended.
    pub fn push(&mut self, status: TaskStatus) -> bool {
        if self.ended || !self.seen.insert(status.uuid.clone().unwrap_or_default()) {
            return false;
        }
        self.ended = is_terminal(status.state());
        self.pending.push_back(status);
        true
    }

    /// Whether this update came before.
    pub fn has_seen(&self, status: &TaskStatus) -> bool {
        status.uuid.as_ref().is_some_and(|uuid| self.seen.contains(uuid))
    }

    /// Whether a terminal update came.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The update to send now, if one is due.
    fn due(&mut self, now: Instant) -> Option<&TaskStatus> {
        let first = self.pending.front()?;
        match self.retry_at {
            Some(at) if at > now => return None,
            Some(_) => self.interval = (self.interval * 2).min(RETRY_MAX),
            None => self.interval = RETRY_MIN,
        }
        self.retry_at = Some(now + self.interval);
        Some(first)
    }

    /// Sends again at the next occasion, whatever the time.
    pub fn resend(&mut self) {
        self.retry_at = None;
    }

    /// Handles an acknowledgement; true if it was the awaited one.
    fn acknowledge(&mut self, uuid: &[u8]) -> bool {
        if self.pending.front().is_none_or(|first| first.uuid.as_deref() != Some(uuid)) {
            return false;
        }
        self.pending.pop_front();
        self.retry_at = None;
        true
    }

    /// Whether the last update has been acknowledged.
    fn is_done(&self) -> bool {
        self.ended && self.pending.is_empty()
    }

    /// The newest state.
    pub fn latest(&self) -> Option<TaskState> {
        self.pending.back().map(TaskStatus::state)
    }

    /// The update that waits for its acknowledgement.
    pub fn first(&self) -> Option<&TaskStatus> {
        self.pending.front()
    }
}

impl Agent {
    /// Sends what is due of a framework's updates.
    pub(super) fn forward(&mut self, framework_id: &str, now: Now) {
        if self.id.is_none() || self.recovering.is_some() {
            return;
        }
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        for stream in framework.updates.values_mut() {
            let latest = stream.latest();
            if let (Some(status), Some(latest)) = (stream.due(now.instant), latest) {
                let status = Box::new(status.clone());
                let framework_id = framework_id.to_owned();
                self.effects.push(Effect::Master(ToMaster::Update { framework_id, status, latest }));
            }
        }
    }

    pub(super) fn forward_all(&mut self, now: Now) {
        let ids: Vec<String> = self.frameworks.keys().cloned().collect();
        ids.iter().for_each(|id| self.forward(id, now));
    }

    /// Sends all first updates again: a new master may not know them.
    pub(super) fn resend_all(&mut self, now: Now) {
        self.frameworks.values_mut().flat_map(|f| f.updates.values_mut()).for_each(UpdateStream::resend);
        self.forward_all(now);
    }

    /// The same for one framework, whose scheduler is back.
    pub(super) fn resend(&mut self, framework_id: &str, now: Now) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        framework.updates.values_mut().for_each(UpdateStream::resend);
        self.forward(framework_id, now);
    }

    pub(super) fn on_acknowledged(&mut self, framework_id: &str, task_id: &str, uuid: &[u8], now: Now) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        let Some(stream) = framework.updates.get_mut(task_id) else { return };
        if !stream.acknowledge(uuid) {
            tracing::debug!(task_id, "an acknowledgement of no awaited update");
            return;
        }
        if stream.is_done() {
            framework.updates.remove(task_id);
            self.forget_if_empty(framework_id);
        } else {
            self.forward(framework_id, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: TaskState, uuid: u8) -> TaskStatus {
        TaskStatus { state: state as i32, uuid: Some(vec![uuid; 16]), ..Default::default() }
    }

    #[test]
    fn one_by_one_and_repeated() {
        let start = Instant::now();
        let mut stream = UpdateStream::default();
        assert!(stream.push(status(TaskState::TaskStarting, 1)));
        assert!(!stream.push(status(TaskState::TaskStarting, 1)), "the same one again");
        assert!(stream.push(status(TaskState::TaskRunning, 2)));
        assert_eq!(stream.due(start).unwrap().state(), TaskState::TaskStarting);
        assert!(stream.due(start + Duration::from_secs(9)).is_none());
        assert_eq!(stream.due(start + Duration::from_secs(10)).unwrap().state(), TaskState::TaskStarting);
        assert!(stream.due(start + Duration::from_secs(29)).is_none(), "waits longer each time");
        assert!(!stream.acknowledge(&[2; 16]), "not its turn");
        assert!(stream.acknowledge(&[1; 16]));
        assert_eq!(stream.due(start + Duration::from_secs(11)).unwrap().state(), TaskState::TaskRunning);
        assert!(stream.acknowledge(&[2; 16]));
        assert!(!stream.is_done());
        assert!(stream.push(status(TaskState::TaskFinished, 3)));
        assert!(!stream.push(status(TaskState::TaskRunning, 4)), "nothing after the end");
        assert!(!stream.is_done());
        assert!(stream.acknowledge(&[3; 16]));
        assert!(stream.is_done());
    }
}
