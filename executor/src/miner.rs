//! Mines for a pool: owns the connection, the present job and the shares; same code under Mesos and standalone.
//!
//! [`run`] tells its front end everything by [`Event`]s; it keeps no totals. It ends when it is stopped, or when the
//! pools are out of reach and it may not try again. In both cases the engine has stopped and every share's fate was
//! told before it returns.

mod config;
mod error;
mod link;
mod pace;
mod shares;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mesos::backoff::Backoff;
use stratum::{Job, Message, Options, PoolUrl, Reason, Session, Verdict};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

pub use self::config::{Config, check_scheme};
pub use self::error::MinerError;
pub(crate) use self::error::chain;
use self::link::Link;
use self::shares::Shares;
use crate::engine::{Counters, Engine, Found};
use crate::tally::Outcome;

/// First pause before a pool is tried again; doubled up to [`Config::retry_pause`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
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

/// How a connection ended.
enum End {
    Stopped,
    Moved { pool: PoolUrl, wait: Duration },
    Lost(MinerError),
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
) -> Result<(), MinerError> {
    let counters = engine.counters();
    let shares = Shares::default();
    Miner { config, engine, counters, found, events, stop, shares, hashing: false, worked: false }.run().await
}

struct Miner {
    config: Config,
    engine: Engine,
    counters: Counters,
    found: mpsc::Receiver<Found>,
    events: mpsc::Sender<Event>,
    stop: CancellationToken,
    shares: Shares,
    /// Whether the first hash was done.
    hashing: bool,
    /// Whether the present connection has brought a job.
    worked: bool,
}

impl Miner {
    async fn run(mut self) -> Result<(), MinerError> {
        let mut backoff = Backoff::new(FIRST_PAUSE, self.config.retry_pause);
        let (mut index, mut failures) = (0, 0);
        let mut moved_to = None;
        loop {
            let Some(listed) = self.config.pools.get(index).cloned() else {
                self.finish(None).await;
                return Err(MinerError::NoPool);
            };
            self.worked = false;
            let pool = moved_to.take().unwrap_or(listed);
            let error = match self.serve(&pool).await {
                End::Stopped => return Ok(()),
                End::Moved { pool, wait } => {
                    self.disconnected().await;
                    moved_to = Some(pool);
                    // A pool that moves its miners in circles must not keep them busy with that.
                    if self.pause(wait.max(FIRST_PAUSE)).await {
                        continue;
                    }
                    self.finish(None).await;
                    return Ok(());
                }
                End::Lost(error) => error,
            };
            self.disconnected().await;
            if self.worked {
                // What worked until now is the first to be tried again, after the first pool.
                (index, failures) = (0, 0);
                backoff.reset();
            } else {
                index = (index + 1) % self.config.pools.len();
            }
            failures += 1;
            if self.config.retries.is_some_and(|retries| failures > retries) {
                self.finish(None).await;
                return Err(error);
            }
            let retry_in = if index == 0 { backoff.delay() } else { Duration::ZERO };
            self.tell(Event::Lost { error: chain(&error), retry_in }).await;
            if !self.pause(retry_in).await {
                self.finish(None).await;
                return Ok(());
            }
        }
    }

