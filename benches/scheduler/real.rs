//! Compares the simulated Mesos with a real one of the same size. Both are measured from outside, in the same way.
//!
//! In the real Mesos, one process contains the master and all agents. The executors are real, too: a pool server, and workers
//! that mine with 0.02 CPUs each.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::options::Options;
use crate::report::{Row, seconds};
use crate::run::Run;
use crate::scheduler::{Binary, Executor, Scheduler};
use crate::suite::machine::{Threads, process, resident};
use crate::support::mesos_box::MesosBox;
use crate::support::{http, peer};

/// The CPUs of each agent and of each task. Because they are equal, an agent has room for only one task.
const CPUS: &str = "0.02";
/// The interval of the tasks' messages. It is short, because a few tasks simulate the load of many.
const INTERVAL: &str = "1s";
/// The pause between two reads of the scheduler's metrics, as a fraction of the time since the scheduler's start. Frequent reads
/// would cost much CPU time.
const POLL: f64 = 0.05;
/// The scheduler's metric of running tasks.
const RUNNING: &str = "scheduler_tasks{state=\"TASK_RUNNING\"}";
/// The names of the table's columns.
pub const COLUMNS: [&str; 2] = ["simulated", "real Mesos"];

/// The messages and updates that the master has forwarded so far.
#[derive(Clone, Copy)]
struct Forwarded {
    messages: f64,
    updates: f64,
}

/// A scheduler on the simulated or on the real Mesos.
enum MeasuredCluster<'a> {
    Simulated(Box<Run<'a>>),
    Real(Box<Real<'a>>),
}

struct Real<'a> {
    mesos: MesosBox,
    binary: &'a Binary,
    folder: TempDir,
    scheduler: Option<Scheduler>,
}

/// Measures the simulated and the real Mesos, in the order of [`COLUMNS`]. If no Mesos is installed, prints a message and returns
/// `None`, or fails if `REQUIRE_PEERS=1`.
pub fn compare(options: &Options, binary: &Binary, agents: usize) -> Option<[Vec<Row>; 2]> {
    let command = peer::mesos()?;
    let alike = Options {
        // A real Mesos offers an agent's remaining resources even if no CPU is left.
        leftovers: true,
        // The server occupies one agent.
        max_workers: Some(agents - 1),
        live_interval: Some(INTERVAL.to_owned()),
        report_interval: Some(INTERVAL.to_owned()),
        ..options.clone()
    };
    let run = Run::new(&alike, binary, agents, Vec::new());
    let simulated = MeasuredCluster::Simulated(Box::new(run)).measure(&alike, agents, COLUMNS[0]);
    let number = u16::try_from(agents).expect("a real Mesos of one process has few agents");
    let more = ["--in-process", &format!("--cpus={CPUS}"), "--mem=512"];
    let mesos = MesosBox::with_options(&command, number, &more);
    let folder = tempfile::tempdir_in(options.dir()).expect("a temporary folder");
    let real = MeasuredCluster::Real(Box::new(Real { mesos, binary, folder, scheduler: None }));
    Some([simulated, real.measure(&alike, agents, COLUMNS[1])])
}

