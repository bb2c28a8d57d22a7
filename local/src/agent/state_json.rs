//! The agent's state for operators: `/slave(1)/state`.

use super::Agent;
use crate::messages::VERSION;
use serde_json::{Value, json};

impl Agent {
    /// `/slave(1)/state`
    pub fn state_json(&self) -> Value {
        let frameworks = self.frameworks.iter().map(|(id, framework)| {
            let executors = framework.executors.values().map(|executor| {
                let executor_id = &executor.info.executor_id.value;
                let tasks = executor.tasks.values().map(|task| {
                    json!({
                        "id": task.info.task_id.value, "name": task.info.name, "framework_id": id.value,
                        "executor_id": executor_id, "state": task.state.as_str_name(),
                    })
                });
                json!({
                    "id": executor_id, "name": executor.info.name,
                    "source": executor.info.source, "container": executor.container.to_string(),
                    "directory": executor.sandbox.display().to_string(), "pid": executor.pid,
                    "tasks": tasks.collect::<Vec<_>>(),
                })
            });
            json!({
                "id": id.value, "name": framework.info.name, "executors": executors.collect::<Vec<_>>(),
            })
        });
        json!({
            "id": self.config.id.value, "hostname": self.config.hostname,
            "pid": format!("slave(1)@{}:{}", self.config.hostname, self.config.port),
            "version": VERSION,
            "frameworks": frameworks.collect::<Vec<_>>(), "completed_frameworks": [],
        })
    }
}
