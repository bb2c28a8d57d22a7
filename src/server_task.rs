//! The pool server as a task: from the pool's handle to the executor's events.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use command_line::dial_options;
use executor::worker::every;
use executor::{Runner, TaskContext, TaskError, TaskEvent};
use node::cli::Choice;
use node::{Credentials, MinDifficultyTime, Payout};
use pool::{Config, Handle, Listen, ServeOptions, Server, StoreOptions, UpstreamOptions};
use task::{
    Account, BlockSourceSpec, Live, NodeSpec, PoolLive, ProgramSpec, Report, ServerAddress, ServerSpec,
    UpstreamSpec,
};
use tokio::time::{Instant, sleep_until};

use crate::health::Check;

/// For a first template. The scheduler would give a task up that says nothing for 180 s; this one says why.
const FIRST_WORK: Duration = Duration::from_secs(150);

/// Least time between two reports of blocks.
const BLOCKS_APART: Duration = Duration::from_secs(1);

/// The data folder unless another one is asked for, in the task's sandbox: it dies with it.
const DATA: &str = "mesos-miner-pool";

/// The runner for server tasks.
pub fn runner() -> Runner {
    Arc::new(|context| Box::pin(run(context)))
}

async fn run(context: TaskContext) -> Result<Report, TaskError> {
    let ProgramSpec::Server(spec) = context.spec.kind.clone() else {
        return Err(TaskError::new("a server can't run a worker's task"));
    };
    let options = options(&spec).map_err(failed)?;
    let server = tokio::select! {
        server = Server::bind(options) => server.map_err(|error| failed(error.into()))?,
        () = context.stop.cancelled() => return Ok(Report::default()),
        () = tokio::time::sleep(FIRST_WORK) => {
            let seconds = FIRST_WORK.as_secs();
            return Err(TaskError::new(format!("no node or pool has given work within {seconds} s; its log says why")));
        }
    };
    let address = ServerAddress {
        host: spec.host,
        stratum_port: server.stratum_addr().port(),
        http_port: server.http_addr().map_or(0, |address| address.port()),
    };
    let check = Check::of(server.stratum_addr(), server.handle());
    let reporter = Reporter { pool: server.handle(), address, sequence: 0, context };
    let serving = server.run(reporter.context.stop.clone());
    // Joined, not spawned: when this future is dropped, the pool ends with it.
    let ((), reporter) = tokio::join!(serving, reporter.report(check));
    Ok(reporter.last())
}

fn failed(error: anyhow::Error) -> TaskError {
    TaskError::new(format!("{error:#}"))
}

fn options(spec: &ServerSpec) -> anyhow::Result<ServeOptions> {
    // On a cluster of one machine nobody else is to be served.
    let loopback = spec.host.parse::<IpAddr>().ok().filter(IpAddr::is_loopback);
    let listen = |port| match loopback {
        Some(address) => Listen::At(SocketAddr::new(address, port)),
        None => Listen::Everywhere(port),
    };
    let folder = spec.data_dir.as_deref().unwrap_or(DATA);
    Ok(ServeOptions {
        stratum: listen(spec.stratum_port),
        http: Some(listen(spec.http_port)),
        config: config(spec),
        chain: match &spec.block_source {
            BlockSourceSpec::Builtin { block_interval } => {
                pool::Chain::Builtin { block_interval: *block_interval }
            }
            BlockSourceSpec::Node(node) => pool::Chain::Node(choice(node)?.into()),
            BlockSourceSpec::Upstream(spec) => pool::Chain::Upstream(upstream(spec)?),
        },
        data: Some(StoreOptions { folder: folder.into(), retention: StoreOptions::RETENTION }),
    })
}

fn config(spec: &ServerSpec) -> Config {
    let mut config = Config { share_interval: spec.share_interval, ..Config::default() };
    if let Some(connections) = spec.max_connections {
        config.limits.connections = usize::try_from(connections).unwrap_or(usize::MAX).max(1);
    }
    config
}

