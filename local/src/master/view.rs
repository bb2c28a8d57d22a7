//! What operators see: the operator API and `/master/state`.

use super::agents::{Agent, time_info};
use super::framework::{Framework, Task};
use super::{Master, VERSION};
use crate::link::{Answer, is_terminal};
use crate::operator::master::{self as api, call, response as r, response::Type};
use crate::resources::Bundle;
use mesos::v1::{self, Resource};
use serde_json::{Value, json};

impl Master {
    /// Answers a call of the operator API.
    ///
    /// # Errors
    /// The refusal, for calls that the embedded cluster does not know.
    pub fn operator(&self, call: &api::Call) -> Result<api::Response, Answer> {
        let of = |kind: Type| api::Response { r#type: Some(kind as i32), ..Default::default() };
        Ok(match call.r#type() {
            call::Type::GetHealth => {
                api::Response { get_health: Some(r::GetHealth { healthy: true }), ..of(Type::GetHealth) }
            }
            call::Type::GetVersion => {
                let version_info = api::VersionInfo { version: VERSION.into() };
                api::Response { get_version: Some(r::GetVersion { version_info }), ..of(Type::GetVersion) }
            }
            call::Type::GetMaster => {
                let at = Some(self.started.unix.as_secs_f64());
                let master_info = Some(self.master_info());
                let get_master = Some(r::GetMaster { master_info, start_time: at, elected_time: at });
                api::Response { get_master, ..of(Type::GetMaster) }
            }
            call::Type::GetAgents => {
                api::Response { get_agents: Some(self.get_agents()), ..of(Type::GetAgents) }
            }
            call::Type::GetFrameworks => {
                api::Response { get_frameworks: Some(self.get_frameworks()), ..of(Type::GetFrameworks) }
            }
            call::Type::GetExecutors => {
                api::Response { get_executors: Some(self.get_executors()), ..of(Type::GetExecutors) }
            }
            call::Type::GetTasks => api::Response { get_tasks: Some(self.get_tasks()), ..of(Type::GetTasks) },
            call::Type::GetState => {
                let get_state = r::GetState {
                    get_tasks: Some(self.get_tasks()),
                    get_executors: Some(self.get_executors()),
                    get_frameworks: Some(self.get_frameworks()),
                    get_agents: Some(self.get_agents()),
                };
                api::Response { get_state: Some(get_state), ..of(Type::GetState) }
            }
            call::Type::DrainAgent | call::Type::DeactivateAgent | call::Type::ReactivateAgent => {
                return Err(Answer::bad("This changes something"));
            }
            call::Type::Unknown => {
                return Err(Answer::bad("Failed to validate master::Call: Expecting 'type' to be present"));
            }
        })
    }

    fn get_agents(&self) -> r::GetAgents {
        let agents = self.agents.iter().filter(|(_, agent)| agent.is_registered()).map(|(id, agent)| {
            let (drain_info, since) = self.drain_info(id).unzip();
            r::get_agents::Agent {
                deactivated: Some(agent.is_deactivated()),
                drain_info,
                estimated_drain_start_time: since.map(time_info),
                agent_info: agent.info.clone(),
                active: agent.is_active(),
                version: VERSION.into(),
                pid: Some(pid(agent)),
                registered_time: Some(time_info(agent.registered)),
                reregistered_time: agent.reregistered.map(time_info),
                total_resources: agent.total.to_resources(),
                allocated_resources: self.allocated(id).to_resources(),
                offered_resources: self.offered(|offer| offer.agent_id == *id).to_resources(),
            }
        });
        r::GetAgents { agents: agents.collect() }
    }

    fn offered(&self, which: impl Fn(&super::Offer) -> bool) -> Bundle {
        let mut sum = Bundle::default();
        self.offers.values().filter(|offer| which(offer)).for_each(|offer| sum.add(&offer.resources));
        sum
    }

    fn get_frameworks(&self) -> r::GetFrameworks {
        let view = |framework: &Framework| r::get_frameworks::Framework {
            framework_info: framework.info.clone(),
            active: framework.stream.is_some(),
            connected: framework.stream.is_some(),
            recovered: framework.recovered,
            registered_time: Some(time_info(framework.registered)),
            reregistered_time: Some(time_info(framework.reregistered)),
            unregistered_time: framework.unregistered.map(time_info),
            offers: self.offers_of(framework),
            allocated_resources: framework.allocated(None).to_resources(),
            offered_resources: self.offered(|offer| offer.framework_id == framework.id).to_resources(),
        };
        r::GetFrameworks {
            frameworks: self.frameworks.values().map(view).collect(),
            completed_frameworks: self.completed.iter().map(view).collect(),
        }
    }

