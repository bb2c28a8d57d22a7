//! Mines for a pool: hands the pool client's jobs to the engine, and the engine's finds to the pool client; same code
//! under Mesos and standalone.
//!
//! [`run`] tells its front end everything by [`Event`]s; it keeps no totals. It ends when it is stopped, or when the
//! pools are out of reach and it may not try again. In both cases the engine has stopped and every share's fate was
//! told before it returns.

mod finds;
mod pace;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use client::{Answer, Client};
pub use client::{ClientError, Config, Pool};
use logging::error_chain;
use stratum::{Job, PoolUrl, Reason};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use self::finds::Finds;
use crate::engine::{Counters, Engine, Found};
use crate::tally::Outcome;

/// How long the answers to the last shares are waited for.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// How often to look whether the threads have begun to hash.
const FIRST_HASH_POLL: Duration = Duration::from_millis(2);

/// What happens while mining.
#[derive(Clone, Debug)]
pub enum Event {
    /// The pool takes shares from us.
    Authorized {
        /// Which pool.
        pool: PoolUrl,
    },
    /// A pool is out of reach or was lost.
    Lost {
        /// What went wrong; names the pool.
        error: String,
        /// The next try comes after this.
        retry_in: Duration,
    },
    /// A new job.
    Job {
        /// The pool's name for it.
        id: String,
        /// The difficulty that a share needs.
        difficulty: f64,
        /// Whether it replaces all earlier ones.
        clean: bool,
    },
    /// The first hashes were done. Comes once.
    Hashing,
    /// What became of a share.
    Share {
        /// The share and its verdict.
        outcome: Box<Outcome>,
        /// The pool's reason, if it rejected it.
        reason: Option<Reason>,
    },
    /// The pool says something to the miner's owner.
    Message(String),
}

/// Mines until `stop` is cancelled.
///
/// # Errors
/// If the pools are out of reach and [`Config::retries`] are used up.
pub async fn run(
    config: Config,
    engine: Engine,
    found: mpsc::Receiver<Found>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) -> Result<(), ClientError> {
    run_movable(watch::channel(config).1, engine, found, events, stop).await
}

/// The same, for whatever pools `configs` last named: a change ends the connections to those before.
///
/// # Errors
/// As [`run`].
pub async fn run_movable(
    mut configs: watch::Receiver<Config>,
    engine: Engine,
    found: mpsc::Receiver<Found>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) -> Result<(), ClientError> {
    let counters = engine.counters();
    let finds = Finds::default();
    let miner = Miner { engine, counters, found, events, stop, finds, hashing: false, working: false };
    let config = configs.borrow_and_update().clone();
    miner.run(Client::new(config), configs).await
}

struct Miner {
    engine: Engine,
    counters: Counters,
    found: mpsc::Receiver<Found>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
    finds: Finds,
    /// Whether the first hash was done.
    hashing: bool,
    /// Whether there is a job.
    working: bool,
}

impl Miner {
    async fn run(
        mut self,
        mut client: Client,
        mut configs: watch::Receiver<Config>,
    ) -> Result<(), ClientError> {
        let error = loop {
            let outstanding = client.outstanding();
            if self.stop.is_cancelled() {
                break None;
            }
            // In no fixed order: a pool that talks without a pause must not keep shares from being submitted.
            tokio::select! {
                () = self.stop.cancelled() => break None,
                // Fails when nobody is left to change it.
                Ok(()) = configs.changed() => {
                    let config = configs.borrow_and_update().clone();
                    let before = std::mem::replace(&mut client, Client::new(config));
                    self.leave(before).await;
                }
                event = client.next() => match event {
                    Ok(event) => self.on_event(event).await,
                    Err(error) => break Some(error),
                },
                Some(found) = pace::next_find(&mut self.found, outstanding) => {
                    self.on_found(found, &mut client).await;
                }
                () = sleep(FIRST_HASH_POLL), if self.working && !self.hashing => self.look_for_hashes().await,
            }
        };
        self.finish(client, error.is_none()).await;
        error.map_or(Ok(()), Err)
    }

    /// Ends the connections to pools that are not to be mined at any more.
    async fn leave(&mut self, client: Client) {
        self.engine.pause();
        self.working = false;
        for answer in client.close() {
            self.on_answer(answer).await;
        }
    }

    async fn on_event(&mut self, event: client::Event) {
        match event {
            client::Event::Job(job) => self.on_job(&job).await,
            client::Event::Answer(answer) => self.on_answer(answer).await,
            client::Event::Lost { error, retry_in } => {
                // The threads rest: there is nobody to work for.
                self.engine.pause();
                self.working = false;
                self.tell(Event::Lost { error: error_chain(&error), retry_in }).await;
            }
            client::Event::Authorized { pool } => self.tell(Event::Authorized { pool }).await,
            client::Event::Message(text) => self.tell(Event::Message(text)).await,
            // Each job has its own difficulty, mask and extranonces.
            other => debug!(?other, "of the jobs to come"),
        }
    }

    async fn on_job(&mut self, job: &Arc<Job>) {
        self.engine.mine(job.clone());
        self.working = true;
        let difficulty = job.target.difficulty();
        self.tell(Event::Job { id: job.id.clone(), difficulty, clean: job.clean }).await;
    }

    async fn on_answer(&mut self, answer: Answer) {
        if let Some((outcome, reason)) = self.finds.answered(answer) {
            self.tell(Event::Share { outcome: Box::new(outcome), reason }).await;
        }
    }

    async fn on_found(&mut self, found: Found, client: &mut Client) {
        match client.submit(&found.job, finds::share(&found)) {
            Some(ticket) => self.finds.submitted(ticket, found),
            None => {
                let outcome = Box::new(finds::stale(&found));
                self.tell(Event::Share { outcome, reason: None }).await;
            }
        }
    }

    async fn look_for_hashes(&mut self) {
        if self.counters.hashes() > 0 {
            self.hashing = true;
            self.tell(Event::Hashing).await;
        }
    }

    /// Stops the threads, submits what they found if there is a connection, and waits a moment for the answers.
    async fn finish(&mut self, mut client: Client, more: bool) {
        self.engine.stop();
        let mut last = VecDeque::new();
        while let Some(found) = self.found.recv().await {
            last.push_back(found);
        }
        if !self.hashing {
            self.look_for_hashes().await;
        }
        for found in last {
            self.on_found(found, &mut client).await;
        }
        let deadline = Instant::now() + LAST_ANSWERS;
        while more
            && client.is_connected()
            && client.outstanding() > 0
            && let Some(event) = client.next_until(deadline).await
        {
            match event {
                client::Event::Answer(answer) => self.on_answer(answer).await,
                event => debug!(?event, "while waiting for the last answers"),
            }
        }
        for answer in client.close() {
            self.on_answer(answer).await;
        }
    }

    async fn tell(&self, event: Event) {
        // A front end that is gone needs to know nothing.
        let _ = self.events.send(event).await;
    }
}
