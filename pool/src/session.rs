//! The session of one miner decides about difficulty, jobs, workers and shares. A session does not depend on a protocol: a
//! front-end ([`stratum_v1`](crate::stratum_v1)) translates messages to [`Request`]s and [`MinerMessage`]s to messages. A
//! session has no socket, clock or lock, so tests drive it event by event.
//!
//! A session can judge its shares by itself: its extranonce1 is unique in the pool, so no other session can find the same
//! header.

mod event;
mod issued_jobs;
mod request;
mod resume;
mod submit;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::Network;

pub use self::event::{Answer, CloseReason, Effect, Event, MinerMessage, Request};
use self::issued_jobs::IssuedJobs;
pub use self::resume::{SessionId, SessionState, SuspendedSessions};
use crate::clock::Now;
use crate::config::Config;
use crate::extranonce_lease::ExtranonceLease;
use crate::job::{ExtranonceLayout, IssuedJob, Job};
use crate::share::answer_to_miner;
use crate::vardiff::Vardiff;

/// The shortest and the longest time between two ticks of a session that is ready to mine. A tick checks the miner's
/// difficulty even if the miner sends nothing.
const MIN_TICK: Duration = Duration::from_secs(1);
const MAX_TICK: Duration = Duration::from_secs(30);
/// A miner that has work hears something at least this often: its job again, where the header time may move, or else its difficulty.
/// Common mining devices leave a pool that is silent for 60 s.
const SPEAK_EVERY: Duration = Duration::from_secs(30);
/// A session reports the miner's hashrate to the pool only after the hashrate has changed by more than this fraction.
const HASHRATE_CHANGE: f64 = 0.1;

/// The session of one connection.
#[derive(Debug)]
pub struct Session {
    config: Config,
    /// The network of the addresses in worker names, if each block pays the address of its finder; otherwise `None`.
    pays_users: Option<Network>,
    /// The part of the session that a later connection can resume.
    state: SessionState,
    /// Version bits that the miner wants to roll.
    wanted_mask: u32,
    /// Version bits that the miner was granted.
    version_mask: u32,
    subscribed: bool,
    /// Whether the miner understands that its extranonces change.
    takes_extranonces: bool,
    workers: Vec<Arc<str>>,
    /// The difficulty that was last sent to the miner.
    sent_difficulty: Option<f64>,
    reported_hashrate: u64,
    /// When the miner was last sent anything.
    spoke: Instant,
    opened: Instant,
    deadline: Instant,
}

impl Session {
    /// A session for a new connection. `extranonce1` must have the length given in `layout`; `id` must be impossible to
    /// guess.
    pub fn new(
        config: Config,
        pays_users: Option<Network>,
        id: SessionId,
        extranonce1: ExtranonceLease,
        layout: ExtranonceLayout,
        job: Option<Arc<Job>>,
        now: Now,
    ) -> Self {
        let vardiff = Vardiff::new(config.vardiff, now.at);
        let issued = IssuedJobs::default();
        let mut session = Session {
            config,
            pays_users,
            state: SessionState { id, extranonce1, layout, payout: None, vardiff, job, issued },
            wanted_mask: 0,
            version_mask: 0,
            subscribed: false,
            takes_extranonces: false,
            workers: Vec::new(),
            sent_difficulty: None,
            reported_hashrate: 0,
            spoke: now.at,
            opened: now.at,
            deadline: now.at,
        };
        session.schedule(now);
        session
    }

