//! What to do when something happens between miners and nodes. No I/O, no clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::{BlockHash, Network, ScriptBuf};
use node::{BlockVerdict, HeaderTimes, MinDifficultyTime, TemplateUpdate};

use crate::clock::Now;
use crate::job::{Claim, Work};

/// How long miners keep the last job when no node works: until then it is more likely than not that nobody has found
/// another block.
const KEEP_WORK: Duration = Duration::from_secs(10 * 60);

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A node has given new work: give it out.
    Publish,
    /// Give the present work out again, with other times. That says nothing about the nodes.
    Renew,
    /// Say that no node works and that miners keep their job so long at most.
    Warn {
        /// From now on.
        keep: Duration,
    },
    /// Take the work back: it is too old.
    Withdraw,
}

/// What is known of the block in work.
#[derive(Debug)]
pub struct NodeWorkState {
    network: Network,
    payout: Option<ScriptBuf>,
    tag: Arc<[u8]>,
    policy: MinDifficultyTime,
    update: TemplateUpdate,
    claim: Claim,
    /// A node has rejected a block on this tip, so that the next template may have another try.
    rejected: bool,
    /// When the published times run out, by the calendar.
    until: Option<u32>,
    /// When work that no node stands for is taken back.
    withdraw_at: Option<Instant>,
}

impl NodeWorkState {
    /// Begins with a first template. Without `payout`, blocks pay their finders.
    pub fn new(
        network: Network,
        payout: Option<ScriptBuf>,
        tag: Arc<[u8]>,
        policy: MinDifficultyTime,
        update: TemplateUpdate,
    ) -> NodeWorkState {
        let claim = Claim::default();
        NodeWorkState {
            network,
            payout,
            tag,
            policy,
            update,
            claim,
            rejected: false,
            until: None,
            withdraw_at: None,
        }
    }

    /// The network of the addresses in the miners' names, if these are what blocks pay to.
    pub fn pays_users(&self) -> Option<Network> {
        self.payout.is_none().then_some(self.network)
    }

    /// The present work, to be published now.
    pub fn work(&mut self, now: Now) -> Work {
        let TemplateUpdate { template, parent_time, .. } = &self.update;
        let times = HeaderTimes::of(template, self.network, *parent_time, now.unix, self.policy);
        self.until = times.until;
        Work {
            template: template.clone(),
            times,
            payout: self.payout.clone(),
            tag: self.tag.clone(),
            claim: self.claim.clone(),
        }
    }

    /// After which time [`NodeWorkState::on_time`] is to be called, if ever.
    pub fn due(&self, now: Now) -> Option<Duration> {
        let times = self.until.map(|until| Duration::from_secs(until.saturating_sub(now.unix).into()));
        let withdraw = self.withdraw_at.map(|at| at.saturating_duration_since(now.at));
        times.into_iter().chain(withdraw).min()
    }

    /// A node has a new template.
    pub fn on_update(&mut self, update: TemplateUpdate) -> Option<Effect> {
        let moved = update.template.prev_hash != self.update.template.prev_hash;
        if moved || self.rejected {
            self.claim = Claim::default();
            self.rejected = false;
        }
        self.update = update;
        self.withdraw_at = None;
        Some(Effect::Publish)
    }

    /// No node works any more.
    pub fn on_all_down(&mut self, now: Now) -> Option<Effect> {
        self.withdraw_at = Some(now.at + KEEP_WORK);
        Some(Effect::Warn { keep: KEEP_WORK })
    }

    /// A block on top of `parent` was judged.
    pub fn on_verdict(&mut self, parent: BlockHash, verdict: &BlockVerdict) {
        // Not at once: a template that is wrong would give one rejected block after the other.
        self.rejected |=
            matches!(verdict, BlockVerdict::Rejected(_)) && parent == self.update.template.prev_hash;
    }

