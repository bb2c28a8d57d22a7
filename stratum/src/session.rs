//! The client's side of a connection as a state machine: messages in, events out. It has no socket and no clock; the owner
//! sends the messages and handles timeouts.
//!
//! The handshake begins with `mining.configure` and `mining.subscribe`. After the subscription,
//! `mining.suggest_difficulty` and `mining.authorize` follow. Jobs are delivered as soon as extranonce1 is known, even if the
//! pool has not answered the other requests. `mining.extranonce.subscribe`, and a second suggestion where the pool has not
//! followed the first one, wait until the pool has authorized us and sent a job.

mod error;
mod handshake;
mod optional;
mod survival;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hasher::Target;

use crate::job::{Job, SessionParams};
use crate::message::{
    Call, Id, Message, MessageError, Notification, Notify, Reconnect, Request, Response, Submit,
};
use crate::share::{Reason, Share};
use crate::url::PoolUrl;

pub use self::error::ProtocolError;
pub use self::optional::OptionalRequest;
use self::survival::Survival;

/// The settings of a session. `Debug` omits the password.
#[derive(Clone, PartialEq, derive_more::Debug)]
pub struct SessionOptions {
    /// The address of the connection. `client.reconnect` is obeyed only within the same domain.
    pub pool: PoolUrl,
    /// User name, commonly `ACCOUNT.WORKER`.
    pub user: String,
    /// Password.
    #[debug(skip)]
    pub password: String,
    /// Name and version of the miner, `name/version`.
    pub user_agent: String,
    /// The optional requests to leave out. Some pools close the connection when they receive one of them.
    pub omit: BTreeSet<OptionalRequest>,
    /// Version bits that the miner can roll; 0 disables version rolling.
    pub version_mask: u32,
    /// The difficulty to suggest: positive and finite.
    pub suggest_difficulty: Option<f64>,
    /// The minimum difficulty to request.
    pub minimum_difficulty: Option<f64>,
    /// The session to resume.
    pub resume: Option<ResumeToken>,
}

impl SessionOptions {
    /// The version bits that BIP-0320 reserves for miners.
    pub const VERSION_MASK: u32 = 0x1fff_e000;

    /// The defaults: version rolling as in BIP-0320, no suggested difficulty, a new session.
    pub fn new(pool: PoolUrl, user: impl Into<String>, password: impl Into<String>) -> Self {
        SessionOptions {
            pool,
            user: user.into(),
            password: password.into(),
            user_agent: concat!("mesos-miner/", env!("CARGO_PKG_VERSION")).to_owned(),
            omit: BTreeSet::new(),
            version_mask: SessionOptions::VERSION_MASK,
            suggest_difficulty: None,
            minimum_difficulty: None,
            resume: None,
        }
    }

    fn sends(&self, request: OptionalRequest) -> bool {
        !self.omit.contains(&request)
    }
}

/// The data with which a later connection can resume a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeToken {
    /// The id that the pool gave the session.
    pub session: String,
    /// The extranonce1 of the session. A session counts as resumed only if the pool assigns the same extranonce1 again.
    pub extranonce1: Vec<u8>,
}

/// An event of a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The owner must send this message to the pool.
    Send(Message),
    /// The pool has assigned extranonces.
    Subscribed {
        /// Whether the requested session was resumed, so that shares of its jobs can still be submitted.
        resumed: bool,
    },
    /// The pool has authorized the user.
    Authorized,
    /// The job to work on from now on. The same work may be sent again with another version mask or difficulty, see
    /// [`Job::same_work`].
    Job(Arc<Job>),
    /// The difficulty of the following jobs.
    Difficulty(f64),
    /// The version bits that may be rolled, effective immediately. If there is a current job, an [`Event::Job`] with the new
    /// mask follows.
    VersionMask(u32),
    /// The pool has answered a share.
    Answer {
        /// The id that [`Session::submit`] returned.
        id: u64,
        /// Whether the pool accepted the share; if not, its reason.
        result: Result<(), Reason>,
    },
    /// The pool asks us to reconnect, perhaps to another address in its domain.
    Reconnect {
        /// The address to connect to.
        pool: PoolUrl,
        /// The time to wait before connecting.
        wait: Duration,
    },
    /// A message from the pool to the miner's owner.
    ShowMessage(String),
    /// A message that does not concern this session: an unknown method, or an answer that matches no open request.
    Ignored(Message),
}