    fn offers_of(&self, framework: &Framework) -> Vec<v1::Offer> {
        let ours = self.offers.values().filter(|offer| offer.framework_id == framework.id);
        ours.map(|offer| offer.message.clone()).collect()
    }

    fn get_executors(&self) -> r::GetExecutors {
        let all = self.frameworks.values().flat_map(|framework| &framework.executors);
        let executors = all.map(|((agent, _), info)| r::get_executors::Executor {
            executor_info: info.clone(),
            agent_id: v1::AgentId { value: agent.clone() },
        });
        r::GetExecutors { executors: executors.collect() }
    }

    fn get_tasks(&self) -> r::GetTasks {
        let mut view = r::GetTasks::default();
        for framework in self.frameworks.values().chain(&self.completed) {
            for task in framework.tasks.values() {
                let list =
                    if task.unreachable.is_some() { &mut view.unreachable_tasks } else { &mut view.tasks };
                list.push(task_view(framework, task));
            }
            view.completed_tasks
                .extend(framework.completed_tasks.iter().map(|task| task_view(framework, task)));
        }
        view
    }

    /// `/master/state`, or with `frameworks_only` `/master/frameworks`.
    pub fn state_json(&self, frameworks_only: bool) -> Value {
        let frameworks: Vec<Value> = self.frameworks.values().map(|f| self.framework_json(f)).collect();
        let completed: Vec<Value> = self.completed.iter().map(|f| self.framework_json(f)).collect();
        let mut state = json!({
            "frameworks": frameworks,
            "completed_frameworks": completed,
            "unregistered_frameworks": [],
        });
        if frameworks_only {
            return state;
        }
        let active = self.active_agents();
        let agents: Vec<Value> = self.slaves_json();
        let address = self.config.address;
        let more = json!({
            "version": VERSION,
            "id": self.id,
            "pid": format!("master@{address}"),
            "hostname": address.ip().to_string(),
            "leader": format!("master@{address}"),
            "start_time": self.started.unix.as_secs_f64(),
            "elected_time": self.started.unix.as_secs_f64(),
            "activated_slaves": active,
            "deactivated_slaves": agents.len().saturating_sub(active),
            "unreachable_slaves": self.agents.values().filter(|agent| agent.unreachable).count(),
            "slaves": agents,
            "flags": {},
        });
        if let (Value::Object(state), Value::Object(more)) = (&mut state, more) {
            state.extend(more);
        }
        state
    }

    /// The agents, as in `/master/slaves`.
    pub fn slaves_json(&self) -> Vec<Value> {
        let view = |(id, agent): (&String, &Agent)| {
            let mut view = json!({
                "id": id,
                "hostname": agent.info.hostname,
                "port": agent.info.port,
                "pid": pid(agent),
                "active": agent.is_active(),
                "version": VERSION,
                "registered_time": agent.registered.as_secs_f64(),
                "reregistered_time": agent.reregistered.map(|at| at.as_secs_f64()),
                "resources": totals(&agent.total.to_resources()),
                "used_resources": totals(&self.allocated(id).to_resources()),
                "offered_resources": totals(&self.offered(|offer| offer.agent_id == *id).to_resources()),
                "deactivated": agent.is_deactivated(),
                "attributes": {},
            });
            if let Some((info, since)) = self.drain_info(id) {
                view["drain_info"] = drain_json(&info);
                view["estimated_drain_start_time_seconds"] = since.as_secs_f64().into();
            }
            view
        };
        self.agents.iter().filter(|(_, agent)| agent.is_registered() && !agent.removed).map(view).collect()
    }

    /// Some numbers, as in `/metrics/snapshot`.
    pub fn metrics_json(&self) -> Value {
        let tasks = || self.frameworks.values().flat_map(|framework| framework.tasks.values());
        let running = tasks().filter(|task| task.state == v1::TaskState::TaskRunning).count();
        let connected = self.frameworks.values().filter(|f| f.stream.is_some()).count();
        json!({
            "master/elected": 1.0,
            "master/slaves_active": self.active_agents(),
            "master/slaves_connected": self.connected_agents(),
            "master/frameworks_active": connected,
            "master/frameworks_connected": connected,
            "master/outstanding_offers": self.offers.len(),
            "master/tasks_running": running,
            "master/tasks_unreachable": tasks().filter(|task| task.unreachable.is_some()).count(),
        })
    }

