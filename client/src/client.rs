//! The client: the connection that delivers jobs, the connection to the previous pool, and the probe of better pools.

mod ending;
mod probe;
mod unfit;

use std::collections::VecDeque;
use std::sync::Arc;

use net::Dialer;
use stratum::{Job, PoolUrl, Share};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{debug, warn};

use self::probe::Probe;
use crate::config::{Config, PoolHistory};
use crate::connection::PoolConnection;
use crate::dialect;
use crate::error::ClientError;
use crate::event::{Answer, Event, Ticket};
use crate::failover::Failover;
use crate::fitness::Fitness;
use crate::shares::{InFlightShare, ResumableSession};

/// A Stratum client that stays connected, as the [crate's documentation](crate) describes.
pub struct Client {
    config: Config,
    failover: Failover,
    /// The connection that delivers jobs.
    main: Option<Box<PoolConnection>>,
    /// When to connect next. Unused while there is a main connection.
    connect_at: Instant,
    /// The address to which the pool redirected the client. The next connection uses it; `None` means the address in the
    /// settings.
    redirect: Option<PoolUrl>,
    /// Probes the preferred pools while a less preferred pool is used.
    probe: Probe,
    /// After a switch to a better pool: the connection to the previous pool, and the time when the client closes this connection.
    /// Until that time, the connection stays open to receive the answers to the shares submitted on it.
    draining: Option<(PoolConnection, Instant)>,
    /// The jobs and unanswered shares of the lost session, while a new connection may still resume it.
    resumable: Option<ResumableSession>,
    /// Facts about each pool learned from earlier connections, in the order of [`Config::pools`].
    history: Vec<PoolHistory>,
    /// Events that [`Client::next`] has yet to return.
    events: VecDeque<Event>,
    next_ticket: u64,
    /// Extranonce1 and the number of bytes of extranonce2 of the last job. If the next job has different ones, the client reports
    /// [`Event::ExtranonceChanged`].
    extranonces: Option<(Vec<u8>, usize)>,
    /// The number of permanent refusals in a row; `None` after a pool has sent a job.
    refusals: Option<u64>,
    /// The error that made the client stop trying to connect. [`Client::next`] returns and clears it.
    given_up: Option<ClientError>,
}

/// The reason why [`Client::wait`] returned.
enum Wakeup {
    TimeToConnect,
    Main(Result<stratum::Event, ClientError>),
    Probe(probe::ProbeEvent),
    Draining(Result<stratum::Event, ClientError>),
    DrainTimeout,
    ResumeTimeout,
    /// The main connection may have to tell what it waits for.
    Waiting,
    /// The job of the main connection, or its block, is too old.
    JobTooOld,
}

impl Client {
    /// Creates a client. It connects when [`Client::next`] is awaited.
    pub fn new(config: Config) -> Self {
        let pools = config.pools.len();
        Client {
            failover: Failover::new(pools, config.retries, config.retry_pause),
            main: None,
            connect_at: Instant::now(),
            redirect: None,
            probe: Probe::new(config.probe_interval, config.dialer.timeout + config.first_job_timeout),
            draining: None,
            resumable: None,
            history: vec![PoolHistory::default(); pools],
            events: VecDeque::new(),
            next_ticket: 0,
            extranonces: None,
            refusals: Some(0),
            given_up: None,
            config,
        }
    }

