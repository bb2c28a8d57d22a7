//! One connection to one pool, from dialling to its end.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use net::{ByteStream, DialError};
use stratum::connection::POOL_LINE_LIMIT;
use stratum::{
    Connection, Event, Message, MessageError, Options, PoolUrl, ReadError, Reader, Resume, Session, Writer,
};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, trace, warn};

use crate::config::{Config, Known, Pool};
use crate::error::ClientError;
use crate::event::Answer;
use crate::shares::{Jobs, Open, Pending};

/// Time for the pool to take what we send.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection, its session and its shares. Errors name the pool and end the connection.
pub(crate) struct Line {
    url: PoolUrl,
    stage: Stage,
    session: Session,
    events: VecDeque<Event>,
    silence: Duration,
    start: Duration,
    opened: Instant,
    /// When the pool said something last.
    heard: Instant,
    /// Whether it was asked for a word since.
    asked: bool,
    /// Whether it has said anything that was a message.
    spoken: bool,
    /// Since when something waits to be sent.
    blocked: Option<Instant>,
    /// When the first job came.
    pub worked: Option<Instant>,
    pub authorized: bool,
    pub jobs: Jobs,
    pub pending: Pending,
}

type Dialling = Pin<Box<dyn Future<Output = Result<Box<dyn ByteStream>, DialError>> + Send>>;

enum Stage {
    Dialling(Dialling),
    Open { reader: Reader<ReadHalf<Box<dyn ByteStream>>>, writer: Writer<WriteHalf<Box<dyn ByteStream>>> },
}

impl Line {
    /// Begins to connect to `pool`, or to `url` where that has sent us.
    pub fn new(config: &Config, pool: &Pool, url: PoolUrl, known: &Known) -> Line {
        let options = Options {
            version_mask: config.version_mask,
            suggest_difficulty: config.suggest_difficulty,
            minimum_difficulty: config.minimum_difficulty,
            configure: !known.hung_up,
            resume: known.resume.clone(),
            ..Options::new(url.clone(), pool.user.clone(), pool.password.clone())
        };
        let (dialer, address) = (config.dialer.clone(), url.address.clone());
        let secure = url.scheme.is_secure();
        let dialling = async move { dialer.connect(&address.host, address.port, secure).await };
        Line {
            url,
            stage: Stage::Dialling(Box::pin(dialling)),
            session: Session::new(options),
            events: VecDeque::new(),
            silence: config.silence,
            start: config.start,
            opened: Instant::now(),
            heard: Instant::now(),
            asked: false,
            spoken: false,
            blocked: None,
            worked: None,
            authorized: false,
            jobs: Jobs::default(),
            pending: Pending::default(),
        }
    }

    pub fn url(&self) -> &PoolUrl {
        &self.url
    }

    /// How a later connection can resume this one's session.
    pub fn resume(&self) -> Option<&Resume> {
        self.session.resume()
    }

