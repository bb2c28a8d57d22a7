//! The client's side of a connection, as a state machine: messages in, events out. It has no socket and no clock; its
//! owner sends what it hands out and decides when a silence is too long.
//!
//! The handshake is `configure` and `subscribe` in one go, then, once subscribed, `suggest_difficulty` and
//! `authorize`. Jobs are handed out as soon as extranonce1 is known, whether or not the pool has answered the rest.

mod handshake;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hasher::Target;
use thiserror::Error;

use crate::job::{Job, Terms};
use crate::message::{
    Call, Id, Message, MessageError, Notification, Notify, Reconnect, Request, Response, Submit,
};
use crate::share::{Reason, Share, Verdict};
use crate::url::PoolUrl;

/// What a session is to ask for. Its debug form leaves the password out.
#[derive(Clone, PartialEq)]
pub struct Options {
    /// The pool that the connection leads to: `client.reconnect` may only stay with it.
    pub pool: PoolUrl,
    /// User, commonly with a worker's name behind a dot.
    pub user: String,
    /// Password.
    pub password: String,
    /// Name and version of the miner, `name/version`.
    pub user_agent: String,
    /// Whether to send `mining.configure` at all. Some old pools close a connection that does.
    pub configure: bool,
    /// Version bits that the miner is able to choose; 0 asks for none.
    pub version_mask: u32,
    /// The difficulty to suggest: positive and finite.
    pub suggest_difficulty: Option<f64>,
    /// Least difficulty that suits the miner.
    pub minimum_difficulty: Option<f64>,
    /// The session to resume.
    pub resume: Option<Resume>,
}

impl Options {
    /// Version bits that BIP-0320 sets aside for miners.
    pub const VERSION_MASK: u32 = 0x1fff_e000;

    /// The usual options: version rolling as in BIP-0320, nothing suggested, nothing resumed.
    pub fn new(pool: PoolUrl, user: impl Into<String>, password: impl Into<String>) -> Options {
        Options {
            pool,
            user: user.into(),
            password: password.into(),
            user_agent: concat!("mesos-miner/", env!("CARGO_PKG_VERSION")).to_owned(),
            configure: true,
            version_mask: Options::VERSION_MASK,
            suggest_difficulty: None,
            minimum_difficulty: None,
            resume: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("pool", &self.pool)
            .field("user", &self.user)
            .field("user_agent", &self.user_agent)
            .finish_non_exhaustive()
    }
}

/// What a later connection needs to resume a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The pool's name for the session.
    pub session: String,
    /// The session's part of the coinbase: only a connection that gets the same one has resumed.
    pub extranonce1: Vec<u8>,
}

/// What came of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// To be sent to the pool.
    Send(Message),
    /// The pool has given extranonces.
    Subscribed {
        /// Whether it is the session asked for, so that shares of its jobs can be submitted (again).
        resumed: bool,
    },
    /// The pool takes shares from this user.
    Authorized,
    /// What to work on from now on. The same work may come again with another version mask or difficulty, see
    /// [`Job::same_work`].
    Job(Arc<Job>),
    /// Difficulty of the jobs to come.
    Difficulty(f64),
    /// Version bits granted, at once. The present job follows again with the new mask.
    VersionMask(u32),
    /// A share was answered.
    Answer {
        /// As [`Session::submit`] gave it.
        id: u64,
        /// What became of the share.
        verdict: Verdict,
    },
    /// The pool asks to connect elsewhere (same domain) or again.
    Reconnect {
        /// Where to.
        pool: PoolUrl,
        /// When, counted from now.
        wait: Duration,
    },
    /// Text for the miner's owner.
    ShowMessage(String),
    /// Nothing that concerns this session: an unknown method, or an answer to nothing. To be logged at most.
    Ignored(Message),
}

