//! The whole client: the present connection, the one before it, and the look-out for a better one.

mod ending;
mod probe;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use stratum::{Job, PoolUrl, Share};
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use self::probe::Probe;
use crate::config::{Config, Known};
use crate::error::ClientError;
use crate::event::{Event, Ticket};
use crate::limbo::Limbo;
use crate::line::Line;
use crate::plan::Plan;
use crate::shares::Open;

/// See the [crate's documentation](crate).
pub struct Client {
    config: Config,
    plan: Plan,
    main: Main,
    /// Looks for a better pool while another one is used.
    probe: Probe,
    /// The connection before the switch to a better pool, until its shares are answered.
    old: Option<(Line, Instant)>,
    limbo: Option<Limbo>,
    /// Of each pool.
    known: Vec<Known>,
    events: VecDeque<Event>,
    tickets: u64,
    extranonces: Option<(Vec<u8>, usize)>,
    given_up: Option<ClientError>,
}

/// The connection that jobs come from.
enum Main {
    /// Not yet: to this address, if it is not the listed one, at this time.
    Waiting {
        url: Option<PoolUrl>,
        until: Instant,
    },
    Line(Box<Line>),
}

/// What ends a wait.
enum Happened {
    TimeToConnect,
    Main(Result<stratum::Event, ClientError>),
    Probe(probe::News),
    Old(Result<stratum::Event, ClientError>),
    OldTimeout,
    LimboTimeout,
}

impl Client {
    /// A client that has yet to connect: that is what [`Client::next`] does.
    pub fn new(config: Config) -> Client {
        let pools = config.pools.len();
        Client {
            plan: Plan::new(pools, config.retries, config.retry_pause),
            main: Main::Waiting { url: None, until: Instant::now() },
            probe: Probe::new(config.probe_interval, config.dialer.timeout + config.start),
            old: None,
            limbo: None,
            known: vec![Known::default(); pools],
            events: VecDeque::new(),
            tickets: 0,
            extranonces: None,
            given_up: None,
            config,
        }
    }

