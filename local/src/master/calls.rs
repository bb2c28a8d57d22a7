//! Scheduler calls: refuses invalid calls with an HTTP status, and handles the simple ones.

use super::{Effect, Master};
use crate::messages::{Answer, Now, RequestId, ToAgent, is_valid_uuid};
use mesos::v1::scheduler::{Call, call, call::Type};
use mesos::v1::{FrameworkId, FrameworkInfo};

impl Master {
    pub(super) fn on_call(&mut self, request: RequestId, stream_id: Option<String>, call: Call, now: Now) {
        let answer = match validate(&call) {
            Err(fault) => Answer::bad_request(format!("Failed to validate scheduler::Call: {fault}")),
            Ok(Type::Subscribe) if stream_id.is_some() => {
                Answer::bad_request("Subscribe calls should not include the 'Mesos-Stream-Id' header")
            }
            Ok(Type::Subscribe) => return self.on_subscribe(request, call, now),
            Ok(kind) => match self.subscribed_framework(&call, stream_id.as_deref()) {
                Err(refusal) => refusal,
                Ok(framework_id) => {
                    self.effects.push(Effect::Answer(request, Answer::Accepted));
                    return self.execute(kind, framework_id, call, now);
                }
            },
        };
        self.effects.push(Effect::Answer(request, answer));
    }

    /// The framework of a call, if the framework is subscribed and the call has its stream id.
    fn subscribed_framework(&self, call: &Call, stream_id: Option<&str>) -> Result<FrameworkId, Answer> {
        let id = call.framework_id.clone().unwrap_or_default();
        let Some(framework) = self.frameworks.get(&id) else {
            return Err(Answer::bad_request("Framework cannot be found"));
        };
        if framework.stream.is_none() {
            return Err(Answer::Refused(403, "Framework is not subscribed".into()));
        }
        match stream_id {
            None => Err(Answer::bad_request(
                "All non-subscribe calls should include the 'Mesos-Stream-Id' header",
            )),
            Some(stream_id) if stream_id != framework.stream_id => Err(Answer::bad_request(format!(
                "The stream ID '{stream_id}' included in this request didn't match the stream ID currently \
                 associated with framework ID {id}"
            ))),
            Some(_) => Ok(id),
        }
    }

    fn execute(&mut self, kind: Type, framework_id: FrameworkId, call: Call, now: Now) {
        match kind {
            Type::Teardown => self.remove_framework(&framework_id, now),
            Type::Accept => self.accept(&framework_id, call.accept.unwrap_or_default(), now),
            Type::Decline => self.decline(&framework_id, &call.decline.unwrap_or_default(), now),
            Type::Revive => self.revive(&framework_id, call.revive.unwrap_or_default().roles, now),
            Type::Suppress => {
                let roles = call.suppress.unwrap_or_default().roles;
                if let Some(framework) = self.frameworks.get_mut(&framework_id) {
                    framework.suppressed_roles.extend(named_or_all(&framework.info, roles));
                }
            }
            Type::Kill => self.kill(framework_id, call.kill.unwrap_or_default(), now),
            Type::Shutdown => {
                let call::Shutdown { executor_id, agent_id } = call.shutdown.unwrap_or_default();
                self.send_to_agent(&agent_id, ToAgent::ShutdownExecutor { framework_id, executor_id });
            }
            Type::Acknowledge => self.acknowledge(framework_id, call.acknowledge.unwrap_or_default()),
            Type::Reconcile => self.reconcile(&framework_id, &call.reconcile.unwrap_or_default(), now),
            Type::Message => {
                let call::Message { agent_id, executor_id, data } = call.message.unwrap_or_default();
                self.send_to_agent(&agent_id, ToAgent::Message { framework_id, executor_id, data });
            }
            Type::UpdateFramework => {
                let update = call.update_framework.unwrap_or_default();
                self.update_framework(&framework_id, update.framework_info, &update.suppressed_roles, now);
            }
            // The embedded cluster supports neither operations nor maintenance nor requests, so these calls have no effect.
            Type::Unknown
            | Type::Subscribe
            | Type::AcceptInverseOffers
            | Type::DeclineInverseOffers
            | Type::AcknowledgeOperationStatus
            | Type::ReconcileOperations
            | Type::Request => {}
        }
    }

    fn decline(&mut self, framework_id: &FrameworkId, decline: &call::Decline, now: Now) {
        for id in &decline.offer_ids {
            if let Some(offer) = self.take_offer(framework_id, id) {
                self.refuse(&offer, offer.resources.clone(), decline.filters.as_ref(), now);
            }
        }
    }

    fn revive(&mut self, framework_id: &FrameworkId, roles: Vec<String>, now: Now) {
        let Some(framework) = self.frameworks.get_mut(framework_id) else { return };
        let roles = named_or_all(&framework.info, roles);
        framework.suppressed_roles.retain(|role| !roles.contains(role));
        framework.filters.retain(|filter| !roles.contains(&filter.role));
        self.allocate(now);
    }

    fn kill(&mut self, framework_id: FrameworkId, kill: call::Kill, now: Now) {
        let call::Kill { task_id, agent_id, kill_policy: policy } = kill;
        let Some(framework) = self.frameworks.get(&framework_id) else { return };
        match framework.tasks.get(&task_id).map(|task| task.info.agent_id.clone()) {
            Some(agent_id) => {
                self.send_to_agent(&agent_id, ToAgent::KillTask { framework_id, task_id, policy });
            }
            // Mesos answers a KILL of an unknown task like a RECONCILE.
            None => {
                self.reconcile_task(&framework_id, &call::reconcile::Task { task_id, agent_id }, now);
            }
        }
    }

    fn acknowledge(&mut self, framework_id: FrameworkId, acknowledge: call::Acknowledge) {
        let call::Acknowledge { agent_id, task_id, uuid } = acknowledge;
        if let Some(framework) = self.frameworks.get_mut(&framework_id) {
            let forwarded = framework.tasks.get(&task_id).and_then(|task| task.forwarded.as_ref());
            if forwarded.is_some_and(|(state, sent)| state.is_terminal() && *sent == uuid) {
                framework.complete(&task_id);
            }
        }
        self.send_to_agent(&agent_id, ToAgent::Acknowledge { framework_id, task_id, uuid });
    }
}

/// The named roles, or all roles of the framework if none is named.
fn named_or_all(info: &FrameworkInfo, named: Vec<String>) -> Vec<String> {
    if named.is_empty() { super::roles(info) } else { named }
}

/// The call's type, if the call has all required fields.
fn validate(call: &Call) -> Result<Type, String> {
    let kind = call.r#type();
    let missing = |field: &str| Err(format!("Expecting '{field}' to be present"));
    if kind == Type::Unknown {
        return missing("type");
    }
    if kind == Type::Subscribe {
        let Some(subscribe) = &call.subscribe else { return missing("subscribe") };
        let id = |id: &Option<FrameworkId>| id.clone().unwrap_or_default();
        if id(&subscribe.framework_info.id) != id(&call.framework_id) {
            return Err("'framework_id' differs from 'subscribe.framework_info.id'".into());
        }
        return Ok(kind);
    }
    if call.framework_id.is_none() {
        return missing("framework_id");
    }
    let (field, is_present) = match kind {
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
    if !is_present {
        return missing(field);
    }
    match &call.acknowledge {
        Some(acknowledge) if kind == Type::Acknowledge && !is_valid_uuid(&acknowledge.uuid) => {
            Err("Not a valid UUID".into())
        }
        _ => Ok(kind),
    }
}
