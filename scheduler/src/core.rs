//! The framework's decisions: `on_event(event, now) -> effects`. Pure: no clock, no disk, no socket.
//!
//! ```text
//! Event ─▶ fleet, history ─▶ PolicyEvent ─▶ policies ─▶ Intent ─▶ fleet, Effect
//!                                ▲                         │
//!                                └─────────────────────────┘
//! ```
//!
//! Whatever happens:
//! - an update changes nothing and is not acknowledged before its record is on disk;
//! - a task is not launched before its launch is on disk;
//! - there are no more servers than wanted. A worker is launched only while its server runs. When the server is lost, the worker
//!   is killed, or redirected to the next server;
//! - a task that should not run is sent KILLs until Mesos says that it has ended.

mod commands;
mod events;
mod intents;
mod outbox;
mod overview;
mod rows;
#[cfg(test)]
pub(crate) mod tests;
mod transition;
mod updates;
mod worker_sums;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use command_line::Summary;

pub use self::overview::{MAX_PAGE, Overview, TaskOverview, TaskPage};
pub use self::rows::{AgentFacts, AgentRow, AgentState, BlockFinder, Pulse, Slice, agent_rows};
pub use self::worker_sums::{WorkerRate, WorkerSum, WorkerSums};

use self::outbox::Outbox;
use self::transition::Transition;
use crate::event::{Effect, Event};
use crate::fleet::{Fleet, Task};
use crate::history::{History, TaskFailure};
use crate::journal::{AvoidedAgent, Change, RecordedCommand, RecoveredState, Removal};
use crate::policy::{Policy, PolicyEvent, View, policies};
use crate::run_state::RunState;
use crate::settings::Settings;
use crate::specification::Fingerprints;

/// The time between two ticks. At each tick, the driver does periodic work and redraws the terminal.
const TICK: Duration = Duration::from_millis(500);
/// Maximum number of times that [`PolicyEvent::Settled`] is raised after one event. Without this limit, a policy that returned
/// intents each time would block the framework.
const ROUNDS: usize = 100;

/// The framework.
#[derive(Debug)]
pub struct State {
    settings: Settings,
    fingerprints: Fingerprints,
    run: RunState,
    fleet: Fleet,
    history: History,
    policies: Vec<Box<dyn Policy>>,
    outbox: Outbox,
    /// The time of the next [`Event::Tick`].
    next_tick: Instant,
}

/// How much time has passed since events of earlier runs of the scheduler. The state machine itself has no wall clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ages {
    /// The time since the framework first subscribed.
    pub framework: Duration,
    /// The time since the launch of each task that has not started yet, by task id.
    pub launches: HashMap<String, Duration>,
    /// The present time by the wall clock, in milliseconds since the Unix epoch.
    pub now_ms: u64,
}

impl State {
    /// Resumes where an earlier run of the scheduler stopped.
    pub fn new(settings: Settings, mut recovered: RecoveredState, ages: &Ages, now: Instant) -> Self {
        let tasks = std::mem::take(&mut recovered.tasks);
        let mut state = Self {
            fingerprints: Fingerprints::new(&settings, recovered.specification_key.as_ref()),
            run: RunState::new(now),
            fleet: Fleet::new(&settings.placement.workers),
            history: History::new(recovered, ages.framework, now),
            policies: policies(&settings),
            outbox: Outbox::default(),
            next_tick: now,
            settings,
        };
        for record in tasks {
            let age = ages.launches.get(&record.id).copied().unwrap_or_default();
            state.fleet.insert(Task::launched_before(record, age, now));
        }
        let mut transition = state.transition(now);
        transition.run.teardown = transition.settings.options.teardown_on_exit;
        transition.resume(ages.now_ms);
        let policy_events = transition.policy_events;
        state.run_policies(policy_events, now);
        state
    }

    /// The framework id to subscribe with.
    pub fn framework(&self) -> Option<&str> {
        self.history.framework.as_ref().map(|framework| framework.id.as_str())
    }

    /// The record of the framework's removal by the master; `None` if the master has not removed it.
    pub fn removal(&self) -> Option<Removal> {
        self.history.framework.as_ref()?.removal
    }

    /// The failover timeout that the master knows; `None` if it is not recorded.
    pub fn failover_timeout(&self) -> Option<Duration> {
        self.history.framework.as_ref()?.failover_ms.map(Duration::from_millis)
    }

    /// Whether the scheduler is shutting down.
    pub fn is_ending(&self) -> bool {
        self.run.ending
    }

    /// Whether the end of this run, which may have begun, ends the tasks and the framework.
    pub fn tears_down(&self) -> bool {
        self.run.teardown
    }

    /// The last commands of operators, the oldest first, and the agents to avoid.
    pub fn commands(&self) -> (Vec<RecordedCommand>, Vec<AvoidedAgent>) {
        let avoided = self.history.avoided().values().cloned().collect();
        (self.history.controls.commands.clone(), avoided)
    }

