//! One connection's side of the protocol, without the connection: messages and jobs in, [`Effect`]s out. No socket, no
//! clock, no lock, so that every rule can be tested by calling it.
//!
//! A session decides all about its shares by itself: its extranonce1 is unique in the pool, so no other session can
//! have seen the same header.

mod authorize;
mod effect;
mod parking;
mod resume;
mod seen;
mod submit;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::ScriptBuf;
use stratum::message::{Configure, ConfigureAnswer, SubscribeAnswer};
use stratum::{Call, Id, Message, Notification, Reason, Request, Response};

pub use self::effect::{Effect, Why};
pub use self::parking::Parking;
pub use self::resume::SessionId;
use self::seen::Seen;
use self::submit::Answer;
use crate::clock::Now;
use crate::config::Settings;
use crate::job::{IssuedJob, Job, JobId, Layout, VERSION_MASK};
use crate::share::Reply;
use crate::vardiff::Vardiff;

/// Jobs of one connection that shares are taken for; older ones are stale.
const MAX_ISSUED: usize = 32;
/// Accepted shares of one connection that are remembered to tell duplicates; older jobs make room.
const MAX_SEEN: usize = 1 << 14;
/// Accepted shares of one job after which its miner gets another one.
const RENEW_AFTER: usize = MAX_SEEN / 2;
/// Limits of the time between two looks at a silent miner.
const MIN_TICK: Duration = Duration::from_secs(1);
const MAX_TICK: Duration = Duration::from_secs(30);
/// The least change of a hashrate that others are told of.
const NEWS: f64 = 0.1;

/// The state of one connection.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    /// What the miner has to say to go on with this after the connection's end.
    id: SessionId,
    extranonce1: Vec<u8>,
    layout: Layout,
    /// Version bits that the miner wants to roll.
    wanted_mask: u32,
    /// Those that it was told it may.
    version_mask: u32,
    subscribed: bool,
    workers: Vec<Arc<str>>,
    /// Whom this connection's blocks pay, where each pays its own.
    payee: Option<ScriptBuf>,
    vardiff: Vardiff,
    /// The pool's present job, sent or not.
    job: Option<Arc<Job>>,
    /// Jobs that shares are taken for, oldest first.
    issued: Vec<IssuedJob>,
    /// The first job id ever sent here, and the last: what lies between and is not in `issued` is stale.
    sent: Option<(JobId, JobId)>,
    /// No job on the present tip was sent yet.
    new_tip: bool,
    /// The accepted shares of `issued`.
    seen: Seen,
    /// The difficulty that the miner was told.
    announced: Option<f64>,
    reported_hashrate: u64,
    opened: Instant,
    next_tick: Instant,
}

impl Session {
    /// A session for a connection that was just opened; `extranonce1`, as long as `layout` says, is unique among all
    /// open ones, and nobody can guess `id`.
    pub fn new(
        settings: Settings,
        id: SessionId,
        extranonce1: Vec<u8>,
        layout: Layout,
        job: Option<Arc<Job>>,
        now: Now,
    ) -> Session {
        let mut session = Session {
            settings,
            id,
            extranonce1,
            layout,
            wanted_mask: 0,
            version_mask: 0,
            subscribed: false,
            workers: Vec::new(),
            payee: None,
            vardiff: Vardiff::new(settings.goal, now.at),
            job,
            issued: Vec::new(),
            sent: None,
            new_tip: true,
            seen: Seen::default(),
            announced: None,
            reported_hashrate: 0,
            opened: now.at,
            next_tick: now.at,
        };
        session.schedule_tick(now);
        session
    }

    /// When [`Session::on_tick`] should be called next.
    pub fn next_tick(&self) -> Instant {
        self.next_tick
    }

    /// Takes a message from the miner.
    pub fn on_message(&mut self, message: Message, now: Now) -> Vec<Effect> {
        match message {
            Message::Call(call) => self.on_call(call, now),
            // We ask nothing of miners.
            Message::Response(_) => Vec::new(),
        }
    }

    /// Takes a new job from the pool.
    pub fn on_job(&mut self, job: Arc<Job>, now: Now) -> Vec<Effect> {
        if !self.layout.looks_like(&job.layout) {
            return vec![Effect::Close(Why::Extranonces)];
        }
        let clean = self.job.as_ref().is_none_or(|old| old.gives_way_to(&job));
        if self.job.as_ref().is_none_or(|old| old.is_outdated_by(&job)) {
            self.outdate();
        }
        self.job = Some(job);
        let mut effects = Vec::new();
        if self.is_ready() {
            self.retarget(now, &mut effects);
            self.issue(clean, &mut effects);
        }
        effects
    }