    /// Waits for the next event. Cancel-safe: dropping the future loses nothing.
    ///
    /// # Errors
    /// When no pool can be reached and [`Config::retries`] are used up. The caller should then call [`Client::close`].
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            if let Some(error) = self.given_up.take() {
                return Err(error);
            }
            let wakeup = self.wait().await;
            self.on_wakeup(wakeup);
        }
    }

    /// Returns the next event, or `None` if the deadline passes or [`Client::next`] fails. For callers that wait for the last
    /// answers.
    pub async fn next_until(&mut self, deadline: Instant) -> Option<Event> {
        // Checks the deadline first, because `timeout_at` polls the future before the timer: it would never time out while the
        // pool always has data to read.
        if Instant::now() >= deadline {
            return None;
        }
        timeout_at(deadline, self.next()).await.ok()?.ok()
    }

    /// Uses this dialer and this password at all pools for all further connections.
    pub fn set_access(&mut self, dialer: Dialer, password: &str) {
        self.config.dialer = dialer;
        for pool in &mut self.config.pools {
            password.clone_into(&mut pool.password);
        }
    }

    /// Submits a share for a job that [`Event::Job`] delivered. Returns `None` if the share is too late, because a clean job has
    /// voided the share's job or because the connection of that job is gone. Otherwise one [`Event::Answer`] follows.
    ///
    /// Returns immediately: the share is sent while [`Client::next`] is awaited.
    pub fn submit(&mut self, job: &Arc<Job>, share: Share) -> Option<Ticket> {
        let ticket = Ticket(self.next_ticket);
        let share = |index| InFlightShare::new(ticket, share, index, std::time::Instant::now());
        if let Some(session) = self.resumable.as_mut().filter(|session| session.jobs.contains(job)) {
            if !session.add(share(session.pool)) {
                return None;
            }
        } else {
            let draining = self.draining.as_mut().map(|(connection, _)| connection);
            let mut connections = self.main.as_deref_mut().into_iter().chain(draining);
            let connection = connections.find(|connection| connection.jobs.contains(job))?;
            // The share counts as submitted even if sending fails: `next` then reports the loss of the connection.
            if let Err(error) = connection.submit(share(connection.index())) {
                debug!(%error, "submitting a share failed");
            }
        }
        self.next_ticket += 1;
        Some(ticket)
    }

    /// The number of unanswered shares.
    pub fn outstanding(&self) -> usize {
        let draining = self.draining.as_ref().map(|(connection, _)| connection);
        let connections = self.main.as_deref().into_iter().chain(draining);
        let waiting = self.resumable.as_ref().map_or(0, |session| session.shares.len());
        connections.map(|connection| connection.in_flight.len()).sum::<usize>() + waiting
    }

    /// Whether there is a main connection, from which answers may come.
    pub fn is_connected(&self) -> bool {
        self.main.is_some()
    }

    /// Ends all connections. Returns an answer for each unanswered share, and the answers that [`Client::next`] has not yet
    /// returned.
    pub fn close(mut self) -> Vec<Answer> {
        self.give_up_resumable();
        self.give_up_draining();
        if let Some(connection) = &mut self.main {
            let left = connection.in_flight.take_all();
            self.give_up(left);
        }
        let answers = self.events.into_iter().filter_map(|event| match event {
            Event::Answer(answer) => Some(answer),
            _ => None,
        });
        answers.collect()
    }

    async fn wait(&mut self) -> Wakeup {
        let probing = self.failover.has_better_pool();
        let resume_until = self.resumable.as_ref().map(|session| session.until);
        let waiting_at = self.main.as_ref().and_then(|connection| connection.tell_waiting_at());
        let too_old = self.job_too_old_at();
        let main = async {
            match &mut self.main {
                Some(connection) => Wakeup::Main(connection.next().await),
                None => {
                    sleep_until(self.connect_at).await;
                    Wakeup::TimeToConnect
                }
            }
        };
        let draining = async {
            match &mut self.draining {
                Some((connection, until)) => tokio::select! {
                    event = connection.next() => Wakeup::Draining(event),
                    () = sleep_until(*until) => Wakeup::DrainTimeout,
                },
                None => std::future::pending().await,
            }
        };
        // The branches are polled in random order, because a pool that never stops sending must not starve the other branches.
        tokio::select! {
            wakeup = main => wakeup,
            wakeup = draining => wakeup,
            event = self.probe.next(), if probing => Wakeup::Probe(event),
            () = sleep_until(resume_until.unwrap_or_else(Instant::now)), if resume_until.is_some() => {
                Wakeup::ResumeTimeout
            }
            () = sleep_until(waiting_at.unwrap_or_else(Instant::now)), if waiting_at.is_some() => Wakeup::Waiting,
            () = sleep_until(too_old.unwrap_or_else(Instant::now)), if too_old.is_some() => {
                Wakeup::JobTooOld
            }
        }
    }

    fn on_wakeup(&mut self, wakeup: Wakeup) {
        match wakeup {
            Wakeup::TimeToConnect => self.connect(),
            Wakeup::Main(Ok(event)) => self.on_event(event),
            Wakeup::Main(Err(error)) => self.on_lost(error),
            Wakeup::Probe(probe::ProbeEvent::Due) => {
                let index = self.failover.next_probe();
                self.start_probe(index);
            }
            Wakeup::Probe(probe::ProbeEvent::HungUp(mut pool)) => {
                let history = self.history.get_mut(pool.index);
                if history.is_some_and(|history| pool.connection.hung_up(&mut history.dialect)) {
                    self.start_probe(pool.index);
                }
            }
            Wakeup::Probe(probe::ProbeEvent::Recovered(pool)) => self.switch_to(*pool),
            Wakeup::Draining(Ok(stratum::Event::Answer { id, result })) => {
                let answer =
                    self.draining.as_mut().and_then(|(connection, _)| connection.on_answer(id, result));
                self.events.extend(answer.map(Event::Answer));
            }
            // Jobs of the previous pool are no longer used.
            Wakeup::Draining(Ok(_)) => {}
            Wakeup::Draining(Err(error)) => {
                debug!(%error, "lost the connection to the previous pool");
                self.give_up_draining();
            }
            Wakeup::DrainTimeout => self.give_up_draining(),
            Wakeup::ResumeTimeout => self.give_up_resumable(),
            Wakeup::JobTooOld => self.on_job_too_old(),
            Wakeup::Waiting => {
                if let Some(connection) = &mut self.main
                    && let Some(awaited) = connection.tell_waiting()
                {
                    let pool = connection.url().clone();
                    self.events.push_back(Event::Waiting { pool, awaited });
                }
            }
        }
    }

    /// Probes this pool, unless it is set aside.
    fn start_probe(&mut self, index: usize) {
        match (self.config.pools.get(index), self.history.get(index)) {
            (Some(pool), Some(history)) if history.fitness.is_eligible(Instant::now()) => {
                let url = pool.url.clone();
                self.probe.start(index, PoolConnection::new(&self.config, index, pool, url, history));
            }
            _ => self.probe.skip(),
        }
    }

    fn connect(&mut self) {
        let index = self.failover.index();
        let (Some(pool), Some(history)) = (self.config.pools.get(index), self.history.get(index)) else {
            self.stop_trying(ClientError::NoPool);
            return;
        };
        let url = self.redirect.take().unwrap_or_else(|| pool.url.clone());
        let connection = PoolConnection::new(&self.config, index, pool, url, history);
        if self.resumable.as_ref().is_some_and(|session| session.pool != index) {
            self.give_up_resumable();
        }
        self.main = Some(Box::new(connection));
        self.learn(Fitness::on_connect);
    }

    /// The pool has authorized us and sent a job.
    fn on_usable(&mut self, url: &PoolUrl) {
        self.refusals = None;
        let history = self.history.get_mut(self.failover.index());
        let (Some(history), Some(connection)) = (history, &mut self.main) else { return };
        let refused = history.dialect.on_success(Instant::now());
        connection.teach(&mut history.dialect);
        if !refused.is_empty() {
            let requests = dialect::names(&refused);
            let minutes = dialect::LEFT_OUT_FOR.as_secs() / 60;
            warn!(pool = %url, requests, "the pool hangs up on these requests: they are left out for {minutes} min");
        }
    }

    fn on_event(&mut self, event: stratum::Event) {
        let Some(connection) = &mut self.main else { return };
        let url = connection.url().clone();
        // Answers are many, and those to shares show nothing new.
        if connection.is_usable() && !matches!(event, stratum::Event::Answer { .. }) {
            self.on_usable(&url);
        }
        let Some(connection) = &mut self.main else { return };
        match event {
            stratum::Event::Job(job) => self.on_job(job),
            stratum::Event::Answer { id, result } => {
                if let Some(answer) = connection.on_answer(id, result) {
                    let outcome = answer.outcome.clone();
                    self.events.push_back(Event::Answer(answer));
                    self.on_outcome(&outcome);
                }
            }
            stratum::Event::Subscribed { resumed } => {
                debug!(pool = %url, resumed, "subscribed");
                if let Some(history) = self.history.get_mut(self.failover.index()) {
                    history.resume = connection.resume().cloned();
                }
                match &mut self.resumable {
                    Some(session) if resumed => session.resumed = true,
                    _ => self.give_up_resumable(),
                }
            }
            stratum::Event::Authorized => {
                self.resubmit();
                self.events.push_back(Event::Authorized { pool: url, index: self.failover.index() });
                self.forget_other_pools();
            }
            stratum::Event::Reconnect { pool, wait } => self.on_redirect(url, pool, wait),
            stratum::Event::ShowMessage(text) => self.events.push_back(Event::Message(text)),
            stratum::Event::Difficulty(difficulty) => self.events.push_back(Event::Difficulty(difficulty)),
            stratum::Event::VersionMask(mask) => self.events.push_back(Event::VersionMask(mask)),
            // `PoolConnection` has already sent the message.
            stratum::Event::Send(_) => {}
            stratum::Event::Ignored(message) => debug!(pool = %url, ?message, "ignored"),
        }
    }

    fn on_job(&mut self, job: Arc<Job>) {
        let Some(connection) = &mut self.main else { return };
        let (index, received) = (connection.index(), connection.last_message().into_std());
        // Jobs arrive often enough to check for expired shares here.
        let now = std::time::Instant::now();
        let expired = std::iter::from_fn(|| connection.in_flight.expire(now));
        self.events.extend(expired.map(|share| Event::Answer(share.give_up(now))));
        self.learn(|fitness| fitness.on_job(&job, Instant::now()));
        let extranonces = (job.extranonce1.clone(), job.extranonce2_len);
        if self.extranonces.as_ref() != Some(&extranonces) {
            self.extranonces = Some(extranonces.clone());
            let (extranonce1, extranonce2_len) = extranonces;
            self.events.push_back(Event::ExtranonceChanged { extranonce1, extranonce2_len });
        }
        self.events.push_back(Event::Job { job, index, received });
    }

    /// Submits the shares of the resumed session again on the main connection.
    fn resubmit(&mut self) {
        let Some(connection) = &mut self.main else { return };
        let Some(session) = self.resumable.take_if(|session| session.resumed) else { return };
        debug!(shares = session.shares.len(), "the session was resumed: submitting its shares again");
        connection.jobs.prepend(session.jobs);
        for share in session.shares {
            if let Err(error) = connection.submit(share) {
                debug!(%error, "submitting a share again failed");
            }
        }
    }

    /// Makes the connection to a better pool the main one.
    fn switch_to(&mut self, pool: probe::ProbedPool) {
        self.drain();
        self.failover.on_switch(pool.index);
        self.main = Some(pool.connection);
        self.learn(Fitness::on_connect);
        for event in pool.events {
            self.on_event(event);
        }
    }
}