    /// When [`Event::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        Some(self.deadline)
    }

    /// Handles an event and returns its effects. They must be carried out in this order, so that a share is counted before
    /// its miner gets the answer.
    pub fn on_event(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Job(job) => self.on_job(job, now, &mut effects),
            Event::NoWork => {
                self.state.job = None;
                self.state.issued.outdate();
            }
            Event::UpstreamVerdict(outcome) => {
                effects.push(Effect::answer(answer_to_miner(outcome)));
            }
            Event::Tick => self.on_tick(now, &mut effects),
            Event::Resume(former) => self.on_resume(former, now, &mut effects),
            Event::Request(request) => self.on_request(request, now, &mut effects),
        }
        if effects.iter().any(|effect| matches!(effect, Effect::Send(_))) {
            self.spoke = now.at;
        }
        effects
    }

    fn on_job(&mut self, job: Arc<Job>, now: Now, effects: &mut Vec<Effect>) {
        if !self.follow_layout(job.layout, effects) {
            return effects.push(Effect::Close(CloseReason::IncompatibleExtranonces));
        }
        let old = self.state.job.replace(job.clone());
        if old.as_ref().is_none_or(|old| old.is_outdated_by(&job)) {
            self.state.issued.outdate();
        }
        if self.is_ready() {
            self.retarget(now, effects);
            self.issue(old.is_none_or(|old| old.gives_way_to(&job)), effects);
        }
    }

    /// Adopts the extranonce sizes of new jobs, and tells the miner if they differ from those that it has. Returns false if that is
    /// impossible: the miner does not know that they can change, or needs another extranonce1.
    fn follow_layout(&mut self, layout: ExtranonceLayout, effects: &mut Vec<Effect>) -> bool {
        if self.state.layout.is_compatible_with(&layout) {
            return true;
        }
        let can_follow = !self.subscribed || self.takes_extranonces;
        if !can_follow || self.state.layout.extranonce1 != layout.extranonce1 {
            return false;
        }
        self.state.layout = layout;
        // Without a subscription, the miner does not know any extranonces yet.
        if self.subscribed {
            effects.push(Effect::Send(MinerMessage::SetExtranonce {
                extranonce1: self.state.extranonce1.bytes().to_vec(),
                extranonce2_len: layout.extranonce2,
            }));
        }
        true
    }

    fn on_tick(&mut self, now: Now, effects: &mut Vec<Effect>) {
        self.schedule(now);
        let authorize_within = self.config.limits.authorize_within;
        if !self.is_ready() && now.at.saturating_duration_since(self.opened) >= authorize_within {
            return effects.push(Effect::Close(CloseReason::Unauthorized));
        }
        self.follow_hashrate(now, effects);
        let silent = now.at.saturating_duration_since(self.spoke) >= SPEAK_EVERY;
        // A miner without work had better leave for another pool.
        if silent && effects.is_empty() && self.is_ready() && self.state.job.is_some() {
            // The job itself may have no number left under which it could be sent again, so the miner hears what it knows already.
            let known = self.sent_difficulty.map(MinerMessage::SetDifficulty);
            effects.extend(known.map(Effect::Send));
        }
    }

    fn schedule(&mut self, now: Now) {
        let mut wait = (self.config.vardiff.share_interval * 4).clamp(MIN_TICK, MAX_TICK);
        if !self.is_ready() {
            let end = self.opened + self.config.limits.authorize_within;
            wait = wait.min(end.saturating_duration_since(now.at).max(Duration::from_millis(1)));
        }
        let speak = (self.spoke + SPEAK_EVERY).saturating_duration_since(now.at);
        wait = wait.min(speak.max(MIN_TICK));
        self.deadline = now.at + wait;
    }

    /// Whether the miner may get jobs.
    fn is_ready(&self) -> bool {
        self.subscribed && !self.workers.is_empty()
    }

    /// Sends the first job if the miner has just become ready for it; otherwise adapts the difficulty to the miner's
    /// hashrate.
    fn begin_or_follow(&mut self, was_ready: bool, now: Now, effects: &mut Vec<Effect>) {
        if was_ready || !self.is_ready() {
            return self.follow_hashrate(now, effects);
        }
        effects.extend(self.workers.first().cloned().map(Effect::Authorized));
        self.report_hashrate(now, effects);
        self.retarget(now, effects);
        self.issue(true, effects);
    }

    /// Reports the miner's hashrate to the pool if it has changed, and sends the miner a new difficulty if one is due.
    fn follow_hashrate(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.is_ready() {
            self.report_hashrate(now, effects);
            if self.retarget(now, effects) {
                // Miners apply a new difficulty only from the next job on, so the current job is sent once more.
                self.issue(false, effects);
            }
        }
    }

    fn report_hashrate(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let hashrate = self.state.vardiff.hashrate(now.at);
        let reported = self.reported_hashrate as f64;
        if (hashrate - reported).abs() > HASHRATE_CHANGE * reported.max(1.0) {
            self.reported_hashrate = hashrate as u64;
            effects.push(Effect::HashrateChanged(self.reported_hashrate));
        }
    }

    /// Sends the difficulty for the next job if the difficulty has changed. Returns whether it has changed.
    fn retarget(&mut self, now: Now, effects: &mut Vec<Effect>) -> bool {
        let highest = self.state.job.as_ref().map_or(f64::INFINITY, |job| job.difficulty);
        let difficulty = self.state.vardiff.retarget(highest, now.at);
        let changed = self.sent_difficulty.replace(difficulty) != Some(difficulty);
        if changed {
            self.state.issued.lower_difficulty(difficulty);
            effects.push(Effect::Send(MinerMessage::SetDifficulty(difficulty)));
        }
        changed
    }

    /// Sends the current job under a new id, unless there is no job, no address to pay, or no id left.
    fn issue(&mut self, clean: bool, effects: &mut Vec<Effect>) {
        let Some(job) = self.state.job.clone() else { return };
        let Some(builder) = job.header_builder(self.state.payout.as_ref()) else { return };
        let Some(id) = self.state.issued.next_id(&job) else { return };
        let mask = self.wanted_mask & job.version_mask;
        if std::mem::replace(&mut self.version_mask, mask) != mask {
            effects.push(Effect::Send(MinerMessage::SetVersionMask(mask)));
        }
        let difficulty = self.state.vardiff.difficulty();
        let issued = IssuedJob { id, job, builder, difficulty, lowest: difficulty };
        effects.push(Effect::Send(MinerMessage::Job { issued: issued.clone(), clean }));
        self.state.issued.push(issued);
    }

    /// The state for a later connection; `None` if the miner never became ready to mine.
    pub fn suspend(self) -> Option<Box<SessionState>> {
        self.is_ready().then(|| Box::new(self.state))
    }
}
