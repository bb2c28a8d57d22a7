//! Tests of the state machine, event by event, with a clock and a disk under the test's control.

mod admission;
mod changed_options;
mod commands;
mod common_failure;
mod duplicates;
mod end;
mod executor_output;
mod fault_sim;
mod fetching;
mod format_1;
mod intervals;
mod launch;
mod limits;
mod live_facts;
mod loss;
mod maintenance;
mod merging;
mod model;
mod no_offers;
mod node_credentials;
mod overview;
mod pool;
mod reconnect;
mod redirect;
mod removal;
mod retired;
mod rows;
mod server_url;
mod silence;
mod slow_launch;
mod teardown;
mod terminated_executor;
mod versions;
mod worker_sums;

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use ::task::{Account, Live, PoolLive, ProgramSpec, Report, ServerAddress, TaskSpec, Totals};
use mesos::resources::{Quantity, ranges, scalar};
use mesos::v1::{Offer, TaskStatus, task_status};

use mesos::v1::TaskState;

use problem::{Problem, ProblemKind};

use super::*;
use crate::cluster_view::Question;
use crate::control::{Obeyed, Refusal};
use crate::event::TaskEnd;
use crate::event::{Call, InverseOffer, Unavailability};
use crate::fleet::Slot;
use crate::history::Topic;
use crate::journal::ChangeId;
use crate::offers::Placement;
use crate::options::{FrameworkOptions, OnServerLoss, TaskOptions};
use crate::policy::ILL_SERVER;
use crate::sandbox::Sandbox;
use crate::store::memory::Memory;
use crate::task_info::{Arguments, Delivery, ImageTask, Programs};
use crate::user_notice::UserNotice;

/// The interval of the master's heartbeats.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);

pub(crate) fn settings() -> Settings {
    Settings {
        template: crate::task_info::TaskTemplate {
            name: "mesos-miner".into(),
            user: "root".into(),
            role: "*".into(),
            options: TaskOptions { report_interval: Duration::from_secs(1), ..TaskOptions::default() },
            programs: Programs::default(),
            pool: None,
            delivery: Delivery::Path("/opt/mesos-miner".into()),
        },
        options: FrameworkOptions { teardown_on_exit: true, ..FrameworkOptions::default() },
        placement: Placement::default(),
        seed: 1,
    }
}

/// The settings with some framework options changed.
pub(crate) fn settings_where(change: impl FnOnce(&mut FrameworkOptions)) -> Settings {
    let mut settings = settings();
    change(&mut settings.options);
    settings
}

/// A user's own image of a miner.
pub(super) fn somebody_elses_worker() -> ImageTask {
    ImageTask { image: "cpuminer".into(), arguments: Arguments::parse("", &[]).unwrap() }
}

pub(super) fn offer(id: &str, agent: &str, cpus: f64, mem: u64) -> Offer {
    Offer {
        id: id.into(),
        framework_id: "f".into(),
        agent_id: agent.into(),
        hostname: format!("{agent}.host"),
        resources: vec![
            scalar("cpus", Quantity::new(cpus)),
            scalar("mem", Quantity::whole(mem)),
            ranges("ports", [31000..=31000, 31010..=31020]),
        ],
        ..Offer::default()
    }
}

/// An update from an agent. Its uuid is made of the task's id and `n`.
pub(super) fn status(task: &str, state: TaskState, n: u8) -> TaskStatus {
    let mut uuid = task.as_bytes().to_vec();
    uuid.push(n);
    TaskStatus {
        task_id: task.into(),
        state: state.into(),
        agent_id: Some("a".into()),
        uuid: Some(uuid),
        ..TaskStatus::default()
    }
}

pub(super) fn report(worker: &str, sequence: u64, accepted: u64) -> Vec<u8> {
    let totals = Totals { hashes: u128::from(accepted) * 7, accepted, ..Totals::default() };
    let account = Account { worker: worker.into(), totals, ..Account::default() };
    Report { sequence, accounts: vec![account], server: None }.encode()
}