/// The purpose of a request that the pool has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    Subscribe(handshake::Attempt),
    Authorize,
    Submit,
    Optional(OptionalRequest),
}

/// The state of one connection.
#[derive(Debug)]
pub struct Session {
    options: SessionOptions,
    next_id: u64,
    pending: BTreeMap<u64, Pending>,
    /// Which optional requests the pool has survived.
    survival: Survival,
    /// The difficulties that were suggested after the first job.
    suggested: Vec<f64>,
    /// The extranonce1, and the number of bytes of extranonce2, that the pool assigned; `None` before it has answered
    /// `mining.subscribe`.
    extranonces: Option<(Vec<u8>, usize)>,
    resume: Option<ResumeToken>,
    difficulty: f64,
    /// The version bits that may be rolled; `None` until version rolling is granted.
    version_mask: Option<u32>,
    /// Whether the pool has granted the extension `subscribe-extranonce`.
    extranonce_subscribed: bool,
    /// Whether the pool has authorized the user.
    authorized: bool,
    /// Whether the pool does not know `mining.suggest_difficulty`.
    suggestion_unknown: bool,
    /// Whether the requests that wait for the first job were sent.
    first_job_requests_sent: bool,
    /// The latest job that was received before the answer to `mining.subscribe`, with the target that was in force.
    early_job: Option<(Notify, Target)>,
    job: Option<Arc<Job>>,
}

impl Session {
    /// The maximum number of unanswered requests that are remembered. Beyond this number, the oldest requests are forgotten.
    const MAX_PENDING: usize = 10_000;

    /// Creates a session. [`Session::start`] begins the handshake.
    pub fn new(options: SessionOptions) -> Self {
        Session {
            options,
            next_id: 1,
            pending: BTreeMap::new(),
            survival: Survival::default(),
            suggested: Vec::new(),
            extranonces: None,
            resume: None,
            difficulty: 1.0,
            version_mask: None,
            extranonce_subscribed: false,
            authorized: false,
            suggestion_unknown: false,
            first_job_requests_sent: false,
            early_job: None,
            job: None,
        }
    }

    /// The current job.
    pub fn job(&self) -> Option<&Arc<Job>> {
        self.job.as_ref()
    }

    /// The token with which a later connection can resume this session, if the pool assigned a session id.
    pub fn resume(&self) -> Option<&ResumeToken> {
        self.resume.as_ref()
    }

    /// Handles a message from the pool.
    ///
    /// # Errors
    ///
    /// If the message is invalid or the pool refuses the session. Only a refusal ends the session, see
    /// [`ProtocolError::is_fatal`].
    pub fn on_message(&mut self, message: Message) -> Result<Vec<Event>, ProtocolError> {
        let mut events = match message {
            Message::Call(call) => self.on_call(call),
            Message::Response(response) => self.on_response(response),
        }?;
        events.extend(self.first_job_requests());
        Ok(events)
    }

    /// Returns the request that submits a share, and the id that its [`Event::Answer`] will have. The share may be for an
    /// older job, or for a job of the earlier session that this session resumes.
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

