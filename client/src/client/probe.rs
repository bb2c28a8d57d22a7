//! Probes better pools in the background. A pool counts as recovered when it has authorized us and sent a job.

use std::time::Duration;

use logging::error_chain;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::debug;

use crate::connection::PoolConnection;

/// Maximum number of events from a probed pool before it has authorized us and sent a job. If there are more, the probe fails.
const MAX_EVENTS: usize = 1024;

/// Probes one pool at a time.
pub(super) struct Probe {
    interval: Duration,
    /// How long a probed pool may take to authorize us and send a job. If it takes longer, the probe fails.
    timeout: Duration,
    next: Instant,
    pool: Option<ProbedPool>,
}

/// The pool that is being probed.
pub(super) struct ProbedPool {
    pub index: usize,
    pub connection: Box<PoolConnection>,
    /// The events that came from the pool during the probe. The client handles them when it switches to this pool.
    pub events: Vec<stratum::Event>,
    until: Instant,
}

pub(super) enum ProbeEvent {
    /// It is time to probe a pool.
    Due,
    /// This pool has authorized us and sent a job.
    Recovered(Box<ProbedPool>),
    /// The pool has hung up.
    HungUp(Box<ProbedPool>),
}

impl Probe {
    pub fn new(interval: Duration, timeout: Duration) -> Self {
        Probe { interval, timeout, next: Instant::now() + interval, pool: None }
    }

    /// Ends the current probe, because the client now tries the pools in order.
    pub fn reset(&mut self) {
        *self = Probe::new(self.interval, self.timeout);
    }

    /// Waits for the next turn, because no pool is to be probed now.
    pub fn skip(&mut self) {
        self.next = Instant::now() + self.interval;
    }

    pub fn start(&mut self, index: usize, connection: PoolConnection) {
        let now = Instant::now();
        self.next = now + self.interval;
        let (connection, until) = (Box::new(connection), now + self.timeout);
        self.pool = Some(ProbedPool { index, connection, events: Vec::new(), until });
    }

    /// Waits until a probe is due or the probed pool has recovered. Cancel-safe.
    pub async fn next(&mut self) -> ProbeEvent {
        loop {
            let Some(pool) = &mut self.pool else {
                sleep_until(self.next).await;
                return ProbeEvent::Due;
            };
            let failure = match timeout_at(pool.until, pool.connection.next()).await {
                Ok(Ok(event)) if pool.events.len() < MAX_EVENTS => {
                    pool.events.push(event);
                    None
                }
                Ok(Ok(_)) => {
                    Some("it sends many messages, but neither authorizes us nor sends a job".to_owned())
                }
                Ok(Err(error)) if error.is_hang_up() => {
                    debug!(error = error_chain(&error), "a better pool has hung up");
                    self.next = Instant::now() + self.interval;
                    match self.pool.take() {
                        Some(pool) => return ProbeEvent::HungUp(Box::new(pool)),
                        None => continue,
                    }
                }
                Ok(Err(error)) => Some(error_chain(&error)),
                Err(_) => Some("it did not authorize us and send a job in time".to_owned()),
            };
            if let Some(error) = failure {
                debug!(error, "a better pool has not recovered");
                self.pool = None;
                self.next = Instant::now() + self.interval;
            } else if let Some(pool) = self.pool.take_if(|pool| pool.connection.is_usable()) {
                self.next = Instant::now() + self.interval;
                return ProbeEvent::Recovered(Box::new(pool));
            }
        }
    }
}