/// A message that breaks the protocol, or ends it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// The message could not be read, and was skipped.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The pool refuses subscriptions.
    #[error("the pool refused the subscription: {reason}")]
    SubscribeRefused {
        /// The pool's reason.
        reason: Reason,
    },
    /// The pool's subscription can't be mined with.
    #[error("the pool's answer to the subscription can't be used")]
    Subscribe(#[source] MessageError),
    /// The pool does not take this user or password.
    #[error("the pool refused to authorize {user:?}: {reason}")]
    Unauthorized {
        /// Who was refused.
        user: String,
        /// The pool's reason.
        reason: Reason,
    },
    /// The pool asked to connect to somebody else's host, and was not obeyed.
    #[error("the pool {pool} asked to reconnect to the foreign host {host:?}: ignored")]
    ForeignReconnect {
        /// The pool that asked.
        pool: PoolUrl,
        /// Where it wanted the miner to go.
        host: String,
    },
}

impl ProtocolError {
    /// Whether the session is over: there is nothing to mine. After other errors it goes on as before.
    pub fn is_fatal(&self) -> bool {
        use ProtocolError::{Subscribe, SubscribeRefused, Unauthorized};
        matches!(self, SubscribeRefused { .. } | Subscribe(_) | Unauthorized { .. })
    }
}

/// What a request of ours was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Configure,
    Subscribe(handshake::Attempt),
    Authorize,
    Submit,
    /// Whatever the answer is, it changes nothing.
    Courtesy,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Session {
    options: Options,
    next_id: u64,
    pending: BTreeMap<u64, Pending>,
    /// Extranonce1 and the length of extranonce2, once subscribed.
    extranonces: Option<(Vec<u8>, usize)>,
    resume: Option<Resume>,
    difficulty: f64,
    /// `None` until version rolling is granted.
    version_mask: Option<u32>,
    /// The pool knows that `mining.set_extranonce` is understood.
    extranonce_may_change: bool,
    /// The latest job that came before the answer to subscribe, with the difficulty then in force.
    early: Option<(Notify, Target)>,
    job: Option<Arc<Job>>,
}

impl Session {
    /// Answers that are waited for at most; the oldest beyond are given up.
    const MAX_PENDING: usize = 10_000;

    /// A session that has yet to be started.
    pub fn new(options: Options) -> Session {
        Session {
            options,
            next_id: 1,
            pending: BTreeMap::new(),
            extranonces: None,
            resume: None,
            difficulty: 1.0,
            version_mask: None,
            extranonce_may_change: false,
            early: None,
            job: None,
        }
    }

    /// The job to work on.
    pub fn job(&self) -> Option<&Arc<Job>> {
        self.job.as_ref()
    }

    /// What a later connection needs to resume this session, if the pool names its sessions.
    pub fn resume(&self) -> Option<&Resume> {
        self.resume.as_ref()
    }

    /// Takes one message from the pool.
    ///
    /// # Errors
    ///
    /// Fails for what can't be read or obeyed, and when the pool refuses to be mined for. Only then is the session
    /// over, see [`ProtocolError::is_fatal`].
    pub fn on_message(&mut self, message: Message) -> Result<Vec<Event>, ProtocolError> {
        match message {
            Message::Call(call) => self.on_call(call),
            Message::Response(response) => self.on_response(response),
        }
    }

    /// The request that submits a share, and the id that its [`Event::Answer`] will have. The share may be of an
    /// older job, or of the session that this one resumes.
    pub fn submit(&mut self, share: &Share) -> (u64, Message) {
        let submit = Submit {
            user: self.options.user.clone(),
            job: share.job.clone(),
            extranonce2: share.extranonce2.clone(),
            ntime: share.ntime,
            nonce: share.nonce,
            version_bits: self.version_mask.map(|mask| share.version & mask),
        };
        self.request(Pending::Submit, Request::Submit(submit))
    }

    /// The request that suggests a difficulty: positive and finite. The pool answers, if it does, by setting one.
    pub fn suggest_difficulty(&mut self, difficulty: f64) -> Message {
        self.request(Pending::Courtesy, Request::SuggestDifficulty(difficulty)).1
    }

    /// A request that any pool answers somehow, to see whether the connection is alive.
    pub fn ping(&mut self) -> Message {
        self.request(Pending::Courtesy, Request::Ping).1
    }

    fn request(&mut self, pending: Pending, request: Request) -> (u64, Message) {
        let id = self.next_id;
        self.next_id += 1;
        self.pending.insert(id, pending);
        if self.pending.len() > Session::MAX_PENDING {
            self.pending.pop_first();
        }
        (id, request.to_call(Id::Number(id)).into())
    }

