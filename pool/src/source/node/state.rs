//! Decides when miners get new work from the nodes' templates, when work is withdrawn, and what becomes of our blocks. No I/O, no
//! clock.
//!
//! ```text
//! claim taken ─Found→ submitted ─Judged→ accepted ─→ watched: in the chain, or orphaned
//!                        ▲                  │
//!                        └── resubmitted ◄──┘ a later template is still on the parent: the node has lost the block
//! ```

mod block_gate;
mod event;
mod our_blocks;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::{BlockHash, Network, ScriptBuf};
use node::{BlockVerdict, HeaderTimes, MinDifficultyTime, NodeClock, TemplateUpdate};

use self::block_gate::BlockGate;
pub use self::event::{Effect, Event};
pub use self::our_blocks::{ChainAnswer, WATCHED};
use self::our_blocks::{LackingBlocks, OurBlocks};
use crate::accounts::{BEATEN, BlockRecord};
use crate::clock::Now;
use crate::config::BlockLimits;
use crate::job::TemplateJob;
use crate::share::FoundBlock;

/// How long miners keep their last job when no node works. After this time, a new block has probably been found, so shares
/// of the job would be stale.
const KEEP_WORK: Duration = Duration::from_secs(10 * 60);
/// How long a rejected block makes the pool unhealthy if no block is found or rejected meanwhile.
const REJECTION_LASTS: Duration = Duration::from_secs(60 * 60);
/// The shortest time between two looks at the places of our blocks in the chain. On regtest the tip changes all the time.
const WATCH_EVERY: Duration = Duration::from_secs(5);
/// When the places are looked up again if the node does not know a block of ours that may be above its tip.
const WATCH_UNKNOWN: Duration = Duration::from_secs(60);

/// How long miners keep their last job when no node works and a node refuses access. The node works, so its tip may have moved. In
/// this time a new cookie or password may arrive, so that miners lose nothing.
const KEEP_WORK_REFUSED: Duration = Duration::from_secs(5);

/// The settings of the work, which never change.
#[derive(Clone, Debug)]
pub struct WorkSettings {
    /// The network of all nodes.
    pub network: Network,
    /// The script that all blocks pay; `None`: each block pays its finder.
    pub payout: Option<ScriptBuf>,
    /// Bytes for the end of the coinbase's input script.
    pub tag: Arc<[u8]>,
    /// When blocks on testnets have the lowest difficulty.
    pub min_difficulty_time: MinDifficultyTime,
    /// How many blocks there may be, and how often.
    pub limits: BlockLimits,
}

/// The work from the nodes.
#[derive(Debug)]
pub struct NodeWorkState {
    settings: WorkSettings,
    update: TemplateUpdate,
    gate: BlockGate,
    blocks: OurBlocks,
    /// When miners need a new job because of the 20-minute rule of testnets; `None` if they need none.
    renew_at: Option<Instant>,
    outage: Outage,
    /// When the last rejection makes the pool unhealthy no longer; `None` if none does.
    rejection_until: Option<Instant>,
    /// How many blocks in a row were rejected.
    rejected: u32,
    /// When nodes are asked for a new template because of a rejection; `None` if they are not.
    ask_at: Option<Instant>,
    /// The blocks that no node takes.
    not_taken: Vec<BlockHash>,
    /// When the places of our blocks in the chain are looked up next; `None` if the tip has not changed since.
    watch_at: Option<Instant>,
    /// When they were looked up last.
    watched: Option<Instant>,
    /// The height of the block to be made when they were looked up last.
    watched_height: u32,
}

/// Whether a node works, and what that means for the miners' job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outage {
    /// A node works.
    None,
    /// No node works. Miners keep their job until this time.
    Since { withdraw_at: Instant },
    /// No node works, and miners have lost their job.
    Withdrawn,
}

