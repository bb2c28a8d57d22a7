//! Scheduler calls: what is refused by HTTP, and what each of the small ones does.

use super::{Effect, Master, framework::Framework};
use crate::link::{Answer, Now, RequestId, ToAgent, is_terminal, valid_uuid};
use mesos::v1::scheduler::{Call, call, call::Type};
use mesos::v1::{self, TaskState};

impl Master {
    pub(super) fn on_call(&mut self, request: RequestId, stream_id: Option<String>, call: Call, now: Now) {
        let answer = match validate(&call) {
            Err(fault) => Answer::bad(format!("Failed to validate scheduler::Call: {fault}")),
            Ok(Type::Subscribe) if stream_id.is_some() => {
                Answer::bad("Subscribe calls should not include the 'Mesos-Stream-Id' header")
            }
            Ok(Type::Subscribe) => return self.on_subscribe(request, call, now),
            Ok(kind) => match self.admit(&call, stream_id.as_deref()) {
                Err(refusal) => refusal,
                Ok(framework_id) => {
                    self.effects.push(Effect::Answer(request, Answer::Accepted));
                    return self.obey(kind, framework_id, call, now);
                }
            },
        };
        self.effects.push(Effect::Answer(request, answer));
    }

    /// The framework of the call, if it may speak.
    fn admit(&self, call: &Call, stream_id: Option<&str>) -> Result<String, Answer> {
        let id = call.framework_id.as_ref().map_or("", |id| id.value.as_str());
        let Some(framework) = self.frameworks.get(id) else {
            return Err(Answer::bad("Framework cannot be found"));
        };
        if framework.stream.is_none() {
            return Err(Answer::Refused(403, "Framework is not subscribed".into()));
        }
        let Some(stream_id) = stream_id else {
            return Err(Answer::bad("All non-subscribe calls should include the 'Mesos-Stream-Id' header"));
        };
        if stream_id != framework.stream_id {
            return Err(Answer::bad(format!(
                "The stream ID '{stream_id}' included in this request didn't match the stream ID currently \
                 associated with framework ID {id}"
            )));
        }
        Ok(id.to_owned())
    }

    fn obey(&mut self, kind: Type, framework_id: String, call: Call, now: Now) {
        match kind {
            Type::Teardown => self.remove_framework(&framework_id, TaskState::TaskKilled, now),
            Type::Accept => self.accept(&framework_id, call.accept.unwrap_or_default(), now),
            Type::Decline => self.decline(&framework_id, &call.decline.unwrap_or_default(), now),
            Type::Revive => self.revive(&framework_id, &call.revive.unwrap_or_default().roles, now),
            Type::Suppress => {
                let roles = call.suppress.unwrap_or_default().roles;
                if let Some(framework) = self.frameworks.get_mut(&framework_id) {
                    framework.suppressed.extend(named_or_all(&framework.info, roles));
                }
            }
            Type::Kill => self.kill(&framework_id, call.kill.unwrap_or_default(), now),
            Type::Shutdown => {
                let shutdown = call.shutdown.unwrap_or_default();
                let executor_id = shutdown.executor_id.value;
                self.tell(&shutdown.agent_id.value, ToAgent::Shutdown { framework_id, executor_id });
            }
            Type::Acknowledge => self.acknowledge(framework_id, call.acknowledge.unwrap_or_default()),
            Type::Reconcile => self.reconcile(&framework_id, &call.reconcile.unwrap_or_default(), now),
            Type::Message => {
                let message = call.message.unwrap_or_default();
                let executor_id = message.executor_id.value;
                let data = message.data;
                self.tell(&message.agent_id.value, ToAgent::Message { framework_id, executor_id, data });
            }
            Type::UpdateFramework => {
                let update = call.update_framework.unwrap_or_default();
                self.update_framework(&framework_id, update.framework_info, &update.suppressed_roles, now);
            }
            // No operations, no maintenance and no requests here: well-formed, and without effect.
            Type::Unknown
            | Type::Subscribe
            | Type::AcceptInverseOffers
            | Type::DeclineInverseOffers
            | Type::AcknowledgeOperationStatus
            | Type::ReconcileOperations
            | Type::Request => {}
        }
    }

    /// Tells an agent something, if it is connected.
    pub(super) fn tell(&mut self, agent_id: &str, message: ToAgent) {
        if let Some(agent) = self.agents.get(agent_id).filter(|agent| agent.is_connected()) {
            self.effects.push(Effect::Agent(agent.place, message));
        }
    }