    /// There is no work for the time being: all shares are stale from now on.
    pub fn on_idle(&mut self) -> Vec<Effect> {
        self.job = None;
        self.outdate();
        Vec::new()
    }

    /// Tells the miner what an upstream pool says of the share that it submitted with this request.
    pub fn on_reply(&mut self, id: Id, reply: &Reply) -> Vec<Effect> {
        let response = match reply.to_miner() {
            Ok(()) => Response::ok(id, true),
            Err(reason) => Response::error(id, reason),
        };
        vec![send(response)]
    }

    fn outdate(&mut self) {
        self.issued.clear();
        self.seen = Seen::default();
        self.new_tip = true;
    }

    /// Does what is due without anything having come.
    pub fn on_tick(&mut self, now: Now) -> Vec<Effect> {
        self.schedule_tick(now);
        let patience = self.settings.authorize_within;
        if !self.is_ready() && now.at.saturating_duration_since(self.opened) >= patience {
            return vec![Effect::Close(Why::Unauthorized)];
        }
        let mut effects = Vec::new();
        self.follow_hashrate(now, &mut effects);
        effects
    }

    fn schedule_tick(&mut self, now: Now) {
        let mut wait = (self.settings.goal.share_interval * 4).clamp(MIN_TICK, MAX_TICK);
        if !self.is_ready() {
            let left = (self.opened + self.settings.authorize_within).saturating_duration_since(now.at);
            wait = wait.min(left.max(Duration::from_millis(1)));
        }
        self.next_tick = now.at + wait;
    }

    fn on_call(&mut self, call: Call, now: Now) -> Vec<Effect> {
        let request = match Request::from_call(&call) {
            Ok(request) => request,
            Err(error) => {
                let reason = Reason::new(Reason::OTHER, &error.to_string());
                let judged = (call.method == "mining.submit").then_some(Effect::Judged(false));
                return judged.into_iter().chain([send(Response::error(call.id, reason))]).collect();
            }
        };
        let mut effects = Vec::new();
        let ready = self.is_ready();
        let response = match request {
            Request::Configure(configure) => Response::ok(call.id, self.configure(&configure)),
            Request::Subscribe(subscribe) => {
                if let Some(session) = self.wanted_back(&subscribe) {
                    return vec![Effect::Resume { call: call.id, session }];
                }
                Response::ok(call.id, self.subscribe())
            }
            Request::Authorize(authorize) => match self.authorize(authorize) {
                Ok(()) => Response::ok(call.id, true),
                Err(reason) => Response::error(call.id, reason),
            },
            Request::SuggestDifficulty(difficulty) => {
                // The difficulty in force is dealt with below, like every other change.
                self.vardiff.suggest(difficulty, now.at);
                Response::ok(call.id, true)
            }
            Request::Submit(submit) => match self.submit(&call.id, submit, now, &mut effects) {
                Ok(Answer::Now) => {
                    effects.push(Effect::Judged(true));
                    Response::ok(call.id, true)
                }
                Ok(Answer::Later) => {
                    self.follow_hashrate(now, &mut effects);
                    return effects;
                }
                Err(reason) => {
                    if !submit::is_outdated(&reason) {
                        effects.push(Effect::Judged(false));
                    }
                    Response::error(call.id, reason)
                }
            },
            Request::SubscribeExtranonce => Response::ok(call.id, true),
            Request::Ping => Response::ok(call.id, "pong"),
            Request::Unknown(method) => {
                let reason = Reason::new(Reason::OTHER, &format!("unknown method {method}"));
                Response::error(call.id, reason)
            }
        };
        self.respond(response, ready, now, &mut effects);
        effects
    }

    /// Answers, and does what has become due since it was `ready` or not.
    fn respond(&mut self, response: Response, ready: bool, now: Now, effects: &mut Vec<Effect>) {
        effects.push(send(response));
        if !ready && self.is_ready() {
            self.begin(now, effects);
        } else {
            self.follow_hashrate(now, effects);
        }
    }

    fn is_ready(&self) -> bool {
        self.subscribed && !self.workers.is_empty()
    }

