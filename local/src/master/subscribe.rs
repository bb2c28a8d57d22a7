//! How frameworks subscribe, are disconnected, fail over, and are removed.

use super::{Effect, HEARTBEAT, MAX_COMPLETED, Master, framework::Framework};
use crate::messages::{Answer, Now, RequestId, ToAgent, VERSION, id_fault};
use mesos::scheduler::Event;
use mesos::v1::scheduler::{Call, event};
use mesos::v1::{Address, FrameworkId, FrameworkInfo, MasterInfo, TaskId, TaskState, master_info};
use std::net::IpAddr;
use uuid::Uuid;

impl Master {
    pub(super) fn on_subscribe(&mut self, request: RequestId, call: Call, now: Now) {
        let subscribe = call.subscribe.unwrap_or_default();
        let info = subscribe.framework_info;
        let given = info.id.clone().filter(|id| !id.value.is_empty());
        let stream_id = Uuid::new_v4().to_string();
        self.effects.push(Effect::Answer(request, Answer::Stream(Some(stream_id.clone()))));
        if let Some(fault) = self.subscribe_fault(&info, given.as_ref()) {
            self.effects.push(Effect::Send(request, Event::Error(fault)));
            self.effects.push(Effect::Close(request));
            return;
        }
        let id = given.unwrap_or_else(|| {
            self.next_framework += 1;
            format!("{}-{:04}", self.config.id, self.next_framework - 1).into()
        });
        self.fail_over(&id);
        let framework = self
            .frameworks
            .entry(id.clone())
            .or_insert_with(|| Framework::new(id.clone(), info.clone(), now));
        framework.stream = Some(request);
        framework.stream_id = stream_id;
        framework.removal = None;
        framework.reregistered = now.unix;
        framework.next_heartbeat = now.instant;
        framework.filters.clear();
        self.update_framework(&id, info, &subscribe.suppressed_roles, now);
        let subscribed = event::Subscribed {
            framework_id: id.clone(),
            heartbeat_interval_seconds: Some(HEARTBEAT.as_secs_f64()),
            master_info: Some(self.master_info()),
        };
        self.send(&id, Event::Subscribed(Box::new(subscribed)));
        // When a framework subscribes again, a real master also makes the agents resend their unacknowledged updates.
        self.send_to_all_agents(&ToAgent::ResendUpdates(id));
    }

    /// Why a framework may not subscribe; `None` if it may.
    fn subscribe_fault(&self, info: &FrameworkInfo, id: Option<&FrameworkId>) -> Option<String> {
        let is_completed = |id: &FrameworkId| self.completed.iter().any(|framework| framework.id == *id);
        roles_fault(info)
            .or_else(|| id.filter(|id| is_completed(id)).map(|_| "Framework has been removed".into()))
            .or_else(|| id.and_then(|id| id_fault(&id.value)))
    }

    /// Ends the framework's current subscription, if any, because a new one replaces it.
    fn fail_over(&mut self, framework_id: &FrameworkId) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        if let Some(old) = framework.stream.take() {
            self.effects.push(Effect::Send(old, Event::Error("Framework failed over".into())));
            self.effects.push(Effect::Close(old));
        }
        self.drop_offers(framework_id);
    }

    /// Replaces a framework's description.
    pub(super) fn update_framework(
        &mut self,
        framework_id: &FrameworkId,
        info: FrameworkInfo,
        suppressed_roles: &[String],
        now: Now,
    ) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        framework.info = FrameworkInfo { id: Some(framework_id.clone()), ..info };
        framework.suppressed_roles = suppressed_roles.iter().cloned().collect();
        // The allocation is due immediately, so new offers follow the other effects of this event.
        self.next_allocation = now.instant;
    }

    pub(super) fn on_closed(&mut self, stream: RequestId, now: Now) {
        let owner = self.frameworks.values_mut().find(|framework| framework.stream == Some(stream));
        let Some(framework) = owner else { return };
        framework.stream = None;
        framework.removal = Some(now.instant + framework.failover_timeout());
        let id = framework.id.clone();
        self.drop_offers(&id);
    }

    pub(super) fn expire_frameworks(&mut self, now: Now) {
        let is_due = |framework: &&Framework| framework.removal.is_some_and(|at| at <= now.instant);
        let expired: Vec<FrameworkId> =
            self.frameworks.values().filter(is_due).map(|f| f.id.clone()).collect();
        expired.iter().for_each(|id| self.remove_framework(id, now));
    }

    /// Removes a framework; its tasks count as killed.
    pub(super) fn remove_framework(&mut self, framework_id: &FrameworkId, now: Now) {
        self.drop_offers(framework_id);
        let Some(mut framework) = self.frameworks.remove(framework_id) else { return };
        if let Some(stream) = framework.stream.take() {
            self.effects.push(Effect::Close(stream));
        }
        self.send_to_all_agents(&ToAgent::ShutdownFramework(framework_id.clone()));
        let tasks: Vec<TaskId> = framework.tasks.keys().cloned().collect();
        for id in tasks {
            if let Some(task) = framework.tasks.get_mut(&id).filter(|task| !task.state.is_terminal()) {
                task.state = TaskState::TaskKilled;
            }
            framework.complete(&id);
        }
        framework.executors.clear();
        framework.removal = None;
        framework.unregistered = Some(now.unix);
        self.completed.push_back(framework);
        if self.completed.len() > MAX_COMPLETED {
            self.completed.pop_front();
        }
        self.next_allocation = now.instant;
    }

    pub(super) fn send_heartbeats(&mut self, now: Now) {
        for framework in self.frameworks.values_mut().filter(|f| f.next_heartbeat <= now.instant) {
            let Some(stream) = framework.stream else { continue };
            framework.next_heartbeat = now.instant + HEARTBEAT;
            self.effects.push(Effect::Send(stream, Event::Heartbeat));
        }
    }

    fn master_info(&self) -> MasterInfo {
        let address = self.config.address;
        let ip = address.ip().to_string();
        let capability = master_info::capability::Type::AgentUpdate;
        MasterInfo {
            id: self.config.id.clone(),
            ip: match address.ip() {
                IpAddr::V4(v4) => u32::from_le_bytes(v4.octets()),
                IpAddr::V6(_) => 0,
            },
            port: u32::from(address.port()),
            pid: Some(format!("master@{address}")),
            hostname: Some(ip.clone()),
            version: Some(VERSION.into()),
            address: Some(Address {
                hostname: Some(ip.clone()),
                ip: Some(ip),
                port: i32::from(address.port()),
            }),
            capabilities: vec![master_info::Capability { r#type: Some(capability.into()) }],
            ..Default::default()
        }
    }
}

/// Why the framework's roles are invalid; `None` if they are valid.
fn roles_fault(info: &FrameworkInfo) -> Option<String> {
    let fault = super::roles(info).iter().find_map(|role| role_fault(role))?;
    Some(format!("'FrameworkInfo.roles' contains invalid role: {fault}"))
}

fn role_fault(role: &str) -> Option<String> {
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
    let is_bad = |part: &str| {
        part.is_empty()
            || matches!(part, "." | ".." | "*")
            || part.starts_with('-')
            || part.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\')
    };
    role.split('/').any(is_bad).then(|| format!("Role '{role}' contains invalid characters or parts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_checked() {
        for good in ["*", "mining", "a/b", "with-dash", "with_underscore"] {
            assert_eq!(role_fault(good), None, "{good}");
        }
        for bad in ["", "a/", "/a", "b c", "a//b", "..", "-a"] {
            assert!(role_fault(bad).is_some(), "{bad:?}");
        }
    }
}