/// A state machine with a clock and a disk, and the effects that it has returned.
pub(crate) struct Script {
    pub state: State,
    pub now: Instant,
    pub disk: Memory,
    /// The changes that are not on disk yet.
    pub queue: Vec<(ChangeId, Change)>,
    pub calls: Vec<Call>,
    pub notices: Vec<UserNotice>,
    /// The sandboxes of which the standard error is to be read, and the failures for which it is.
    pub to_read: Vec<(Sandbox, TaskEnd)>,
    /// The questions to the master's operator API.
    pub questions: Vec<Question>,
    /// The answers to orders of operators.
    pub answers: Vec<Result<Obeyed, Refusal>>,
    pub finished: bool,
    settings: Settings,
    /// The framework id in the SUBSCRIBED event of [`Script::subscribe`].
    framework: String,
    /// When each task's launch was decided.
    created: HashMap<String, Instant>,
}

impl Script {
    pub fn new() -> Self {
        Script::with(settings())
    }

    pub fn with(settings: Settings) -> Self {
        let (now, disk) = (Instant::now(), Memory::new());
        let state = State::new(settings.clone(), disk.recover(), &Ages::default(), now);
        let (queue, calls, notices, to_read, questions, answers) = Default::default();
        let created = HashMap::new();
        let framework = "f".into();
        Script {
            state,
            now,
            disk,
            queue,
            calls,
            notices,
            to_read,
            questions,
            answers,
            finished: false,
            settings,
            framework,
            created,
        }
    }

    /// A script with a subscription, and with miner-server-1 running on agent `a`.
    pub fn with_server() -> Self {
        Script::server_of(settings())
    }

    pub fn server_of(settings: Settings) -> Self {
        let mut script = Script::with(settings);
        script.subscribe();
        script.event(Event::Offers(vec![offer("o1", "a", 1.5, 1024)]));
        script.write();
        script.update(status("miner-server-1", TaskState::TaskRunning, 1));
        script.write();
        script.clear();
        script
    }

    /// Like [`Script::with_server`], plus miner-worker-2 running on `a` and miner-worker-3 on `b`.
    pub fn with_workers() -> Self {
        Script::workers_of(settings())
    }

    pub fn workers_of(settings: Settings) -> Self {
        let mut script = Script::server_of(settings);
        script.event(Event::Offers(vec![offer("o2", "a", 0.5, 700), offer("o3", "b", 2.0, 700)]));
        script.write();
        for task in ["miner-worker-2", "miner-worker-3"] {
            script.update(TaskStatus {
                data: Some(report(task, 1, 0)),
                ..status(task, TaskState::TaskRunning, 1)
            });
        }
        script.write();
        script.clear();
        script
    }

    pub fn subscribe(&mut self) {
        self.event(Event::Subscribed(self.framework.clone()));
    }

    pub fn event(&mut self, event: Event) {
        for effect in self.state.on_event(event, self.now) {
            assert!(!self.finished, "{effect:?} after the end");
            match effect {
                Effect::Persist(change_id, change) => {
                    if let Change::Task(task) = &change {
                        self.created.insert(task.id.clone(), self.now);
                    }
                    self.queue.push((change_id, change));
                }
                Effect::Call(call) => self.calls.push(call),
                Effect::Notify(notice) => self.notices.push(notice),
                Effect::ReadStderr(sandbox, end) => self.to_read.push((sandbox, end)),
                Effect::AskMaster(question) => self.questions.push(question),
                Effect::Answer(answer) => self.answers.push(answer),
                Effect::Finish => self.finished = true,
            }
        }
    }

    /// Delivers a live message of miner-server-1, which may state how many connections the server admits.
    pub fn server_speaks(&mut self, max_connections: Option<u32>) {
        let live = Live::Pool(PoolLive { max_connections, ..PoolLive::default() });
        self.event(Event::Message { executor: "miner-server-1".into(), data: live.encode() });
    }

    pub fn update(&mut self, status: TaskStatus) {
        self.event(Event::Update(Box::new(status)));
    }

    /// Persists all changes, and those that follow from them.
    pub fn write(&mut self) {
        while !self.queue.is_empty() {
            self.write_some(self.queue.len());
        }
    }

    pub fn write_some(&mut self, count: usize) {
        let batch: Vec<_> = self.queue.drain(..count).collect();
        self.disk.write(&batch);
        if !batch.is_empty() {
            self.event(Event::Persisted(batch.into_iter().map(|(change_id, _)| change_id).collect()));
        }
    }

