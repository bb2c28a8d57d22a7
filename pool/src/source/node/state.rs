//! Decides when miners get new work from the nodes' templates, and when work is withdrawn. No I/O, no clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::{BlockHash, Network, ScriptBuf};
use node::{BlockVerdict, HeaderTimes, MinDifficultyTime, NodeClock, TemplateUpdate};

use crate::clock::Now;
use crate::job::{BlockClaim, TemplateJob};

/// How long miners keep their last job when no node works. After this time, a new block has probably been found, so shares
/// of the job would be stale.
const KEEP_WORK: Duration = Duration::from_secs(10 * 60);

/// How long miners keep their last job when no node works and a node refuses access. The node works, so its tip may have moved. In
/// this time a new cookie or password may arrive, so that miners lose nothing.
const KEEP_WORK_REFUSED: Duration = Duration::from_secs(5);

/// An event that may change what miners work on.
#[derive(Clone, Debug)]
pub enum Event {
    /// A node has a new template.
    Template(TemplateUpdate),
    /// No node works, or why none works has changed.
    AllNodesDown {
        /// Whether a node works but refuses access, because it does not know the user or the password.
        refused: bool,
    },
    /// The nodes have judged a block.
    BlockJudged {
        /// The block's parent.
        parent: BlockHash,
        /// The nodes' verdict.
        verdict: BlockVerdict,
    },
    /// [`NodeWorkState::next_deadline`] has passed.
    Tick,
}

/// An action that the source must carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Publish [`NodeWorkState::work`]: a node has given a new template.
    Publish,
    /// Publish [`NodeWorkState::work`] again, with the header times and bits that apply now. The nodes may be down.
    Renew,
    /// Warn that no node works, and that miners keep their job for this time at most.
    Warn {
        /// How long miners keep their job, from now.
        keep: Duration,
    },
    /// Withdraw the work, which is too old.
    Withdraw,
}

/// The work from the nodes.
#[derive(Debug)]
pub struct NodeWorkState {
    network: Network,
    payout: Option<ScriptBuf>,
    tag: Arc<[u8]>,
    min_difficulty_time: MinDifficultyTime,
    update: TemplateUpdate,
    claim: BlockClaim,
    /// Whether a node has rejected our block on the current tip. If so, another block may be made on this tip, with the next
    /// template.
    rejected: bool,
    /// When miners need a new job because of the 20-minute rule of testnets; `None` if they need none.
    renew_at: Option<Instant>,
    outage: Outage,
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
    /// Begins with a first template. Without `payout`, each block pays its finder.
    pub fn new(
        network: Network,
        payout: Option<ScriptBuf>,
        tag: Arc<[u8]>,
        min_difficulty_time: MinDifficultyTime,
        update: TemplateUpdate,
    ) -> Self {
        Self {
            network,
            payout,
            tag,
            min_difficulty_time,
            update,
            claim: BlockClaim::default(),
            rejected: false,
            renew_at: None,
            outage: Outage::None,
        }
    }

    /// The network of the addresses in worker names, if each block pays the address of its finder; otherwise `None`.
    pub fn pays_users(&self) -> Option<Network> {
        self.payout.is_none().then_some(self.network)
    }

    /// The work to publish now.
    pub fn work(&mut self, now: Now) -> TemplateJob {
        let TemplateUpdate { template, parent_time, clock, .. } = &self.update;
        let node_now = clock.at(now.boot);
        let times = HeaderTimes::of(template, self.network, *parent_time, node_now, self.min_difficulty_time);
        let wait = |until: u32| Duration::from_secs(until.saturating_sub(node_now).into());
        self.renew_at = times.until.map(|until| now.at + wait(until));
        TemplateJob {
            template: template.clone(),
            times,
            clock: *clock,
            payout: self.payout.clone(),
            tag: self.tag.clone(),
            claim: self.claim.clone(),
        }
    }

    /// The clock of the node that has given the present template.
    pub fn node_clock(&self) -> &NodeClock {
        &self.update.clock
    }

