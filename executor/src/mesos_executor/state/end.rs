//! When the executor ends, and which deadlines it keeps.

use std::time::{Duration, Instant};

use text::InWords;
use tracing::warn;

use super::State;
use crate::mesos_executor::events::Effect;
use crate::mesos_executor::task::Phase;
use crate::runner::TaskError;

/// A connected executor that wants to exit waits at most this long for the agent to acknowledge its updates. An acknowledgement
/// usually takes 2 ms.
const ACKNOWLEDGE_DEADLINE: Duration = Duration::from_secs(5);

impl State {
    pub(super) fn end(&mut self, now: Instant) {
        self.ending = true;
        self.acknowledge_by.get_or_insert(now + ACKNOWLEDGE_DEADLINE);
    }

    /// Handles deadlines, and ends the executor when nothing remains to be done.
    pub(super) fn on_time(&mut self, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some(Phase::Stopping { until, .. }) = self.task.as_ref().map(|task| &task.phase)
            && *until <= now
        {
            effects.push(Effect::Abort);
            effects.extend(self.on_task_ended(Err(TaskError::new("did not end within its grace period"))));
        }
        if self.recovery_deadline().is_some_and(|by| by <= now) {
            let away = InWords(self.env.recovery_timeout);
            effects.extend(self.give_up(format!("the agent has been away for {away}")));
        } else if self.ending && !self.is_busy() {
            effects.extend(self.try_to_end(now));
        }
        effects
    }

    fn try_to_end(&mut self, now: Instant) -> Option<Effect> {
        if self.outbox.is_connected() {
            self.end(now);
        }
        let waiting = self.outbox.unacknowledged();
        let late = [self.acknowledge_by, self.end_by].into_iter().flatten().any(|by| by <= now);
        if late && waiting > 0 {
            warn!(updates = waiting, "ending without the agent's acknowledgement");
        }
        (late || waiting == 0).then(|| Effect::Exit(self.failure.clone().map_or(Ok(()), Err)))
    }
}
