//! Executors, which start tasks, send the tasks' reports and live messages, and end the tasks.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mesos::v1::scheduler::call;
use mesos::v1::{TaskInfo, TaskState};
use task::{Account, Instruction, ProgramSpec, Report, ServerAddress, TaskSpec, Totals};

use super::task::{Sums, Task, Timer};
use super::{Cluster, events};

/// The golden ratio minus 1. The fractional parts of its multiples are spread evenly between 0 and 1. The first message of each
/// task is delayed by such a fraction of the interval, so that the tasks' messages are spread evenly over time.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

impl Cluster {
    /// Launches a task. The task sends TASK_STARTING and then TASK_RUNNING. A server task sends TASK_RUNNING only if
    /// `server_comes_up` is set.
    pub(super) fn launch(&mut self, agent: usize, info: TaskInfo, now: Instant) {
        let Ok(spec) = TaskSpec::decode(info.data.as_deref().unwrap_or_default()) else {
            self.counters.failed_launches += 1;
            return;
        };
        let index = self.tasks.len();
        let task = Task::new(&info, agent, spec, now);
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

    /// Runs the executor of a task, once it has been fetched.
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

    /// Lets the launched server send TASK_RUNNING now, and each later server as soon as it is launched.
    pub fn server_comes_up(&mut self, now: Instant) {
        self.server_comes_up = true;
        self.report_of_server(now);
    }

    /// Sets whether tasks send live messages and reports at the intervals in their specifications.
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
            // Skip missed messages instead of sending them later.
            let next = (due + task.interval(timer)).max(now);
            self.timers.push(Reverse((next, index, timer)));
            match timer {
                Timer::Live => self.send_live(index),
                Timer::Report if task.is_worker() => self.report_by_time(index, now),
                Timer::Report => self.report_of_server(now),
            }
        }
    }

    /// Whether a task has been started and has not ended.
    fn has_begun(&self, index: usize) -> bool {
        let state = self.tasks[index].state;
        state != TaskState::TaskStaging && !state.is_terminal()
    }

    /// Sends a live message, unless the task's agent is lost.
    fn send_live(&mut self, index: usize) {
        let task = &self.tasks[index];
        let agent = &self.agents[task.agent];
        if agent.is_lost || self.stream.is_none() {
            return;
        }
        let event = events::message(&agent.id, &task.id, task.live_message().encode());
        self.counters.messages += 1;
        self.counters.message_bytes += event.len() as u64;
        self.send(event);
    }

    /// Makes a worker report the shares found since its last report. It reports at least one share, because a worker that has
    /// found none would send no report.
    fn report_by_time(&mut self, index: usize, now: Instant) {
        let passed = now.duration_since(self.tasks[index].reported);
        let shares = self.settings.rows.unwrap_or((passed.as_secs_f64().round() as u32).max(1));
        self.report(index, shares, now);
    }

    /// Makes a worker report this many more shares.
    fn report(&mut self, index: usize, shares: u32, now: Instant) {
        let report = self.next_report(index, shares, now);
        self.push_update(index, TaskState::TaskRunning, Some(report), now);
    }

    /// A worker's next report, which has this many more shares.
    fn next_report(&mut self, index: usize, shares: u32, now: Instant) -> Vec<u8> {
        let task = &mut self.tasks[index];
        task.sequence += 1;
        task.reported = now;
        let rows = task.find_shares(shares);
        let account =
            Account { worker: task.id.clone(), totals: task.totals, rows, rows_omitted: task.rows_omitted };
        Report { sequence: task.sequence, accounts: vec![account], server: None }.encode()
    }

    /// Makes the server report the workers whose totals have changed. The server reports the totals from the workers' own last
    /// reports. It leaves out the rows of single shares.
    pub fn report_of_server(&mut self, now: Instant) {
        self.update_of_server(TaskState::TaskRunning, now);
    }

    fn update_of_server(&mut self, state: TaskState, now: Instant) {
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
        self.push_update(server, state, Some(report.encode()), now);
    }

    /// Ends all workers, each with a last report. Nothing is offered any more. Returns the number of workers that end.
    pub fn stop_workers(&mut self, now: Instant) -> usize {
        self.is_closed = true;
        self.withdraw_offers();
        let runs = |index: &usize| self.tasks[*index].is_worker() && self.has_begun(*index);
        let workers: Vec<usize> = (0..self.tasks.len()).filter(runs).collect();
        for index in &workers {
            let report = self.next_report(*index, 3, now);
            self.push_update(*index, TaskState::TaskFinished, Some(report), now);
            self.free(*index);
        }
        workers.len()
    }

    /// Ends the server with its last report.
    pub fn stop_server(&mut self, now: Instant) {
        self.update_of_server(TaskState::TaskFinished, now);
    }

    /// Returns the next `count` workers that run and are not lost, beginning at `from` and wrapping around. Returns all of them
    /// if there are fewer than `count`.
    fn next_workers(&self, from: usize, count: usize) -> Vec<usize> {
        let all = self.tasks.len();
        let around = (0..all).map(|step| (from + step) % all);
        let runs = |index: &usize| {
            let task = &self.tasks[*index];
            task.is_worker() && task.state == TaskState::TaskRunning && !self.agents[task.agent].is_lost
        };
        around.filter(runs).take(count).collect()
    }

    /// Makes `count` workers report, beginning at `from`. Returns the index to continue from.
    pub fn report_next(&mut self, from: usize, count: usize, now: Instant) -> usize {
        let workers = self.next_workers(from, count);
        for index in &workers {
            self.report_by_time(*index, now);
        }
        workers.last().map_or(from, |last| last + 1)
    }

    /// Makes `count` workers each send a live message, a sign of life with the current hashrate. Begins at worker `from`, and
    /// returns the index to continue from.
    pub fn live_next(&mut self, from: usize, count: usize) -> usize {
        let workers = self.next_workers(from, count);
        for index in &workers {
            self.send_live(*index);
        }
        workers.last().map_or(from, |last| last + 1)
    }

    /// Sends an update, the marker, for a worker that has no unacknowledged updates. When the scheduler acknowledges the marker,
    /// it has handled everything that was sent earlier. Returns `None` if every worker has unacknowledged updates.
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

    /// Returns the resources of an ended task to its agent.
    pub(super) fn free(&mut self, index: usize) {
        let Task { agent, amount, .. } = self.tasks[index];
        self.agents[agent].free.add(amount);
        self.agents[agent].tasks.retain(|task| *task != index);
    }

    /// Handles a MESSAGE from the framework.
    pub(super) fn instruct(&mut self, message: &call::Message) {
        self.counters.instructions += 1;
        let Some(index) = self.by_id.get(&message.executor_id.value) else { return };
        let spec = &mut self.tasks[*index].spec;
        match (Instruction::decode(&message.data), &mut spec.kind) {
            (Ok(Instruction::MineAt { pool, .. }), ProgramSpec::Worker(worker)) => worker.pool = pool,
            // Timers that are already set keep their times.
            (Ok(Instruction::SetIntervals(intervals)), ProgramSpec::Worker(_)) => {
                spec.intervals = intervals;
            }
            _ => {}
        }
    }

    /// Describes the intervals that most workers use.
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

    /// The number of hashes that all running workers together compute per second.
    pub fn hashrate(&self) -> f64 {
        let runs = |task: &&Task| task.is_worker() && task.state == TaskState::TaskRunning;
        self.tasks.iter().filter(runs).map(Task::hashrate).sum()
    }

    /// The sums that the scheduler's ledger must show once all updates are acknowledged.
    pub fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for task in &self.tasks {
            sums.workers += task.totals;
            sums.pool += task.counted;
        }
        sums
    }
}
