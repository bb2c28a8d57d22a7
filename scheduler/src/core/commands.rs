//! The orders of operators: what can be carried out is recorded as a command, and then applied.

use super::outbox::OnPersisted;
use super::transition::Transition;
use crate::control::{Obeyed, Order, OrderRequest, Refusal};
use crate::event::Effect;
use crate::fleet::Task;
use crate::journal::{Change, Command, Operator, RecordedCommand, Said, ScaleLimits};
use crate::policy::PolicyEvent;
use crate::settings::Settings;
use crate::unix_time::date;
use crate::user_notice::UserNotice;

impl Transition<'_> {
    /// Records the command that an order means, or refuses the order.
    pub fn order(&mut self, request: OrderRequest) {
        match self.command(&request.order) {
            Ok(what) => {
                let command = Box::new(RecordedCommand { said: request.said, what });
                self.persist(Change::Command(command.clone()), OnPersisted::Command(command));
            }
            Err(refusal) => self.outbox.add(Effect::Answer(Err(refusal))),
        }
    }

    /// Applies a command that is on disk.
    pub fn obey(&mut self, command: RecordedCommand) {
        let tasks = self.tasks_to_end(&command.what);
        self.apply(&Change::Command(Box::new(command.clone())));
        if let Command::Allow { agent } = &command.what {
            self.fleet.agents.forget_avoided(agent);
        }
        self.notify(UserNotice::Command(command.clone()));
        self.raise(PolicyEvent::Commanded(command.what.clone()));
        let limits = self.history.limits(&self.settings.placement.limits);
        let limits = ScaleLimits { max_workers: limits.max_workers, max_cpus_milli: limits.max_cpus_milli };
        self.outbox.add(Effect::Answer(Ok(Obeyed { command, tasks, limits })));
    }

    /// The command that an order means now.
    fn command(&self, order: &Order) -> Result<Command, Refusal> {
        let conflict = |why: String| Err(Refusal::Conflict(why));
        let controls = &self.history.controls;
        if self.run.ending {
            let what = if self.run.teardown {
                "the framework is being torn down"
            } else {
                "the scheduler is ending"
            };
            return conflict(what.to_owned());
        }
        match order {
            Order::Scale(scale) => {
                let before = controls.scale.as_ref().map(|scale| scale.limits).unwrap_or_default();
                let limits = ScaleLimits {
                    max_workers: scale.max_workers.unwrap_or(before.max_workers),
                    max_cpus_milli: scale.max_cpus_milli.unwrap_or(before.max_cpus_milli),
                };
                Ok(Command::Scale { limits, options: limits_of_options(self.settings) })
            }
            Order::Pause { release } => match &controls.pause {
                Some(pause) if pause.release == *release => {
                    conflict(format!("mining is paused already, by {}", told(&pause.said)))
                }
                _ => Ok(Command::Pause { release: *release }),
            },
            Order::Resume if controls.pause.is_none() => conflict("mining is not paused".to_owned()),
            Order::Resume => Ok(Command::Resume),
            Order::Avoid(agent) => match self.history.avoided().get(agent) {
                Some(avoided) => conflict(format!("agent {agent} is avoided already: {}", avoided.why)),
                None => Ok(Command::Avoid { agent: agent.clone() }),
            },
            Order::Allow(agent) if self.history.avoided().contains_key(agent) => {
                Ok(Command::Allow { agent: agent.clone() })
            }
            Order::Allow(agent) => Err(Refusal::Unknown(format!("agent {agent} is not avoided"))),
            Order::Kill(task) => self.kill(task),
            Order::Teardown => Ok(Command::Teardown),
        }
    }

    fn kill(&self, id: &str) -> Result<Command, Refusal> {
        match self.fleet.get(id) {
            Some(task) if !task.has_ended() && task.is_to_end() => {
                Err(Refusal::Conflict(format!("{id} is being ended already")))
            }
            Some(task) if !task.has_ended() => Ok(Command::Kill { task: id.to_owned() }),
            None if !self.history.retired.contains(id) => {
                Err(Refusal::Unknown(format!("there is no task {id}")))
            }
            _ => Err(Refusal::Conflict(format!("{id} has ended already"))),
        }
    }

    /// The number of tasks that a command ends, as far as it names them.
    fn tasks_to_end(&self, command: &Command) -> u64 {
        let count = |ends: &dyn Fn(&Task) -> bool| {
            self.fleet.active().filter(|task| !task.is_to_end() && ends(task)).count() as u64
        };
        match command {
            Command::Pause { release: true } => count(&Task::is_worker),
            Command::Avoid { agent } => count(&|task| task.agent() == agent || task.host() == agent),
            Command::Kill { .. } => 1,
            Command::Teardown => count(&|_| true),
            _ => 0,
        }
    }

    /// Tells the user which limits of an operator hold in this run of the scheduler. They do not hold if the limits of the options
    /// have changed since: who starts the scheduler with other limits wants those. `now_ms` is the time, in milliseconds since the
    /// Unix epoch.
    pub fn check_scale(&mut self, now_ms: u64) {
        let Some(scale) = self.history.controls.scale.clone() else { return };
        let (limits, said) = (scale.limits, told(&scale.said));
        let options = limits_of_options(self.settings);
        if scale.options == options {
            return self.notify(UserNotice::Remark(format!("{limits} holds, as {said} has said")));
        }
        let text = format!(
            "--max-workers or --max-cpus has changed, so {limits}, as {said} has said, does not hold any more"
        );
        self.notify(UserNotice::Remark(text));
        let what = Command::Scale { limits: ScaleLimits::default(), options };
        let said = Said { by: Operator::options(), at_ms: now_ms };
        self.change(Change::Command(Box::new(RecordedCommand { said, what })), OnPersisted::Nothing);
    }
}

fn limits_of_options(settings: &Settings) -> ScaleLimits {
    let limits = &settings.placement.limits;
    ScaleLimits { max_workers: limits.max_workers, max_cpus_milli: limits.max_cpus_milli }
}

fn told(said: &Said) -> String {
    format!("{} on {}", said.by, date(said.at_ms))
}
