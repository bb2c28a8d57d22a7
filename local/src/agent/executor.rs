//! The agent's side of executors: start, shutdown, end.

use super::{Agent, ContainerEvent, ContainerSpec, Effect, api};
use crate::messages::{Now, ToMaster, state_for, status};
use mesos::v1::task_status::{Reason, Source};
use mesos::v1::{
    ContainerId, ContainerStatus, ExecutorId, ExecutorInfo, FrameworkId, NetworkInfo, Resource, TaskId,
    TaskInfo, TaskState, TaskStatus, network_info,
};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The phase of an executor's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Started, but not subscribed yet.
    Registering,
    /// Subscribed; the executor may be temporarily disconnected.
    Running,
    /// Shutting down, or killed.
    Terminating,
}

/// A task of an executor.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub info: TaskInfo,
    pub state: TaskState,
    /// Whether LAUNCH was sent to the executor.
    pub launched: bool,
}

/// One executor.
#[derive(Clone, Debug)]
pub(super) struct Executor {
    pub info: ExecutorInfo,
    pub container: Uuid,
    pub sandbox: PathBuf,
    pub pid: Option<u32>,
    pub phase: Phase,
    /// The id of the executor's event stream; `None` while the executor is disconnected.
    pub stream: Option<u64>,
    /// Whether LAUNCH was ever sent to the executor.
    pub ever_launched: bool,
    /// Tasks that have not ended.
    pub tasks: BTreeMap<TaskId, Task>,
    /// When the agent kills the executor. Before SHUTDOWN, this is the time limit for the executor to subscribe. After SHUTDOWN,
    /// it is the end of the grace period.
    pub deadline: Option<Instant>,
    /// The state, reason and message that the agent reports for the remaining tasks of an executor that could not be started or
    /// that the agent has killed. `None` if the executor ends in any other way.
    pub termination: Option<(TaskState, Reason, String)>,
}

impl Executor {
    /// Time from SHUTDOWN to SIGKILL.
    fn shutdown_grace(&self, default: Duration) -> Duration {
        let own = self.info.shutdown_grace_period.as_ref();
        own.map_or(default, |grace| Duration::from_nanos(u64::try_from(grace.nanoseconds).unwrap_or(0)))
    }

    /// The container status for updates.
    pub fn container_status(&self, ip: &str) -> ContainerStatus {
        let address = network_info::IpAddress {
            protocol: Some(network_info::Protocol::IPv4.into()),
            ip_address: Some(ip.to_owned()),
        };
        ContainerStatus {
            container_id: Some(ContainerId { value: self.container.to_string(), parent: None }),
            network_infos: vec![NetworkInfo { ip_addresses: vec![address], ..Default::default() }],
            executor_pid: self.pid,
            ..Default::default()
        }
    }
}

impl Agent {
    /// Starts the executor that `info` describes.
    pub(super) fn start_executor(&mut self, framework_id: &FrameworkId, info: ExecutorInfo, now: Now) {
        let container = Uuid::new_v4();
        let executor_id = info.executor_id.clone();
        let path = format!(
            "slaves/{}/frameworks/{framework_id}/executors/{executor_id}/runs/{container}",
            self.config.id
        );
        let executor = Executor {
            container,
            sandbox: self.config.work_dir.join(path),
            pid: None,
            phase: Phase::Registering,
            stream: None,
            ever_launched: false,
            tasks: BTreeMap::new(),
            deadline: Some(now.instant + self.config.registration_timeout),
            termination: None,
            info,
        };
        let spec = ContainerSpec {
            id: container,
            sandbox: executor.sandbox.clone(),
            command: executor.info.command.clone().unwrap_or_default(),
            environment: self.environment(framework_id, &executor),
        };
        self.effects.push(Effect::Start(Box::new(spec)));
        if let Some(framework) = self.frameworks.get_mut(framework_id) {
            framework.executors.insert(executor_id, executor);
        }
    }

    /// The environment variables that an agent sets for every executor; Mesos' documentation of the executor HTTP API lists
    /// them.
    fn environment(&self, framework_id: &FrameworkId, executor: &Executor) -> BTreeMap<String, String> {
        let (hostname, port) = (&self.config.hostname, self.config.port);
        let framework = self.frameworks.get(framework_id);
        let checkpoint = framework.is_some_and(|framework| framework.info.checkpoint.unwrap_or(false));
        let sandbox = executor.sandbox.display().to_string();
        let grace = executor.shutdown_grace(self.config.shutdown_grace);
        let mut environment: BTreeMap<String, String> = [
            ("LIBPROCESS_IP", hostname.clone()),
            ("LIBPROCESS_PORT", "0".into()),
            ("MESOS_AGENT_ENDPOINT", format!("{hostname}:{port}")),
            ("MESOS_CHECKPOINT", u8::from(checkpoint).to_string()),
            ("MESOS_DIRECTORY", sandbox.clone()),
            ("MESOS_EXECUTOR_ID", executor.info.executor_id.value.clone()),
            ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", duration(grace)),
            ("MESOS_FRAMEWORK_ID", framework_id.value.clone()),
            ("MESOS_HTTP_COMMAND_EXECUTOR", "0".into()),
            ("MESOS_SANDBOX", sandbox.clone()),
            ("MESOS_SLAVE_ID", self.config.id.value.clone()),
            ("MESOS_SLAVE_PID", format!("slave(1)@{hostname}:{port}")),
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()),
            ("PWD", sandbox),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        if checkpoint {
            environment.insert("MESOS_RECOVERY_TIMEOUT".into(), duration(self.config.recovery_timeout));
            environment.insert("MESOS_SUBSCRIPTION_BACKOFF_MAX".into(), "2secs".into());
        }
        environment
    }