fn choice(spec: &NodeSpec) -> anyhow::Result<Choice> {
    let access = |node: &task::NodeAccess| {
        let credentials = match node.user.clone() {
            Some(user) => Credentials::Basic { user, password: node.password.clone().unwrap_or_default() },
            None => Credentials::None,
        };
        Ok((node.url.parse().context("the task's specification")?, credentials))
    };
    Ok(Choice {
        nodes: spec.nodes.iter().map(access).collect::<anyhow::Result<_>>()?,
        payout: Payout::Address(spec.address.clone()),
        tag: spec.tag.clone(),
        min_difficulty_time: match spec.early_min_difficulty {
            true => MinDifficultyTime::Early,
            false => MinDifficultyTime::Honest,
        },
    })
}

fn upstream(spec: &UpstreamSpec) -> anyhow::Result<UpstreamOptions> {
    let UpstreamSpec { pools, user, password, access } = spec;
    let pool = |url: &String| {
        let url = url.parse().context("the task's specification")?;
        Ok(client::Pool { url, user: user.clone(), password: password.clone() })
    };
    let pools = pools.iter().map(pool).collect::<anyhow::Result<_>>()?;
    Ok(UpstreamOptions { pools, dial: dial_options(access) })
}

struct Reporter {
    pool: Handle,
    address: ServerAddress,
    sequence: u64,
    context: TaskContext,
}

impl Reporter {
    /// Tells what changes until the task is stopped.
    async fn report(mut self, check: Check) -> Reporter {
        // First of all how many miners it admits: workers are launched as soon as it runs.
        self.tell_live().await;
        let first = self.next(Vec::new());
        self.tell(TaskEvent::Running(first)).await;
        // Side by side: reports must not keep a look at the server from its end.
        let looking = check.tell(self.context.events.clone(), self.context.stop.clone());
        tokio::join!(self.tell_as_it_changes(), looking).0
    }

    async fn tell_as_it_changes(mut self) -> Reporter {
        let mut changes = self.pool.changes();
        let mut reports = every(self.context.spec.intervals.report());
        let mut lives = every(self.context.spec.intervals.live());
        // A block is told at once, those that follow it together: on a network of the lowest difficulty there may be
        // hundreds a second.
        let (mut blocks, mut told) = (0, 0);
        let mut next_block = Instant::now();
        let stop = self.context.stop.clone();
        loop {
            tokio::select! {
                () = stop.cancelled() => return self,
                Ok(()) = changes.changed() => blocks = changes.borrow_and_update().blocks,
                () = sleep_until(next_block), if blocks != told => {
                    told = blocks;
                    next_block = Instant::now() + BLOCKS_APART;
                    self.tell_changes().await;
                }
                _ = reports.tick() => self.tell_changes().await,
                _ = lives.tick() => self.tell_live().await,
            }
        }
    }

    async fn tell_changes(&mut self) {
        let accounts = self.pool.take_changed();
        if !accounts.is_empty() {
            let report = self.next(accounts);
            self.tell(TaskEvent::Report(report)).await;
        }
    }

    /// The last report has all accounts. Called when the pool has ended, so that none of them changes any more.
    fn last(mut self) -> Report {
        let accounts = self.pool.take_all();
        self.next(accounts)
    }

    fn next(&mut self, accounts: Vec<Account>) -> Report {
        self.sequence += 1;
        Report { sequence: self.sequence, accounts, server: Some(self.address.clone()) }
    }

    async fn tell_live(&self) {
        let live = PoolLive { intervals: Some(self.context.spec.intervals), ..self.pool.live() };
        self.tell(TaskEvent::Live(Live::Pool(live))).await;
    }

    async fn tell(&self, event: TaskEvent) {
        // Nobody listens only when the executor is ending.
        let _ = self.context.events.send(event).await;
    }
}