    /// The next event; answers to our shares are among them until [`Line::answered`] has judged them. Cancel-safe.
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
        // What we have to say goes first: a pool that talks without a pause must not keep us from it.
        tokio::select! {
            biased;
            flushed = writer.flush(), if writer.needs_flush() => {
                self.blocked = None;
                flushed.map_err(|source| ClientError::Write { pool: self.url.clone(), source })
            }
            message = reader.read() => match message {
                Ok(Some(message)) => self.on_message(message).and_then(|()| self.check_patience()),
                Ok(None) => Err(ClientError::Closed { pool: self.url.clone(), hint: self.hint() }),
                Err(error) => self.on_read_error(error),
            },
            () = sleep_until(deadline) => self.on_deadline(),
        }
    }

    fn open(&mut self, stream: Box<dyn ByteStream>) -> Result<(), ClientError> {
        let (reader, writer) = Connection::new(stream, POOL_LINE_LIMIT).into_parts();
        self.stage = Stage::Open { reader, writer };
        (self.opened, self.heard) = (Instant::now(), Instant::now());
        for message in self.session.start() {
            self.send(&message)?;
        }
        Ok(())
    }

    /// When [`Line::on_deadline`] has something to do.
    fn deadline(&self) -> Instant {
        let patience = if self.asked { self.silence } else { self.silence / 2 };
        let mut deadline = self.heard + patience;
        if self.worked.is_none() {
            deadline = deadline.min(self.opened + self.start);
        }
        self.blocked.map_or(deadline, |since| deadline.min(since + SEND_TIMEOUT))
    }

    fn on_deadline(&mut self) -> Result<(), ClientError> {
        self.check_patience()?;
        if self.asked {
            return Err(ClientError::Silent { pool: self.url.clone(), after: self.silence });
        }
        self.asked = true;
        let ping = self.session.ping();
        self.send(&ping)
    }

    /// Fails for a pool that does not take what we send, or gives no job, however much it says itself.
    fn check_patience(&self) -> Result<(), ClientError> {
        if self.blocked.is_some_and(|since| since.elapsed() >= SEND_TIMEOUT) {
            return Err(ClientError::Silent { pool: self.url.clone(), after: SEND_TIMEOUT });
        }
        if self.worked.is_none() && self.opened.elapsed() >= self.start {
            return Err(ClientError::NoJob { pool: self.url.clone(), after: self.start });
        }
        Ok(())
    }

    fn on_message(&mut self, message: Message) -> Result<(), ClientError> {
        trace!(target: "protocol", "< {}", message.to_line());
        (self.heard, self.asked, self.spoken) = (Instant::now(), false, true);
        let events = match self.session.on_message(message) {
            Ok(events) => events,
            Err(source) if source.is_fatal() => {
                return Err(ClientError::Refused { pool: self.url.clone(), source });
            }
            Err(error) => {
                warn!(pool = %self.url, %error, "a message that can't be obeyed");
                return Ok(());
            }
        };
        for event in events {
            match event {
                Event::Send(message) => self.send(&message)?,
                event => {
                    self.note(&event);
                    self.events.push_back(event);
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Job(job) => {
                self.worked.get_or_insert_with(Instant::now);
                self.jobs.add(job);
            }
            Event::Authorized => self.authorized = true,
            _ => {}
        }
    }

    fn on_read_error(&self, error: ReadError) -> Result<(), ClientError> {
        let pool = || self.url.clone();
        match error {
            ReadError::Message(MessageError::Json { line, .. }) if line.starts_with("HTTP/") => {
                Err(ClientError::Http { pool: pool() })
            }
            ReadError::Message(error) => {
                debug!(pool = %self.url, %error, "a line that is no message");
                Ok(())
            }
            source => Err(ClientError::Read { pool: pool(), hint: self.hint(), source }),
        }
    }

    /// What may be the matter with a connection that ended before the pool had said anything.
    fn hint(&self) -> &'static str {
        if self.spoken || self.url.scheme.is_secure() {
            ""
        } else {
            " before a word was said; if that port wants TLS, write stratum+ssl://"
        }
    }

    /// Queues a message; it goes out while [`Line::next`] is awaited.
    fn send(&mut self, message: &Message) -> Result<(), ClientError> {
        let Stage::Open { writer, .. } = &mut self.stage else { return Ok(()) };
        match message {
            Message::Call(call) if call.method == "mining.authorize" => {
                trace!(target: "protocol", "> mining.authorize, not shown since it has the password");
            }
            message => trace!(target: "protocol", "> {}", message.to_line()),
        }
        self.blocked.get_or_insert_with(Instant::now);
        writer
            .queue(&message.to_line())
            .map_err(|source| ClientError::Write { pool: self.url.clone(), source })
    }

    /// Submits a share for a job of this session.
    ///
    /// # Errors
    /// If the pool has not read for long. The share is pending all the same.
    pub fn submit(&mut self, open: Open) -> Result<(), ClientError> {
        let (id, message) = self.session.submit(&open.share);
        self.pending.send(id, open);
        self.send(&message)
    }

    /// What an [`Event::Answer`] means for the share that it answers; `None` if it is none of ours.
    pub fn answered(&mut self, id: u64, verdict: stratum::Verdict) -> Option<Answer> {
        self.pending.answered(id, verdict, std::time::Instant::now())
    }

    /// Whether the pool took the connection and has said nothing so far.
    pub fn is_unheard(&self) -> bool {
        matches!(self.stage, Stage::Open { .. }) && !self.spoken
    }

    /// How long there was work to do, if at all.
    pub fn worked_for(&self) -> Option<Duration> {
        self.worked.map(|since| since.elapsed())
    }
}
