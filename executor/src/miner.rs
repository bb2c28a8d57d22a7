//! Mines for a pool: passes the jobs of the pool client to the engine, and the shares that the engine finds to the client.
//! The same code runs under Mesos and standalone.
//!
//! [`run`] reports everything as [`Event`]s and counts nothing. It ends when it is stopped, or when no pool can be reached
//! and no retries are left. When it returns, the engine has stopped and every share has a verdict.

mod event;
mod pending_shares;
#[cfg(test)]
mod tests;
mod work;

use std::collections::VecDeque;
use std::time::Duration;

use client::{Answer, Client, Ticket};
pub use client::{ClientError, Config, Pool};
use logging::error_chain;
use stratum::Share;
use task::Verdict;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;

pub use self::event::Event;
use self::pending_shares::PendingShares;
use self::work::{JobSources, Work};
use crate::engine::{Counters, Engine, FirstHash, FoundShare};

/// How long a stopping miner waits for the pool's answers to its last shares.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// Backpressure: once this many shares are unanswered, the miner sends further shares more slowly. On regtest nearly every hash
/// is a share. If the miner sent shares faster than the pool reads them, they would be stale by the time the pool reads them.
const MAX_OUTSTANDING: usize = 64;
/// The pause before each share while [`MAX_OUTSTANDING`] shares are unanswered. It is finite because some pools never answer.
const BACKPRESSURE_PAUSE: Duration = Duration::from_millis(100);

/// A candidate solves its tip, so nothing is searched for until the pool has answered it or sent a job for another tip, or until
/// this time has passed. Where most hashes are candidates (regtest), everything else would flood the pool. Our pool server answers once
/// a solution can make a block again, within 5 s.
const VERDICT_WITHIN: Duration = Duration::from_secs(6);

/// A candidate for the tip of the present job was submitted.
#[derive(Debug)]
struct SolvedTip {
    /// The candidate.
    ticket: Ticket,
    /// When the search goes on even without an answer.
    until: Instant,
}

/// Mines until `stop` is cancelled. `configs` holds the settings; when they change, the miner closes its connections and
/// opens new ones. While `pauses` holds `true`, it searches nothing, and keeps its connection and the latest job.
///
/// # Errors
/// If no pool can be reached and [`Config::retries`] are used up.
pub async fn run(
    mut configs: watch::Receiver<Config>,
    mut pauses: watch::Receiver<bool>,
    engine: Engine,
    found: mpsc::Receiver<FoundShare>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
) -> Result<(), ClientError> {
    let config = configs.borrow_and_update().clone();
    let mut miner = Miner::new(engine, found, events, stop);
    miner.paused = *pauses.borrow_and_update();
    miner.run(Client::new(config), configs, pauses).await
}

