//! The server task: runs the pool server under the executor, and sends its reports and live messages.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use command_line::CookieFiles;
use executor::waiting::Waiting;
use executor::worker::every;
use executor::{BLOCK_REPORT_INTERVAL, Runner, TaskContext, TaskError, TaskEvent};
use pool::{Config, PoolHandle, ServerError, ServerOptions, StartingServer, StoreOptions};
use problem::{Problem, ProblemKind};
use task::{Account, BlockSourceSpec, Live, PoolLive, ProgramSpec, Report, ServerAddress, ServerSpec};
use text::InWords;
use tokio::time::{Instant, sleep_until};

use crate::health::HealthCheck;
use crate::node_credentials::NodeCredentials;

/// Time limit for the pool's first work to arrive. The scheduler abandons a task that does not run within 180 s
/// (`--launch-timeout`). This limit is shorter, so that the task can still report why it failed.
const WORK_TIMEOUT: Duration = Duration::from_secs(150);
/// While a server waits for work, it looks this often at what it waits for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A running server says what is wrong with its node, its upstream pool or its data folder when that has lasted for this long.
const LASTING: Duration = Duration::from_secs(3);

/// The default data folder. The folder is in the task's sandbox and is removed with the sandbox.
const DEFAULT_DATA_DIR: &str = "mesos-miner-pool";

/// The runner for server tasks.
pub fn runner() -> Runner {
    Arc::new(|context| Box::pin(run(context)))
}

async fn run(mut context: TaskContext) -> Result<Report, TaskError> {
    let ProgramSpec::Server(spec) = context.spec.kind.clone() else {
        return Err(TaskError::new("a server cannot run a worker's task"));
    };
    let failed = |error: ServerError| TaskError::from(error.problem());
    let (mut access, changes) = NodeCredentials::new(spec.block_source.clone());
    let starting = StartingServer::open(options(&spec)).await.map_err(failed)?;
    let (pool, stop) = (starting.handle(), context.stop.clone());
    let server = tokio::select! {
        server = starting.start(Some(changes)) => server.map_err(failed)?,
        () = stop.cancelled() => return Ok(Report::default()),
        // Instructions are obeyed here, too: the node may have restarted with a new cookie since the launch.
        error = wait_for_work(&mut context, &spec.block_source, &pool, &mut access) => return Err(error),
    };
    let address = ServerAddress {
        host: spec.host,
        stratum_port: server.stratum_addr().port(),
        http_port: server.http_addr().map_or(0, |address| address.port()),
    };
    let check = HealthCheck::new(server.stratum_addr(), server.handle());
    let reporter = Reporter { pool: server.handle(), address, sequence: 0, access, context };
    let serving = server.run(reporter.context.stop.clone());
    // The futures are joined, not spawned, so that the pool ends when this future is dropped.
    let (served, reporter) = tokio::join!(serving, reporter.report(check));
    let last = reporter.last_report();
    served.map_err(|error| TaskError {
        last_report: Some(Box::new(last.clone())),
        ..TaskError::new(logging::error_chain(&error))
    })?;
    Ok(last)
}

/// Tells the scheduler what the server waits for. Returns the error of a server that has waited too long.
async fn wait_for_work(
    context: &mut TaskContext,
    source: &BlockSourceSpec,
    pool: &PoolHandle,
    access: &mut NodeCredentials,
) -> TaskError {
    let start = Instant::now();
    let mut waiting = Waiting::new(silence(source), 1, start);
    let mut looks = every(LOOK_EVERY);
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            Some(instruction) = context.instructions.recv() => {
                access.obey(instruction);
                continue;
            }
        }
        let now = Instant::now();
        if let Some(problem) = pool.problem(Duration::ZERO) {
            waiting.met(problem, now);
        }
        if now >= start + WORK_TIMEOUT {
            break;
        }
        let again = Some(context.spec.intervals.live());
        if waiting.tell_at(again).is_some_and(|at| at <= now)
            && let Some(problem) = waiting.tell(now)
        {
            // The send fails only while the executor is ending.
            let _ = context.events.send(TaskEvent::Waiting(problem)).await;
        }
    }
    let (limit, problem) = (InWords(WORK_TIMEOUT), waiting.problem());
    let why = problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
    TaskError { problem, ..TaskError::new(format!("no node or pool has given work within {limit}{why}")) }
}

/// What a server says as long as its source of work has neither answered nor failed.
fn silence(source: &BlockSourceSpec) -> Problem {
    let (kind, who) = match source {
        BlockSourceSpec::Builtin { .. } => (ProblemKind::TaskWaits, "the built-in chain".to_owned()),
        BlockSourceSpec::Node(spec) => {
            let nodes = spec.nodes.iter().map(|node| node.url.as_str());
            (ProblemKind::NodeUnreachable, nodes.collect::<Vec<_>>().join(", "))
        }
        BlockSourceSpec::Upstream(spec) => (ProblemKind::UpstreamUnreachable, spec.pools.join(", ")),
    };
    Problem::new(kind, format!("{who} has given no work yet"))
}

