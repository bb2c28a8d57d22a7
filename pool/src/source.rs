//! Where templates come from: the one place that knows every kind of chain.

use std::sync::Arc;
use std::time::Duration;

use bitcoin::Block;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::chain::BuiltinChain;
use crate::session::Now;
use crate::shared::Shared;

/// H/s to begin with, before any miner has come: a single slow core.
const FIRST_GUESS: f64 = 1e6;
/// A block in work gets a new target when the hashrate is off by this factor from what its target was made for.
const TOLERANCE: f64 = 2.0;
/// Time between two jobs, so that miners that are far too fast for the first target don't drown all others in jobs.
const SPACING: Duration = Duration::from_millis(50);

/// A chain that the pool works on.
#[derive(Debug)]
#[non_exhaustive]
pub enum Source {
    /// A chain of its own, in memory.
    Builtin(Box<BuiltinChain>),
}

impl From<BuiltinChain> for Source {
    fn from(chain: BuiltinChain) -> Source {
        Source::Builtin(Box::new(chain))
    }
}

impl Source {
    /// Publishes the first job, if there is one without waiting.
    pub(crate) fn prepare(&self, shared: &Shared) {
        match self {
            Source::Builtin(chain) => shared.publish(chain.template(FIRST_GUESS, Now::read().unix)),
        }
    }

    /// Takes found blocks and publishes jobs until told to stop.
    pub(crate) async fn run(
        self,
        shared: Arc<Shared>,
        found: mpsc::Receiver<Box<Block>>,
        stop: CancellationToken,
    ) {
        match self {
            Source::Builtin(chain) => {
                let run = run_builtin(*chain, shared, found);
                stop.run_until_cancelled(run).await;
            }
        }
    }
}

/// Owns the chain: every block that is found passes through here, one after the other.
async fn run_builtin(mut chain: BuiltinChain, shared: Arc<Shared>, mut found: mpsc::Receiver<Box<Block>>) {
    let mut hashrate = FIRST_GUESS;
    let mut not_before = Instant::now();
    loop {
        tokio::select! {
            block = found.recv() => {
                let Some(block) = block else { return };
                if let Err(error) = chain.accept(&block) {
                    tracing::error!(%error, "the chain refused a block of its own pool");
                } else {
                    let transactions = block.txdata.len();
                    tracing::info!(height = chain.height(), hash = %chain.tip(), transactions, "block found");
                }
            }
            () = shared.hashrate.changed() => {
                let now = shared.hashrate.total();
                // With all miners gone, the last target is as good as any.
                if now == 0.0 || (now < hashrate * TOLERANCE && hashrate < now * TOLERANCE) {
                    continue;
                }
            }
        }
        sleep_until(not_before).await;
        not_before = Instant::now() + SPACING;
        hashrate = Some(shared.hashrate.total()).filter(|total| *total > 0.0).unwrap_or(hashrate);
        shared.publish(chain.template(hashrate, Now::read().unix));
    }
}
