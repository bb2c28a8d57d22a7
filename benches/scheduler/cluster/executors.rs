//! Executors: each plays one task, a worker that finds shares or the pool server that counts them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use mesos::v1::scheduler::call;
use mesos::v1::{TaskInfo, TaskState};
use task::{
    Account, Instruction, Live, PoolLive, ProgramSpec, Report, ServerAddress, ShareRow, TaskSpec, Totals,
    Verdict, WorkerLive,
};

use super::agent::Amount;
use super::updates::Update;
use super::{Cluster, events};

/// A thousandth of a CPU searches so many hashes a second.
const HASHRATE: f64 = 10_000.0;
/// Expected hashes of each share.
const WORK: u128 = 40_000_000;
/// Rows that one report carries at most, as of a real worker.
const MAX_ROWS: u32 = 128;
/// Multiples of the golden ratio's fraction are spread evenly, however many there are.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// What a task does by itself, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Live,
    Report,
}

/// Sums over all workers, as their last reports have them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub workers: Totals,
    /// As the pool server's last reports have them.
    pub pool: Totals,
}

/// One task.
pub(super) struct Task {
    pub id: String,
    pub agent: usize,
    pub amount: Amount,
    spec: TaskSpec,
    /// The newest state that it or its agent has told.
    pub state: TaskState,
    /// Its updates that are not acknowledged; only the first one is on its way.
    pub updates: VecDeque<Update>,
    /// A worker's TASK_RUNNING was acknowledged.
    pub has_run: bool,
    /// The master has told its state since the last subscription.
    pub is_reconciled: bool,
    sequence: u64,
    totals: Totals,
    rows_omitted: u64,
    reported: Instant,
    /// What the server last said of it.
    counted: Totals,
}

impl Task {
    pub fn is_worker(&self) -> bool {
        matches!(self.spec.kind, ProgramSpec::Worker(_))
    }

    pub fn not_reconciled(&mut self) {
        self.is_reconciled = false;
    }

    fn interval(&self, timer: Timer) -> Duration {
        match timer {
            Timer::Live => self.spec.intervals.live(),
            Timer::Report => self.spec.intervals.report(),
        }
    }

    /// H/s of a worker.
    fn hashrate(&self) -> f64 {
        self.amount.cpus_milli as f64 * HASHRATE
    }

    fn live(&self) -> Live {
        let intervals = Some(self.spec.intervals);
        match &self.spec.kind {
            ProgramSpec::Worker(worker) => Live::Worker(WorkerLive {
                hashrate: self.hashrate(),
                threads: 4,
                backend: "avx512".to_owned(),
                difficulty: 0.01,
                pool: worker.pool.clone(),
                intervals,
            }),
            ProgramSpec::Server(_) => Live::Pool(PoolLive {
                connections: 1,
                height: 1,
                difficulty: 1.0,
                intervals,
                max_connections: None,
            }),
        }
    }

    /// Finds so many shares; what is told of each of them, as far as there is room.
    fn find_shares(&mut self, shares: u32) -> Vec<ShareRow> {
        let mut rows = Vec::with_capacity(shares.min(MAX_ROWS) as usize);
        self.totals.hashes += u128::from(shares) * WORK;
        for _ in 0..shares {
            let Totals { accepted, rejected, stale, .. } = self.totals;
            let number = accepted + rejected + stale;
            let verdict = match number {
                _ if number % 50 == 49 => Verdict::Stale,
                _ if number % 200 == 100 => Verdict::Rejected(23),
                _ => Verdict::Accepted,
            };
            self.totals.count(verdict, WORK);
            self.totals.blocks += u64::from(number % 1000 == 7);
            if rows.len() == MAX_ROWS as usize {
                self.rows_omitted += 1;
                continue;
            }
            rows.push(ShareRow {
                job: "1f".to_owned(),
                extranonce2: number.to_be_bytes().to_vec(),
                ntime: 1_700_000_000,
                version: 0x2000_0000,
                nonce: number as u32,
                difficulty: 0.01,
                verdict,
                round_trip: Duration::from_micros(900),
            });
        }
        rows
    }
}