struct Miner {
    engine: Engine,
    counters: Counters,
    first_hashes: watch::Receiver<FirstHash>,
    found: mpsc::Receiver<FoundShare>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
    pending: PendingShares,
    /// The latest job; `None` while no pool gives work.
    work: Option<Work>,
    /// Which pool gave the job of each generation.
    sources: JobSources,
    /// Whether the owner wants no search now.
    paused: bool,
    /// The tip of the latest job is solved, so nothing is searched for now.
    solved: Option<SolvedTip>,
    /// The engine's generation that began when the last candidate was submitted. Candidates of earlier ones are for a tip that is
    /// solved, or gone.
    solved_generation: u64,
    /// The generation of the latest job, and when the line with the job was read; `None` once its first hash is known.
    awaited: Option<(u64, std::time::Instant)>,
    /// Whether [`Event::Working`] was sent.
    working: bool,
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
            first_hashes: engine.first_hashes(),
            engine,
            found,
            events,
            stop,
            pending: PendingShares::default(),
            work: None,
            sources: JobSources::default(),
            paused: false,
            solved: None,
            solved_generation: 0,
            awaited: None,
            working: false,
        }
    }

    async fn run(
        mut self,
        mut client: Client,
        mut configs: watch::Receiver<Config>,
        mut pauses: watch::Receiver<bool>,
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
                Ok(()) = pauses.changed() => {
                    let paused = *pauses.borrow_and_update();
                    self.set_paused(paused).await;
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
                Ok(()) = self.first_hashes.changed() => self.on_first_hash().await,
            }
        };
        self.finish(client, error.is_none()).await;
        error.map_or(Ok(()), Err)
    }

    /// Closes the connections of a client that was replaced.
    async fn leave(&mut self, client: Client) {
        self.lose_work();
        for answer in client.close() {
            self.on_answer(answer).await;
        }
        // Whatever was said of its pools is over.
        self.send(Event::Fit).await;
    }

    /// There is no work until the next job.
    fn lose_work(&mut self) {
        self.engine.pause();
        (self.work, self.solved, self.awaited) = (None, None, None);
    }

    async fn on_event(&mut self, event: client::Event) {
        match event {
            client::Event::Job { job, index, received } => self.on_job(Work { job, index }, received).await,
            client::Event::Answer(answer) => self.on_answer(answer).await,
            client::Event::Lost { error, index, retry_in } => {
                self.lose_work();
                let (problem, error) = (error.problem(), error_chain(&error));
                self.send(Event::Lost { error, index, problem, retry_in }).await;
            }
            client::Event::Authorized { pool, index } => self.send(Event::Authorized { pool, index }).await,
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

    async fn on_job(&mut self, work: Work, received: std::time::Instant) {
        // That of the job before, if nobody has looked yet.
        let first_hash = self.first_hash();
        let (job, index) = (work.job.clone(), work.index);
        let last = self.work.replace(work);
        // The job may be for the block that was just found.
        self.solved.take_if(|_| last.is_none_or(|last| last.job.prev_hash != job.prev_hash));
        self.awaited = self.search().map(|generation| (generation, received));
        if let Some(event) = first_hash {
            self.send(event).await;
        }
        self.send(Event::Job { job, index }).await;
        self.work_if_paused().await;
    }

    /// Makes the threads search the latest job. Returns its generation; `None` if nothing is to be searched now.
    fn search(&mut self) -> Option<u64> {
        let work = self.work.as_ref().filter(|_| !self.paused && self.solved.is_none())?;
        let generation = self.engine.mine(work.job.clone());
        self.sources.insert(generation, work.index);
        Some(generation)
    }

    /// Searches on after the pool has answered a candidate, or has not answered for a while: the pool may pay for further shares,
    /// or its block may have been rejected.
    fn search_on(&mut self) {
        if self.solved.take().is_some() {
            self.search();
        }
    }

    async fn set_paused(&mut self, paused: bool) {
        if std::mem::replace(&mut self.paused, paused) == paused {
            return;
        }
        if paused {
            self.engine.pause();
            self.awaited = None;
        } else {
            self.search();
        }
        self.send(Event::Paused(paused)).await;
        self.work_if_paused().await;
    }

    /// A paused miner with a job does all that it is to do.
    async fn work_if_paused(&mut self) {
        if self.paused && self.work.is_some() {
            self.begin_to_work().await;
        }
    }

    async fn begin_to_work(&mut self) {
        if !std::mem::replace(&mut self.working, true) {
            self.send(Event::Working).await;
        }
    }

    async fn on_first_hash(&mut self) {
        let event = self.first_hash();
        self.begin_to_work().await;
        if let Some(event) = event {
            self.send(event).await;
        }
    }

    /// The event that tells of the first hash of the latest job, if it was computed since the last call.
    fn first_hash(&mut self) -> Option<Event> {
        let FirstHash { generation, at } = *self.first_hashes.borrow();
        let (_, received) = self.awaited.take_if(|(awaited, _)| *awaited == generation)?;
        Some(Event::FirstHash { delay: at.saturating_duration_since(received) })
    }

    async fn on_answer(&mut self, answer: Answer) {
        if self.solved.as_ref().is_some_and(|solved| solved.ticket == answer.ticket) {
            self.search_on();
        }
        let index = answer.index;
        if let Some((share, reason)) = self.pending.on_answer(answer) {
            self.send(Event::Share { share: Box::new(share), reason, index }).await;
        }
    }

    async fn on_found(&mut self, found: FoundShare, client: &mut Client) {
        let is_candidate = found.is_candidate();
        if is_candidate && found.generation < self.solved_generation {
            // The threads have found it before they stopped for another candidate, so it is worth nothing to anybody.
            return;
        }
        match client.submit(&found.job, Share::from(&found)) {
            Some(ticket) => {
                let present = self.work.as_ref().map(|work| work.job.prev_hash);
                if is_candidate && present == Some(found.job.prev_hash) {
                    self.solved_generation = self.engine.pause();
                    self.solved = Some(SolvedTip { ticket, until: Instant::now() + VERDICT_WITHIN });
                } else if is_candidate {
                    // It says nothing about the present tip, but further candidates for its own tip are worth nothing.
                    self.solved_generation = self.solved_generation.max(found.generation + 1);
                }
                self.pending.insert(ticket, found);
            }
            None => {
                if is_candidate {
                    self.solved_generation = self.solved_generation.max(found.generation + 1);
                }
                let index = self.sources.of(found.generation);
                let share = Box::new(found.mined(Verdict::Stale, Duration::ZERO));
                self.send(Event::Share { share, reason: None, index }).await;
            }
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
        if self.counters.hashes() > 0 {
            self.begin_to_work().await;
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
