//! Executors as the agent sees them: start, subscription, shutdown, end.

use super::{Agent, Effect, Start, event};
use crate::link::{Now, ToMaster, is_terminal, status};
use crate::resources::Bundle;
use mesos::v1::task_status::{Reason, Source};
use mesos::v1::{self, ContainerStatus, ExecutorInfo, TaskInfo, TaskState, TaskStatus};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How far an executor has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Started, not subscribed (again).
    Registering,
    /// Subscribed once in this life of the agent.
    Running,
    /// Asked to end; killed at its deadline.
    Terminating,
}

/// A task that was handed to an executor, or will be.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub info: TaskInfo,
    pub state: TaskState,
    /// The executor was told.
    pub launched: bool,
    pub last: Option<TaskStatus>,
}

/// One executor.
#[derive(Clone, Debug)]
pub(super) struct Executor {
    pub info: ExecutorInfo,
    pub container: Uuid,
    pub sandbox: PathBuf,
    pub pid: Option<u32>,
    pub phase: Phase,
    /// Its event stream while it is connected.
    pub stream: Option<u64>,
    /// It was told of a task at least once.
    pub used: bool,
    /// Tasks that have not ended.
    pub tasks: BTreeMap<String, Task>,
    /// When it has to have subscribed, or is killed.
    pub deadline: Option<Instant>,
    /// What its tasks will be told at its end, if not that it has terminated.
    pub verdict: Option<(TaskState, Reason, String)>,
}

impl Executor {
    /// From SHUTDOWN to SIGKILL.
    pub fn grace(&self, default: Duration) -> Duration {
        let own = self.info.shutdown_grace_period.as_ref();
        own.map_or(default, |grace| Duration::from_nanos(u64::try_from(grace.nanoseconds).unwrap_or(0)))
    }

    /// As updates carry it.
    pub fn container_status(&self, ip: &str) -> ContainerStatus {
        let address = v1::network_info::IpAddress {
            protocol: Some(v1::network_info::Protocol::IPv4 as i32),
            ip_address: Some(ip.to_owned()),
        };
        ContainerStatus {
            container_id: Some(v1::ContainerId { value: self.container.to_string(), parent: None }),
            network_infos: vec![v1::NetworkInfo { ip_addresses: vec![address], ..Default::default() }],
            executor_pid: self.pid,
            ..Default::default()
        }
    }
}

impl Agent {
    /// Starts the executor that `info` describes.
    pub(super) fn start(
        &mut self,
        framework_id: &str,
        info: ExecutorInfo,
        now: Now,
    ) -> Option<&mut Executor> {
        let container = Uuid::new_v4();
        let executor_id = info.executor_id.value.clone();
        let sandbox = self
            .config
            .work_dir
            .join("slaves")
            .join(self.id.as_deref().unwrap_or("unregistered"))
            .join("frameworks")
            .join(framework_id)
            .join("executors")
            .join(&executor_id)
            .join("runs")
            .join(container.to_string());
        let executor = Executor {
            container,
            sandbox: sandbox.clone(),
            pid: None,
            phase: Phase::Registering,
            stream: None,
            used: false,
            tasks: BTreeMap::new(),
            deadline: Some(now.instant + self.config.registration_timeout),
            verdict: None,
            info,
        };
        let start = Start {
            container,
            sandbox,
            command: executor.info.command.clone().unwrap_or_default(),
            environment: self.environment(framework_id, &executor),
        };
        self.effects.push(Effect::Start(Box::new(start)));
        let framework = self.frameworks.get_mut(framework_id)?;
        Some(framework.executors.entry(executor_id).or_insert(executor))
    }