impl Cluster {
    /// A task starts: it says so, and then that it runs. A server waits with that until it is to come up.
    pub(super) fn launch(&mut self, agent: usize, info: TaskInfo, now: Instant) {
        let Ok(spec) = TaskSpec::decode(info.data.as_deref().unwrap_or_default()) else {
            self.counters.failed_launches += 1;
            return;
        };
        let index = self.tasks.len();
        let task = Task {
            id: info.task_id.value.clone(),
            agent,
            amount: Amount::of(&info),
            spec,
            state: TaskState::TaskStaging,
            updates: VecDeque::new(),
            has_run: false,
            is_reconciled: false,
            sequence: 0,
            totals: Totals::default(),
            rows_omitted: 0,
            reported: now,
            counted: Totals::default(),
        };
        let is_worker = task.is_worker();
        self.by_id.insert(task.id.clone(), index);
        self.agents[agent].tasks.push(index);
        self.tasks.push(task);
        self.live += 1;
        match is_worker {
            true => self.counters.workers += 1,
            false => self.server = Some(index),
        }
        let uri = info.executor.and_then(|executor| executor.command?.uris.into_iter().next());
        if uri.is_none_or(|uri| self.has_executor(agent, index, uri.value, now)) {
            self.begin(index, now);
        }
    }

    /// The executor of a task has everything that it needs.
    pub(super) fn begin(&mut self, index: usize, now: Instant) {
        let is_worker = self.tasks[index].is_worker();
        self.push_update(index, TaskState::TaskStarting, None, now);
        if is_worker {
            self.report(index, 0, now);
        } else if self.server_comes_up {
            self.report_of_server(now);
        }
        if self.lively {
            self.set_timers(index, now);
        }
    }

    /// The server that was launched says that it runs, and each later one at once.
    pub fn server_comes_up(&mut self, now: Instant) {
        self.server_comes_up = true;
        self.report_of_server(now);
    }

    /// From now on tasks send live messages and reports by themselves, as their specifications say.
    pub fn be_lively(&mut self, lively: bool, now: Instant) {
        self.lively = lively;
        self.timers.clear();
        if lively {
            (0..self.tasks.len()).for_each(|index| self.set_timers(index, now));
        }
    }

    fn set_timers(&mut self, index: usize, now: Instant) {
        if !self.has_begun(index) {
            return;
        }
        let task = &mut self.tasks[index];
        task.reported = now;
        for timer in [Timer::Live, Timer::Report] {
            let spread = (index as f64 * GOLDEN).fract();
            let due = now + task.interval(timer).mul_f64(spread);
            self.timers.push(Reverse((due, index, timer)));
        }
    }

    pub(super) fn run_timers(&mut self, now: Instant) {
        while let Some(Reverse((due, index, timer))) = self.timers.peek().copied() {
            if due > now {
                return;
            }
            self.timers.pop();
            if !self.has_begun(index) {
                continue;
            }
            let task = &self.tasks[index];
            // What could not be done in time is not made up for.
            let next = (due + task.interval(timer)).max(now);
            self.timers.push(Reverse((next, index, timer)));
            match timer {
                Timer::Live => self.say_live(index),
                Timer::Report if task.is_worker() => self.report_by_time(index, now),
                Timer::Report => self.report_of_server(now),
            }
        }
    }

    /// Whether a task's executor runs.
    fn has_begun(&self, index: usize) -> bool {
        let state = self.tasks[index].state;
        state != TaskState::TaskStaging && !state.is_terminal()
    }

    /// Nobody hears of a lost agent's executors.
    fn say_live(&mut self, index: usize) {
        let task = &self.tasks[index];
        let agent = &self.agents[task.agent];
        if agent.is_lost || self.stream.is_none() {
            return;
        }
        let event = events::message(&agent.id, &task.id, task.live().encode());
        self.counters.messages += 1;
        self.counters.message_bytes += event.len() as u64;
        self.send(event);
    }

    /// A worker that has found nothing makes no report, so there is one share at least.
    fn report_by_time(&mut self, index: usize, now: Instant) {
        let passed = now.duration_since(self.tasks[index].reported);
        let shares = self.settings.rows.unwrap_or((passed.as_secs_f64().round() as u32).max(1));
        self.report(index, shares, now);
    }

    /// A worker reports so many more shares.
    fn report(&mut self, index: usize, shares: u32, now: Instant) {
        let task = &mut self.tasks[index];
        task.sequence += 1;
        task.reported = now;
        let rows = task.find_shares(shares);
        let account =
            Account { worker: task.id.clone(), totals: task.totals, rows, rows_omitted: task.rows_omitted };
        let report = Report { sequence: task.sequence, accounts: vec![account], server: None };
        self.push_update(index, TaskState::TaskRunning, Some(report.encode()), now);
    }

