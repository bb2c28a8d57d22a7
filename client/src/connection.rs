//! One connection to one pool, from dialling to its end.

use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use net::{ByteStream, DialError};
use stratum::connection::POOL_LINE_LIMIT;
use stratum::{
    Event, Message, MessageError, OptionalRequest, PoolUrl, ReadError, Reader, Reason, ResumeToken, Session,
    SessionOptions, Writer,
};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, trace, warn};

use crate::awaited::Awaited;
use crate::config::{Config, Pool, PoolHistory};
use crate::dialect::PoolDialect;
use crate::error::ClientError;
use crate::event::Answer;
use crate::shares::{InFlightShare, InFlightShares, OpenJobs};

/// How long data may wait because the pool does not read. After this time the connection fails.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// A pool that hangs up this long after a request, while it works for us, has survived the request. It may nevertheless not have
/// answered: ckpool answers no suggestion.
const SURVIVED_AFTER: Duration = Duration::from_secs(10);

/// A connection with its Stratum session and the shares submitted on it.
pub(crate) struct PoolConnection {
    url: PoolUrl,
    /// The index of the pool in `Config::pools`.
    index: usize,
    stage: Stage,
    session: Session,
    events: VecDeque<Event>,
    silence_timeout: Duration,
    first_job_timeout: Duration,
    smallest_extranonce2: usize,
    waiting_after: Duration,
    /// Whether the owner was told what this connection waits for, since the pool last sent something that ended a wait.
    told_waiting: bool,
    /// When the pool last answered a share. Before that, this is the time when dialling began.
    last_answer: Instant,
    /// When the connection was opened. While it is dialled, this is the time when dialling began.
    opened: Instant,
    /// When the last message from the pool was received. Before the first message, this is the time when the connection was
    /// opened.
    last_message: Instant,
    /// Whether the time for a ping has come since the pool's last message. If the pool stays silent after it, the connection fails.
    pinged: bool,
    /// When the client last sent a ping.
    last_ping: Option<Instant>,
    /// Whether the pool has sent any message on this connection.
    got_message: bool,
    /// When data began to wait because the pool does not read; `None` if no data waits. After [`SEND_TIMEOUT`] the connection
    /// fails.
    write_blocked: Option<Instant>,
    /// When the pool sent its first job on this connection; `None` if it has sent none yet.
    first_job: Option<Instant>,
    /// When the optional requests were sent that wait for the first job.
    first_job_requests: Option<Instant>,
    subscribed: bool,
    authorized: bool,
    pub jobs: OpenJobs,
    pub in_flight: InFlightShares,
}

type Dialling = Pin<Box<dyn Future<Output = Result<Box<dyn ByteStream>, DialError>> + Send>>;

enum Stage {
    Dialling(Dialling),
    Open { reader: Reader<ReadHalf<Box<dyn ByteStream>>>, writer: Writer<WriteHalf<Box<dyn ByteStream>>> },
}

impl PoolConnection {
    /// Begins to connect to `url`: the address of `pool`, or the address to which the pool redirected us. `index` is the place of
    /// the pool in `Config::pools`.
    pub fn new(config: &Config, index: usize, pool: &Pool, url: PoolUrl, history: &PoolHistory) -> Self {
        let options = SessionOptions {
            version_mask: config.version_mask,
            suggest_difficulty: config.suggest_difficulty,
            minimum_difficulty: config.minimum_difficulty,
            omit: history.omit(config, &url, Instant::now()),
            resume: history.resume.clone(),
            ..SessionOptions::new(url.clone(), pool.user.clone(), pool.password.clone())
        };
        let (dialer, address) = (config.dialer.clone(), url.address.clone());
        let secure = url.scheme.is_secure();
        let dialling = async move { dialer.connect(&address.host, address.port, secure).await };
        PoolConnection {
            url,
            index,
            stage: Stage::Dialling(Box::pin(dialling)),
            session: Session::new(options),
            events: VecDeque::new(),
            silence_timeout: config.silence_timeout,
            first_job_timeout: config.first_job_timeout,
            smallest_extranonce2: config.smallest_extranonce2,
            waiting_after: config.waiting_after,
            told_waiting: false,
            last_answer: Instant::now(),
            opened: Instant::now(),
            last_message: Instant::now(),
            pinged: false,
            last_ping: None,
            got_message: false,
            write_blocked: None,
            first_job: None,
            first_job_requests: None,
            subscribed: false,
            authorized: false,
            jobs: OpenJobs::default(),
            in_flight: InFlightShares::default(),
        }
    }

    pub fn url(&self) -> &PoolUrl {
        &self.url
    }

    /// The index of the pool in `Config::pools`.
    pub fn index(&self) -> usize {
        self.index
    }

    /// When the pool's last message was read. Events are returned before another message is read, so while they are handled this is
    /// the time of the message that caused them.
    pub fn last_message(&self) -> Instant {
        self.last_message
    }

    /// The token with which a later connection can resume this session, if the pool supports that.
    pub fn resume(&self) -> Option<&ResumeToken> {
        self.session.resume()
    }

