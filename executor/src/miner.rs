//! Mines for a pool: passes the jobs of the pool client to the engine, and the shares that the engine finds to the client.
//! The same code runs under Mesos and standalone.
//!
//! [`run`] reports everything as [`Event`]s and counts nothing. It ends when it is stopped, or when no pool can be reached
//! and no retries are left. When it returns, the engine has stopped and every share has a verdict.

mod pending_shares;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use client::{Answer, Awaited, Client, Ticket};
pub use client::{ClientError, Config, Pool};
use logging::error_chain;
use problem::Problem;
use stratum::{Job, PoolUrl, Reason, Share};
use task::Verdict;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use self::pending_shares::PendingShares;
use crate::engine::{Counters, Engine, FoundShare};
use crate::report_builder::MinedShare;

/// How long a stopping miner waits for the pool's answers to its last shares.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// Until the first hash is computed, the miner checks at this interval whether the mining threads have computed one.
const FIRST_HASH_POLL: Duration = Duration::from_millis(2);
/// Backpressure: once this many shares are unanswered, the miner sends further shares more slowly. On regtest nearly every hash
/// is a share. If the miner sent shares faster than the pool reads them, they would be stale by the time the pool reads them.
const MAX_OUTSTANDING: usize = 64;
/// The pause before each share while [`MAX_OUTSTANDING`] shares are unanswered. It is finite because some pools never answer.
const BACKPRESSURE_PAUSE: Duration = Duration::from_millis(100);

/// A candidate solves its tip, so nothing is searched for until the pool has answered it or sent a job for another tip, or until
/// this time has passed. Where most hashes are candidates (regtest), everything else would flood the pool. Our pool server answers once
/// a solution can make a block again, within 10 s.
const VERDICT_WITHIN: Duration = Duration::from_secs(12);

/// A candidate for the tip of the present job was submitted.
#[derive(Debug)]
struct SolvedTip {
    /// The candidate.
    ticket: Ticket,
    /// When the search goes on even without an answer.
    until: Instant,
}

/// An event while mining.
#[derive(Clone, Debug)]
pub enum Event {
    /// The pool has authorized us.
    Authorized {
        /// The pool.
        pool: PoolUrl,
    },
    /// A pool could not be reached, or the connection to it was lost.
    Lost {
        /// The error, which names the pool.
        error: String,
        /// The error as a problem; `None` if the pool only redirects us.
        problem: Option<Problem>,
        /// The time until the next attempt.
        retry_in: Duration,
    },
    /// The pool has been silent for a while.
    Waiting {
        /// The pool.
        pool: PoolUrl,
        /// What the pool owes.
        awaited: Awaited,
    },
    /// The pool gives work but is of no use, and no other pool is left to turn to. Holds until [`Event::Fit`].
    Unfit {
        /// The error, which names the pool.
        error: String,
        /// The error as a problem.
        problem: Problem,
    },
    /// The pool is of use, or the miner turns to another one.
    Fit,
    /// A new job.
    Job {
        /// The pool's id of the job.
        id: String,
        /// The share difficulty.
        difficulty: f64,
        /// Whether the job voids all earlier jobs.
        clean: bool,
    },
    /// The first hashes were computed. Sent once.
    Hashing,
    /// A share has its verdict.
    Share {
        /// The share and its verdict.
        share: Box<MinedShare>,
        /// The pool's reason, if it rejected the share.
        reason: Option<Reason>,
    },
    /// A message from the pool to the miner's owner.
    Message(String),
}

/// Mines until `stop` is cancelled. `configs` holds the settings; when they change, the miner closes its connections and
/// opens new ones.
///
/// # Errors
/// If no pool can be reached and [`Config::retries`] are used up.
pub async fn run(
    mut configs: watch::Receiver<Config>,
    engine: Engine,
    found: mpsc::Receiver<FoundShare>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) -> Result<(), ClientError> {
    let config = configs.borrow_and_update().clone();
    Miner::new(engine, found, events, stop).run(Client::new(config), configs).await
}

struct Miner {
    engine: Engine,
    counters: Counters,
    found: mpsc::Receiver<FoundShare>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
    pending: PendingShares,
    /// The tip of the present job is solved, so nothing is searched for now.
    solved: Option<SolvedTip>,
    /// The engine's generation that began when the last candidate was submitted. Candidates of earlier ones are for a tip that is
    /// solved, or gone.
    paused: u64,
    /// Whether any hash was computed.
    hashing: bool,
    /// The present job; `None` without a pool that gives work.
    job: Option<Arc<Job>>,
}