    /// The server reports the workers whose accounts have changed, as its workers last reported them themselves. Its
    /// rows of single shares are left out.
    pub fn report_of_server(&mut self, now: Instant) {
        let Some(server) = self.server.filter(|server| self.has_begun(*server)) else { return };
        let mut accounts = Vec::new();
        for worker in self.tasks.iter_mut().filter(|task| task.is_worker()) {
            let totals = Totals { hashes: 0, ..worker.totals };
            if totals != worker.counted {
                worker.counted = totals;
                let rows_omitted = totals.accepted + totals.rejected + totals.stale;
                accounts.push(Account { worker: worker.id.clone(), totals, rows: Vec::new(), rows_omitted });
            }
        }
        let task = &mut self.tasks[server];
        task.sequence += 1;
        let ProgramSpec::Server(spec) = &task.spec.kind else { return };
        let server_address = ServerAddress {
            host: spec.host.clone(),
            stratum_port: spec.stratum_port,
            http_port: spec.http_port,
        };
        let report = Report { sequence: task.sequence, accounts, server: Some(server_address) };
        self.push_update(server, TaskState::TaskRunning, Some(report.encode()), now);
    }

    /// Of the workers that run and are not lost, the next `count` after `from` in a round. How many there are is less only
    /// if there are fewer.
    fn next_workers(&self, from: usize, count: usize) -> Vec<usize> {
        let all = self.tasks.len();
        let around = (0..all).map(|step| (from + step) % all);
        let runs = |index: &usize| {
            let task = &self.tasks[*index];
            task.is_worker() && task.state == TaskState::TaskRunning && !self.agents[task.agent].is_lost
        };
        around.filter(runs).take(count).collect()
    }

    /// `count` workers make a report each; `from` says with which to begin. Where to go on.
    pub fn report_next(&mut self, from: usize, count: usize, now: Instant) -> usize {
        let workers = self.next_workers(from, count);
        for index in &workers {
            self.report_by_time(*index, now);
        }
        workers.last().map_or(from, |last| last + 1)
    }

    /// `count` workers send a live message each; `from` says with which to begin. Where to go on.
    pub fn live_next(&mut self, from: usize, count: usize) -> usize {
        let workers = self.next_workers(from, count);
        for index in &workers {
            self.say_live(*index);
        }
        workers.last().map_or(from, |last| last + 1)
    }

    /// A worker without an update on its way makes one. When that is acknowledged, what was sent before it is handled.
    /// `None` if there is no such worker.
    pub fn send_marker(&mut self, now: Instant) -> Option<()> {
        let workers = self.next_workers(0, self.tasks.len());
        let idle = workers.into_iter().find(|index| self.tasks[*index].updates.is_empty())?;
        self.report_by_time(idle, now);
        self.marker = self.tasks[idle].updates.back().map(|update| (update.number, None));
        Some(())
    }

    pub(super) fn kill(&mut self, id: &str, now: Instant) {
        self.counters.kills += 1;
        let Some(index) = self.by_id.get(id).copied() else { return };
        if self.tasks[index].state.is_terminal() {
            return;
        }
        self.push_update(index, TaskState::TaskKilled, None, now);
        self.free(index);
    }

    /// What an ended task has used is the agent's again.
    pub(super) fn free(&mut self, index: usize) {
        let Task { agent, amount, .. } = self.tasks[index];
        self.agents[agent].free.add(amount);
        self.agents[agent].tasks.retain(|task| *task != index);
    }

    /// MESSAGE from the framework.
    pub(super) fn instruct(&mut self, message: &call::Message) {
        self.counters.instructions += 1;
        let Some(index) = self.by_id.get(&message.executor_id.value) else { return };
        let spec = &mut self.tasks[*index].spec;
        match (Instruction::decode(&message.data), &mut spec.kind) {
            (Ok(Instruction::MineAt { pool }), ProgramSpec::Worker(worker)) => worker.pool = pool,
            // What is due by the old ones still comes then.
            (Ok(Instruction::SetIntervals(intervals)), ProgramSpec::Worker(_)) => {
                spec.intervals = intervals;
            }
            _ => {}
        }
    }

    /// The intervals that most workers use.
    pub fn intervals(&self) -> String {
        let mut numbers: BTreeMap<(Duration, Duration), usize> = BTreeMap::new();
        for task in self.tasks.iter().filter(|task| task.is_worker()) {
            *numbers.entry((task.spec.intervals.live(), task.spec.intervals.report())).or_default() += 1;
        }
        let (of, most) =
            (numbers.values().sum::<usize>(), numbers.into_iter().max_by_key(|(_, number)| *number));
        let ((live, report), number) = most.unwrap_or_default();
        format!("intervals {live:.0?} and {report:.0?} of {number} of {of} workers")
    }

    /// H/s of all workers that run.
    pub fn hashrate(&self) -> f64 {
        let runs = |task: &&Task| task.is_worker() && task.state == TaskState::TaskRunning;
        self.tasks.iter().filter(runs).map(Task::hashrate).sum()
    }

    /// What the ledger must say when all is acknowledged.
    pub fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for task in &self.tasks {
            sums.workers += task.totals;
            sums.pool += task.counted;
        }
        sums
    }
}
