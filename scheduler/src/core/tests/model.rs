//! A model of a small cluster in which events happen in any order. Nothing is acknowledged or launched before it is on disk,
//! there are never two servers, tasks take no more CPU than offered, and the totals are exact in the end, even if events were
//! repeated or reordered, persisted late, or lost because a process died.

use std::collections::BTreeMap;

use ::task::{Instruction, Live, WorkerLive};
use proptest::prelude::*;

use super::*;
use crate::journal::LedgerLine;

const AGENTS: [(&str, u64); 2] = [("a", 2000), ("b", 1500)];

/// The actual state of a task.
struct Real {
    agent: String,
    cpus_milli: u64,
    state: TaskState,
    sequence: u64,
    accepted: u64,
    /// The updates that are not acknowledged; the agent repeats the first one.
    updates: Vec<TaskStatus>,
}

struct Model {
    script: Script,
    tasks: BTreeMap<String, Real>,
    /// Offer id → the agent and the CPU that are offered, for offers that are not accepted, declined or rescinded yet.
    offers: BTreeMap<String, (String, u64)>,
    /// All updates that were sent with a uuid.
    history: Vec<TaskStatus>,
    /// The tasks in RECONCILE calls that the master has not answered yet.
    asked: Vec<String>,
    next: u64,
}

impl Model {
    fn new(on_server_loss: OnServerLoss) -> Self {
        let script = Script::with(settings_where(|options| options.on_server_loss = on_server_loss));
        let (tasks, offers) = Default::default();
        Model { script, tasks, offers, history: vec![], asked: vec![], next: 0 }
    }

    fn event(&mut self, event: Event) {
        self.script.event(event);
        self.carry_out();
    }

    fn write(&mut self, count: usize) {
        let batch: Vec<_> = self.script.queue.drain(..count.min(self.script.queue.len())).collect();
        self.script.disk.write(&batch);
        for (change_id, _) in batch {
            self.event(Event::Persisted(vec![change_id]));
        }
    }

    /// Carries out the calls as the master does.
    fn carry_out(&mut self) {
        for call in std::mem::take(&mut self.script.calls) {
            match call {
                Call::Accept { offers, tasks, .. } => self.accept(&offers, &tasks),
                Call::Decline { offers, .. } => self.offers.retain(|id, _| !offers.contains(id)),
                Call::Kill { task, .. } => self.end(&task, TaskState::TaskKilled),
                Call::Acknowledge { task, uuid, .. } => self.acknowledged(&task, &uuid),
                Call::Reconcile(tasks) if tasks.is_empty() => {
                    let live = self.tasks.iter().filter(|(_, task)| !task.state.is_terminal());
                    self.asked.extend(live.map(|(id, _)| id.clone()));
                }
                Call::Reconcile(tasks) => self.asked.extend(tasks.into_iter().map(|(task, _)| task)),
                Call::Message { executor, data, .. } => self.instructed(&executor, &data),
                Call::Teardown => {
                    for records in [self.script.disk.recover(), self.script.disk.shared()] {
                        assert!(records.framework.unwrap().tearing_down, "TEARDOWN before its record");
                    }
                }
                Call::Suppress | Call::Revive | Call::Shutdown { .. } => {}
                Call::AcceptInverse(_) | Call::DeclineInverse(_) => {}
            }
        }
        let servers =
            self.tasks.iter().filter(|(id, task)| id.contains("server") && !task.state.is_terminal());
        assert!(servers.count() <= 1, "two servers");
    }

    fn accept(&mut self, offers: &[String], tasks: &[mesos::v1::TaskInfo]) {
        let used: Vec<_> = offers.iter().filter_map(|offer| self.offers.remove(offer)).collect();
        assert_eq!(used.len(), offers.len(), "void offers are used");
        assert!(!tasks.is_empty(), "offers are accepted for nothing");
        let mut taken = 0;
        for task in tasks {
            assert!(used.iter().all(|(agent, _)| *agent == task.agent_id.value));
            taken += self.launch(task);
        }
        assert!(taken <= used.iter().map(|(_, cpus)| cpus).sum(), "more CPU than offered");
    }