    fn on_call(&mut self, call: Call) -> Result<Vec<Event>, ProtocolError> {
        Ok(match Notification::from_call(&call)? {
            Notification::Notify(notify) => self.on_notify(notify),
            Notification::SetDifficulty(difficulty) => {
                self.difficulty = difficulty;
                vec![Event::Difficulty(difficulty)]
            }
            Notification::SetExtranonce { extranonce1, extranonce2_len } => {
                // Only a connection that gets this one can submit the shares to come again.
                if let Some(resume) = &mut self.resume {
                    resume.extranonce1.clone_from(&extranonce1);
                }
                self.extranonces = Some((extranonce1, extranonce2_len));
                Vec::new()
            }
            Notification::SetVersionMask(mask) => self.on_version_mask(mask),
            Notification::Reconnect(reconnect) => vec![self.on_reconnect(reconnect)?],
            Notification::ShowMessage(text) => vec![Event::ShowMessage(text)],
            Notification::GetVersion => {
                vec![Event::Send(Response::ok(call.id, self.options.user_agent.as_str()).into())]
            }
            // A ping without an id asks for nothing.
            Notification::Ping if call.id == Id::Null => Vec::new(),
            Notification::Ping => vec![Event::Send(Response::ok(call.id, "pong").into())],
            Notification::Unknown => vec![Event::Ignored(call.into())],
        })
    }

    fn on_notify(&mut self, notify: Notify) -> Vec<Event> {
        let target = Target::from_difficulty(self.difficulty);
        if self.extranonces.is_none() {
            self.early = Some((notify, target));
            return Vec::new();
        }
        self.take_job(notify, target).into_iter().collect()
    }

    /// Makes `notify` the present job; `None` before extranonces are known.
    fn take_job(&mut self, notify: Notify, target: Target) -> Option<Event> {
        let (extranonce1, extranonce2_len) = self.extranonces.clone()?;
        let version_mask = self.version_mask.unwrap_or(0);
        let terms = Terms { target, version_mask, extranonce1, extranonce2_len };
        let new_block = self.job.as_ref().is_none_or(|job| job.prev_hash != notify.prev_hash);
        let job = Arc::new(Job::new(notify, terms, new_block));
        self.job = Some(Arc::clone(&job));
        Some(Event::Job(job))
    }

    /// A new mask holds at once (BIP-0310), also for the present job, which therefore comes again.
    fn on_version_mask(&mut self, mask: u32) -> Vec<Event> {
        if !self.options.configure || self.options.version_mask == 0 {
            return Vec::new();
        }
        let mask = mask & self.options.version_mask;
        if self.version_mask.replace(mask) == Some(mask) {
            return Vec::new();
        }
        let mut events = vec![Event::VersionMask(mask)];
        if let Some(job) = &self.job {
            let job = Arc::new(Job { version_mask: mask, clean: false, ..Job::clone(job) });
            self.job = Some(Arc::clone(&job));
            events.push(Event::Job(job));
        }
        events
    }

    fn on_reconnect(&self, reconnect: Reconnect) -> Result<Event, ProtocolError> {
        match self.options.pool.redirected(&reconnect) {
            Some(pool) => Ok(Event::Reconnect { pool, wait: reconnect.wait }),
            None => Err(ProtocolError::ForeignReconnect {
                pool: self.options.pool.clone(),
                host: crate::text::printable(&reconnect.host.unwrap_or_default()),
            }),
        }
    }

    fn on_response(&mut self, response: Response) -> Result<Vec<Event>, ProtocolError> {
        let known = response.id.as_number().and_then(|id| Some((id, self.pending.remove(&id)?)));
        let Some((id, pending)) = known else {
            return Ok(vec![Event::Ignored(response.into())]);
        };
        match pending {
            Pending::Configure => self.on_configured(&response),
            Pending::Subscribe(attempt) => self.on_subscribed(attempt, &response),
            Pending::Authorize => self.on_authorized(&response),
            Pending::Submit => Ok(vec![Event::Answer { id, verdict: response.verdict() }]),
            Pending::Courtesy => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests;
