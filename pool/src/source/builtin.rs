//! Gives work on the built-in chain, whose difficulty follows the miners' hashrate.

use std::sync::Arc;
use std::time::Duration;

use node::{HeaderTimes, NodeClock};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::chain::BuiltinChain;
use crate::clock::Now;
use crate::job::{BlockClaim, TemplateJob};
use crate::pool_state::PoolState;
use crate::share::FoundBlock;

/// The total hashrate of all miners, in H/s, that is assumed for the first target, before any miner has connected: that of a
/// single slow core.
const FIRST_GUESS: f64 = 1e6;
/// The block that is being mined gets a new target when the total hashrate has risen or fallen by this factor since its
/// target was chosen.
const TOLERANCE: f64 = 2.0;
/// The shortest time between two jobs. Without this limit, miners that find many blocks at an easy first target would flood
/// all other miners with new jobs.
const SPACING: Duration = Duration::from_millis(50);

/// Publishes the first job.
pub fn prepare(chain: &BuiltinChain, shared: &PoolState) {
    shared.set_work_from("the built-in chain");
    shared.jobs.publish(work(chain, FIRST_GUESS, Now::read(), BlockClaim::default()));
}

/// The job for the next block, for miners whose total hashrate is `hashrate` (H/s).
pub fn work(chain: &BuiltinChain, hashrate: f64, now: Now, claim: BlockClaim) -> TemplateJob {
    // The chain has no node, so our system clock is its clock.
    let template = chain.template(hashrate, now.unix);
    let (bits, start, first) = (template.bits, template.time, template.min_time);
    let plan = chain.plan();
    TemplateJob {
        template: Arc::new(template),
        times: HeaderTimes { bits, start, first, last: u32::MAX, until: None },
        clock: NodeClock::new(start, now.boot),
        payout: Some(plan.payout),
        tag: plan.tag.into(),
        claim,
    }
}

/// Owns the chain: adds found blocks one by one, and publishes jobs until `stop`.
pub async fn run(
    mut chain: BuiltinChain,
    shared: Arc<PoolState>,
    mut found: mpsc::Receiver<FoundBlock>,
    stop: CancellationToken,
) {
    let mut claim = shared.jobs.current().job().and_then(|job| job.claim().cloned()).unwrap_or_default();
    let mut hashrates = shared.connections.subscribe_hashrate();
    // A miner may have connected before this subscription, so the loop looks at the hashrate immediately.
    hashrates.mark_changed();
    let mut hashrate = FIRST_GUESS;
    let mut not_before = Instant::now();
    loop {
        tokio::select! {
            biased;
            block = found.recv() => {
                let Some(block) = block else { return };
                add_block(&mut chain, &shared, &block);
                let count = shared.counters().borrow().blocks;
                if shared.config.blocks.count.is_some_and(|wanted| count >= wanted) {
                    // The pool ends. Without a new claim there is no further block.
                    continue;
                }
                claim = BlockClaim::default();
            }
            () = stop.cancelled() => break,
            Ok(()) = hashrates.changed() => {
                let now = *hashrates.borrow_and_update() as f64;
                // The target stays if there is no miner, or if the hashrate has changed by less than the factor
                // [`TOLERANCE`].
                if now == 0.0 || (now < hashrate * TOLERANCE && hashrate < now * TOLERANCE) {
                    continue;
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep_until(not_before) => {}
        }
        not_before = Instant::now() + SPACING;
        hashrate = Some(shared.connections.hashrate()).filter(|total| *total > 0.0).unwrap_or(hashrate);
        shared.jobs.publish(work(&chain, hashrate, Now::read(), claim.clone()));
    }
    while let Ok(block) = found.try_recv() {
        add_block(&mut chain, &shared, &block);
    }
}

fn add_block(chain: &mut BuiltinChain, shared: &PoolState, found: &FoundBlock) {
    if let Err(error) = chain.accept(&found.block) {
        tracing::error!(%error, "the built-in chain refuses a block of its own pool");
        shared.count_block(found.record(Some(error.to_string())));
    } else {
        if shared.operator_log.admits_block() {
            let (worker, transactions) = (&*found.worker, found.block.txdata.len());
            tracing::info!(height = chain.height(), hash = %chain.tip(), worker, transactions, "block found");
        }
        shared.count_block(found.record(None));
    }
}