    fn decline(&mut self, framework_id: &str, decline: &call::Decline, now: Now) {
        for id in &decline.offer_ids {
            let ours = self.offers.get(&id.value).is_some_and(|offer| offer.framework_id == framework_id);
            if let Some(offer) = ours.then(|| self.offers.remove(&id.value)).flatten() {
                self.refuse(&offer, offer.resources.clone(), decline.filters.as_ref(), now);
            }
        }
    }

    fn revive(&mut self, framework_id: &str, roles: &[String], now: Now) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        let roles = named_or_all(&framework.info, roles.to_vec());
        framework.suppressed.retain(|role| !roles.contains(role));
        framework.filters.retain(|filter| !roles.contains(&filter.role));
        self.allocate(now);
    }

    fn kill(&mut self, framework_id: &str, kill: call::Kill, now: Now) {
        let task_id = kill.task_id.value;
        let Some(framework) = self.frameworks.get(framework_id) else { return };
        let Some(agent_id) = framework.tasks.get(&task_id).map(|task| task.agent_id().to_owned()) else {
            // Mesos takes a KILL of an unknown task for a question about it.
            let task =
                call::reconcile::Task { task_id: v1::TaskId { value: task_id }, agent_id: kill.agent_id };
            return self.reconcile_one(framework_id, &task, now);
        };
        if let Some(agent) = self.agents.get_mut(&agent_id).filter(|agent| !agent.is_connected()) {
            agent.kill_later.insert((framework_id.to_owned(), task_id));
            return;
        }
        let framework_id = framework_id.to_owned();
        self.tell(&agent_id, ToAgent::Kill { framework_id, task_id, policy: kill.kill_policy });
    }

    fn acknowledge(&mut self, framework_id: String, acknowledge: call::Acknowledge) {
        let task_id = acknowledge.task_id.value;
        let uuid = acknowledge.uuid;
        if let Some(framework) = self.frameworks.get_mut(&framework_id) {
            let ended = framework.tasks.get(&task_id).is_some_and(|task| {
                task.forwarded.as_ref().is_some_and(|(state, sent)| is_terminal(*state) && *sent == uuid)
            });
            if ended {
                framework.complete(&task_id);
            }
        }
        let agent_id = acknowledge.agent_id.value;
        self.tell(&agent_id, ToAgent::Acknowledge { framework_id, task_id, uuid });
    }
}

/// The named roles; none: all of the framework.
pub(super) fn named_or_all(info: &v1::FrameworkInfo, named: Vec<String>) -> Vec<String> {
    if named.is_empty() { super::roles(info) } else { named }
}

/// What kind of call it is, if it is whole.
fn validate(call: &Call) -> Result<Type, String> {
    let kind = call.r#type();
    if kind == Type::Unknown {
        return Err("Expecting 'type' to be present".into());
    }
    let missing = |field: &str| Err(format!("Expecting '{field}' to be present"));
    if kind == Type::Subscribe {
        let Some(subscribe) = &call.subscribe else { return missing("subscribe") };
        let inner = subscribe.framework_info.id.as_ref().map_or("", |id| id.value.as_str());
        let outer = call.framework_id.as_ref().map_or("", |id| id.value.as_str());
        if inner != outer {
            return Err("'framework_id' differs from 'subscribe.framework_info.id'".into());
        }
        return Ok(kind);
    }
    if call.framework_id.is_none() {
        return missing("framework_id");
    }
    let part = match kind {
        Type::Accept => ("accept", call.accept.is_some()),
        Type::Decline => ("decline", call.decline.is_some()),
        Type::Kill => ("kill", call.kill.is_some()),
        Type::Shutdown => ("shutdown", call.shutdown.is_some()),
        Type::Acknowledge => ("acknowledge", call.acknowledge.is_some()),
        Type::Reconcile => ("reconcile", call.reconcile.is_some()),
        Type::Message => ("message", call.message.is_some()),
        Type::Request => ("request", call.request.is_some()),
        Type::UpdateFramework => ("update_framework", call.update_framework.is_some()),
        _ => ("", true),
    };
    if !part.1 {
        return missing(part.0);
    }
    match &call.acknowledge {
        Some(acknowledge) if kind == Type::Acknowledge && valid_uuid(&acknowledge.uuid).is_none() => {
            Err("Not a valid UUID".into())
        }
        _ => Ok(kind),
    }
}

impl Framework {
    /// Whether the task is among the present ones.
    pub(super) fn knows(&self, task_id: &str) -> bool {
        self.tasks.contains_key(task_id)
    }
}
