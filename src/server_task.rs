//! The pool server as a task: from the pool's handle to the executor's events.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use executor::{Runner, TaskContext, TaskError, TaskEvent};
use pool::{Config, Handle, Listen, ServeOptions, Server};
use task::{Account, Chain, Live, Report, ServerAddress, ServerSpec, TaskKind};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// The runner for server tasks.
pub fn runner() -> Runner {
    Arc::new(|context| Box::pin(run(context)))
}

async fn run(context: TaskContext) -> Result<Report, TaskError> {
    let TaskKind::Server(spec) = context.spec.kind.clone() else {
        return Err(TaskError::new("a server can't run a worker's task"));
    };
    let server = Server::bind(options(&spec))
        .await
        .map_err(|error| TaskError::new(format!("{:#}", anyhow::Error::new(error))))?;
    let address = ServerAddress {
        host: spec.host,
        stratum_port: server.stratum_addr().port(),
        http_port: server.http_addr().map_or(0, |address| address.port()),
    };
    let reporter = Reporter { pool: server.handle(), address, sequence: 0, context };
    let serving = server.run(reporter.context.stop.clone());
    // Joined, not spawned: when this future is dropped, the pool ends with it.
    let ((), reporter) = tokio::join!(serving, reporter.report());
    Ok(reporter.last())
}

fn options(spec: &ServerSpec) -> ServeOptions {
    let Chain::Builtin { block_interval } = spec.chain;
    // On a cluster of one machine nobody else is to be served.
    let loopback = spec.host.parse::<IpAddr>().ok().filter(IpAddr::is_loopback);
    let listen = |port| match loopback {
        Some(address) => Listen::At(SocketAddr::new(address, port)),
        None => Listen::Everywhere(port),
    };
    ServeOptions {
        stratum: listen(spec.stratum_port),
        http: Some(listen(spec.http_port)),
        config: Config { share_interval: spec.share_interval, ..Config::default() },
        chain: pool::Chain::Builtin { block_interval },
    }
}

struct Reporter {
    pool: Handle,
    address: ServerAddress,
    sequence: u64,
    context: TaskContext,
}

impl Reporter {
    /// Tells what changes until the task is stopped.
    async fn report(mut self) -> Reporter {
        let mut changes = self.pool.changes();
        let mut reports = every(self.context.spec.report_interval);
        let mut lives = every(self.context.spec.live_interval);
        let mut blocks = 0;
        let stop = self.context.stop.clone();
        let first = self.next(Vec::new());
        self.tell(TaskEvent::Running(first)).await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return self,
                Ok(()) = changes.changed() => {
                    let now = changes.borrow_and_update().blocks;
                    if now != blocks {
                        blocks = now;
                        self.tell_changes().await;
                    }
                }
                _ = reports.tick() => self.tell_changes().await,
                _ = lives.tick() => self.tell(TaskEvent::Live(Live::Pool(self.pool.live()))).await,
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

    async fn tell(&self, event: TaskEvent) {
        // Nobody listens only when the executor is ending.
        let _ = self.context.events.send(event).await;
    }
}

/// Ticks after each period; a period of zero counts as a millisecond.
fn every(period: Duration) -> Interval {
    let period = period.max(Duration::from_millis(1));
    let mut interval = interval_at(Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