    /// Waits for the next event. Cancel-safe: nothing is lost if it is dropped and called again.
    ///
    /// # Errors
    /// When the pools are out of reach and [`Config::retries`] are used up. The client is at its end then: what remains
    /// is [`Client::close`].
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            if let Some(error) = self.given_up.take() {
                return Err(error);
            }
            let happened = self.wait().await;
            self.on(happened);
        }
    }

    /// Submits a share for this job, which [`Event::Job`] gave. `None` if it is too late for that: the job was voided by
    /// a clean one, or its connection is gone. Otherwise one [`Event::Answer`] will follow.
    ///
    /// Returns at once: the share goes out while [`Client::next`] is awaited.
    pub fn submit(&mut self, job: &Arc<Job>, share: Share) -> Option<Ticket> {
        let ticket = Ticket(self.tickets);
        let open = Open { ticket, share, since: std::time::Instant::now(), sent: false };
        if let Some(limbo) = self.limbo.as_mut().filter(|limbo| limbo.jobs.has(job)) {
            if !limbo.take(job, open) {
                return None;
            }
        } else {
            let main = match &mut self.main {
                Main::Line(line) => Some(line.as_mut()),
                Main::Waiting { .. } => None,
            };
            let old = self.old.as_mut().map(|(line, _)| line);
            let line = main.into_iter().chain(old).find(|line| line.jobs.has(job))?;
            // The share is pending from now on; what is wrong with the connection comes out by itself.
            if let Err(error) = line.submit(open) {
                debug!(%error, "while submitting");
            }
        }
        self.tickets += 1;
        Some(ticket)
    }

    /// How many shares wait for an answer.
    pub fn outstanding(&self) -> usize {
        let main = match &self.main {
            Main::Line(line) => line.pending.len(),
            Main::Waiting { .. } => 0,
        };
        let old = self.old.as_ref().map_or(0, |(line, _)| line.pending.len());
        let limbo = self.limbo.as_ref().map_or(0, |limbo| limbo.open.len());
        main + old + limbo
    }

    /// Whether there is a connection that answers may come from.
    pub fn is_connected(&self) -> bool {
        matches!(self.main, Main::Line(_))
    }

    async fn wait(&mut self) -> Happened {
        let improvable = self.plan.can_improve();
        let limbo = self.limbo.as_ref().map(|limbo| limbo.until);
        let main = async {
            match &mut self.main {
                Main::Waiting { until, .. } => {
                    sleep_until(*until).await;
                    Happened::TimeToConnect
                }
                Main::Line(line) => Happened::Main(line.next().await),
            }
        };
        let old = async {
            match &mut self.old {
                Some((line, until)) => tokio::select! {
                    event = line.next() => Happened::Old(event),
                    () = sleep_until(*until) => Happened::OldTimeout,
                },
                None => std::future::pending().await,
            }
        };
        // In no fixed order: a pool that talks without a pause must not keep the others waiting.
        tokio::select! {
            happened = main => happened,
            happened = old => happened,
            news = self.probe.next(), if improvable => Happened::Probe(news),
            () = sleep_until(limbo.unwrap_or_else(Instant::now)), if limbo.is_some() => Happened::LimboTimeout,
        }
    }

    fn on(&mut self, happened: Happened) {
        match happened {
            Happened::TimeToConnect => self.connect(),
            Happened::Main(Ok(event)) => self.on_event(event),
            Happened::Main(Err(error)) => self.on_lost(error),
            Happened::Probe(probe::News::Due) => {
                let index = self.plan.probe();
                if let (Some(pool), Some(known)) = (self.config.pools.get(index), self.known.get(index)) {
                    self.probe.start(index, Line::new(&self.config, pool, pool.url.clone(), known));
                }
            }
            Happened::Probe(probe::News::Back(found)) => self.switch(*found),
            Happened::Old(Ok(stratum::Event::Answer { id, verdict })) => {
                if let Some((line, _)) = &mut self.old {
                    let answer = line.answered(id, verdict);
                    self.events.extend(answer.map(Event::Answer));
                }
            }
            // Its jobs are of no interest any more.
            Happened::Old(Ok(_)) => {}
            Happened::Old(Err(error)) => {
                debug!(%error, "the pool before the present one");
                self.settle_old();
            }
            Happened::OldTimeout => self.settle_old(),
            Happened::LimboTimeout => self.settle_limbo(),
        }
    }

    fn connect(&mut self) {
        let index = self.plan.index();
        let (Some(pool), Some(known)) =
            (self.config.pools.get(index).cloned(), self.known.get(index).cloned())
        else {
            self.given_up = Some(ClientError::NoPool);
            self.wait_long();
            return;
        };
        let url = match &mut self.main {
            Main::Waiting { url, .. } => url.take(),
            Main::Line(_) => None,
        };
        if self.limbo.as_ref().is_some_and(|limbo| limbo.pool != index) {
            self.settle_limbo();
        }
        let line = Line::new(&self.config, &pool, url.unwrap_or(pool.url.clone()), &known);
        self.main = Main::Line(Box::new(line));
    }

    fn on_event(&mut self, event: stratum::Event) {
        let Main::Line(line) = &mut self.main else { return };
        let url = line.url().clone();
        match event {
            stratum::Event::Job(job) => self.on_job(job),
            stratum::Event::Answer { id, verdict } => {
                let answer = line.answered(id, verdict);
                self.events.extend(answer.map(Event::Answer));
            }
            stratum::Event::Subscribed { resumed } => {
                debug!(pool = %url, resumed, "subscribed");
                if let Some(known) = self.known.get_mut(self.plan.index()) {
                    known.resume = line.resume().cloned();
                }
                match &mut self.limbo {
                    Some(limbo) if resumed => limbo.resumed = true,
                    _ => self.settle_limbo(),
                }
            }
            stratum::Event::Authorized => {
                self.resubmit();
                self.events.push_back(Event::Authorized { pool: url });
            }
            stratum::Event::Reconnect { pool, wait } => self.on_moved(url, pool, wait),
            stratum::Event::ShowMessage(text) => self.events.push_back(Event::Message(text)),
            stratum::Event::Difficulty(difficulty) => self.events.push_back(Event::Difficulty(difficulty)),
            stratum::Event::VersionMask(mask) => self.events.push_back(Event::VersionMask(mask)),
            // The connection sends by itself.
            stratum::Event::Send(_) => {}
            stratum::Event::Ignored(message) => debug!(pool = %url, ?message, "not for us"),
        }
    }

    fn on_job(&mut self, job: Arc<Job>) {
        // Jobs come often enough for a look at what has gone unanswered for long.
        if let Main::Line(line) = &mut self.main {
            let now = std::time::Instant::now();
            let lost = std::iter::from_fn(|| line.pending.hopeless(now));
            self.events.extend(lost.map(|open| Event::Answer(open.given_up(now))));
        }
        let extranonces = (job.extranonce1.clone(), job.extranonce2_len);
        if self.extranonces.as_ref() != Some(&extranonces) {
            self.extranonces = Some(extranonces.clone());
            let (extranonce1, extranonce2_len) = extranonces;
            self.events.push_back(Event::ExtranonceChanged { extranonce1, extranonce2_len });
        }
        self.events.push_back(Event::Job(job));
    }

    /// The session goes on: so do its shares.
    fn resubmit(&mut self) {
        let Main::Line(line) = &mut self.main else { return };
        let Some(limbo) = self.limbo.take_if(|limbo| limbo.resumed) else { return };
        debug!(shares = limbo.open.len(), "submitted again after the session was resumed");
        line.jobs.adopt(limbo.jobs);
        for open in limbo.open {
            if let Err(error) = line.submit(open) {
                debug!(%error, "while submitting again");
            }
        }
    }

    fn on_lost(&mut self, error: ClientError) {
        if let (Main::Line(line), Some(known)) = (&self.main, self.known.get_mut(self.plan.index())) {
            known.hung_up = error.is_hang_up() && line.is_unheard() && !known.hung_up;
        }
        // Jobs of a pool that then refuses us are no work.
        let worked = self.leave().filter(|_| !matches!(error, ClientError::Refused { .. }));
        self.go_on(error, worked);
    }

    /// Tries again, perhaps with another pool.
    fn go_on(&mut self, error: ClientError, worked: Option<Duration>) {
        let Some(retry_in) = self.plan.lost(worked) else {
            self.given_up = Some(error);
            self.wait_long();
            return;
        };
        self.probe.reset();
        self.main = Main::Waiting { url: None, until: Instant::now() + retry_in };
        self.events.push_back(Event::Lost { error, retry_in });
    }

    fn on_moved(&mut self, pool: PoolUrl, to: PoolUrl, wait: Duration) {
        let worked = self.leave();
        let error = ClientError::Moved { pool, to: to.clone() };
        let Some(retry_in) = self.plan.moved(worked, wait) else {
            return self.go_on(error, None);
        };
        self.main = Main::Waiting { url: Some(to), until: Instant::now() + retry_in };
        self.events.push_back(Event::Lost { error, retry_in });
    }

    /// Ends the present connection; its shares wait for their session to be resumed, if it can be. Returns how long it
    /// had given work.
    fn leave(&mut self) -> Option<Duration> {
        let Main::Line(line) = &mut self.main else { return None };
        let worked = line.worked_for();
        let left = line.pending.take();
        let resumable = worked.is_some() && line.resume().is_some();
        // It may have changed since the subscription.
        if let (Some(resume), Some(known)) = (line.resume(), self.known.get_mut(self.plan.index())) {
            known.resume = Some(resume.clone());
        }
        let jobs = std::mem::take(&mut line.jobs);
        if worked.is_some() {
            self.settle_limbo();
        }
        if resumable {
            let until = Instant::now() + self.config.limbo;
            let pool = self.plan.index();
            self.limbo = Some(Limbo { pool, until, jobs, open: left, resumed: false });
        } else {
            self.give_up(left);
        }
        if let Some(limbo) = &mut self.limbo {
            limbo.resumed = false;
        }
        worked
    }

    /// A better pool is back: from now on it is the present one.
    fn switch(&mut self, found: probe::Found) {
        self.settle_limbo();
        self.settle_old();
        self.plan.improved(found.index);
        let until = Instant::now() + self.config.drain;
        if let Main::Line(line) = std::mem::replace(&mut self.main, Main::Line(found.line)) {
            self.old = Some((*line, until));
        }
        for event in found.events {
            self.on_event(event);
        }
    }

    fn settle_old(&mut self) {
        if let Some((mut line, _)) = self.old.take() {
            let left = line.pending.take();
            self.give_up(left);
        }
    }

    fn settle_limbo(&mut self) {
        if let Some(limbo) = self.limbo.take() {
            self.give_up(limbo.open);
        }
    }

    fn give_up(&mut self, left: Vec<Open>) {
        let now = std::time::Instant::now();
        self.events.extend(left.iter().map(|open| Event::Answer(open.given_up(now))));
    }

    fn wait_long(&mut self) {
        self.settle_limbo();
        // Nobody should call again; who does shall not find a busy loop.
        self.main = Main::Waiting { url: None, until: Instant::now() + self.config.retry_pause };
    }
}
