//! Whether the pool server gives work, as a miner finds out: it subscribes, authorizes and waits for a job.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use client::{Client, Config, Event, Pool};
use executor::TaskEvent;
use logging::error_chain;
use pool::Handle;
use stratum::PoolUrl;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(10);
/// Time for a job to come; it takes milliseconds.
const WITHIN: Duration = Duration::from_secs(5);
/// The name of who looks. It submits no share, so it gets no account.
const USER: &str = "health-check";

/// Looks again and again.
pub struct Check {
    server: SocketAddr,
    pool: Handle,
    within: Duration,
    ticks: Interval,
    /// What was found last.
    healthy: Option<bool>,
}

impl Check {
    /// A check of the server that listens here, which may be every address of this host.
    pub fn of(server: SocketAddr, pool: Handle) -> Check {
        Check::with(server, pool, EVERY, WITHIN)
    }

    fn with(mut server: SocketAddr, pool: Handle, every: Duration, within: Duration) -> Check {
        if server.ip().is_unspecified() {
            let ip = if server.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            server.set_ip(ip);
        }
        // The first look comes when the server runs, not before.
        let mut ticks = interval_at(Instant::now() + every.min(Duration::from_millis(500)), every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Check { server, pool, within, ticks, healthy: None }
    }

    /// Tells what it finds whenever that changes, until `stop`.
    pub async fn tell(mut self, events: mpsc::Sender<TaskEvent>, stop: CancellationToken) {
        loop {
            let health = tokio::select! {
                health = self.change() => health,
                () = stop.cancelled() => return,
            };
            if let Err(why) = &health {
                tracing::warn!(why, "the server gives no work");
            }
            // Nobody listens only when the executor is ending.
            let _ = events.send(TaskEvent::Health(health)).await;
        }
    }

    /// Waits until something else is found than before; if the server is not well, why.
    async fn change(&mut self) -> Result<(), String> {
        loop {
            self.ticks.tick().await;
            let found = match timeout(self.within, work(self.server)).await {
                Ok(found) => found,
                Err(_) => Err(format!("no job within {} s", self.within.as_secs_f64())),
            };
            // One that has no place for who looks gives work to all others.
            let found = if self.pool.is_full() && self.pool.has_work() { Ok(()) } else { found };
            if self.healthy.replace(found.is_ok()) != Some(found.is_ok()) {
                return found;
            }
        }
    }
}

/// Asks for work once.
async fn work(server: SocketAddr) -> Result<(), String> {
    let url: PoolUrl = format!("stratum+tcp://{server}").parse().map_err(|error| error_chain(&error))?;
    let pool = Pool { url, user: USER.to_owned(), password: "x".to_owned() };
    let mut client = Client::new(Config { retries: Some(0), ..Config::new(vec![pool]) });
    let mut authorized = false;
    let mut job = false;
    while !(authorized && job) {
        match client.next().await.map_err(|error| error_chain(&error))? {
            Event::Authorized { .. } => authorized = true,
            Event::Job(_) => job = true,
            Event::Lost { error, .. } => return Err(error_chain(&error)),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pool::{Listen, ServeOptions, Server};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const OFTEN: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_server_with_work_is_well_until_it_ends() {
        let server = server(pool::Config::default()).await;
        let (handle, address, stop) = (server.handle(), server.stratum_addr(), CancellationToken::new());
        let serving = tokio::spawn(server.run(stop.clone()));
        let mut check = Check::with(address, handle.clone(), OFTEN, Duration::from_secs(60));
        assert_eq!(check.change().await, Ok(()));
        assert!(handle.summary().workers.is_empty(), "who only looks has no account");
        stop.cancel();
        serving.await.unwrap();
        let why = check.change().await.unwrap_err();
        assert!(why.contains(&address.to_string()), "{why}");
    }

    #[tokio::test]
    async fn a_server_that_has_all_the_miners_it_admits_is_well() {
        let mut config = pool::Config::default();
        config.limits.connections = 1;
        let server = server(config).await;
        let (handle, address, stop) = (server.handle(), server.stratum_addr(), CancellationToken::new());
        let serving = tokio::spawn(server.run(stop.clone()));
        let _miner = TcpStream::connect(address).await.unwrap();
        while !handle.is_full() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(work(address).await.is_err(), "it is turned away");
        let mut check = Check::with(address, handle, OFTEN, Duration::from_secs(60));
        assert_eq!(check.change().await, Ok(()));
        stop.cancel();
        serving.await.unwrap();
    }

    async fn server(config: pool::Config) -> Server {
        let options = ServeOptions {
            stratum: Listen::At(([127, 0, 0, 1], 0).into()),
            http: None,
            config,
            chain: pool::Chain::Builtin { block_interval: Duration::from_secs(60) },
            data: None,
        };
        Server::bind(options).await.unwrap()
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_not_well() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pool = server(pool::Config::default()).await.handle();
        let mut check = Check::with(listener.local_addr().unwrap(), pool, OFTEN, OFTEN);
        assert_eq!(check.change().await.unwrap_err(), "no job within 0.02 s");
    }
}
