//! How frameworks come, go, come back, and are removed.

use super::{Effect, Master, event, framework::Framework};
use crate::link::{Answer, Now, RequestId, ToAgent, id_fault, is_terminal};
use mesos::v1::scheduler::Call;
use mesos::v1::{FrameworkInfo, TaskState};
use uuid::Uuid;

impl Master {
    pub(super) fn on_subscribe(&mut self, request: RequestId, call: Call, now: Now) {
        let subscribe = call.subscribe.unwrap_or_default();
        let info = subscribe.framework_info;
        let given = info.id.as_ref().map(|id| id.value.clone()).filter(|id| !id.is_empty());
        let stream_id = Uuid::new_v4().to_string();
        self.effects.push(Effect::Answer(request, Answer::Stream(Some(stream_id.clone()))));

        let known = |id: &String| self.completed.iter().any(|framework| &framework.id == id);
        let fault = role_fault(&info)
            .or_else(|| given.as_ref().filter(|id| known(id)).map(|_| "Framework has been removed".into()))
            .or_else(|| given.as_deref().and_then(id_fault));
        if let Some(fault) = fault {
            self.effects.push(Effect::Event(request, Box::new(event::error(fault))));
            self.effects.push(Effect::Close(request));
            return;
        }

        let id = given.unwrap_or_else(|| {
            let number = self.numbers.frameworks;
            self.numbers.frameworks += 1;
            format!("{}-{number:04}", self.id)
        });
        self.fail_over(&id);
        let framework = self
            .frameworks
            .entry(id.clone())
            .or_insert_with(|| Framework::new(id.clone(), info.clone(), now));
        framework.stream = Some(request);
        framework.stream_id = stream_id;
        framework.recovered = false;
        framework.removal = None;
        framework.reregistered = now.unix;
        framework.next_heartbeat = now.instant;
        framework.filters.clear();
        self.update_framework(&id, info, &subscribe.suppressed_roles, now);
        let master_info = self.master_info();
        self.send(&id, event::subscribed(&id, master_info));
        // As Mesos' master tells its agents of a framework's new address.
        for agent in self.agents.values().filter(|agent| agent.is_connected()) {
            self.effects.push(Effect::Agent(agent.place, ToAgent::Resend(id.clone())));
        }
    }

    /// Ends the subscription that another one takes over.
    fn fail_over(&mut self, framework_id: &str) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        if let Some(old) = framework.stream.take() {
            self.effects.push(Effect::Event(old, Box::new(event::error("Framework failed over"))));
            self.effects.push(Effect::Close(old));
        }
        self.drop_offers(framework_id);
    }

    /// Takes over a new description.
    pub(super) fn update_framework(
        &mut self,
        framework_id: &str,
        mut info: FrameworkInfo,
        suppressed: &[String],
        now: Now,
    ) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        info.id = Some(mesos::v1::FrameworkId { value: framework_id.to_owned() });
        framework.info = info;
        framework.suppressed = suppressed.iter().cloned().collect();
        // Offered in the same breath, after what else this input causes.
        self.next_allocation = now.instant;
    }

    pub(super) fn on_closed(&mut self, stream: RequestId, now: Now) {
        let owner = self.frameworks.values_mut().find(|framework| framework.stream == Some(stream));
        let Some(framework) = owner else { return };
        framework.stream = None;
        let id = framework.id.clone();
        let timeout = framework.failover_timeout();
        framework.removal = Some(now.instant + timeout);
        self.drop_offers(&id);
        if timeout.is_zero() {
            self.remove_framework(&id, TaskState::TaskKilled, now);
        }
    }

    pub(super) fn expire_frameworks(&mut self, now: Now) {
        let due = |framework: &Framework| framework.removal.is_some_and(|at| at <= now.instant);
        let expired: Vec<String> =
            self.frameworks.values().filter(|f| due(f)).map(|framework| framework.id.clone()).collect();
        for id in expired {
            self.remove_framework(&id, TaskState::TaskKilled, now);
        }
    }

    /// Ends a framework with all that it has; its tasks count as `state`.
    pub(super) fn remove_framework(&mut self, framework_id: &str, state: TaskState, now: Now) {
        self.drop_offers(framework_id);
        let Some(mut framework) = self.frameworks.remove(framework_id) else { return };
        if let Some(stream) = framework.stream.take() {
            self.effects.push(Effect::Close(stream));
        }
        for agent in self.agents.values().filter(|agent| agent.is_connected()) {
            self.effects.push(Effect::Agent(agent.place, ToAgent::RemoveFramework(framework_id.to_owned())));
        }
        let tasks: Vec<String> = framework.tasks.keys().cloned().collect();
        for id in tasks {
            if let Some(task) = framework.tasks.get_mut(&id).filter(|task| !is_terminal(task.state)) {
                task.state = state;
            }
            framework.complete(&id);
        }
        framework.executors.clear();
        framework.removal = None;
        framework.unregistered = Some(now.unix);
        self.completed.push_back(framework);
        if self.completed.len() > super::REMEMBERED {
            self.completed.pop_front();
        }
        self.next_allocation = now.instant;
    }
}

/// What is wrong with the framework's roles, if anything.
fn role_fault(info: &FrameworkInfo) -> Option<String> {
    super::roles(info).iter().find_map(|role| {
        let fault = fault_of_role(role)?;
        Some(format!("'FrameworkInfo.roles' contains invalid role: {fault}"))
    })
}

fn fault_of_role(role: &str) -> Option<String> {
    if role == "*" {
        return None;
    }
    if role.is_empty() {
        return Some("Empty role name is invalid".into());
    }
    if role.starts_with('/') {
        return Some(format!("Role '{role}' cannot start with a slash"));
    }
    if role.ends_with('/') {
        return Some(format!("Role '{role}' cannot end with a slash"));
    }
    let part_fault = |part: &str| {
        part.is_empty()
            || matches!(part, "." | ".." | "*")
            || part.starts_with('-')
            || part.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\')
    };
    role.split('/').any(part_fault).then(|| format!("Role '{role}' contains invalid characters or parts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_checked() {
        for good in ["*", "mining", "a/b", "with-dash", "with_underscore"] {
            assert_eq!(fault_of_role(good), None, "{good}");
        }
        for bad in ["", "a/", "/a", "b c", "a//b", "..", "-a"] {
            assert!(fault_of_role(bad).is_some(), "{bad:?}");
        }
    }
}