    fn framework_json(&self, framework: &Framework) -> Value {
        let present = |task: &&Task| task.unreachable.is_none();
        let tasks: Vec<Value> =
            framework.tasks.values().filter(present).map(|t| task_json(framework, t)).collect();
        let away = framework.tasks.values().filter(|task| !present(task));
        let executors = framework.executors.iter().map(|((agent, id), info)| {
            json!({
                "executor_id": id, "slave_id": agent, "framework_id": framework.id,
                "name": info.name, "source": info.source, "resources": totals(&info.resources),
            })
        });
        let allocated = framework.allocated(None);
        let offered = self.offered(|offer| offer.framework_id == framework.id);
        let mut used = allocated.clone();
        used.add(&offered);
        let info = &framework.info;
        let capabilities: Vec<_> = info.capabilities.iter().map(|c| c.r#type().as_str_name()).collect();
        json!({
            "id": framework.id, "name": info.name, "user": info.user, "principal": info.principal,
            "hostname": info.hostname, "webui_url": info.webui_url,
            "roles": super::roles(info), "capabilities": capabilities,
            "checkpoint": info.checkpoint.unwrap_or(false),
            "failover_timeout": info.failover_timeout.unwrap_or(0.0),
            "active": framework.stream.is_some(), "connected": framework.stream.is_some(),
            "recovered": framework.recovered,
            "registered_time": framework.registered.as_secs_f64(),
            "reregistered_time": framework.reregistered.as_secs_f64(),
            "unregistered_time": framework.unregistered.map_or(0.0, |at| at.as_secs_f64()),
            "resources": totals(&used.to_resources()),
            "used_resources": totals(&allocated.to_resources()),
            "offered_resources": totals(&offered.to_resources()),
            "tasks": tasks,
            "unreachable_tasks": away.map(|task| task_json(framework, task)).collect::<Vec<_>>(),
            "completed_tasks":
                framework.completed_tasks.iter().map(|task| task_json(framework, task)).collect::<Vec<_>>(),
            "executors": executors.collect::<Vec<_>>(),
            "offers": self.offers_of(framework).iter().map(|offer| json!({
                "id": offer.id.value, "slave_id": offer.agent_id.value, "framework_id": framework.id,
                "resources": totals(&offer.resources),
            })).collect::<Vec<_>>(),
        })
    }
}

fn pid(agent: &Agent) -> String {
    format!("slave(1)@{}:{}", agent.info.hostname, agent.info.port.unwrap_or_default())
}

fn drain_json(info: &api::DrainInfo) -> Value {
    let mut config = json!({"mark_gone": info.config.mark_gone()});
    if let Some(period) = &info.config.max_grace_period {
        config["max_grace_period"] = json!({"nanoseconds": period.nanoseconds});
    }
    json!({"state": info.state().as_str_name(), "config": config})
}

/// Resources by name, as `/master/state` has them.
fn totals(resources: &[Resource]) -> Value {
    let mut totals = json!({"cpus": 0.0, "mem": 0.0, "disk": 0.0, "gpus": 0.0});
    for resource in resources {
        if let Some(scalar) = &resource.scalar {
            let before = totals[&resource.name].as_f64().unwrap_or(0.0);
            totals[&resource.name] = json!(before + scalar.value);
        } else if let Some(ranges) = &resource.ranges {
            let parts: Vec<String> =
                ranges.range.iter().map(|range| format!("{}-{}", range.begin, range.end)).collect();
            totals[&resource.name] = json!(format!("[{}]", parts.join(", ")));
        }
    }
    totals
}

fn task_json(framework: &Framework, task: &Task) -> Value {
    let statuses: Vec<Value> = task
        .statuses
        .iter()
        .map(|status| {
            json!({"state": status.state().as_str_name(), "timestamp": status.timestamp,
                   "message": status.message, "healthy": status.healthy})
        })
        .collect();
    let state = if task.unreachable.is_some() { v1::TaskState::TaskUnreachable } else { task.state };
    json!({
        "id": task.id(), "name": task.info.name, "framework_id": framework.id,
        "executor_id": task.executor_id().unwrap_or(""), "slave_id": task.agent_id(),
        "state": state.as_str_name(), "resources": totals(&task.info.resources), "statuses": statuses,
    })
}

fn task_view(framework: &Framework, task: &Task) -> api::Task {
    let forwarded = task.forwarded.as_ref();
    let state = if task.unreachable.is_some() && !is_terminal(task.state) {
        v1::TaskState::TaskUnreachable
    } else {
        task.state
    };
    api::Task {
        name: task.info.name.clone(),
        task_id: task.info.task_id.clone(),
        framework_id: v1::FrameworkId { value: framework.id.clone() },
        executor_id: task.info.executor.as_ref().map(|executor| executor.executor_id.clone()),
        agent_id: task.info.agent_id.clone(),
        state: state as i32,
        resources: task.info.resources.clone(),
        statuses: task.statuses.clone(),
        status_update_state: forwarded.map(|(state, _)| *state as i32),
        status_update_uuid: forwarded.map(|(_, uuid)| uuid.clone()),
        labels: task.info.labels.clone(),
        discovery: task.info.discovery.clone(),
        container: task.info.container.clone(),
    }
}
