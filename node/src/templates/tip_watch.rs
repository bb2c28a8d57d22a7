//! Decides how to learn of a node's new tips without making the node slow. No I/O, no clock.
//!
//! A call that waits at a Bitcoin Core holds one of the node's few RPC threads until it times out, even if its client has gone.
//! So at most a few clients of a node may wait at the same time, each for a second at most; the others ask for the tip at
//! short intervals, which costs the node almost nothing. In this order:
//!
//! - a subscription: the node publishes its new tips itself (`-zmqpubhashblock`), and a slow poll is the safety net;
//! - waits: `waitfornewblock`, one after the other, while no more than [`MOST_WAITS`] waits are active at the node, ours
//!   included, and its plain calls are quick;
//! - a poll: `getbestblockhash` every [`POLL`]; later waits are tried again;
//! - a long poll (BIP-0022), only at nodes that are not Bitcoin Core.
//!
//! Each wait is begun alone, and the node is asked beside it how many waits are active. So clients that begin to wait at the
//! same moment see each other and stop; they try again after pauses of random length.

use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use net::Backoff;

use super::slowness::{Delay, Slowness};

#[cfg(test)]
mod tests;

/// The interval of polls while nothing else tells of a new tip.
pub const POLL: Duration = Duration::from_millis(250);
/// The interval of polls beside another way that tells of new tips.
const SAFETY_POLL: Duration = Duration::from_secs(2);
/// How long a wait lasts at most. A wait whose client has gone holds its thread for the rest of this time.
const WAIT: Duration = Duration::from_secs(1);
/// How long the first wait lasts. If all threads of the node are held, this wait makes others wait for this time. It is longer
/// than [`BESIDE`] and [`BUSY`] together, so that a call that had to wait for its end shows that the node is busy.
const TRIAL: Duration = Duration::from_millis(160);
/// How long after the beginning of a wait the node is asked for its active waits. By then the node has begun the waits of
/// other clients that were sent at the same time.
const BESIDE: Duration = Duration::from_millis(30);
/// How many waits of all clients, ours included, may be active at a node.
const MOST_WAITS: usize = 2;
/// A node whose plain calls take longer has no thread to spare for waits.
pub const BUSY: Duration = Duration::from_millis(100);
/// The pauses before waits are tried, and tried again.
const QUIET: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(64));
/// After waits have worked for this time, the pauses begin with the shortest again.
const SETTLED: Duration = Duration::from_secs(60);
/// The pauses after a long poll that was of no use.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A long poll that returns sooner on the same tip was of no use.
const SHORT: Duration = Duration::from_secs(1);

/// How the node's `waitfornewblock` is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitForm {
    /// With the tip that we know (Bitcoin Core since 30): no block between two calls is missed.
    KnownTip,
    /// With the time limit alone: a block between two calls is found by a poll before each call.
    TimeLimit,
}

/// What is better than polls at a node without a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BetterWay {
    /// `waitfornewblock`, called in this form.
    Waits(WaitForm),
    /// Long polls: never at Bitcoin Core.
    LongPolls,
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A template has come; it tells the tip.
    Template { tip: BlockHash },
    /// `getbestblockhash` was answered with this tip; it was called at `asked`.
    Polled { tip: BlockHash, asked: Instant },
    /// `getbestblockhash` was not answered because the node is too busy; it was called at `asked`.
    PollRefused { asked: Instant },
    /// `getbestblockhash` has had no answer so far, and no call at all was answered for the time `silent`.
    Overdue { so_far: Duration, silent: Duration },
    /// `waitfornewblock` has returned.
    Waited { tip: BlockHash },
    /// `waitfornewblock` was refused; from now on it is to be called in this form, or not at all.
    WaitRefused { form: Option<WaitForm> },
    /// `waitfornewblock` was not answered because the node is too busy.
    WaitFailed,
    /// `getrpcinfo` shows this number of active waits; it was called at `asked`. `None` if the node does not tell.
    Counted { waits: Option<usize>, asked: Instant },
    /// A long poll has returned after this time; `changed` is whether its template differs from the last one in more than
    /// its time.
    LongPolled { tip: BlockHash, lasted: Duration, changed: bool },
    /// A long poll has failed.
    LongPollFailed,
    /// The node's publisher of new tips has taken our subscription.
    Subscribed,
    /// A subscription that has worked has ended.
    Unsubscribed,
    /// The node's publisher has told of a new tip.
    Published { tip: BlockHash },
    /// The node has just judged a block of ours, so its tip has probably changed.
    BlockSubmitted,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Call `getbestblockhash` after this time, instead of when it was to be called before. Void while it is being called.
    Poll { after: Duration },
    /// Call `waitfornewblock` with this time limit.
    Wait { form: WaitForm, limit: Duration },
    /// Call `getrpcinfo` after this time.
    Count { after: Duration },
    /// Begin a long poll.
    LongPoll,
    /// Give the subscription up: it does not tell of new tips.
    Unsubscribe,
    /// The node has this new tip: get a template.
    NewTip(BlockHash),
    /// The node's plain calls have become slow; or are quick again.
    Slow(Option<Delay>),
}