fn options(spec: &ServerSpec) -> ServerOptions {
    // If the host is a loopback address, all workers are on this machine, so the server listens on that address only.
    let loopback = spec.host.parse::<IpAddr>().ok().filter(IpAddr::is_loopback);
    let listen = |port| match loopback {
        Some(address) => vec![SocketAddr::new(address, port)],
        None => net::all_interfaces(port).to_vec(),
    };
    let folder = spec.data_dir.as_deref().unwrap_or(DEFAULT_DATA_DIR);
    ServerOptions {
        stratum: listen(spec.stratum_port),
        http: Some(listen(spec.http_port)),
        api: api::Options::default(),
        config: config(spec),
        source: spec.block_source.clone(),
        cookies: CookieFiles::default(),
        data: Some(StoreOptions { folder: folder.into(), retention: StoreOptions::RETENTION }),
    }
}

fn config(spec: &ServerSpec) -> Config {
    let mut config = Config::with_share_interval(spec.share_interval);
    if let Some(connections) = spec.max_connections {
        config.limits.connections = usize::try_from(connections).unwrap_or(usize::MAX).max(1);
    }
    config
}

/// Why no node works, if one of them refuses access. Problems of higher rank do not hide it, such as a block that was rejected in the
/// last hour: the scheduler may have the node's new cookie.
fn refusal(problems: Vec<Problem>) -> Option<Problem> {
    problems.into_iter().find(|problem| problem.kind == ProblemKind::NodeCredentials)
}

struct Reporter {
    pool: PoolHandle,
    address: ServerAddress,
    sequence: u64,
    access: NodeCredentials,
    context: TaskContext,
}

impl Reporter {
    /// Sends reports, live messages and changes of the health until the task is stopped.
    async fn report(mut self, check: HealthCheck) -> Self {
        // The scheduler launches workers as soon as it learns that the server runs. The live message is sent earlier, because it
        // says how many miners the server admits.
        self.send_live().await;
        let first = self.next_report(Vec::new());
        self.send(TaskEvent::Running(first)).await;
        // Health checks run concurrently, because a report must not delay them.
        let checking = check.run(self.context.events.clone(), self.context.stop.clone());
        tokio::join!(self.send_changes(), checking).0
    }

    async fn send_changes(mut self) -> Self {
        let mut changes = self.pool.counters();
        let mut reports = every(self.context.spec.intervals.report());
        let mut lives = every(self.context.spec.intervals.live());
        // The first block is reported immediately, and blocks that follow shortly are reported together: on a network of the
        // lowest difficulty there may be hundreds per second.
        let (mut blocks, mut reported) = (0, 0);
        let mut next_block = Instant::now();
        // The scheduler learns at once that a node refuses access, because it may have the node's new cookie.
        let (mut looks, mut refused) = (every(LOOK_EVERY), false);
        let stop = self.context.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return self,
                Ok(()) = changes.changed() => blocks = changes.borrow_and_update().blocks,
                () = sleep_until(next_block), if blocks != reported => {
                    reported = blocks;
                    next_block = Instant::now() + BLOCK_REPORT_INTERVAL;
                    self.send_report().await;
                }
                _ = reports.tick() => self.send_report().await,
                _ = lives.tick() => self.send_live().await,
                _ = looks.tick() => {
                    let before = std::mem::replace(&mut refused, refusal(self.pool.problems()).is_some());
                    if refused != before {
                        self.send_live().await;
                    }
                }
                Some(instruction) = self.context.instructions.recv() => {
                    if self.access.obey(instruction) {
                        self.send_live().await;
                    }
                }
            }
        }
    }

    async fn send_report(&mut self) {
        let accounts = self.pool.take_changed();
        if !accounts.is_empty() {
            let report = self.next_report(accounts);
            self.send(TaskEvent::Report(report)).await;
        }
    }

    /// The last report, which contains all accounts. Call this after the pool has ended, when the accounts are final.
    fn last_report(mut self) -> Report {
        let accounts = self.pool.take_all();
        self.next_report(accounts)
    }

    fn next_report(&mut self, accounts: Vec<Account>) -> Report {
        self.sequence += 1;
        Report { sequence: self.sequence, accounts, server: Some(self.address.clone()) }
    }

    async fn send_live(&self) {
        let intervals = Some(self.context.spec.intervals);
        // A refusal is said at once; other problems may be over in a moment.
        let problem = refusal(self.pool.problems()).or_else(|| self.pool.problem(LASTING));
        let credentials = Some(self.access.revision());
        let live = PoolLive { intervals, problem, credentials, ..self.pool.live() };
        self.send(TaskEvent::Live(Live::Pool(live).into())).await;
    }

    async fn send(&self, event: TaskEvent) {
        // The send fails only while the executor is ending.
        let _ = self.context.events.send(event).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_of_higher_rank_does_not_hide_a_refusal() {
        let rejected = Problem::new(ProblemKind::BlockRejected, "time-too-new");
        let refused = Problem::new(ProblemKind::NodeCredentials, "node n refuses access");
        assert!(rejected < refused);
        assert_eq!(refusal(vec![rejected.clone(), refused.clone()]), Some(refused));
        assert_eq!(refusal(vec![rejected]), None);
    }
}
