//! What operators see of an agent.

use super::Agent;
use crate::link::Answer;
use crate::operator::agent::{self as api, call, response as r, response::Type};
use mesos::v1;
use serde_json::{Value, json};

impl Agent {
    /// Answers a call of the agent's operator API.
    ///
    /// # Errors
    /// The refusal, for calls that the embedded cluster does not know.
    pub fn operator(&self, call: &api::Call) -> Result<api::Response, Answer> {
        let of = |kind: Type| api::Response { r#type: Some(kind as i32), ..Default::default() };
        Ok(match call.r#type() {
            call::Type::GetHealth => {
                api::Response { get_health: Some(r::GetHealth { healthy: true }), ..of(Type::GetHealth) }
            }
            call::Type::GetAgent => {
                let get_agent = Some(r::GetAgent { agent_info: Some(self.info()) });
                api::Response { get_agent, ..of(Type::GetAgent) }
            }
            call::Type::GetContainers => {
                let containers = self.containers();
                let get_containers = Some(r::GetContainers { containers });
                api::Response { get_containers, ..of(Type::GetContainers) }
            }
            call::Type::Unknown => {
                return Err(Answer::bad("Failed to validate agent::Call: Expecting 'type' to be present"));
            }
        })
    }

    fn containers(&self) -> Vec<r::get_containers::Container> {
        let of = |(framework_id, framework): (&String, &super::Framework)| {
            let containers = framework.executors.values().map(|executor| r::get_containers::Container {
                framework_id: v1::FrameworkId { value: framework_id.clone() },
                executor_id: executor.info.executor_id.clone(),
                executor_name: executor.info.name.clone().unwrap_or_default(),
                container_id: v1::ContainerId { value: executor.container.to_string(), parent: None },
                container_status: Some(executor.container_status(&self.config.hostname)),
            });
            containers.collect::<Vec<_>>()
        };
        self.frameworks.iter().flat_map(of).collect()
    }

    /// `/slave(1)/state`
    pub fn state_json(&self) -> Value {
        let frameworks = self.frameworks.iter().map(|(id, framework)| {
            let executors = framework.executors.values().map(|executor| {
                json!({
                    "id": executor.info.executor_id.value, "name": executor.info.name,
                    "source": executor.info.source, "container": executor.container.to_string(),
                    "directory": executor.sandbox.display().to_string(), "pid": executor.pid,
                    "tasks": executor.tasks.values().map(|task| json!({
                        "id": task.info.task_id.value, "name": task.info.name, "framework_id": id,
                        "executor_id": executor.info.executor_id.value,
                        "state": task.state.as_str_name(),
                    })).collect::<Vec<_>>(),
                })
            });
            json!({"id": id, "name": framework.info.name, "executors": executors.collect::<Vec<_>>()})
        });
        json!({
            "id": self.id, "hostname": self.config.hostname,
            "pid": format!("slave(1)@{}:{}", self.config.hostname, self.config.port),
            "version": crate::master::VERSION,
            "frameworks": frameworks.collect::<Vec<_>>(), "completed_frameworks": [],
        })
    }
}