    /// Returns a request that checks whether the connection is alive, unless it is to be left out. Most pools answer it, even if
    /// only with an error.
    pub fn ping(&mut self) -> Option<Message> {
        self.optional(OptionalRequest::Ping, Request::Ping)
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
        let notification = Notification::from_call(&call).map_err(|error| match call.method.as_str() {
            Notification::SET_EXTRANONCE => ProtocolError::Extranonce(error),
            _ => error.into(),
        })?;
        Ok(match notification {
            Notification::Notify(notify) => self.on_notify(notify),
            Notification::SetDifficulty(difficulty) => {
                self.on_difficulty(difficulty);
                vec![Event::Difficulty(difficulty)]
            }
            Notification::SetExtranonce { extranonce1, extranonce2_len } => {
                self.on_extranonces(extranonce1, extranonce2_len)?;
                Vec::new()
            }
            Notification::SetVersionMask(mask) => self.on_version_mask(mask),
            Notification::Reconnect(reconnect) => vec![self.on_reconnect(reconnect)?],
            Notification::ShowMessage(text) => vec![Event::ShowMessage(text)],
            Notification::GetVersion => {
                vec![Event::Send(Response::ok(call.id, self.options.user_agent.as_str()).into())]
            }
            // A ping without an id expects no answer.
            Notification::Ping if call.id == Id::Null => Vec::new(),
            Notification::Ping => vec![Event::Send(Response::ok(call.id, "pong").into())],
            Notification::Unknown => vec![Event::Ignored(call.into())],
        })
    }

    /// The following jobs have these extranonces. Pools that name only extranonce1 keep the size of extranonce2.
    fn on_extranonces(&mut self, extranonce1: Vec<u8>, len: Option<usize>) -> Result<(), ProtocolError> {
        let kept = self.extranonces.as_ref().map(|(_, len)| *len);
        let missing =
            MessageError::Missing { method: Notification::SET_EXTRANONCE.into(), field: "extranonce2 size" };
        let len = len.or(kept).ok_or(missing)?;
        // Shares of later jobs contain this extranonce1. So a later connection has resumed this session only if it gets the
        // same extranonce1.
        if let Some(resume) = &mut self.resume {
            resume.extranonce1.clone_from(&extranonce1);
        }
        self.extranonces = Some((extranonce1, len));
        Ok(())
    }

    fn on_notify(&mut self, notify: Notify) -> Vec<Event> {
        self.survival.on_sign_of_life();
        let target = Target::from_difficulty(self.difficulty);
        if self.extranonces.is_none() {
            self.early_job = Some((notify, target));
            return Vec::new();
        }
        self.set_job(notify, target).into_iter().collect()
    }

    /// Makes `notify` the current job. Returns `None` while the extranonces are unknown.
    fn set_job(&mut self, notify: Notify, target: Target) -> Option<Event> {
        let (extranonce1, extranonce2_len) = self.extranonces.clone()?;
        let version_mask = self.version_mask.unwrap_or(0);
        let params = SessionParams { target, version_mask, extranonce1, extranonce2_len };
        let new_block = self.job.as_ref().is_none_or(|job| job.prev_hash != notify.prev_hash);
        let job = Arc::new(Job::new(notify, params, new_block));
        self.job = Some(Arc::clone(&job));
        Some(Event::Job(job))
    }

    /// A new mask takes effect immediately (BIP-0310), so the current job is delivered again with the new mask.
    fn on_version_mask(&mut self, mask: u32) -> Vec<Event> {
        if !self.options.sends(OptionalRequest::Configure) || self.options.version_mask == 0 {
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
        let known = self.answered_by(&response).and_then(|id| Some((id, self.pending.remove(&id)?)));
        let Some((id, pending)) = known else {
            return Ok(vec![Event::Ignored(response.into())]);
        };
        self.survival.on_answer(id, pending, response.refusal().as_ref());
        match pending {
            Pending::Optional(OptionalRequest::Configure) => self.on_configured(&response),
            Pending::Subscribe(attempt) => self.on_subscribed(attempt, &response),
            Pending::Authorize => self.on_authorized(&response),
            Pending::Submit => Ok(vec![Event::Answer { id, result: response.submit_result() }]),
            Pending::Optional(OptionalRequest::SuggestDifficulty) => {
                self.suggestion_unknown |=
                    response.refusal().is_some_and(|reason| !optional::is_too_early(&reason));
                Ok(Vec::new())
            }
            Pending::Optional(_) => Ok(Vec::new()),
        }
    }
}

#[cfg(test)]
mod tests;