    fn configure(&mut self, configure: &Configure) -> serde_json::Value {
        // Each job says which of these it leaves to miners.
        let allowed = self.job.as_ref().map_or(VERSION_MASK, |job| job.version_mask);
        self.wanted_mask = configure.version_mask.unwrap_or(self.wanted_mask);
        let granted = configure.version_mask.map(|wanted| wanted & allowed);
        self.version_mask = granted.unwrap_or(self.version_mask);
        if let Some(minimum) = configure.minimum_difficulty {
            self.vardiff.at_least(minimum);
        }
        let answer = ConfigureAnswer {
            version_mask: granted,
            minimum_difficulty: configure.minimum_difficulty.map(|_| true),
            // It is never changed.
            subscribe_extranonce: Some(true),
        };
        answer.to_result(&configure.extensions)
    }

    fn subscribe(&mut self) -> serde_json::Value {
        self.subscribed = true;
        let answer = SubscribeAnswer {
            session: Some(hex::encode(self.id)),
            extranonce1: self.extranonce1.clone(),
            extranonce2_len: self.layout.extranonce2,
        };
        answer.to_result()
    }

    /// Sends the first job.
    fn begin(&mut self, now: Now, effects: &mut Vec<Effect>) {
        effects.push(Effect::Authorized);
        self.report_hashrate(now, effects);
        self.retarget(now, effects);
        self.issue(true, effects);
    }

    /// Tells the pool of a new hashrate and the miner of a new difficulty.
    fn follow_hashrate(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.is_ready() {
            self.report_hashrate(now, effects);
            if self.retarget(now, effects) {
                // Miners apply a new difficulty to the next job only.
                self.issue(false, effects);
            }
        }
    }

    fn report_hashrate(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let hashrate = self.vardiff.hashrate(now.at);
        let reported = self.reported_hashrate as f64;
        if (hashrate - reported).abs() > NEWS * reported.max(1.0) {
            self.reported_hashrate = hashrate as u64;
            effects.push(Effect::Hashrate(self.reported_hashrate));
        }
    }

    /// Announces the difficulty if it is a new one; it holds for the next job. Returns whether it is.
    fn retarget(&mut self, now: Now, effects: &mut Vec<Effect>) -> bool {
        let highest = self.job.as_ref().map_or(f64::INFINITY, |job| job.difficulty);
        let difficulty = self.vardiff.retarget(highest, now.at);
        if self.announced == Some(difficulty) {
            return false;
        }
        self.announced = Some(difficulty);
        for issued in &mut self.issued {
            issued.lowest = issued.lowest.min(difficulty);
        }
        effects.extend(Notification::SetDifficulty(difficulty).to_call().map(send));
        true
    }

    /// Sends the present job, under a new id.
    fn issue(&mut self, clean: bool, effects: &mut Vec<Effect>) {
        let Some(job) = self.job.clone() else { return };
        let Some(puzzle) = job.puzzle(self.payee.as_ref()) else { return };
        // Counted over all jobs on one tip: two of them may differ in nothing but what the count makes of them.
        let issue = match self.sent {
            // So many jobs for one template are a miner's whim; it keeps the one that it has. So it does where an upstream
            // pool leaves no room to count.
            Some((_, last)) if job.is_used_up_by(last) => return,
            Some((_, last)) if !self.new_tip => last.issue.wrapping_add(1) & job.layout.last_issue(),
            _ => 0,
        };
        self.new_tip = false;
        let id = JobId { serial: job.serial, issue };
        self.sent = Some((self.sent.map_or(id, |(first, _)| first), id));
        self.restrict(&job, effects);
        effects.push(Effect::Send(job.line(&puzzle, id, clean)));
        let difficulty = self.vardiff.difficulty();
        if self.issued.len() >= MAX_ISSUED {
            self.retire(0);
        }
        self.issued.push(IssuedJob { id, job, puzzle, difficulty, lowest: difficulty });
    }

    /// Takes shares of a job no more.
    fn retire(&mut self, place: usize) {
        let retired = self.issued.remove(place);
        self.seen.forget(retired.id);
    }

    /// Tells the miner which version bits it may roll, if a job changes that.
    fn restrict(&mut self, job: &Job, effects: &mut Vec<Effect>) {
        let mask = self.wanted_mask & job.version_mask;
        if std::mem::replace(&mut self.version_mask, mask) != mask {
            effects.extend(Notification::SetVersionMask(mask).to_call().map(send));
        }
    }
}

fn send(message: impl Into<Message>) -> Effect {
    Effect::Send(message.into().to_line())
}