/// The way in which new tips are learned of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// By polls. Waits, or long polls, are tried at `better_at`, if they can be.
    Poll { better_at: Option<Instant> },
    /// By polls, while the waits at the node are counted.
    Count,
    /// By waits. `working_since` is when the node was first seen to bear them.
    Wait { working_since: Option<Instant> },
    /// By a long poll.
    LongPoll,
    /// By the node's publisher. `owed` is a tip that only a poll has told of so far.
    Subscription { owed: Option<BlockHash> },
}

/// Decides how to watch one node.
#[derive(Debug)]
pub struct TipWatch {
    /// `None` if the node has no better way than polls, or does not allow it.
    better: Option<BetterWay>,
    way: Way,
    tip: BlockHash,
    /// When the tip was last seen to change.
    changed: Instant,
    /// Whether a wait is active. Its answer is awaited in any case, because the node goes on waiting without us.
    waiting: bool,
    /// Whether the active waits are being counted.
    counting: bool,
    quiet: Backoff,
    rest: Backoff,
    slowness: Slowness,
}

impl TipWatch {
    /// Begins to watch a node that has given a template on `tip`. Returns the first effects, too.
    pub fn new(better: Option<BetterWay>, tip: BlockHash, now: Instant) -> (Self, Vec<Effect>) {
        let mut watch = TipWatch {
            better,
            way: Way::Poll { better_at: None },
            tip,
            changed: now,
            waiting: false,
            counting: false,
            quiet: Backoff::new(QUIET.0, QUIET.1),
            rest: Backoff::new(REST.0, REST.1),
            slowness: Slowness::default(),
        };
        let mut effects = Vec::new();
        match better {
            Some(BetterWay::LongPolls) => watch.begin_long_poll(&mut effects),
            Some(BetterWay::Waits(_)) | None => watch.poll_for_a_while(now, &mut effects),
        }
        (watch, effects)
    }

    /// The tip that the node is known to have.
    pub fn tip(&self) -> BlockHash {
        self.tip
    }

    /// Whether the node tells of new tips by itself, so it is not busy.
    pub fn is_told(&self) -> bool {
        matches!(self.way, Way::Wait { .. } | Way::Subscription { .. })
    }