    /// It is time for something.
    pub fn on_time(&mut self, now: Now) -> Option<Effect> {
        if self.withdraw_at.is_some_and(|at| now.at >= at) {
            self.withdraw_at = None;
            self.until = None;
            return Some(Effect::Withdraw);
        }
        if self.until.is_some_and(|until| now.unix >= until) {
            self.until = None;
            return Some(Effect::Renew);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use bitcoin::hashes::Hash;
    use bitcoin::{Amount, CompactTarget};
    use node::Template;

    use super::*;

    const UNIX: u32 = 1_800_000_000;

    fn update(tip: u8) -> TemplateUpdate {
        let prev_hash = BlockHash::from_byte_array([tip; 32]);
        let bits = CompactTarget::from_consensus(0x1900_ffff);
        let template =
            Template::compose(2017, 0x2000_0000, prev_hash, bits, (UNIX - 3000, UNIX), Amount::ZERO, vec![]);
        TemplateUpdate { template: Arc::new(template), parent_time: Some(UNIX), clean: true, node: 0 }
    }

    fn desk(network: Network) -> NodeWorkState {
        NodeWorkState::new(network, None, Arc::new([]), MinDifficultyTime::Honest, update(1))
    }

    fn now(seconds: u32) -> Now {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        let start = *START.get_or_init(Instant::now);
        Now { at: start + Duration::from_secs(seconds.into()), unix: UNIX + seconds, unix_ms: 0 }
    }

    #[test]
    fn one_block_per_tip_and_another_try_with_the_template_after_a_rejection() {
        let mut desk = desk(Network::Regtest);
        assert!(desk.work(now(0)).claim.take());
        desk.on_update(update(1));
        assert!(!desk.work(now(1)).claim.take());
        desk.on_verdict(BlockHash::from_byte_array([1; 32]), &BlockVerdict::Accepted);
        desk.on_update(update(1));
        assert!(!desk.work(now(1)).claim.take());
        let rejected = BlockVerdict::Rejected("bad-txns".into());
        desk.on_verdict(BlockHash::from_byte_array([9; 32]), &rejected);
        desk.on_update(update(1));
        assert!(!desk.work(now(1)).claim.take());
        desk.on_verdict(BlockHash::from_byte_array([1; 32]), &rejected);
        assert!(!desk.work(now(1)).claim.take());
        desk.on_update(update(1));
        assert!(desk.work(now(1)).claim.take());
        desk.on_update(update(1));
        assert!(!desk.work(now(1)).claim.take(), "one more try");
        desk.on_update(update(2));
        assert!(desk.work(now(1)).claim.take());
    }

    #[test]
    fn work_without_a_node_is_taken_back_in_the_end() {
        let mut desk = desk(Network::Bitcoin);
        desk.work(now(0));
        assert_eq!(desk.due(now(0)), None);
        assert_eq!(desk.on_all_down(now(0)), Some(Effect::Warn { keep: KEEP_WORK }));
        assert_eq!(desk.due(now(60)), Some(Duration::from_secs(540)));
        assert_eq!(desk.on_time(now(599)), None);
        assert_eq!(desk.on_time(now(600)), Some(Effect::Withdraw));
        assert_eq!(desk.due(now(600)), None);
        assert_eq!(desk.on_update(update(1)), Some(Effect::Publish));

        desk.on_all_down(now(700));
        desk.on_update(update(1));
        assert_eq!(desk.due(now(800)), None);
    }

    #[test]
    fn testnets_get_the_lowest_difficulty_after_twenty_minutes() {
        let mut desk = desk(Network::Testnet4);
        let work = desk.work(now(0));
        assert_eq!((work.times.bits.to_consensus(), work.times.last), (0x1900_ffff, UNIX + 1200));
        assert_eq!(desk.due(now(0)), Some(Duration::from_secs(1201)));
        assert_eq!(desk.on_time(now(1200)), None);
        assert_eq!(desk.on_time(now(1201)), Some(Effect::Renew));
        let work = desk.work(now(1201));
        assert_eq!((work.times.bits.to_consensus(), work.times.first), (0x1d00_ffff, UNIX + 1201));
        assert_eq!(desk.due(now(1201)), None);

        // Whichever comes first: here the end of work that no node stands for, and with it of its times.
        let mut desk = self::desk(Network::Testnet4);
        desk.work(now(0));
        desk.on_all_down(now(0));
        assert_eq!(desk.due(now(0)), Some(KEEP_WORK));
        assert_eq!(desk.on_time(now(600)), Some(Effect::Withdraw));
        assert_eq!(desk.due(now(600)), None);
    }
}