impl NodeWorkState {
    /// Begins with a first template, and with the last blocks that nodes have accepted from earlier runs, oldest first; `kept` are
    /// those whose bytes are at hand.
    pub fn new(
        settings: WorkSettings,
        update: TemplateUpdate,
        blocks: Vec<BlockRecord>,
        kept: Vec<FoundBlock>,
        now: Instant,
    ) -> Self {
        // The nodes had accepted the blocks before they were asked for the template.
        let before = update.asked.checked_sub(Duration::from_millis(1)).unwrap_or(update.asked);
        let watch_at = (!blocks.is_empty()).then_some(now);
        let blocks = OurBlocks::restore(blocks, kept, before);
        let mut gate = BlockGate::new(settings.limits);
        let tip = update.template.prev_hash;
        gate.on_template(tip, false, blocks.extend(tip), now);
        Self {
            gate,
            settings,
            watched_height: update.template.height,
            update,
            watch_at,
            blocks,
            renew_at: None,
            outage: Outage::None,
            rejection_until: None,
            rejected: 0,
            ask_at: None,
            not_taken: Vec::new(),
            watched: None,
        }
    }

    /// The first effects: a node that has lost blocks of an earlier run gets them again, and then the blocks of that run which no node
    /// has judged yet.
    pub fn begin(&mut self, mut unjudged: Vec<FoundBlock>, now: Now) -> Vec<Effect> {
        if unjudged.is_empty() && !self.blocks.extend(self.update.template.prev_hash) {
            return Vec::new();
        }
        unjudged.sort_by_key(|found| found.height);
        for found in &unjudged {
            self.gate.on_found(&found.block.header, self.is_on_tip(found), now.at);
        }
        self.on_template(self.update.clone(), unjudged, now)
    }

    /// The network of the addresses in worker names, if each block pays the address of its finder; otherwise `None`.
    pub fn pays_users(&self) -> Option<Network> {
        self.settings.payout.is_none().then_some(self.settings.network)
    }

    /// The work to publish now.
    pub fn work(&mut self, now: Now) -> TemplateJob {
        let WorkSettings { network, payout, tag, min_difficulty_time, .. } = &self.settings;
        let TemplateUpdate { template, parent_time, clock, .. } = &self.update;
        let node_now = clock.at(now.boot);
        let times = HeaderTimes::of(template, *network, *parent_time, node_now, *min_difficulty_time);
        let wait = |until: u32| Duration::from_secs(until.saturating_sub(node_now).into());
        self.renew_at = times.until.map(|until| now.at + wait(until));
        TemplateJob {
            template: template.clone(),
            times,
            clock: *clock,
            payout: payout.clone(),
            tag: tag.clone(),
            claim: self.gate.claim(),
        }
    }

    /// The clock of the node that has given the present template.
    pub fn node_clock(&self) -> &NodeClock {
        &self.update.clock
    }

    /// The number of submitted blocks without a verdict.
    pub fn without_verdict(&self) -> usize {
        self.gate.in_flight() + self.blocks.resubmitted()
    }