    /// What the agent gives every executor (`man mesos` calls it the executor environment).
    fn environment(&self, framework_id: &str, executor: &Executor) -> BTreeMap<String, String> {
        let (hostname, port) = (&self.config.hostname, self.config.port);
        let checkpoint =
            self.frameworks.get(framework_id).is_some_and(|f| f.info.checkpoint.unwrap_or(false));
        let sandbox = executor.sandbox.display().to_string();
        let mut environment: BTreeMap<String, String> = [
            ("LIBPROCESS_IP", hostname.clone()),
            ("LIBPROCESS_PORT", "0".into()),
            ("MESOS_AGENT_ENDPOINT", format!("{hostname}:{port}")),
            ("MESOS_CHECKPOINT", u8::from(checkpoint).to_string()),
            ("MESOS_DIRECTORY", sandbox.clone()),
            ("MESOS_EXECUTOR_ID", executor.info.executor_id.value.clone()),
            ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", duration(executor.grace(self.config.shutdown_grace))),
            ("MESOS_FRAMEWORK_ID", framework_id.to_owned()),
            ("MESOS_HTTP_COMMAND_EXECUTOR", "0".into()),
            ("MESOS_SANDBOX", sandbox.clone()),
            ("MESOS_SLAVE_ID", self.id.clone().unwrap_or_default()),
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

    pub(super) fn on_started(&mut self, container: Uuid, pid: u32) {
        let Some((framework, executor)) = self.find(|executor| executor.container == container) else {
            return;
        };
        if let Some(executor) = self.executor_mut(&framework, &executor) {
            executor.pid = Some(pid);
        }
    }

    pub(super) fn on_failed(&mut self, container: Uuid, why: &str, now: Now) {
        let Some((framework, executor)) = self.find(|executor| executor.container == container) else {
            return;
        };
        if let Some(executor) = self.executor_mut(&framework, &executor) {
            let message = format!("Failed to launch container: {why}");
            executor.verdict.get_or_insert((TaskState::TaskFailed, Reason::ContainerLaunchFailed, message));
        }
        // What wait(2) would give for a helper that ended with status 1.
        self.on_exited(container, 256, now);
    }

    pub(super) fn on_exited(&mut self, container: Uuid, wait_status: i32, now: Now) {
        let Some((framework_id, executor_id)) = self.find(|executor| executor.container == container) else {
            return;
        };
        let Some(framework) = self.frameworks.get_mut(&framework_id) else { return };
        let Some(executor) = framework.executors.remove(&executor_id) else { return };
        if let Some(stream) = executor.stream {
            self.effects.push(Effect::Close(stream));
        }
        self.effects.push(Effect::Master(ToMaster::Exited {
            framework_id: framework_id.clone(),
            executor_id,
            status: wait_status,
        }));
        let (state, reason, message) = executor.verdict.clone().unwrap_or_else(|| {
            (TaskState::TaskFailed, Reason::ExecutorTerminated, "Executor terminated".into())
        });
        let lost = state == TaskState::TaskGone && !self.partition_aware(&framework_id);
        let state = if lost { TaskState::TaskLost } else { state };
        for id in executor.tasks.keys() {
            let mut update = status(id, state, Source::Agent, reason, message.clone(), now);
            update.executor_id = Some(executor.info.executor_id.clone());
            update.container_status = Some(executor.container_status(&self.config.hostname));
            self.update(&framework_id, update, now);
        }
        self.forget_if_empty(&framework_id);
    }

    pub(super) fn on_closed(&mut self, stream: u64) {
        let Some((framework, executor)) = self.find(|executor| executor.stream == Some(stream)) else {
            return;
        };
        if let Some(executor) = self.executor_mut(&framework, &executor) {
            executor.stream = None;
        }
    }

    /// Kills the executors that use revocable resources, themselves or by their tasks.
    pub(super) fn revoke(&mut self) {
        let uses = |resources: &[v1::Resource]| Bundle::from_resources(resources).is_revocable();
        for executor in self.frameworks.values_mut().flat_map(|f| f.executors.values_mut()) {
            let tasks = executor.tasks.values().any(|task| uses(&task.info.resources));
            if tasks || uses(&executor.info.resources) {
                executor.phase = Phase::Terminating;
                executor.verdict.get_or_insert((
                    TaskState::TaskGone,
                    Reason::ContainerPreempted,
                    "Container preempted by QoS correction".into(),
                ));
                self.effects.push(Effect::Kill(executor.container));
            }
        }
    }

    /// Asks an executor to end, and has it killed after its grace period.
    pub(super) fn shut_down(&mut self, framework_id: &str, executor_id: &str, now: Now) {
        let default = self.config.shutdown_grace;
        let Some(executor) = self.executor_mut(framework_id, executor_id) else { return };
        if executor.phase == Phase::Terminating {
            return;
        }
        executor.phase = Phase::Terminating;
        executor.deadline = Some(now.instant + executor.grace(default));
        if let Some(stream) = executor.stream {
            self.effects.push(Effect::Event(stream, Box::new(event::shutdown())));
        }
    }

    pub(super) fn on_time(&mut self, now: Now) {
        self.end_recovery(now);
        let mut kills = Vec::new();
        for framework in self.frameworks.values_mut() {
            for executor in framework.executors.values_mut() {
                if executor.deadline.is_none_or(|at| at > now.instant) {
                    continue;
                }
                executor.deadline = None;
                if executor.phase == Phase::Registering {
                    let message = format!(
                        "Executor did not register within {}",
                        duration(self.config.registration_timeout)
                    );
                    executor.verdict.get_or_insert((
                        TaskState::TaskFailed,
                        Reason::ExecutorRegistrationTimeout,
                        message,
                    ));
                }
                executor.phase = Phase::Terminating;
                kills.push(Effect::Kill(executor.container));
            }
        }
        self.effects.extend(kills);
        self.forward_all(now);
    }

    /// Books an update of an executor and hands it on.
    pub(super) fn executor_update(
        &mut self,
        framework_id: &str,
        executor_id: &str,
        mut status: TaskStatus,
        now: Now,
    ) {
        let ip = self.config.hostname.clone();
        let stream = self.frameworks.get(framework_id).and_then(|f| f.updates.get(&status.task_id.value));
        if stream.is_some_and(|stream| stream.has_seen(&status)) {
            return;
        }
        let drained =
            self.draining && matches!(status.state(), TaskState::TaskKilling | TaskState::TaskKilled);
        let Some(executor) = self.executor_mut(framework_id, executor_id) else { return };
        let state = status.state();
        if drained {
            status.reason = Some(Reason::AgentDraining as i32);
        }
        status.executor_id = Some(executor.info.executor_id.clone());
        status.container_status = Some(executor.container_status(&ip));
        status.timestamp.get_or_insert(now.unix.as_secs_f64());
        let Some(task) = executor.tasks.get_mut(&status.task_id.value) else {
            return;
        };
        task.state = state;
        task.last = Some(TaskStatus { data: None, ..status.clone() });
        if is_terminal(state) {
            executor.tasks.remove(&status.task_id.value);
        }
        self.update(framework_id, status, now);
    }
}

/// A duration in Mesos' notation: `2secs`, `1.5mins`.
pub(super) fn duration(duration: Duration) -> String {
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