    /// Returns the next event. The caller passes answers to [`PoolConnection::on_answer`]. Cancel-safe.
    pub async fn next(&mut self) -> Result<Event, ClientError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            self.step().await?;
        }
    }

    async fn step(&mut self) -> Result<(), ClientError> {
        let deadline = self.deadline();
        let (reader, writer) = match &mut self.stage {
            Stage::Dialling(dialling) => {
                let dialled = dialling.await;
                let failed =
                    |source| ClientError::Connect { pool: self.url.clone(), source: Box::new(source) };
                let stream = dialled.map_err(failed)?;
                return self.open(stream);
            }
            Stage::Open { reader, writer } => (reader, writer),
        };
        // Writing is polled first, so that a pool that never stops sending cannot prevent us from writing.
        tokio::select! {
            biased;
            flushed = writer.flush(), if writer.needs_flush() => {
                self.write_blocked = None;
                flushed.map_err(|source| ClientError::Write { pool: self.url.clone(), source })
            }
            message = reader.read() => match message {
                Ok(Some(message)) => self.on_message(message).and_then(|()| self.check_timeouts()),
                Ok(None) => Err(ClientError::Closed { pool: self.url.clone() }),
                Err(error) => self.on_read_error(error),
            },
            () = sleep_until(deadline) => self.on_deadline(),
        }
    }

    fn open(&mut self, stream: Box<dyn ByteStream>) -> Result<(), ClientError> {
        let (reader, writer) = stratum::connection::split(stream, POOL_LINE_LIMIT);
        self.stage = Stage::Open { reader, writer };
        (self.opened, self.last_message, self.told_waiting) = (Instant::now(), Instant::now(), false);
        for message in self.session.start() {
            self.send(&message)?;
        }
        Ok(())
    }

    /// When [`PoolConnection::on_deadline`] must be called, to ping a silent pool or to end the connection.
    fn deadline(&self) -> Instant {
        let silence = if self.pinged { self.silence_timeout } else { self.silence_timeout / 2 };
        let mut deadline = self.last_message + silence;
        if self.first_job.is_none() {
            deadline = deadline.min(self.opened + self.first_job_timeout);
        }
        self.write_blocked.map_or(deadline, |since| deadline.min(since + SEND_TIMEOUT))
    }

    fn on_deadline(&mut self) -> Result<(), ClientError> {
        self.check_timeouts()?;
        if self.pinged {
            return Err(ClientError::Silent { pool: self.url.clone(), after: self.silence_timeout });
        }
        self.pinged = true;
        // A pool that hangs up on pings gets none: only the time of its silence counts.
        let Some(ping) = self.session.ping() else { return Ok(()) };
        self.last_ping = Some(Instant::now());
        self.send(&ping)
    }

    /// Fails if the pool does not read what we send, or sends no job in time, even if it sends other messages.
    fn check_timeouts(&self) -> Result<(), ClientError> {
        if self.write_blocked.is_some_and(|since| since.elapsed() >= SEND_TIMEOUT) {
            return Err(ClientError::Silent { pool: self.url.clone(), after: SEND_TIMEOUT });
        }
        if self.first_job.is_none() && self.opened.elapsed() >= self.first_job_timeout {
            return Err(ClientError::NoJob { pool: self.url.clone(), after: self.first_job_timeout });
        }
        Ok(())
    }

    fn on_message(&mut self, message: Message) -> Result<(), ClientError> {
        trace!(target: "protocol", "< {}", message.to_line());
        (self.last_message, self.pinged, self.got_message) = (Instant::now(), false, true);
        let events = match self.session.on_message(message) {
            Ok(events) => events,
            Err(source) if source.is_fatal() => {
                return Err(ClientError::Refused { pool: self.url.clone(), source });
            }
            Err(error) => {
                warn!(pool = %self.url, %error, "ignored a message");
                return Ok(());
            }
        };
        for event in events {
            match &event {
                Event::Send(message) => {
                    if self.first_job.is_some() && matches!(message, Message::Call(_)) {
                        self.first_job_requests = Some(Instant::now());
                    }
                    self.send(message)?;
                    continue;
                }
                Event::Job(job) => {
                    self.check_extranonce2(job.extranonce2_len)?;
                    self.told_waiting &= self.first_job.is_some();
                    self.first_job.get_or_insert_with(Instant::now);
                    self.jobs.add(job);
                }
                Event::Subscribed { .. } => self.subscribed = true,
                Event::Authorized => self.authorized = true,
                Event::Answer { .. } => (self.last_answer, self.told_waiting) = (Instant::now(), false),
                _ => {}
            }
            self.events.push_back(event);
        }
        Ok(())
    }

    /// Fails if the pool leaves too little extranonce2 to work with.
    fn check_extranonce2(&self, size: usize) -> Result<(), ClientError> {
        let needed = self.smallest_extranonce2;
        if size < needed {
            return Err(ClientError::ExtranonceTooSmall { pool: self.url.clone(), size, needed });
        }
        Ok(())
    }

    fn on_read_error(&self, error: ReadError) -> Result<(), ClientError> {
        let pool = || self.url.clone();
        match error {
            ReadError::Message(MessageError::Shapeless { line }) if line.starts_with("HTTP/") => {
                Err(ClientError::Http { pool: pool() })
            }
            ReadError::Message(error) => {
                debug!(pool = %self.url, %error, "ignored a line that is not a message");
                Ok(())
            }
            error => Err(ClientError::Read { pool: pool(), source: Box::new(error) }),
        }
    }

    /// Queues a message. It is sent while [`PoolConnection::next`] is awaited.
    fn send(&mut self, message: &Message) -> Result<(), ClientError> {
        let Stage::Open { writer, .. } = &mut self.stage else { return Ok(()) };
        match message {
            Message::Call(call) if call.method == "mining.authorize" => {
                trace!(target: "protocol", "> mining.authorize, not shown because it holds the password");
            }
            message => trace!(target: "protocol", "> {}", message.to_line()),
        }
        self.write_blocked.get_or_insert_with(Instant::now);
        writer
            .queue(&message.to_line())
            .map_err(|source| ClientError::Write { pool: self.url.clone(), source })
    }

    /// When the owner is to be told what this connection waits for; `None` if it waits for nothing, or if the owner was told.
    pub fn tell_waiting_at(&self) -> Option<Instant> {
        let since = match self.first_job {
            None => self.opened,
            // A share of a resumed session was submitted before this connection was opened.
            Some(_) => self.last_answer.max(self.opened).max(self.in_flight.oldest()?.into()),
        };
        (!self.told_waiting).then(|| since + self.waiting_after)
    }

    /// What the connection waits for, if it is time to tell the owner. It then counts as told.
    pub fn tell_waiting(&mut self) -> Option<Awaited> {
        self.tell_waiting_at().filter(|at| *at <= Instant::now())?;
        self.told_waiting = true;
        Some(match &self.stage {
            Stage::Dialling(_) => Awaited::Connection,
            _ if self.first_job.is_some() => Awaited::Verdicts(self.in_flight.len()),
            _ if !self.got_message => Awaited::FirstAnswer,
            _ if !self.subscribed => Awaited::Subscription,
            _ if !self.authorized => Awaited::Authorization,
            _ => Awaited::Job,
        })
    }

    /// Submits a share for a job of this session.
    ///
    /// # Errors
    /// If the pool has left too much data unread. The share nevertheless counts as submitted.
    pub fn submit(&mut self, share: InFlightShare) -> Result<(), ClientError> {
        let (id, message) = self.session.submit(&share.share);
        self.in_flight.insert(id, share);
        self.send(&message)
    }

    /// The answer to a share, from an [`Event::Answer`]; `None` if no unanswered share has this id.
    pub fn on_answer(&mut self, id: u64, result: Result<(), Reason>) -> Option<Answer> {
        self.in_flight.on_answer(id, result, std::time::Instant::now())
    }

    /// The optional requests that may be the reason if the pool hangs up now; none if it may have another reason.
    fn suspects(&self) -> BTreeSet<OptionalRequest> {
        let mut suspects = self.session.suspects();
        let just_pinged = self.last_ping.is_some_and(|at| at.elapsed() < SURVIVED_AFTER);
        let settled = self.is_settled();
        suspects.retain(|request| if *request == OptionalRequest::Ping { just_pinged } else { !settled });
        suspects
    }

    /// Whether the pool has worked for us long enough after the last request of the greeting.
    fn is_settled(&self) -> bool {
        let since = self.first_job.map(|first| self.first_job_requests.map_or(first, |sent| sent.max(first)));
        since.is_some_and(|since| since.elapsed() >= SURVIVED_AFTER)
    }

    /// Adds to what is known about the pool that it has hung up. Returns whether the next connection is to try another greeting.
    pub fn hung_up(&mut self, dialect: &mut PoolDialect) -> bool {
        self.teach(dialect);
        let late = (self.is_usable() && !self.is_settled()).then(|| {
            let mut sent = self.session.sent().clone();
            sent.remove(&OptionalRequest::Ping);
            sent
        });
        dialect.on_hang_up(&self.suspects(), late.as_ref())
    }

    /// Which of the optional requests that the pool was sent it hangs up on, as far as is known.
    pub fn blamed(&self, dialect: &PoolDialect) -> BTreeSet<OptionalRequest> {
        self.session.sent() & &dialect.hangs_up_on(Instant::now())
    }

    /// Adds to what is known about the pool what this connection has shown.
    pub fn teach(&mut self, dialect: &mut PoolDialect) {
        let mut survived = self.session.succeeded().clone();
        if self.is_settled() {
            dialect.on_stable();
            survived.extend(self.session.sent().iter().filter(|request| **request != OptionalRequest::Ping));
        }
        dialect.on_answers(&survived, &self.session.take_unknown(), Instant::now());
    }

    /// Whether the pool has authorized us and sent a job.
    pub fn is_usable(&self) -> bool {
        self.authorized && self.first_job.is_some()
    }

    /// The time since the first job; `None` if the pool has sent no job.
    pub fn worked_for(&self) -> Option<Duration> {
        self.first_job.map(|since| since.elapsed())
    }
}
