//! The health check of a pool server. The check acts as a miner: it subscribes, authorizes and waits for a job.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use client::{Client, Config, Event, Pool};
use executor::TaskEvent;
use logging::error_chain;
use pool::{HEALTH_CHECK_USER, PoolHandle};
use stratum::PoolUrl;
use text::InWords;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

/// Time between two checks of the pool server.
const INTERVAL: Duration = Duration::from_secs(10);
/// Time limit for the pool server to send a job to the check's connection; a job usually takes milliseconds.
const JOB_TIMEOUT: Duration = Duration::from_secs(5);

/// Checks a pool server at intervals.
pub struct HealthCheck {
    server: SocketAddr,
    pool: PoolHandle,
    job_timeout: Duration,
    ticks: Interval,
    /// The result of the last check; `None` before the first one.
    healthy: Option<bool>,
}

impl HealthCheck {
    /// A check of the server that listens on this address. An unspecified address is checked on the loopback interface.
    pub fn new(server: SocketAddr, pool: PoolHandle) -> Self {
        Self::with_timing(server, pool, INTERVAL, JOB_TIMEOUT)
    }

    fn with_timing(
        mut server: SocketAddr,
        pool: PoolHandle,
        interval: Duration,
        job_timeout: Duration,
    ) -> Self {
        if server.ip().is_unspecified() {
            let ip = if server.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            server.set_ip(ip);
        }
        // The first check runs shortly after the start, when the server is running.
        let mut ticks = interval_at(Instant::now() + interval.min(Duration::from_millis(500)), interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { server, pool, job_timeout, ticks, healthy: None }
    }

    /// Sends each change of the health to `events`, until `stop` is cancelled.
    pub async fn run(mut self, events: mpsc::Sender<TaskEvent>, stop: CancellationToken) {
        loop {
            let health = tokio::select! {
                health = self.next_change() => health,
                () = stop.cancelled() => return,
            };
            if let Err(why) = &health {
                tracing::warn!(why, "the pool server gives no work");
            }
            // The send fails only while the executor is ending.
            let _ = events.send(TaskEvent::Health(health)).await;
        }
    }

    /// Waits until the result of a check differs from the last one. The error is the reason why the server is unhealthy.
    async fn next_change(&mut self) -> Result<(), String> {
        loop {
            self.ticks.tick().await;
            let result = match timeout(self.job_timeout, wait_for_job(self.server)).await {
                Ok(result) => result,
                Err(_) => Err(format!("no job within {}", InWords(self.job_timeout))),
            };
            // A full server refuses the check's connection but still gives work to its miners, so it counts as healthy.
            let result = if self.pool.is_full() && self.pool.has_work() { Ok(()) } else { result };
            if self.healthy.replace(result.is_ok()) != Some(result.is_ok()) {
                return result;
            }
        }
    }
}

/// Connects as a miner and waits for a job.
async fn wait_for_job(server: SocketAddr) -> Result<(), String> {
    let url: PoolUrl = format!("stratum+tcp://{server}").parse().map_err(|error| error_chain(&error))?;
    let pool = Pool { url, user: HEALTH_CHECK_USER.to_owned(), password: "x".to_owned() };
    let mut client = Client::new(Config { retries: Some(0), ..Config::new(vec![pool]) });
    let mut authorized = false;
    let mut job = false;
    while !(authorized && job) {
        match client.next().await.map_err(|error| error_chain(&error))? {
            Event::Authorized { .. } => authorized = true,
            Event::Job { .. } => job = true,
            Event::Lost { error, .. } => return Err(error_chain(&error)),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pool::{Server, ServerOptions};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const OFTEN: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_server_with_work_is_healthy_until_it_ends() {
        let server = server(pool::Config::default()).await;
        let (handle, address, stop) = (server.handle(), server.stratum_addr(), CancellationToken::new());
        let serving = tokio::spawn(server.run(stop.clone()));
        let mut check = HealthCheck::with_timing(address, handle.clone(), OFTEN, Duration::from_secs(60));
        assert_eq!(check.next_change().await, Ok(()));
        assert!(handle.summary().workers.is_empty(), "the check has no account");
        stop.cancel();
        serving.await.unwrap().unwrap();
        let why = check.next_change().await.unwrap_err();
        assert!(why.contains(&address.to_string()), "{why}");
    }

    #[tokio::test]
    async fn a_full_server_is_healthy() {
        let mut config = pool::Config::default();
        config.limits.connections = 1;
        let server = server(config).await;
        let (handle, address, stop) = (server.handle(), server.stratum_addr(), CancellationToken::new());
        let serving = tokio::spawn(server.run(stop.clone()));
        let _miner = TcpStream::connect(address).await.unwrap();
        while !handle.is_full() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(wait_for_job(address).await.is_err(), "it is turned away");
        let mut check = HealthCheck::with_timing(address, handle, OFTEN, Duration::from_secs(60));
        assert_eq!(check.next_change().await, Ok(()));
        stop.cancel();
        serving.await.unwrap().unwrap();
    }

    async fn server(config: pool::Config) -> Server {
        let options = ServerOptions {
            stratum: vec![([127, 0, 0, 1], 0).into()],
            http: None,
            api: api::Options::default(),
            config,
            source: task::BlockSourceSpec::Builtin { block_interval: Duration::from_secs(60) },
            cookies: command_line::CookieFiles::default(),
            data: None,
        };
        Server::bind(options).await.unwrap()
    }

    #[tokio::test]
    async fn a_silent_server_is_unhealthy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = server(pool::Config::default()).await.handle();
        let mut check = HealthCheck::with_timing(listener.local_addr().unwrap(), pool, OFTEN, OFTEN);
        assert_eq!(check.next_change().await.unwrap_err(), "no job within 20 ms");
    }
}