    /// Records that an earlier run of the scheduler received the master's last event. `before` is the time from that event until
    /// the present run began.
    pub fn heard_before(&mut self, before: Duration) {
        self.run.heard_before(before);
    }

    /// Handles an event. The effects must be carried out in order.
    pub fn on_event(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        if matches!(event, Event::Tick) {
            self.next_tick = now + TICK;
        }
        if let Event::NodeCredentials(nodes) = &event {
            self.settings.template.programs.set_nodes(nodes.clone());
        }
        let mut transition = self.transition(now);
        transition.on_event(event);
        let policy_events = transition.policy_events;
        if self.outbox.is_finished() {
            return self.outbox.take();
        }
        self.run_policies(policy_events, now);
        let settled = (0..ROUNDS).any(|_| !self.run_policies([PolicyEvent::Settled].into(), now));
        debug_assert!(settled, "a policy wants something again and again");
        self.outbox.take()
    }

    /// The time at which the next [`Event::Tick`] is due. At each tick, the policies check their own deadlines.
    pub fn next_deadline(&self) -> Instant {
        self.next_tick
    }

    /// The current figures.
    pub fn overview(&self, now: Instant) -> Overview {
        overview::overview(&self.settings, &self.run, &self.fleet, &self.history, now)
    }

    /// At most `limit` tasks, and at most [`MAX_PAGE`], that were launched after the task `after`. The task `after` need not
    /// exist any more, since ids are numbered in launch order.
    pub fn tasks(&self, after: Option<&str>, limit: usize, now: Instant) -> TaskPage {
        overview::tasks(&self.fleet, &self.history.ledger, after, limit, now)
    }

    /// The next tasks of those that have not ended, in the order of their launch, after the task with the id `after`.
    pub fn task_slice(&self, after: Option<&str>, now: Instant) -> Slice<TaskOverview> {
        rows::tasks(&self.fleet, &self.history, after, now)
    }

    /// The next agents of those about which something is known, after the agent with the id `after`.
    pub fn agent_slice(&self, after: Option<&str>, now: Instant) -> Slice<AgentFacts> {
        rows::agents(&self.fleet, after, now)
    }

    /// The next workers of those that have found blocks, after the worker with the name `after`.
    pub fn block_slice(&self, after: Option<&str>, now: Instant) -> Slice<BlockFinder> {
        rows::blocks(&self.fleet, &self.history, after, now)
    }

    /// The tasks that failed most recently, the newest first.
    pub(crate) fn failures(&self, now: Instant) -> Vec<TaskFailure> {
        self.history.failures.list(usize::MAX, now)
    }

    /// The figures of this moment, for the series.
    pub fn pulse(&self) -> Pulse {
        rows::pulse(&self.fleet, &self.history)
    }

    /// Adds a part of the tasks to `sums`, and each worker if `each` is true. Returns the id to begin the next part with (`after`);
    /// `None` after the last part.
    pub fn add_worker_sums(&self, after: Option<&str>, each: bool, sums: &mut WorkerSums) -> Option<String> {
        worker_sums::add_part(&self.fleet, after, each, sums)
    }

    /// The figures of the framework so far.
    pub fn summary(&self, now: Instant) -> Summary {
        overview::summary(&self.fleet, &self.history, now)
    }

    /// The number of tasks that may still be running.
    pub fn live_tasks(&self) -> usize {
        self.fleet.count_live()
    }

    /// The number of tasks that are in TASK_RUNNING, as far as is known.
    pub fn running_tasks(&self) -> usize {
        self.fleet.active().filter(|task| task.is_running()).count()
    }

    /// The number of launches that are not sent yet.
    pub fn unsent_launches(&self) -> usize {
        self.fleet.count_unsent()
    }

    /// The master has accepted TEARDOWN, which kills all tasks. Returns the changes to persist.
    pub fn torn_down(&mut self, now: Instant) -> Vec<Change> {
        self.transition(now).torn_down()
    }

    /// Passes events to all policies and carries out their intents. Returns whether there were any intents.
    fn run_policies(&mut self, mut policy_events: VecDeque<PolicyEvent>, now: Instant) -> bool {
        let mut any = false;
        while let Some(policy_event) = policy_events.pop_front() {
            for rule in 0..self.policies.len() {
                let view = View {
                    settings: &self.settings,
                    fingerprints: &self.fingerprints,
                    run: &self.run,
                    fleet: &self.fleet,
                    history: &self.history,
                    unpersisted: self.outbox.count_unpersisted(),
                };
                let intents = self.policies[rule].on_event(&view, &policy_event, now);
                any |= !intents.is_empty();
                let mut transition = self.transition(now);
                intents.into_iter().for_each(|intent| transition.perform(intent));
                policy_events.append(&mut transition.policy_events);
            }
        }
        any
    }

    fn transition(&mut self, now: Instant) -> Transition<'_> {
        Transition {
            settings: &self.settings,
            fingerprints: &self.fingerprints,
            run: &mut self.run,
            fleet: &mut self.fleet,
            history: &mut self.history,
            outbox: &mut self.outbox,
            policy_events: VecDeque::new(),
            now,
        }
    }
}
