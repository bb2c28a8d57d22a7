//! The master's state for operators: `/master/state` and its parts, and `/metrics/snapshot`.

use super::framework::{Framework, Task};
use super::{Agent, Master};
use crate::messages::VERSION;
use mesos::v1::{Resource, TaskState};
use serde_json::{Value, json};

impl Master {
    /// `/master/state`.
    pub fn state_json(&self) -> Value {
        let mut state = self.frameworks_json();
        let address = self.config.address;
        let started = self.started.unix.as_secs_f64();
        let more = json!({
            "version": VERSION,
            "id": self.config.id,
            "pid": format!("master@{address}"),
            "hostname": address.ip().to_string(),
            "leader": format!("master@{address}"),
            "start_time": started,
            "elected_time": started,
            "activated_slaves": self.agents.len(),
            "deactivated_slaves": 0,
            "unreachable_slaves": 0,
            "slaves": self.slaves_json(),
            "flags": {},
        });
        if let (Value::Object(state), Value::Object(more)) = (&mut state, more) {
            state.extend(more);
        }
        state
    }

    /// `/master/frameworks`.
    pub fn frameworks_json(&self) -> Value {
        let frameworks = self.frameworks.values().map(|framework| self.framework_json(framework));
        let completed = self.completed.iter().map(|framework| self.framework_json(framework));
        json!({
            "frameworks": frameworks.collect::<Vec<_>>(),
            "completed_frameworks": completed.collect::<Vec<_>>(),
            "unregistered_frameworks": [],
        })
    }

    /// The agents, as in `/master/slaves`.
    pub fn slaves_json(&self) -> Vec<Value> {
        self.agents.iter().map(|agent| self.slave_json(agent)).collect()
    }

    fn slave_json(&self, agent: &Agent) -> Value {
        let (hostname, port) = (&agent.info.hostname, agent.info.port.unwrap_or_default());
        let offered = self.offered(|offer| offer.message.agent_id == agent.id);
        json!({
            "id": agent.id.value,
            "hostname": hostname,
            "port": port,
            "pid": format!("slave(1)@{hostname}:{port}"),
            "active": true,
            "version": VERSION,
            "registered_time": self.started.unix.as_secs_f64(),
            "reregistered_time": null,
            "resources": totals(agent.total.as_slice()),
            "used_resources": totals(self.allocated(&agent.id).as_slice()),
            "offered_resources": totals(offered.as_slice()),
            "deactivated": false,
            "attributes": {},
        })
    }

    /// Some of the numbers in `/metrics/snapshot`.
    pub fn metrics_json(&self) -> Value {
        let tasks = self.frameworks.values().flat_map(|framework| framework.tasks.values());
        let connected = self.frameworks.values().filter(|f| f.stream.is_some()).count();
        json!({
            "master/elected": 1.0,
            "master/slaves_active": self.agents.len(),
            "master/slaves_connected": self.agents.len(),
            "master/frameworks_active": connected,
            "master/frameworks_connected": connected,
            "master/outstanding_offers": self.offers.len(),
            "master/tasks_running": tasks.filter(|task| task.state == TaskState::TaskRunning).count(),
            "master/tasks_unreachable": 0,
        })
    }

    fn framework_json(&self, framework: &Framework) -> Value {
        let info = &framework.info;
        let is_connected = framework.stream.is_some();
        let capabilities: Vec<_> = info.capabilities.iter().map(|c| c.r#type().as_str_name()).collect();
        let tasks = framework.tasks.values().map(|task| task_json(framework, task));
        let completed = framework.completed_tasks.iter().map(|task| task_json(framework, task));
        let executors = framework.executors.iter().map(|((agent, id), info)| {
            json!({
                "executor_id": id.value, "slave_id": agent.value, "framework_id": framework.id.value,
                "name": info.name, "source": info.source, "resources": totals(&info.resources),
            })
        });
        let allocated = framework.allocated(None);
        let offered = self.offered(|offer| offer.message.framework_id == framework.id);
        let mut used = allocated.clone();
        used.extend(offered.clone());
        json!({
            "id": framework.id.value, "name": info.name, "user": info.user, "principal": info.principal,
            "hostname": info.hostname, "webui_url": info.webui_url,
            "roles": super::roles(info), "capabilities": capabilities,
            "checkpoint": info.checkpoint.unwrap_or(false),
            "failover_timeout": info.failover_timeout.unwrap_or(0.0),
            "active": is_connected, "connected": is_connected, "recovered": false,
            "registered_time": framework.registered.as_secs_f64(),
            "reregistered_time": framework.reregistered.as_secs_f64(),
            "unregistered_time": framework.unregistered.map_or(0.0, |at| at.as_secs_f64()),
            "resources": totals(used.as_slice()),
            "used_resources": totals(allocated.as_slice()),
            "offered_resources": totals(offered.as_slice()),
            "tasks": tasks.collect::<Vec<_>>(),
            "unreachable_tasks": [],
            "completed_tasks": completed.collect::<Vec<_>>(),
            "executors": executors.collect::<Vec<_>>(),
            "offers": self.offers_json(framework),
        })
    }

    fn offers_json(&self, framework: &Framework) -> Vec<Value> {
        let offers = self.offers.values().filter(|offer| offer.message.framework_id == framework.id);
        let offers = offers.map(|offer| {
            json!({
                "id": offer.message.id.value, "slave_id": offer.message.agent_id.value,
                "framework_id": framework.id.value, "resources": totals(offer.resources.as_slice()),
            })
        });
        offers.collect()
    }
}

/// Name of a resource → the resource's total amount, as a JSON object.
pub(super) fn totals(resources: &[Resource]) -> Value {
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
    let statuses = task.statuses.iter().map(|status| {
        json!({
            "state": status.state().as_str_name(), "timestamp": status.timestamp,
            "message": status.message, "healthy": status.healthy,
        })
    });
    json!({
        "id": task.info.task_id.value, "name": task.info.name, "framework_id": framework.id.value,
        "executor_id": task.executor_id().unwrap_or_default().value,
        "slave_id": task.info.agent_id.value, "state": task.state.as_str_name(),
        "resources": totals(&task.info.resources), "statuses": statuses.collect::<Vec<_>>(),
    })
}