    /// Waits; false if stopped meanwhile.
    async fn pause(&self, time: Duration) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = sleep(time) => true,
        }
    }

    /// Mines for one pool until something ends it.
    async fn serve(&mut self, pool: &PoolUrl) -> End {
        let connected = tokio::select! {
            () = self.stop.cancelled() => None,
            connected = Link::connect(pool) => Some(connected),
        };
        let mut link = match connected {
            None => {
                self.finish(None).await;
                return End::Stopped;
            }
            Some(Ok(link)) => link,
            Some(Err(error)) => return End::Lost(error),
        };
        let options = Options {
            suggest_difficulty: self.config.suggest_difficulty,
            ..Options::new(pool.clone(), self.config.user.clone(), self.config.password.clone())
        };
        let mut session = Session::new(options);
        for message in session.start() {
            if let Err(error) = link.send(&message).await {
                return End::Lost(error);
            }
        }
        match self.converse(pool, &mut link, &mut session).await {
            Ok(Some(end)) => end,
            Ok(None) => {
                self.finish(Some((&mut link, &mut session))).await;
                End::Stopped
            }
            Err(error) => End::Lost(error),
        }
    }

    /// Takes messages and finds as they come; `None` when stopped.
    async fn converse(
        &mut self,
        pool: &PoolUrl,
        link: &mut Link,
        session: &mut Session,
    ) -> Result<Option<End>, MinerError> {
        let mut heard = Instant::now();
        let mut asked = false;
        loop {
            let watch = if asked { self.config.silence } else { self.config.silence / 2 };
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(None),
                message = link.read() => {
                    (heard, asked) = (Instant::now(), false);
                    if let Some(end) = self.on_message(pool, link, session, message?).await? {
                        return Ok(Some(end));
                    }
                }
                Some(found) = pace::next_find(&mut self.found, self.shares.outstanding()) => self.on_found(found, link, session).await?,
                () = sleep(FIRST_HASH_POLL), if self.worked && !self.hashing => self.look_for_hashes().await,
                () = sleep_until(heard + watch) => {
                    if asked {
                        return Err(MinerError::Silent { pool: pool.clone(), after: self.config.silence });
                    }
                    asked = true;
                    link.send(&session.ping()).await?;
                }
            }
        }
    }

    async fn on_message(
        &mut self,
        pool: &PoolUrl,
        link: &mut Link,
        session: &mut Session,
        message: Message,
    ) -> Result<Option<End>, MinerError> {
        let events = match session.on_message(message) {
            Ok(events) => events,
            Err(source) if source.is_fatal() => {
                return Err(MinerError::Refused { pool: pool.clone(), source });
            }
            Err(error) => {
                warn!(%pool, %error, "a message that can't be obeyed");
                return Ok(None);
            }
        };
        for event in events {
            match event {
                stratum::Event::Send(message) => link.send(&message).await?,
                stratum::Event::Job(job) => self.on_job(&job).await,
                stratum::Event::Answer { id, verdict } => self.on_answer(id, verdict).await,
                stratum::Event::Authorized => self.tell(Event::Authorized { pool: pool.clone() }).await,
                stratum::Event::Reconnect { pool, wait } => return Ok(Some(End::Moved { pool, wait })),
                stratum::Event::ShowMessage(text) => self.tell(Event::Message(text)).await,
                stratum::Event::Subscribed { .. } => debug!(%pool, "subscribed"),
                stratum::Event::Difficulty(difficulty) => debug!(%pool, difficulty, "of the jobs to come"),
                stratum::Event::VersionMask(mask) => debug!(%pool, mask = format!("{mask:08x}"), "may roll"),
                stratum::Event::Ignored(message) => debug!(%pool, ?message, "not for us"),
            }
        }
        Ok(None)
    }

    async fn on_job(&mut self, job: &Arc<Job>) {
        let generation = self.engine.mine(job.clone());
        self.shares.on_job(job, generation);
        self.worked = true;
        let difficulty = job.target.difficulty();
        self.tell(Event::Job { id: job.id.clone(), difficulty, clean: job.clean }).await;
    }

    async fn on_answer(&mut self, id: u64, verdict: Verdict) {
        if let Some(outcome) = self.shares.answered(id, &verdict, std::time::Instant::now()) {
            let reason = match verdict {
                Verdict::Accepted => None,
                Verdict::Rejected(reason) => Some(reason),
            };
            self.tell(Event::Share { outcome: Box::new(outcome), reason }).await;
        }
    }

    async fn on_found(
        &mut self,
        found: Found,
        link: &mut Link,
        session: &mut Session,
    ) -> Result<(), MinerError> {
        match self.prepare(found, session) {
            Ok(message) => link.send(&message).await,
            Err(outcome) => {
                self.tell(Event::Share { outcome, reason: None }).await;
                Ok(())
            }
        }
    }

    /// The message that submits a find, or its outcome if it is outdated. Noted before it is sent: if that fails
    /// half-way, nobody knows whether the pool has it.
    fn prepare(&mut self, found: Found, session: &mut Session) -> Result<Message, Box<Outcome>> {
        let share = self.shares.judge(&found)?;
        let (id, message) = session.submit(&share);
        self.shares.sent(id, found, std::time::Instant::now());
        Ok(message)
    }

    async fn look_for_hashes(&mut self) {
        if self.counters.hashes() > 0 {
            self.hashing = true;
            self.tell(Event::Hashing).await;
        }
    }

    /// The threads rest, and what was sent will not be answered.
    async fn disconnected(&mut self) {
        let generation = self.engine.pause();
        self.abandon(generation).await;
    }

    async fn abandon(&mut self, generation: u64) {
        for outcome in self.shares.disconnected(generation, std::time::Instant::now()) {
            self.tell(Event::Share { outcome: Box::new(outcome), reason: None }).await;
        }
    }

    /// Stops the threads, submits what they found if there is a connection, and waits a moment for the answers.
    async fn finish(&mut self, open: Option<(&mut Link, &mut Session)>) {
        self.engine.stop();
        let mut last = VecDeque::new();
        while let Some(found) = self.found.recv().await {
            last.push_back(found);
        }
        if !self.hashing {
            self.look_for_hashes().await;
        }
        if let Some((link, session)) = open
            && let Err(error) = self.last_shares(&mut last, link, session).await
        {
            debug!(%error, "while waiting for the last answers");
        }
        // What is left has nowhere to go: stale.
        self.abandon(u64::MAX).await;
        for found in last {
            if let Err(outcome) = self.shares.judge(&found) {
                self.tell(Event::Share { outcome, reason: None }).await;
            }
        }
    }

    async fn last_shares(
        &mut self,
        last: &mut VecDeque<Found>,
        link: &mut Link,
        session: &mut Session,
    ) -> Result<(), MinerError> {
        let deadline = Instant::now() + LAST_ANSWERS;
        while let Some(found) = last.pop_front() {
            match self.prepare(found, session) {
                Ok(message) => match timeout_at(deadline, link.send(&message)).await {
                    Ok(sent) => sent?,
                    Err(_) => return Ok(()),
                },
                Err(outcome) => self.tell(Event::Share { outcome, reason: None }).await,
            }
        }
        while self.shares.waiting() {
            let Ok(message) = timeout_at(deadline, link.read()).await else { break };
            match session.on_message(message?) {
                Ok(events) => {
                    for event in events {
                        if let stratum::Event::Answer { id, verdict } = event {
                            self.on_answer(id, verdict).await;
                        }
                    }
                }
                Err(error) => debug!(%error, "while waiting for the last answers"),
            }
        }
        Ok(())
    }

    async fn tell(&self, event: Event) {
        // A front end that is gone needs to know nothing.
        let _ = self.events.send(event).await;
    }
}