    /// Launches a task. Returns the task's CPU.
    fn launch(&mut self, task: &mesos::v1::TaskInfo) -> u64 {
        let id = task.task_id.value.clone();
        assert!(self.script.disk.knows(&id), "{id} is launched before it is written");
        assert!(!self.tasks.contains_key(&id), "{id} is launched twice");
        let executor = task.executor.as_ref().unwrap();
        let all = task.resources.iter().chain(&executor.resources);
        let cpus: f64 = all.filter(|it| it.name == "cpus").map(|it| it.scalar.unwrap().value).sum();
        let cpus_milli = (cpus * 1000.0).round() as u64;
        let real = Real {
            agent: task.agent_id.value.clone(),
            cpus_milli,
            state: TaskState::TaskStaging,
            sequence: 0,
            accepted: 0,
            updates: vec![],
        };
        self.tasks.insert(id, real);
        cpus_milli
    }

    /// The record of an acknowledged update must be on disk.
    fn acknowledged(&mut self, id: &str, uuid: &[u8]) {
        let update = self.history.iter().find(|update| update.uuid.as_deref() == Some(uuid)).unwrap();
        let report = Report::decode(update.data.as_deref().unwrap()).unwrap();
        let written = self.script.disk.has(id, &report.accounts[0].worker, report.sequence);
        assert!(written, "acknowledged before it is written");
        if let Some(real) = self.tasks.get_mut(id) {
            real.updates.retain(|update| update.uuid.as_deref() != Some(uuid));
        }
    }

    /// A worker follows an instruction immediately, if the message arrives.
    fn instructed(&mut self, id: &str, data: &[u8]) {
        let Instruction::MineAt { pool, .. } = Instruction::decode(data).unwrap() else { return };
        self.next += 1;
        let alive = self.tasks.get(id).is_some_and(|real| !real.state.is_terminal());
        if alive && !self.next.is_multiple_of(3) {
            let live = Live::Worker(WorkerLive { pool, ..WorkerLive::default() });
            self.event(Event::Message { executor: id.to_owned(), data: live.encode() });
        }
    }

    fn free(&self, agent: &str, cpus: u64) -> u64 {
        let live = self.tasks.values().filter(|task| task.agent == agent && !task.state.is_terminal());
        let offered: u64 = self.offers.values().filter(|(on, _)| on == agent).map(|(_, cpus)| cpus).sum();
        cpus - live.map(|task| task.cpus_milli).sum::<u64>() - offered
    }

    fn offer(&mut self, which: usize) {
        let (agent, cpus) = AGENTS[which % AGENTS.len()];
        let free = self.free(agent, cpus);
        self.next += 1;
        let id = format!("o{}", self.next);
        self.offers.insert(id.clone(), (agent.to_owned(), free));
        let mut offered = offer(&id, agent, free as f64 / 1000.0, 1024);
        // Some offers tell the agent's address, which may change.
        if !which.is_multiple_of(3) {
            offered = launch::at(&format!("10.0.0.{}", which % 5 + 1), offered);
        }
        self.event(Event::Offers(vec![offered]));
    }

    /// The task makes progress, and its executor sends an update with a report.
    fn progress(&mut self, id: &str, state: TaskState, accepted: u64) {
        let Some(real) = self.tasks.get_mut(id) else { return };
        if real.state.is_terminal() {
            return;
        }
        real.state = state;
        real.sequence += 1;
        real.accepted += accepted;
        let mut update = status(id, state, 0);
        update.uuid = Some(format!("{id} {}", real.sequence).into_bytes());
        update.agent_id = Some(real.agent.as_str().into());
        update.data = Some(report(id, real.sequence, real.accepted));
        self.history.push(update.clone());
        real.updates.push(update);
    }

    fn end(&mut self, id: &str, state: TaskState) {
        self.progress(id, state, 1);
    }