    /// Takes an event at `now`, and returns what is to be done.
    pub fn on_event(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Template { tip } => self.take_tip(tip, now),
            Event::Polled { tip, asked } => self.on_poll(Some(tip), asked, now, &mut effects),
            Event::PollRefused { asked } => self.on_poll(None, asked, now, &mut effects),
            Event::Overdue { so_far, silent } => {
                effects.extend(self.slowness.overdue(so_far, silent).map(Effect::Slow));
            }
            Event::Waited { tip } => {
                self.waiting = false;
                self.learn(tip, now, &mut effects);
                self.go_on_waiting(&mut effects);
            }
            Event::WaitRefused { form } => {
                self.waiting = false;
                self.on_wait_refused(form, now, &mut effects);
            }
            Event::WaitFailed => {
                self.waiting = false;
                self.poll_for_a_while(now, &mut effects);
            }
            Event::Counted { waits, asked } => self.on_count(waits, asked, now, &mut effects),
            Event::LongPolled { tip, lasted, changed } => {
                let useful = tip != self.tip || (changed && lasted >= SHORT);
                self.take_tip(tip, now);
                self.after_long_poll(useful, now, &mut effects);
            }
            Event::LongPollFailed => self.after_long_poll(false, now, &mut effects),
            Event::Subscribed => {
                self.way = Way::Subscription { owed: None };
                effects.push(Effect::Poll { after: Duration::ZERO });
            }
            Event::Unsubscribed if matches!(self.way, Way::Subscription { .. }) => {
                self.poll_for_a_while(now, &mut effects);
            }
            Event::Unsubscribed => {}
            Event::Published { tip } => {
                if let Way::Subscription { owed } = &mut self.way {
                    *owed = None;
                }
                self.learn(tip, now, &mut effects);
            }
            Event::BlockSubmitted => effects.push(Effect::Poll { after: Duration::ZERO }),
        }
        effects
    }

    /// Takes over a tip for which there is a template already.
    fn take_tip(&mut self, tip: BlockHash, now: Instant) {
        if tip != self.tip {
            (self.tip, self.changed) = (tip, now);
        }
    }

    /// Takes over a tip, and asks for a template if the tip is a new one. Returns whether it is.
    fn learn(&mut self, tip: BlockHash, now: Instant, effects: &mut Vec<Effect>) -> bool {
        let is_new = tip != self.tip;
        if is_new {
            self.take_tip(tip, now);
            effects.push(Effect::NewTip(tip));
        }
        is_new
    }

    fn on_poll(&mut self, tip: Option<BlockHash>, asked: Instant, now: Instant, effects: &mut Vec<Effect>) {
        let is_busy = self.note(asked, now, tip.is_none(), effects);
        // An answer that was asked for before the last change may be older than the change.
        let current = tip.filter(|_| asked >= self.changed);
        let is_new = current.is_some_and(|tip| self.learn(tip, now, effects));
        let mut after = SAFETY_POLL;
        match &mut self.way {
            Way::Poll { better_at } => {
                after = POLL;
                if better_at.is_some_and(|at| now >= at) {
                    return self.try_better(is_busy, now, effects);
                }
            }
            Way::Count => after = POLL,
            Way::Wait { .. } if is_busy => return self.poll_for_a_while(now, effects),
            // The poll before a wait that has no known tip.
            Way::Wait { .. } if !self.waiting && !self.counting => self.wait(effects),
            Way::Wait { .. } | Way::LongPoll => {}
            Way::Subscription { owed } => {
                if owed.is_some() && !is_new {
                    effects.push(Effect::Unsubscribe);
                    return self.poll_for_a_while(now, effects);
                }
                *owed = current.filter(|_| is_new);
            }
        }
        effects.push(Effect::Poll { after });
    }

    /// Goes from polls to what is better, if the node bears it.
    fn try_better(&mut self, is_busy: bool, now: Instant, effects: &mut Vec<Effect>) {
        if self.better == Some(BetterWay::LongPolls) {
            return self.begin_long_poll(effects);
        }
        if is_busy || self.waiting || self.counting {
            return self.poll_for_a_while(now, effects);
        }
        self.way = Way::Count;
        self.counting = true;
        effects.extend([Effect::Count { after: Duration::ZERO }, Effect::Poll { after: POLL }]);
    }

    fn on_count(&mut self, waits: Option<usize>, asked: Instant, now: Instant, effects: &mut Vec<Effect>) {
        self.counting = false;
        let is_busy = self.note(asked, now, false, effects);
        let Some(waits) = waits else {
            // Where waits cannot be counted, ours could be the one that makes the node slow.
            self.better = None;
            return self.poll_for_a_while(now, effects);
        };
        match &mut self.way {
            Way::Count if is_busy || waits >= MOST_WAITS => self.poll_for_a_while(now, effects),
            Way::Count => {
                self.way = Way::Wait { working_since: None };
                effects.push(Effect::Poll { after: SAFETY_POLL });
                self.wait(effects);
            }
            Way::Wait { .. } if is_busy || waits > MOST_WAITS => self.poll_for_a_while(now, effects),
            Way::Wait { working_since } => {
                if now.duration_since(*working_since.get_or_insert(now)) >= SETTLED {
                    self.quiet.reset();
                }
                if !self.waiting {
                    self.go_on_waiting(effects);
                }
            }
            Way::Poll { .. } | Way::LongPoll | Way::Subscription { .. } => {}
        }
    }

    /// Begins a wait, and asks beside it for the active waits.
    fn wait(&mut self, effects: &mut Vec<Effect>) {
        let (Way::Wait { working_since }, Some(BetterWay::Waits(form))) = (self.way, self.better) else {
            return;
        };
        let limit = if working_since.is_some() { WAIT } else { TRIAL };
        (self.waiting, self.counting) = (true, true);
        effects.extend([Effect::Wait { form, limit }, Effect::Count { after: BESIDE }]);
    }

    /// After a wait: begins the next one, unless the waits are still being counted.
    fn go_on_waiting(&mut self, effects: &mut Vec<Effect>) {
        if !matches!(self.way, Way::Wait { .. }) || self.counting {
            return;
        }
        match self.better {
            Some(BetterWay::Waits(WaitForm::TimeLimit)) => {
                effects.push(Effect::Poll { after: Duration::ZERO })
            }
            _ => self.wait(effects),
        }
    }

    fn on_wait_refused(&mut self, form: Option<WaitForm>, now: Instant, effects: &mut Vec<Effect>) {
        self.better = self.better.and(form.map(BetterWay::Waits));
        match form {
            Some(_) => self.go_on_waiting(effects),
            None => self.poll_for_a_while(now, effects),
        }
    }

    fn begin_long_poll(&mut self, effects: &mut Vec<Effect>) {
        self.way = Way::LongPoll;
        effects.extend([Effect::LongPoll, Effect::Poll { after: SAFETY_POLL }]);
    }

    fn after_long_poll(&mut self, useful: bool, now: Instant, effects: &mut Vec<Effect>) {
        if self.way != Way::LongPoll {
            return;
        }
        if useful {
            self.rest.reset();
            return self.begin_long_poll(effects);
        }
        self.way = Way::Poll { better_at: Some(now + self.rest.delay()) };
        effects.push(Effect::Poll { after: POLL });
    }

    /// Polls at short intervals, and tries a better way later, if there is one.
    fn poll_for_a_while(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.way = Way::Poll { better_at: self.better.map(|_| now + self.quiet.delay()) };
        effects.push(Effect::Poll { after: POLL });
    }

    /// Notes how long a plain call took; returns whether the node is busy.
    fn note(&mut self, asked: Instant, now: Instant, refused: bool, effects: &mut Vec<Effect>) -> bool {
        let took = now.saturating_duration_since(asked);
        effects.extend(self.slowness.note(took, refused).map(Effect::Slow));
        refused || took > BUSY
    }
}