    /// Time passes, tick by tick, with heartbeats of the master if there is a subscription.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end && !self.finished {
            if self.heartbeat_due() {
                self.event(Event::Heartbeat);
            }
            self.pass(Duration::from_millis(500).min(end - self.now));
        }
    }

    /// Time passes, tick by tick, without heartbeats of the master.
    pub fn wait_for_master(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.pass(Duration::from_millis(500).min(end - self.now));
        }
    }

    pub fn heartbeat_due(&self) -> bool {
        self.state.run.connected && self.now >= self.state.run.heard() + HEARTBEAT
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        if self.state.run.connected {
            self.event(Event::CallsAnswered { decided_before: self.now });
        }
        self.event(Event::Tick);
    }

    /// Changes some of the options with which the next process starts.
    pub fn change_options(&mut self, which: usize) {
        let options = &mut self.settings.template.options;
        match which % 8 {
            1 => options.backend = (which % 16 == 1).then(|| "portable".to_owned()),
            3 => options.share_interval = Duration::from_millis(1000 + 500 * (which as u64 / 8 % 2)),
            5 => self.settings.placement.limits.max_workers = Some(1 + which as u64 % 3),
            6 => self.settings.placement.limits.max_workers = None,
            7 => self.settings.template.user = if which % 16 == 7 { "nobody" } else { "root" }.into(),
            _ => {}
        }
    }

    /// The scheduler's process dies, and the changes that are not on disk are lost. Another process starts.
    pub fn restart(&mut self) {
        self.queue.clear();
        self.resume(self.disk.recover());
    }

    /// The scheduler's process dies, and the changes that are not on disk are lost. Another process starts on another machine.
    /// That machine's disk is empty, or has the records from the last time that a scheduler there was the leader.
    pub fn hand_over(&mut self, empty_disk: bool) {
        self.queue.clear();
        let recovered = self.disk.hand_over(empty_disk);
        self.resume(recovered);
    }

    fn resume(&mut self, recovered: RecoveredState) {
        let age = |(task, created): (&String, &Instant)| (task.clone(), self.now.duration_since(*created));
        let launches = self.created.iter().map(age).collect();
        let ages = Ages { framework: Duration::from_secs(5), launches, now_ms: 5000 };
        self.state = State::new(self.settings.clone(), recovered, &ages, self.now);
        self.clear();
    }

    pub fn task(&self, id: &str) -> &Task {
        self.state.fleet.get(id).expect("it is there")
    }

    pub fn clear(&mut self) {
        self.calls.clear();
        self.notices.clear();
    }

    /// The ids of the tasks launched so far.
    pub fn launched(&self) -> Vec<String> {
        let tasks = |call: &Call| match call {
            Call::Accept { tasks, .. } => tasks.iter().map(|task| task.task_id.value.clone()).collect(),
            _ => Vec::new(),
        };
        self.calls.iter().flat_map(tasks).collect()
    }

    /// The specification of the first task of the last launch, which is a worker.
    pub fn launched_worker(&self) -> ::task::WorkerSpec {
        let launches = |call: &Call| match call {
            Call::Accept { tasks, .. } => tasks.first()?.data.clone(),
            _ => None,
        };
        let data = self.calls.iter().rev().find_map(launches).expect("a launch");
        let ProgramSpec::Worker(worker) = TaskSpec::decode(&data).unwrap().kind else { panic!("no worker") };
        worker
    }

    pub fn killed(&self) -> Vec<&str> {
        let kills = |call: &&Call| matches!(call, Call::Kill { .. });
        self.calls.iter().filter(kills).map(task_of).collect()
    }

    pub fn acknowledged(&self) -> Vec<&str> {
        let acknowledges = |call: &&Call| matches!(call, Call::Acknowledge { .. });
        self.calls.iter().filter(acknowledges).map(task_of).collect()
    }

    pub fn declined(&self) -> Vec<&str> {
        let mut declined = Vec::new();
        for call in &self.calls {
            if let Call::Decline { offers, .. } = call {
                declined.extend(offers.iter().map(String::as_str));
            }
        }
        declined
    }
}

fn task_of(call: &Call) -> &str {
    match call {
        Call::Message { executor: task, .. } | Call::Kill { task, .. } | Call::Acknowledge { task, .. } => {
            task
        }
        _ => "",
    }
}