    fn deliver(&mut self, id: &str) {
        if let Some(update) = self.tasks.get(id).and_then(|real| real.updates.first().cloned()) {
            self.event(Event::Update(Box::new(update)));
        }
    }

    fn answer(&mut self) {
        for id in std::mem::take(&mut self.asked) {
            let (state, agent) = match self.tasks.get(&id) {
                Some(real) => (real.state, real.agent.clone()),
                None => (TaskState::TaskGone, "a".to_owned()),
            };
            let agent_id = Some(agent.as_str().into());
            self.script.update(TaskStatus { uuid: None, agent_id, ..status(&id, state, 0) });
            self.carry_out();
        }
    }

    fn pick(&self, which: usize) -> Option<String> {
        let count = self.tasks.len();
        (count > 0).then(|| self.tasks.keys().nth(which % count).cloned()).flatten()
    }

    fn reconnect(&mut self) {
        self.offers.clear();
        self.asked.clear();
        self.script.subscribe();
        self.carry_out();
    }

    fn act(&mut self, action: u8, which: usize) {
        let task = self.pick(which).unwrap_or_default();
        match action {
            0..=3 => self.write(which % 4 + 1),
            4 => {
                self.script.now += Duration::from_millis(which as u64 % 500);
                self.event(Event::Tick);
            }
            5 | 6 => self.offer(which),
            7..=9 => self.progress(&task, TaskState::TaskRunning, which as u64 % 5),
            10..=14 => self.deliver(&task),
            15 if !self.history.is_empty() => {
                let old = self.history[which % self.history.len()].clone();
                self.event(Event::Update(Box::new(old)));
            }
            16 if which.is_multiple_of(4) => self.end(&task, TaskState::TaskFailed),
            20 => {
                self.script.now += Duration::from_secs(3600);
                self.event(Event::Tick);
            }
            17 if which.is_multiple_of(4) => {
                self.script.change_options(which / 4);
                self.script.restart();
                self.reconnect();
            }
            18 if which.is_multiple_of(4) => {
                self.event(Event::Disconnected);
                self.reconnect();
            }
            19 => self.answer(),
            21 if which.is_multiple_of(4) => {
                self.script.change_options(which / 4);
                self.script.hand_over(which.is_multiple_of(8));
                self.reconnect();
            }
            _ => {}
        }
    }

    /// Delivers everything that was sent.
    fn settle(&mut self) {
        for _ in 0..50 {
            self.write(usize::MAX);
            self.answer();
            for id in self.tasks.keys().cloned().collect::<Vec<_>>() {
                self.deliver(&id);
            }
        }
    }

