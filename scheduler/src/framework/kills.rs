//! Tasks that are to end: KILL again and again until Mesos says that they have.

use std::time::Instant;

use super::task::Phase;
use super::{Call, Effect, State};

impl State {
    pub(super) fn want_kill(&mut self, id: &str, now: Instant) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        if task.is_over() || task.kill.is_some() && self.killing.contains(id) {
            return;
        }
        task.want_kill(now);
        // A launch that is being written down is called off when that is done.
        if matches!(task.phase, Phase::Sent(_)) {
            self.killing.insert(id.to_owned());
            self.kill_now = true;
        }
    }

    pub(super) fn kill_what_is_due(&mut self, now: Instant) {
        if !self.connected || !std::mem::take(&mut self.kill_now) {
            return;
        }
        for id in &self.killing {
            let Some(task) = self.tasks.get_mut(id) else { continue };
            if task.kill_due(now) {
                let overdue = task.ignores_kills() && !task.record.agent.is_empty();
                let (task, agent) = (id.clone(), task.record.agent.clone());
                self.effects.push(Effect::Call(Call::Kill { task: task.clone(), agent: agent.clone() }));
                if overdue {
                    self.effects.push(Effect::Call(Call::Shutdown { executor: task, agent }));
                }
            }
        }
    }
}