    pub(super) fn on_container_event(&mut self, container: Uuid, event: ContainerEvent, now: Now) {
        let Some(executor) = self.executor_where(|executor| executor.container == container) else { return };
        match event {
            ContainerEvent::Started(pid) => executor.pid = Some(pid),
            ContainerEvent::Failed(reason) => {
                let message = format!("Failed to launch container: {reason}");
                let failed = (TaskState::TaskFailed, Reason::ContainerLaunchFailed, message);
                executor.termination.get_or_insert(failed);
                // The wait status for exit code 1. On a real agent, the helper process that launches containers ends with this
                // code.
                self.on_exited(container, 256, now);
            }
            ContainerEvent::Exited(status) => self.on_exited(container, status, now),
        }
    }

    fn on_exited(&mut self, container: Uuid, wait_status: i32, now: Now) {
        let exited = self.frameworks.iter_mut().find_map(|(framework_id, framework)| {
            let found = framework.executors.iter().find(|(_, executor)| executor.container == container);
            let executor_id = found?.0.clone();
            let executor = framework.executors.remove(&executor_id)?;
            Some((framework_id.clone(), framework.info.clone(), executor_id, executor))
        });
        let Some((framework_id, framework, executor_id, executor)) = exited else { return };
        self.effects.extend(executor.stream.map(Effect::Close));
        self.effects.push(Effect::Master(ToMaster::ExitedExecutor {
            framework_id: framework_id.clone(),
            executor_id: executor_id.clone(),
            status: wait_status,
        }));
        let (state, reason, message) = executor.termination.clone().unwrap_or_else(|| {
            (TaskState::TaskFailed, Reason::ExecutorTerminated, "Executor terminated".into())
        });
        let state = if state == TaskState::TaskGone { state_for(&framework, state) } else { state };
        for id in executor.tasks.keys() {
            let update = TaskStatus {
                executor_id: Some(executor_id.clone()),
                container_status: Some(executor.container_status(&self.config.hostname)),
                ..status(id, state, Source::Agent, reason, message.clone(), now)
            };
            self.update(&framework_id, update, now);
        }
        self.forget_if_empty(&framework_id);
    }

    /// Kills the executors that use revocable resources, directly or through their tasks.
    pub(super) fn revoke(&mut self) {
        let is_revocable = |resource: &Resource| resource.revocable.is_some();
        for executor in self.frameworks.values_mut().flat_map(|f| f.executors.values_mut()) {
            let mut of_tasks = executor.tasks.values().flat_map(|task| &task.info.resources);
            if of_tasks.any(is_revocable) || executor.info.resources.iter().any(is_revocable) {
                executor.phase = Phase::Terminating;
                executor.termination.get_or_insert((
                    TaskState::TaskGone,
                    Reason::ContainerPreempted,
                    "Container preempted by QoS correction".into(),
                ));
                self.effects.push(Effect::Kill(executor.container));
            }
        }
    }

    /// Asks an executor to end. An executor that has not ended after its grace period is killed.
    pub(super) fn shut_down(&mut self, framework_id: &FrameworkId, executor_id: &ExecutorId, now: Now) {
        let default = self.config.shutdown_grace;
        let Some(executor) = self.executor(framework_id, executor_id) else { return };
        if executor.phase == Phase::Terminating {
            return;
        }
        executor.phase = Phase::Terminating;
        executor.deadline = Some(now.instant + executor.shutdown_grace(default));
        self.send(framework_id, executor_id, api::Event::Shutdown);
    }

    /// Kills the executors that have not subscribed, or have not ended, in time.
    pub(super) fn kill_overdue_executors(&mut self, now: Now) {
        let executors = self.frameworks.values_mut().flat_map(|f| f.executors.values_mut());
        for executor in executors.filter(|executor| executor.deadline.is_some_and(|at| at <= now.instant)) {
            executor.deadline = None;
            if executor.phase == Phase::Registering {
                let timeout = duration(self.config.registration_timeout);
                executor.termination.get_or_insert((
                    TaskState::TaskFailed,
                    Reason::ExecutorRegistrationTimeout,
                    format!("Executor did not register within {timeout}"),
                ));
            }
            executor.phase = Phase::Terminating;
            self.effects.push(Effect::Kill(executor.container));
        }
    }
}

/// A duration in Mesos' notation: `2secs`, `1.5mins`.
fn duration(duration: Duration) -> String {
    let units = [(604_800.0, "weeks"), (86_400.0, "days"), (3600.0, "hrs"), (60.0, "mins"), (1.0, "secs")];
    let seconds = duration.as_secs_f64();
    match units.iter().find(|(size, _)| seconds >= *size) {
        Some((size, unit)) => format!("{}{unit}", seconds / size),
        None => format!("{}ms", seconds * 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_mesos_writes_them() {
        for (seconds, text) in [(2.0, "2secs"), (90.0, "1.5mins"), (900.0, "15mins"), (0.25, "250ms")] {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), text);
        }
    }
}