    fn finish(&mut self) {
        self.settle();
        self.event(Event::Stop);
        for _ in 0..200 {
            if self.script.finished {
                break;
            }
            self.settle();
            self.script.now += Duration::from_millis(500);
            self.event(Event::Tick);
        }
        self.write(usize::MAX);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn accounts_are_exact_and_the_rules_hold(
        actions in prop::collection::vec((0u8..21, any::<u16>()), 0..250),
        repoint in any::<bool>(),
    ) {
        let mut model = Model::new(if repoint { OnServerLoss::Repoint } else { OnServerLoss::Kill });
        model.script.subscribe();
        model.carry_out();
        for (action, which) in actions {
            model.act(action, which.into());
        }
        model.finish();
        prop_assert!(model.script.finished);
        let recovered = model.script.disk.recover();
        for (id, real) in &model.tasks {
            prop_assert!(real.state.is_terminal(), "{} is {:?}", id, real.state);
            prop_assert!(real.updates.is_empty(), "{} has updates that nobody acknowledged", id);
            let accepted = recovered.ledger.entry(id, id).map_or(0, |entry| entry.totals.accepted);
            prop_assert_eq!(accepted, real.accepted, "{}", id);
        }
        prop_assert_eq!(recovered.ledger.sum(), model.script.state.history.ledger.sum());
        model.script.disk.assert_agreement();
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// The master removes the framework at any time. The sums of accepted shares are kept, and the framework is recorded as
    /// removed. If the scheduler is then started with `new_framework`, it deletes all records of the old framework.
    #[test]
    fn a_removal_at_any_time_is_marked_and_keeps_the_sums(
        actions in prop::collection::vec((0u8..22, any::<u16>()), 0..150),
        connected in any::<bool>(),
    ) {
        let mut model = Model::new(OnServerLoss::Kill);
        model.script.settings.options.teardown_on_exit = false;
        model.script.restart();
        model.script.subscribe();
        model.carry_out();
        for (action, which) in actions {
            model.act(action, which.into());
        }
        if !connected {
            model.event(Event::Disconnected);
        }
        let accepted = model.script.state.history.ledger.sum().0.worker.accepted;
        model.event(Event::Removed { now_ms: 5 });
        // The master ends all tasks, and forgets what it was asked.
        model.tasks.values_mut().for_each(|task| task.state = TaskState::TaskKilled);
        (model.offers, model.asked) = Default::default();
        prop_assert!(model.script.finished);
        prop_assert_eq!(model.script.state.live_tasks() + model.script.state.unsent_launches(), 0);
        model.write(usize::MAX);
        let disk = &model.script.disk;
        for records in [disk.recover(), disk.shared()] {
            prop_assert_eq!(records.live_tasks(), 0);
            prop_assert_eq!(records.framework.unwrap().removal.unwrap().removed_ms, 5);
            prop_assert!(records.ledger.sum().0.worker.accepted >= accepted);
        }
        disk.assert_agreement();
        model.script.finished = false;
        model.script.settings.options.new_framework = true;
        model.script.restart();
        model.event(Event::Subscribed("g".into()));
        model.write(usize::MAX);
        for records in [model.script.disk.recover(), model.script.disk.shared()] {
            prop_assert_eq!(&records.framework.unwrap().id, "g");
            prop_assert_eq!((records.tasks.len(), records.ledger.sum().0), (0, LedgerLine::default()));
        }
        // A new server is launched. The model panics if its task id was used before.
        model.offer(0);
        model.write(usize::MAX);
        let server = |id: &String| id.contains("server");
        prop_assert!(model.tasks.iter().any(|(id, task)| server(id) && !task.state.is_terminal()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// Several schedulers lead in turn on different machines, most of which have only a part of the records.
    #[test]
    fn sums_are_exact_whoever_leads(
        actions in prop::collection::vec((0u8..22, any::<u16>()), 0..250),
        repoint in any::<bool>(),
    ) {
        let mut model = Model::new(if repoint { OnServerLoss::Repoint } else { OnServerLoss::Kill });
        model.script.subscribe();
        model.carry_out();
        for (action, which) in actions {
            model.act(action, which.into());
        }
        model.finish();
        prop_assert!(model.script.finished);
        for (id, real) in &model.tasks {
            prop_assert!(real.state.is_terminal(), "{} is {:?}", id, real.state);
            prop_assert!(real.updates.is_empty(), "{} has updates that nobody acknowledged", id);
        }
        let accepted: u64 =
            model.tasks.iter().filter(|(id, _)| id.contains("worker")).map(|(_, real)| real.accepted).sum();
        prop_assert_eq!(model.script.state.history.ledger.sum().0.worker.accepted, accepted);
        prop_assert_eq!(model.script.disk.shared().ledger.sum(), model.script.state.history.ledger.sum());
        model.script.disk.assert_agreement();
        // A new leader with an empty disk deletes the records of ended tasks from ZooKeeper, and leaves only their sums.
        model.script.finished = false;
        model.script.hand_over(true);
        model.script.event(Event::Tick);
        model.script.write();
        let lost = model.script.disk.shared().tasks.len();
        prop_assert!(model.script.disk.shared().tasks.iter().all(|task| !task.closed));
        prop_assert!(model.script.disk.nodes() <= 1 + lost);
        model.script.disk.assert_agreement();
    }
}