impl MeasuredCluster<'_> {
    fn measure(mut self, options: &Options, agents: usize, column: &str) -> Vec<Row> {
        println!("{column}:");
        self.start(options);
        let limit = options.limit;
        let launch = self.until_running(agents, limit).map(|(time, cpu)| {
            let each = cpu.all.as_secs_f64() * 1e6 / (agents - 1) as f64;
            let Forwarded { messages, updates } = self.forwarded();
            let forwarded = format!("{messages:.0} messages and {updates:.0} updates meanwhile");
            format!("{} (CPU {}, {each:.0} µs a worker; {forwarded})", seconds(time), seconds(cpu.all))
        });
        let mut rows = vec![Row::within("start until all run", agents, limit, launch)];
        std::thread::sleep(options.seconds);
        rows.push(self.steady(options, agents));
        let memory = resident(self.scheduler().id());
        let [anonymous, file] = [memory.anonymous, memory.file].map(|bytes| bytes as f64 / 1e6);
        let memory = format!("{anonymous:.1} MB its own, {file:.1} MB of files");
        rows.push(Row::new("resident memory", agents, memory));
        self.end(Signal::KILL);
        self.start(options);
        let restart = self.until_running(agents, limit);
        let restart = restart.map(|(time, cpu)| format!("{} (CPU {})", seconds(time), seconds(cpu.all)));
        rows.push(Row::within("kill -9, restart, subscribed and all shown", agents, limit, restart));
        self.end(Signal::TERM);
        rows
    }

    fn start(&mut self, options: &Options) {
        match self {
            MeasuredCluster::Simulated(run) => {
                run.start_scheduler();
                let mut cluster = run.master.cluster();
                cluster.server_comes_up(Instant::now());
                cluster.be_lively(true, Instant::now());
            }
            MeasuredCluster::Real(real) => {
                let mut more = options.of_scheduler(real.binary, 1);
                more.extend(["--server-cpus", CPUS, "--min-worker-cpus", CPUS].map(str::to_owned));
                let state_dir = real.folder.path().join("state");
                let executor = Executor::Installed(real.binary.path.clone());
                let started = Scheduler::start(real.binary, real.mesos.master, &state_dir, &executor, &more);
                real.scheduler = Some(started);
            }
        }
    }

    fn end(&mut self, signal: Signal) {
        match self {
            MeasuredCluster::Simulated(run) => run.end_scheduler(signal),
            MeasuredCluster::Real(real) => real.scheduler.take().expect("it was started").end(signal),
        }
    }

    fn scheduler(&self) -> &Scheduler {
        match self {
            MeasuredCluster::Simulated(run) => run.scheduler(),
            MeasuredCluster::Real(real) => real.scheduler.as_ref().expect("it was started"),
        }
    }

    /// The time from the scheduler's start until it is subscribed and a task runs on each agent, and the scheduler's CPU time.
    fn until_running(&self, tasks: usize, limit: Duration) -> Result<(Duration, Threads), String> {
        let scheduler = self.scheduler();
        while scheduler.started.elapsed() < limit {
            let connected = scheduler.metric("scheduler_connected") == Some(1.0);
            if connected && scheduler.metric(RUNNING).is_some_and(|running| running >= tasks as f64) {
                return Ok((scheduler.started.elapsed(), scheduler.threads()));
            }
            std::thread::sleep(scheduler.started.elapsed().mul_f64(POLL));
        }
        Err(format!("{:.0} of {tasks} run", scheduler.metric(RUNNING).unwrap_or(0.0)))
    }

    fn steady(&self, options: &Options, agents: usize) -> Row {
        let (before, cpu, since) = (self.forwarded(), self.scheduler().threads(), Instant::now());
        let of_mesos = self.of_mesos();
        std::thread::sleep(options.seconds);
        let (time, cpu) = (since.elapsed().as_secs_f64(), self.scheduler().threads() - cpu);
        let of_mesos = self.of_mesos().zip(of_mesos).map(|(after, before)| after - before);
        let after = self.forwarded();
        let (messages, updates) = (after.messages - before.messages, after.updates - before.updates);
        let text = format!(
            "CPU {:.2} %; {:.1} messages/s, {:.1} updates/s; {:.0} µs of CPU for each of them",
            cpu.all.as_secs_f64() / time * 100.0,
            messages / time,
            updates / time,
            cpu.all.as_secs_f64() * 1e6 / (messages + updates)
        );
        let mesos = of_mesos.map_or(String::new(), |cpu| {
            let each = cpu.as_secs_f64() * 1e6 / (messages + updates);
            format!(", {each:.0} µs of master and agents together")
        });
        match messages > 0.0 {
            true => Row::new("steady state", agents, format!("{text}{mesos}")),
            false => Row::wrong("steady state", agents, format!("{text}: NO message came")),
        }
    }

    /// CPU time of the real Mesos' process, which contains the master and all agents.
    fn of_mesos(&self) -> Option<Duration> {
        let MeasuredCluster::Real(real) = self else { return None };
        let parts = std::fs::read(real.mesos.work_folder().join("box.json")).ok()?;
        let parts: Value = serde_json::from_slice(&parts).ok()?;
        Some(process(parts["local"]["pid"].as_u64()?.try_into().ok()?))
    }

    fn forwarded(&self) -> Forwarded {
        match self {
            MeasuredCluster::Simulated(run) => {
                let cluster = run.master.cluster();
                let counters = cluster.counters();
                Forwarded { messages: counters.messages as f64, updates: counters.updates as f64 }
            }
            MeasuredCluster::Real(real) => {
                let metrics =
                    http::get_json(real.mesos.master, "/metrics/snapshot").expect("a master answers");
                let metric = |name: &str| metrics[name].as_f64().expect("a master counts this");
                Forwarded {
                    messages: metric("master/messages_executor_to_framework"),
                    updates: metric("master/messages_status_update"),
                }
            }
        }
    }
}