    /// When [`Event::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        let withdraw_at = match self.outage {
            Outage::Since { withdraw_at } => Some(withdraw_at),
            Outage::None | Outage::Withdrawn => None,
        };
        let rejection = [self.rejection_until, self.ask_at];
        let times = [self.renew_at, withdraw_at, self.watch_at, self.gate.opens_at()];
        times.into_iter().chain(rejection).flatten().min()
    }

    /// Handles an event, and returns the actions for the source.
    pub fn on_event(&mut self, event: Event, now: Now) -> Vec<Effect> {
        match event {
            Event::Template(update) => self.on_template(update, Vec::new(), now),
            Event::AllNodesDown { refused } => self.on_all_down(refused, now),
            Event::Found(found) => {
                self.gate.on_found(&found.block.header, self.is_on_tip(&found), now.at);
                vec![Effect::Submit(found)]
            }
            Event::BlockJudged { found, verdict } => {
                if self.blocks.is_resubmitted(found.block.block_hash()) {
                    self.on_second_verdict(&found, verdict, now)
                } else {
                    self.on_first_verdict(found, verdict, now)
                }
            }
            Event::NotTaken { hash, height, problem } => {
                if !self.not_taken.contains(&hash) {
                    self.not_taken.push(hash);
                }
                vec![Effect::SetNotTaken { height, problem }]
            }
            Event::Place { hash, answer } => {
                let news = self.blocks.on_place(hash, answer, self.watched_height, now.at);
                if self.blocks.has_unknown() {
                    self.watch_at = self.watch_at.or(Some(now.at + WATCH_UNKNOWN));
                }
                news.into_iter().collect()
            }
            Event::Tick => self.on_tick(now),
        }
    }

    fn is_on_tip(&self, found: &FoundBlock) -> bool {
        found.block.header.prev_blockhash == self.update.template.prev_hash
    }

    fn on_all_down(&mut self, refused: bool, now: Now) -> Vec<Effect> {
        let keep = if refused { KEEP_WORK_REFUSED } else { KEEP_WORK };
        let sooner = match self.outage {
            Outage::None => true,
            Outage::Since { withdraw_at } => now.at + keep < withdraw_at,
            Outage::Withdrawn => false,
        };
        if !sooner {
            return Vec::new();
        }
        self.outage = Outage::Since { withdraw_at: now.at + keep };
        vec![Effect::Warn { keep }]
    }

    /// A node has given a template. `unjudged` are the blocks to submit after those that the node has lost.
    fn on_template(&mut self, update: TemplateUpdate, unjudged: Vec<FoundBlock>, now: Now) -> Vec<Effect> {
        let tip = update.template.prev_hash;
        let tip_changed = tip != self.update.template.prev_hash;
        let LackingBlocks { resubmit, given_up } = self.blocks.lacking(tip, update.asked);
        self.update = update;
        self.outage = Outage::None;
        if tip_changed && !self.blocks.watched(self.update.template.height).is_empty() {
            let earliest = self.watched.map_or(now.at, |watched| watched + WATCH_EVERY).max(now.at);
            self.watch_at = Some(self.watch_at.map_or(earliest, |at| at.min(earliest)));
        }
        let reason = "a node has accepted and lost it several times";
        given_up.iter().for_each(|record| self.gate.on_gone(record.hash));
        let mut effects: Vec<_> =
            given_up.into_iter().map(|record| self.count_lost(record, reason.to_owned())).collect();
        self.gate.on_template(tip, tip_changed, self.blocks.extend(tip), now.at);
        effects.push(Effect::Publish);
        if !(resubmit.is_empty() && unjudged.is_empty()) {
            effects.push(Effect::Resubmit { lost: resubmit, unjudged });
        }
        effects
    }

    /// The first verdict on a found block.
    fn on_first_verdict(&mut self, found: FoundBlock, verdict: BlockVerdict, now: Now) -> Vec<Effect> {
        let parent = found.block.header.prev_blockhash;
        self.gate.on_verdict(parent, verdict.is_accepted(), self.is_on_tip(&found));
        let mut effects = vec![Effect::Count { found: found.clone(), verdict: verdict.clone() }];
        let is_taken_at_last = self.is_taken_at_last(found.block.block_hash());
        match verdict {
            BlockVerdict::Accepted | BlockVerdict::Duplicate => {
                self.blocks.accepted(found, now.at);
                self.rejected = 0;
                let was_rejected = self.rejection_until.take().is_some();
                effects.extend((was_rejected || is_taken_at_last).then_some(Effect::ClearRejection));
            }
            BlockVerdict::Rejected(reason) => {
                self.rejection_until = Some(now.at + REJECTION_LASTS);
                effects.push(Effect::SetRejection { height: found.height, reason });
                self.ask_at = Some(now.at + ask_after(self.rejected));
                self.rejected = self.rejected.saturating_add(1);
            }
            BlockVerdict::Inconclusive => {
                // The chain may still come to the branch with this block.
                self.blocks.beaten(found.record(Some(BEATEN.to_owned())));
                let is_healthy = is_taken_at_last && self.rejection_until.is_none();
                effects.extend(is_healthy.then_some(Effect::ClearRejection));
            }
        }
        self.release(now, &mut effects);
        effects
    }

    /// Notes that a node has judged a block. Returns whether no node took it before.
    fn is_taken_at_last(&mut self, hash: BlockHash) -> bool {
        let before = self.not_taken.len();
        self.not_taken.retain(|other| *other != hash);
        self.not_taken.len() < before
    }

    /// The verdict on a block that was submitted again.
    fn on_second_verdict(&mut self, found: &FoundBlock, verdict: BlockVerdict, now: Now) -> Vec<Effect> {
        let hash = found.block.block_hash();
        let is_taken_at_last = self.is_taken_at_last(hash);
        let reason = match verdict {
            BlockVerdict::Accepted | BlockVerdict::Duplicate => {
                self.blocks.reaccepted(hash, now.at);
                let is_healthy = is_taken_at_last && self.rejection_until.is_none();
                return is_healthy.then_some(Effect::ClearRejection).into_iter().collect();
            }
            BlockVerdict::Inconclusive => BEATEN.to_owned(),
            BlockVerdict::Rejected(reason) => reason,
        };
        // A node that still knows the block has it on a branch, or was told to leave it: its chain has left the block.
        let is_known = [BEATEN, "duplicate"].iter().any(|word| reason.starts_with(word));
        let record = if is_known { self.blocks.orphaned(hash) } else { self.blocks.remove(hash) };
        let Some(record) = record else { return Vec::new() };
        self.gate.on_gone(hash);
        let mut effects = if is_known {
            vec![Effect::CountPlace(record)]
        } else {
            self.rejection_until = Some(now.at + REJECTION_LASTS);
            let rejection = Effect::SetRejection { height: found.height, reason: reason.clone() };
            vec![self.count_lost(record, reason), rejection]
        };
        if self.is_on_tip(found) {
            self.gate.open(now.at);
            self.renew(&mut effects);
        }
        self.release(now, &mut effects);
        effects
    }

    /// No node has an accepted block any more. If this run has counted it, another one may be made.
    fn count_lost(&mut self, record: BlockRecord, reason: String) -> Effect {
        if !record.restored {
            self.gate.on_lost();
        }
        Effect::CountLost { record, reason }
    }

    fn on_tick(&mut self, now: Now) -> Vec<Effect> {
        let is_due = |at: &mut Instant| now.at >= *at;
        if let Outage::Since { withdraw_at } = self.outage
            && now.at >= withdraw_at
        {
            (self.renew_at, self.outage) = (None, Outage::Withdrawn);
            return vec![Effect::Withdraw];
        }
        let mut effects = Vec::new();
        if self.rejection_until.take_if(is_due).is_some() {
            effects.push(Effect::ClearRejection);
        }
        if self.ask_at.take_if(is_due).is_some() {
            effects.push(Effect::AskForTemplates);
        }
        if self.watch_at.take_if(is_due).is_some() {
            self.watched = Some(now.at);
            self.watched_height = self.update.template.height;
            effects.push(Effect::Watch(self.blocks.watched(self.update.template.height)));
        }
        if self.renew_at.take_if(is_due).is_some() {
            self.renew(&mut effects);
        }
        self.release(now, &mut effects);
        effects
    }

    /// Lets miners make a block if the limits allow one now. They get the job again, so that whoever idles goes on.
    fn release(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.gate.release(now.at) {
            self.renew(effects);
        }
    }

    /// Publishes the work again, unless it was withdrawn.
    fn renew(&self, effects: &mut Vec<Effect>) {
        if self.outage != Outage::Withdrawn && !effects.contains(&Effect::Renew) {
            effects.push(Effect::Renew);
        }
    }
}

/// The time from a rejection until nodes are asked for another template, after `before` rejections in a row. A template that is good
/// again reopens the tip; one that is not must not make blocks all the time.
fn ask_after(before: u32) -> Duration {
    match before {
        0 => Duration::ZERO,
        _ => Duration::from_secs(1 << (before - 1).min(4)),
    }
}