    /// When [`Event::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        let withdraw_at = match self.outage {
            Outage::Since { withdraw_at } => Some(withdraw_at),
            Outage::None | Outage::Withdrawn => None,
        };
        self.renew_at.into_iter().chain(withdraw_at).min()
    }

    /// Handles an event, and returns the actions for the source.
    pub fn on_event(&mut self, event: Event, now: Now) -> Vec<Effect> {
        match event {
            Event::Template(update) => self.on_template(update),
            Event::AllNodesDown { refused } => self.on_all_down(refused, now),
            Event::BlockJudged { parent, verdict } => {
                // If the node has rejected the block, the template may be faulty. So another block on this tip is allowed
                // only with the next template.
                let rejected = matches!(verdict, BlockVerdict::Rejected(_));
                self.rejected |= rejected && parent == self.update.template.prev_hash;
                Vec::new()
            }
            Event::Tick => self.on_tick(now),
        }
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

    fn on_template(&mut self, update: TemplateUpdate) -> Vec<Effect> {
        let tip_changed = update.template.prev_hash != self.update.template.prev_hash;
        if tip_changed || self.rejected {
            self.claim = BlockClaim::default();
            self.rejected = false;
        }
        self.update = update;
        self.outage = Outage::None;
        vec![Effect::Publish]
    }

    fn on_tick(&mut self, now: Now) -> Vec<Effect> {
        if let Outage::Since { withdraw_at } = self.outage
            && now.at >= withdraw_at
        {
            self.outage = Outage::Withdrawn;
            self.renew_at = None;
            return vec![Effect::Withdraw];
        }
        if self.renew_at.take_if(|at| now.at >= *at).is_some() {
            return vec![Effect::Renew];
        }
        Vec::new()
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
        let clock = NodeClock::new(UNIX, now(0).boot);
        TemplateUpdate {
            template: Arc::new(template),
            parent_time: Some(UNIX),
            clock,
            clean: true,
            node: 0,
            asked: now(0).at,
        }
    }

    fn state(network: Network) -> NodeWorkState {
        NodeWorkState::new(network, None, Arc::new([]), MinDifficultyTime::Honest, update(1))
    }

    /// Reports the nodes' verdict on a block on top of this tip.
    fn judged(state: &mut NodeWorkState, tip: u8, verdict: BlockVerdict) {
        let parent = BlockHash::from_byte_array([tip; 32]);
        assert_eq!(state.on_event(Event::BlockJudged { parent, verdict }, now(1)), []);
    }

    fn now(seconds: u32) -> Now {
        static START: std::sync::OnceLock<Now> = std::sync::OnceLock::new();
        // The system clock is wrong, and must not matter.
        START.get_or_init(|| Now::with_unix(UNIX + 10_800)).later(seconds)
    }

    #[test]
    fn a_tip_gets_one_block_and_another_one_with_the_template_after_a_rejection() {
        let mut state = state(Network::Regtest);
        assert!(state.work(now(0)).claim.take());
        state.on_event(Event::Template(update(1)), now(1));
        assert!(!state.work(now(1)).claim.take());
        judged(&mut state, 1, BlockVerdict::Accepted);
        state.on_event(Event::Template(update(1)), now(1));
        assert!(!state.work(now(1)).claim.take());
        let rejected = || BlockVerdict::Rejected("bad-txns".into());
        judged(&mut state, 9, rejected());
        state.on_event(Event::Template(update(1)), now(1));
        assert!(!state.work(now(1)).claim.take());
        judged(&mut state, 1, rejected());
        assert!(!state.work(now(1)).claim.take());
        state.on_event(Event::Template(update(1)), now(1));
        assert!(state.work(now(1)).claim.take());
        state.on_event(Event::Template(update(1)), now(1));
        assert!(!state.work(now(1)).claim.take(), "one more try");
        state.on_event(Event::Template(update(2)), now(1));
        assert!(state.work(now(1)).claim.take());
    }

    #[test]
    fn work_is_withdrawn_when_no_node_has_worked_for_a_while() {
        let mut state = state(Network::Bitcoin);
        state.work(now(0));
        assert_eq!(state.next_deadline(), None);
        assert_eq!(
            state.on_event(Event::AllNodesDown { refused: false }, now(0)),
            [Effect::Warn { keep: KEEP_WORK }]
        );
        assert_eq!(state.next_deadline(), Some(now(600).at));
        assert_eq!(state.on_event(Event::Tick, now(599)), []);
        assert_eq!(state.on_event(Event::Tick, now(600)), [Effect::Withdraw]);
        assert_eq!(state.next_deadline(), None);
        assert_eq!(state.on_event(Event::Template(update(1)), now(1)), [Effect::Publish]);

        state.on_event(Event::AllNodesDown { refused: false }, now(700));
        state.on_event(Event::Template(update(1)), now(1));
        assert_eq!(state.next_deadline(), None);
    }

    #[test]
    fn work_is_withdrawn_soon_when_a_node_refuses_access() {
        let down = |refused| Event::AllNodesDown { refused };
        let mut state = state(Network::Bitcoin);
        state.work(now(0));
        // The node restarts, and refuses the old cookie.
        assert_eq!(state.on_event(down(false), now(0)), [Effect::Warn { keep: KEEP_WORK }]);
        assert_eq!(state.on_event(down(true), now(3)), [Effect::Warn { keep: KEEP_WORK_REFUSED }]);
        assert_eq!(state.next_deadline(), Some(now(8).at));
        assert_eq!(state.on_event(down(true), now(4)), [], "the time does not begin anew");
        assert_eq!(state.on_event(down(false), now(5)), [], "nor does it when the node is down again");
        assert_eq!(state.on_event(Event::Tick, now(7)), []);
        assert_eq!(state.on_event(Event::Tick, now(8)), [Effect::Withdraw]);
        assert_eq!(state.on_event(down(true), now(9)), [], "there is no work to keep");
        assert_eq!(state.on_event(Event::Template(update(1)), now(10)), [Effect::Publish]);
        assert_eq!(state.on_event(down(true), now(11)), [Effect::Warn { keep: KEEP_WORK_REFUSED }]);
    }

    #[test]
    fn testnets_get_the_lowest_difficulty_after_twenty_minutes() {
        let mut state = state(Network::Testnet4);
        let work = state.work(now(0));
        assert_eq!((work.times.bits.to_consensus(), work.times.last), (0x1900_ffff, UNIX + 1200));
        assert_eq!(state.next_deadline(), Some(now(1201).at));
        assert_eq!(state.on_event(Event::Tick, now(1200)), []);
        assert_eq!(state.on_event(Event::Tick, now(1201)), [Effect::Renew]);
        let work = state.work(now(1201));
        assert_eq!((work.times.bits.to_consensus(), work.times.first), (0x1d00_ffff, UNIX + 1201));
        assert_eq!(state.next_deadline(), None);

        // The work is withdrawn before the 20-minute rule of testnets requires a new job. Withdrawn work is not renewed, so no
        // deadline is left.
        let mut state = self::state(Network::Testnet4);
        state.work(now(0));
        state.on_event(Event::AllNodesDown { refused: false }, now(0));
        assert_eq!(state.next_deadline(), Some(now(0).at + KEEP_WORK));
        assert_eq!(state.on_event(Event::Tick, now(600)), [Effect::Withdraw]);
        assert_eq!(state.next_deadline(), None);
    }
}
