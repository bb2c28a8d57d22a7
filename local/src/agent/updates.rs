//! The status update manager: forwards one update of each task at a time, and repeats it until the scheduler acknowledges it.

use super::{Agent, Effect};
use crate::messages::{Now, ToMaster};
use mesos::v1::{FrameworkId, TaskId, TaskState, TaskStatus};
use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

/// Time after which an unacknowledged update is forwarded again. The time doubles with each repetition, up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_secs(10);
/// Longest time between two repetitions of an unacknowledged update.
const RETRY_MAX: Duration = Duration::from_secs(600);

/// The updates of one task.
#[derive(Clone, Debug, Default)]
pub(super) struct UpdateStream {
    /// Unacknowledged updates, oldest first. The second update is forwarded to the scheduler only after the first one has been
    /// acknowledged.
    pending: VecDeque<TaskStatus>,
    /// The uuids of all updates so far, to recognize an update that the executor sends twice.
    seen: HashSet<Vec<u8>>,
    /// When the first update of `pending` is forwarded again; `None` if it has not been forwarded yet.
    pub retry_at: Option<Instant>,
    interval: Duration,
    /// Whether a terminal update has arrived. Later updates of the task are ignored.
    ended: bool,
}

impl UpdateStream {
    /// Adds an update. Returns `false` if it is a repetition, or if the task has ended.
    pub fn push(&mut self, status: TaskStatus) -> bool {
        if self.ended || !self.seen.insert(status.uuid.clone().unwrap_or_default()) {
            return false;
        }
        self.ended = status.state().is_terminal();
        self.pending.push_back(status);
        true
    }

    /// Whether this update was received before.
    pub fn has_seen(&self, status: &TaskStatus) -> bool {
        status.uuid.as_ref().is_some_and(|uuid| self.seen.contains(uuid))
    }

    /// The update to forward now, and the task's newest state; `None` if no update is due.
    fn due(&mut self, now: Instant) -> Option<(&TaskStatus, TaskState)> {
        let (first, last) = (self.pending.front()?, self.pending.back()?);
        match self.retry_at {
            Some(at) if at > now => return None,
            Some(_) => self.interval = (self.interval * 2).min(RETRY_MAX),
            None => self.interval = RETRY_MIN,
        }
        self.retry_at = Some(now + self.interval);
        Some((first, last.state()))
    }

    /// Handles an acknowledgement. Returns `true` if it is for the first update.
    fn acknowledge(&mut self, uuid: &[u8]) -> bool {
        if self.pending.front().is_none_or(|first| first.uuid.as_deref() != Some(uuid)) {
            return false;
        }
        self.pending.pop_front();
        self.retry_at = None;
        true
    }

    /// Whether the terminal update has been acknowledged.
    fn is_done(&self) -> bool {
        self.ended && self.pending.is_empty()
    }
}

impl Agent {
    /// Forwards those updates of a framework's tasks that are due.
    pub(super) fn forward(&mut self, framework_id: &FrameworkId, now: Now) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        for stream in framework.updates.values_mut() {
            if let Some((status, latest)) = stream.due(now.instant) {
                let (status, framework_id) = (Box::new(status.clone()), framework_id.clone());
                self.effects.push(Effect::Master(ToMaster::Update { framework_id, status, latest }));
            }
        }
    }

    pub(super) fn forward_all(&mut self, now: Now) {
        let ids: Vec<FrameworkId> = self.frameworks.keys().cloned().collect();
        ids.iter().for_each(|id| self.forward(id, now));
    }

    /// Forwards the first update of each task again: the scheduler, which has just subscribed, may have missed it.
    pub(super) fn resend_updates(&mut self, framework_id: &FrameworkId, now: Now) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        framework.updates.values_mut().for_each(|stream| stream.retry_at = None);
        self.forward(framework_id, now);
    }

    pub(super) fn on_acknowledged(
        &mut self,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        uuid: &[u8],
        now: Now,
    ) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        let Some(stream) = framework.updates.get_mut(task_id) else { return };
        if !stream.acknowledge(uuid) {
            tracing::debug!(%task_id, "an acknowledgement that is not for the first update");
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
        assert_eq!(stream.due(start).unwrap().0.state(), TaskState::TaskStarting);
        assert!(stream.due(start + Duration::from_secs(9)).is_none());
        assert_eq!(stream.due(start + Duration::from_secs(10)).unwrap().0.state(), TaskState::TaskStarting);
        assert!(stream.due(start + Duration::from_secs(29)).is_none(), "waits longer each time");
        assert!(!stream.acknowledge(&[2; 16]), "not its turn");
        assert!(stream.acknowledge(&[1; 16]));
        assert_eq!(stream.due(start + Duration::from_secs(11)).unwrap().0.state(), TaskState::TaskRunning);
        assert!(stream.acknowledge(&[2; 16]));
        assert!(!stream.is_done());
        assert!(stream.push(status(TaskState::TaskFinished, 3)));
        assert!(!stream.push(status(TaskState::TaskRunning, 4)), "nothing after the end");
        assert!(!stream.is_done());
        assert!(stream.acknowledge(&[3; 16]));
        assert!(stream.is_done());
    }
}
