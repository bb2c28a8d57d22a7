//! What operators want of agents: that nothing more is launched there, or that they are emptied, and used again later.

use super::{Effect, Master};
use crate::link::{Answer, Now, RequestId, ToAgent};
use crate::operator::master::{Call, DrainConfig, DrainInfo, call, call::Type, drain_info::State};
use mesos::v1::DurationInfo;
use std::time::Duration;

/// What operators want of an agent.
#[derive(Clone, Debug, Default)]
pub enum Standing {
    /// Nothing in particular.
    #[default]
    Active,
    /// Nothing is offered there; what runs goes on.
    Deactivated,
    /// The same, and its tasks end.
    Draining {
        /// As it was asked for.
        config: DrainConfig,
        /// Since the Unix epoch.
        since: Duration,
    },
}

/// Whether a call of the operator API changes something; all others only look.
pub fn is_change(call: &Call) -> bool {
    matches!(call.r#type(), Type::DrainAgent | Type::DeactivateAgent | Type::ReactivateAgent)
}

impl Master {
    pub(super) fn on_operator(&mut self, request: RequestId, call: Call, now: Now) {
        let done = match call.r#type() {
            Type::DrainAgent => {
                named("drain_agent", call.drain_agent).and_then(|drain| self.on_drain(drain, now))
            }
            Type::DeactivateAgent => named("deactivate_agent", call.deactivate_agent)
                .and_then(|call| self.deactivate(&call.agent_id.value)),
            Type::ReactivateAgent => named("reactivate_agent", call.reactivate_agent)
                .and_then(|call| self.reactivate(&call.agent_id.value, now)),
            other => Err(format!("{} changes nothing", other.as_str_name())),
        };
        let answer = done.map_or_else(Answer::bad, |()| Answer::Done);
        self.effects.push(Effect::Answer(request, answer));
    }

    fn on_drain(&mut self, drain: call::DrainAgent, now: Now) -> Result<(), String> {
        if drain.mark_gone() {
            return Err("The embedded cluster cannot mark agents gone".into());
        }
        let max_grace_period = drain.max_grace_period.map(|period| {
            let seconds = period.seconds().saturating_mul(1_000_000_000);
            DurationInfo { nanoseconds: seconds.saturating_add(period.nanos().into()) }
        });
        let config = DrainConfig { max_grace_period, mark_gone: Some(false) };
        let id = drain.agent_id.value;
        *self.standing(&id)? = Standing::Draining { config, since: now.unix };
        self.rescind_all_of(&id);
        self.drain(&id);
        Ok(())
    }

    fn deactivate(&mut self, id: &str) -> Result<(), String> {
        let standing = self.standing(id)?;
        if matches!(standing, Standing::Active) {
            *standing = Standing::Deactivated;
            self.rescind_all_of(id);
        }
        Ok(())
    }

    fn reactivate(&mut self, id: &str, now: Now) -> Result<(), String> {
        let is_drained = self.is_drained(id);
        match self.standing(id) {
            Err(_) | Ok(Standing::Active) => return Err("Agent is not deactivated".into()),
            Ok(Standing::Draining { .. }) if !is_drained => {
                return Err("Agent is still in the DRAINING state".into());
            }
            Ok(standing) => *standing = Standing::Active,
        }
        self.next_allocation = now.instant;
        Ok(())
    }

    fn standing(&mut self, id: &str) -> Result<&mut Standing, String> {
        let agent = self.agents.get_mut(id).filter(|agent| !agent.removed);
        agent.map(|agent| &mut agent.standing).ok_or_else(|| "Unknown agent".to_owned())
    }

    /// Has an agent that is to be emptied end its tasks, as far as it has any.
    pub(super) fn drain(&mut self, id: &str) {
        let Some(Standing::Draining { config, .. }) = self.agents.get(id).map(|agent| &agent.standing) else {
            return;
        };
        let longest = config.max_grace_period;
        if !self.is_drained(id) {
            self.tell(id, ToAgent::Drain(longest));
        }
    }

    /// Whether no task is left there whose end the framework has not acknowledged.
    fn is_drained(&self, id: &str) -> bool {
        !self.frameworks.values().any(|f| f.tasks.values().any(|task| task.agent_id() == id))
    }

    /// What is shown of an agent that is being emptied, and since when it is.
    pub(super) fn drain_info(&self, id: &str) -> Option<(DrainInfo, Duration)> {
        let Standing::Draining { config, since } = &self.agents.get(id)?.standing else { return None };
        let state = if self.is_drained(id) { State::Drained } else { State::Draining };
        Some((DrainInfo { state: state as i32, config: *config }, *since))
    }
}

fn named<T>(field: &str, part: Option<T>) -> Result<T, String> {
    part.ok_or_else(|| format!("Failed to validate master::Call: Expecting '{field}' to be present"))
}