impl Miner {
    fn new(
        engine: Engine,
        found: mpsc::Receiver<FoundShare>,
        events: mpsc::Sender<Event>,
        stop: CancellationToken,
    ) -> Self {
        Miner {
            counters: engine.counters(),
            engine,
            found,
            events,
            stop,
            pending: PendingShares::default(),
            solved: None,
            paused: 0,
            hashing: false,
            job: None,
        }
    }

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
            // The branches are polled in random order, because a pool that never stops sending must not block the submission of
            // shares.
            tokio::select! {
                () = self.stop.cancelled() => break None,
                // Once the sender is dropped, the settings can no longer change, and this branch is disabled.
                Ok(()) = configs.changed() => {
                    let config = configs.borrow_and_update().clone();
                    let before = std::mem::replace(&mut client, Client::new(config));
                    self.leave(before).await;
                }
                event = client.next() => match event {
                    Ok(event) => self.on_event(event).await,
                    Err(error) => break Some(error),
                },
                Some(found) = next_found(&mut self.found, outstanding) => {
                    self.on_found(found, &mut client).await;
                }
                () = sleep_until(self.solved.as_ref().map_or_else(Instant::now, |solved| solved.until)), if self.solved.is_some() => {
                    self.search_on();
                }
                () = sleep(FIRST_HASH_POLL), if self.job.is_some() && !self.hashing => self.check_hashes().await,
            }
        };
        self.finish(client, error.is_none()).await;
        error.map_or(Ok(()), Err)
    }

    /// Closes the connections of a client that was replaced.
    async fn leave(&mut self, client: Client) {
        self.engine.pause();
        (self.job, self.solved) = (None, None);
        for answer in client.close() {
            self.on_answer(answer).await;
        }
        // Whatever was said of its pools is over.
        self.send(Event::Fit).await;
    }

    async fn on_event(&mut self, event: client::Event) {
        match event {
            client::Event::Job(job) => self.on_job(&job).await,
            client::Event::Answer(answer) => self.on_answer(answer).await,
            client::Event::Lost { error, retry_in } => {
                self.engine.pause();
                (self.job, self.solved) = (None, None);
                let (problem, error) = (error.problem(), error_chain(&error));
                self.send(Event::Lost { error, problem, retry_in }).await;
            }
            client::Event::Authorized { pool } => self.send(Event::Authorized { pool }).await,
            client::Event::Waiting { pool, awaited } => self.send(Event::Waiting { pool, awaited }).await,
            client::Event::Unfit { error } => {
                if let Some(problem) = error.problem() {
                    self.send(Event::Unfit { error: error_chain(&error), problem }).await;
                }
            }
            client::Event::Fit => self.send(Event::Fit).await,
            client::Event::Message(text) => self.send(Event::Message(text)).await,
            // Each job carries its own difficulty, version mask and extranonces.
            other => debug!(?other, "ignored an event that applies to the following jobs"),
        }
    }

    async fn on_job(&mut self, job: &Arc<Job>) {
        let last = self.job.replace(job.clone());
        // The job may be for the block that was just found.
        let is_solved = self.solved.is_some() && last.is_some_and(|last| last.prev_hash == job.prev_hash);
        if !is_solved {
            self.solved = None;
            self.engine.mine(job.clone());
        }
        let difficulty = job.target.difficulty();
        self.send(Event::Job { id: job.id.clone(), difficulty, clean: job.clean }).await;
    }

    /// Searches on after the pool has answered a candidate, or has not answered for a while: the pool may pay for further shares,
    /// or its block may have been rejected.
    fn search_on(&mut self) {
        if self.solved.take().is_some()
            && let Some(job) = &self.job
        {
            self.engine.mine(job.clone());
        }
    }

    async fn on_answer(&mut self, answer: Answer) {
        if self.solved.as_ref().is_some_and(|solved| solved.ticket == answer.ticket) {
            self.search_on();
        }
        if let Some((share, reason)) = self.pending.on_answer(answer) {
            self.send(Event::Share { share: Box::new(share), reason }).await;
        }
    }

    async fn on_found(&mut self, found: FoundShare, client: &mut Client) {
        let is_candidate = found.is_candidate();
        if is_candidate && found.generation < self.paused {
            // The threads have found it before they stopped for another candidate, so it is worth nothing to anybody.
            return;
        }
        match client.submit(&found.job, Share::from(&found)) {
            Some(ticket) => {
                let present = self.job.as_ref().map(|job| job.prev_hash);
                if is_candidate && present == Some(found.job.prev_hash) {
                    self.paused = self.engine.pause();
                    self.solved = Some(SolvedTip { ticket, until: Instant::now() + VERDICT_WITHIN });
                } else if is_candidate {
                    // It says nothing about the present tip, but further candidates for its own tip are worth nothing.
                    self.paused = self.paused.max(found.generation + 1);
                }
                self.pending.insert(ticket, found);
            }
            None => {
                if is_candidate {
                    self.paused = self.paused.max(found.generation + 1);
                }
                let share = Box::new(found.mined(Verdict::Stale, Duration::ZERO));
                self.send(Event::Share { share, reason: None }).await;
            }
        }
    }

    async fn check_hashes(&mut self) {
        if self.counters.hashes() > 0 {
            self.hashing = true;
            self.send(Event::Hashing).await;
        }
    }

    /// Stops the threads and submits the remaining shares that they found. If `wait`, waits for the answers, at most
    /// [`LAST_ANSWERS`].
    async fn finish(&mut self, mut client: Client, wait: bool) {
        self.engine.stop();
        let mut last = VecDeque::new();
        while let Some(found) = self.found.recv().await {
            last.push_back(found);
        }
        if !self.hashing {
            self.check_hashes().await;
        }
        for found in last {
            self.on_found(found, &mut client).await;
        }
        let deadline = Instant::now() + LAST_ANSWERS;
        while wait
            && client.is_connected()
            && client.outstanding() > 0
            && let Some(event) = client.next_until(deadline).await
        {
            match event {
                client::Event::Answer(answer) => self.on_answer(answer).await,
                event => debug!(?event, "ignored an event while waiting for the last answers"),
            }
        }
        for answer in client.close() {
            self.on_answer(answer).await;
        }
    }

    async fn send(&self, event: Event) {
        // If the receiver is gone, events are dropped.
        let _ = self.events.send(event).await;
    }
}

/// Waits for the next share that the engine found, after a pause if too many shares are unanswered. Cancel-safe.
async fn next_found(found: &mut mpsc::Receiver<FoundShare>, outstanding: usize) -> Option<FoundShare> {
    if outstanding >= MAX_OUTSTANDING {
        sleep(BACKPRESSURE_PAUSE).await;
    }
    found.recv().await
}
