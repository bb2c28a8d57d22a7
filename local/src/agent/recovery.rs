//! Registration, and the life after a sudden death: what a checkpointing agent finds on its disk.

use super::executor::{Phase, duration};
use super::{Agent, Config, Effect, Framework, UpdateStream};
use crate::link::{KnownTask, Now, ToMaster};
use mesos::v1::task_status::Reason;
use mesos::v1::{FrameworkInfo, TaskState};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What outlives an agent: its id, and the frameworks that checkpoint.
#[derive(Debug)]
pub struct Durable {
    config: Config,
    id: Option<String>,
    frameworks: BTreeMap<String, Framework>,
}

impl Durable {
    /// Takes everything out.
    pub fn take(&mut self) -> Self {
        let frameworks = std::mem::take(&mut self.frameworks);
        Self { config: self.config.clone(), id: self.id.clone(), frameworks }
    }
}

impl Agent {
    /// What is left when the agent dies. The agent is of no more use.
    pub fn take_durable(&mut self) -> Durable {
        let mut frameworks = std::mem::take(&mut self.frameworks);
        frameworks.retain(|_, framework| framework.info.checkpoint.unwrap_or(false));
        Durable { frameworks, ..self.empty_durable() }
    }

    /// What an agent that has ended all its executors would find.
    pub fn empty_durable(&self) -> Durable {
        Durable { config: self.config.clone(), id: self.id.clone(), frameworks: BTreeMap::new() }
    }

    /// Whether it knows the container.
    pub fn has_container(&self, container: Uuid) -> bool {
        self.executors().any(|executor| executor.container == container)
    }

    /// The containers of all executors of that name.
    pub fn containers_of(&self, executor_id: &str) -> Vec<Uuid> {
        let named = self.executors().filter(|executor| executor.info.executor_id.value == executor_id);
        named.map(|executor| executor.container).collect()
    }

    /// The agent's next life: its executors may come back for a while, then it registers.
    pub fn recover(durable: Durable, now: Now) -> Self {
        let Durable { config, id, mut frameworks } = durable;
        for executor in frameworks.values_mut().flat_map(|framework| framework.executors.values_mut()) {
            executor.stream = None;
            if executor.phase == Phase::Running {
                executor.phase = Phase::Registering;
                executor.deadline = None;
            }
        }
        // A repeat that is due now would wait for the registration, and wake the agent until then.
        frameworks.values_mut().flat_map(|f| f.updates.values_mut()).for_each(UpdateStream::resend);
        let waiting = frameworks.values().any(|framework| !framework.executors.is_empty());
        let recovering = waiting.then(|| now.instant + config.reregistration_timeout);
        Self { config, id, frameworks, recovering, stopping: false, draining: false, effects: Vec::new() }
    }

    /// Ends the wait for executors, and kills those that did not come back.
    pub(super) fn end_recovery(&mut self, now: Now) {
        if self.recovering.is_none_or(|at| at > now.instant) {
            return;
        }
        self.recovering = None;
        let timeout = duration(self.config.reregistration_timeout);
        for executor in self.frameworks.values_mut().flat_map(|f| f.executors.values_mut()) {
            if executor.phase == Phase::Registering && executor.pid.is_some() {
                executor.phase = Phase::Terminating;
                executor.verdict.get_or_insert((
                    TaskState::TaskGone,
                    Reason::ExecutorReregistrationTimeout,
                    format!("Executor did not reregister within {timeout}"),
                ));
                self.effects.push(Effect::Kill(executor.container));
            }
        }
        self.register();
    }

    /// Tells the master what is there.
    pub(super) fn register(&mut self) {
        if self.recovering.is_some() {
            return;
        }
        let tasks = self.frameworks.iter().flat_map(|(framework_id, framework)| {
            let all = framework.executors.values().flat_map(|executor| executor.tasks.values());
            all.map(|task| KnownTask {
                framework_id: framework_id.clone(),
                info: task.info.clone(),
                status: task.last.clone(),
            })
        });
        let ended =
            self.frameworks.iter().flat_map(|(framework_id, framework)| framework.unreported(framework_id));
        let executors = self.frameworks.iter().flat_map(|(framework_id, framework)| {
            framework.executors.values().map(|executor| (framework_id.clone(), executor.info.clone()))
        });
        let frameworks: Vec<FrameworkInfo> = self.frameworks.values().map(|f| f.info.clone()).collect();
        let register = ToMaster::Register {
            info: Box::new(self.info()),
            total: self.config.total.clone(),
            tasks: tasks.chain(ended).collect(),
            executors: executors.collect(),
            frameworks,
        };
        self.effects.push(Effect::Master(register));
    }
}

impl Framework {
    /// Tasks that have ended, but whose end has not been acknowledged.
    fn unreported(&self, framework_id: &str) -> Vec<KnownTask> {
        let known = |id: &String| self.executors.values().any(|executor| executor.tasks.contains_key(id));
        let ended = self.updates.iter().filter(|(id, stream)| stream.has_ended() && !known(id));
        let task = |(id, stream): (&String, &UpdateStream)| {
            let status = stream.first()?;
            let info = mesos::v1::TaskInfo {
                name: id.clone(),
                task_id: status.task_id.clone(),
                agent_id: status.agent_id.clone().unwrap_or_default(),
                ..Default::default()
            };
            Some(KnownTask { framework_id: framework_id.to_owned(), info, status: None })
        };
        ended.filter_map(task).collect()
    }
}
