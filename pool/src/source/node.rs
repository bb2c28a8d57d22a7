//! Work from Bitcoin nodes, and blocks to them.

mod state;
mod submission;

use std::sync::Arc;
use std::time::Duration;

use bitcoin::Network;
use node::network::{NetworkError, PayoutError, payout_script};
use node::rpc::NodeUrlError;
use node::templates::NoNodes;
use node::{Nodes, RpcClient, RpcLimits, TemplateEvent, TemplateStream, TemplateTiming};
use task::{NodeAccess, NodeSpec, Payout};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::state::{Effect, NodeWorkState};
use self::submission::{judged, submit};
use crate::clock::Now;
use crate::share::FoundBlock;
use crate::shared::PoolState;

/// Time at the pool's end for nodes to judge the last blocks.
const JUDGE_WITHIN: Duration = Duration::from_secs(10);
/// Blocks that wait for a node's verdict. There is one per tip and each new tip comes from a node, so this is never
/// reached unless nodes give templates, but no answers.
const MAX_SUBMISSIONS: usize = 64;

/// Nodes that can't be mined on as wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// There is no node.
    #[error(transparent)]
    None(#[from] NoNodes),
    /// A node's address can't be used.
    #[error(transparent)]
    Url(#[from] NodeUrlError),
    /// No node can be mined on, and waiting won't help.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The address can't be paid to on the nodes' network.
    #[error(transparent)]
    Payout(#[from] PayoutError),
}

/// Nodes that have given a first template.
#[derive(Debug)]
pub struct NodeSource {
    nodes: Nodes,
    templates: TemplateStream,
    desk: NodeWorkState,
}

impl NodeSource {
    /// Waits for a first template, for ever, and says in the log what it waits for.
    ///
    /// # Errors
    /// If waiting won't help: see [`NodeError`].
    pub async fn connect(spec: NodeSpec) -> Result<NodeSource, NodeError> {
        let client = |NodeAccess { url, credentials }: NodeAccess| {
            RpcClient::new(url.parse()?, credentials, RpcLimits::default())
        };
        let clients = spec.nodes.into_iter().map(client).collect::<Result<Vec<_>, _>>()?;
        let nodes = Nodes::new(clients)?;
        let network = nodes.network().await?;
        let payout = match &spec.payout {
            Payout::Address(address) => Some(payout_script(address, network)?),
            Payout::WorkerName => None,
        };
        let mut templates = nodes.templates(network, TemplateTiming::default());
        let first = loop {
            match templates.next().await {
                TemplateEvent::New(update) => break update,
                TemplateEvent::AllDown(_) => tracing::warn!("no node gives a template yet; waiting"),
            }
        };
        let desk = NodeWorkState::new(network, payout, distinct(&spec.tag), spec.min_difficulty_time, first);
        Ok(NodeSource { nodes, templates, desk })
    }

    /// The network of the addresses in the miners' names, if these are what blocks pay to.
    pub(super) fn pays_users(&self) -> Option<Network> {
        self.desk.pays_users()
    }

    /// Publishes the first job.
    pub(super) fn prepare(&mut self, shared: &PoolState) {
        shared.publish(self.desk.work(Now::read()));
    }

    /// Takes found blocks and publishes jobs until told to stop; then waits a little for the last verdicts.
    pub(super) async fn run(
        mut self,
        shared: Arc<PoolState>,
        mut found: mpsc::Receiver<FoundBlock>,
        stop: CancellationToken,
    ) {
        let mut submissions = JoinSet::new();
        for found in submission::left_behind(&shared).await {
            submissions.spawn(submit(self.nodes.clone(), found, None));
        }
        loop {
            let room = submissions.len() < MAX_SUBMISSIONS;
            let now = Now::read();
            let due = self.desk.due(now);
            let next = tokio::select! {
                biased;
                Some(found) = found.recv(), if room => {
                    submissions.spawn(submit(self.nodes.clone(), found, shared.waiting.clone()));
                    None
                }
                Some(Ok((found, verdict))) = submissions.join_next() => {
                    judged(&shared, &found, &verdict);
                    self.desk.on_verdict(found.block.header.prev_blockhash, &verdict);
                    None
                }
                event = self.templates.next() => match event {
                    TemplateEvent::New(update) => self.desk.on_update(update),
                    TemplateEvent::AllDown(_) => self.desk.on_all_down(Now::read()),
                },
                () = sleep(due.unwrap_or_default()), if due.is_some() => self.desk.on_time(Now::read()),
                () = stop.cancelled() => break,
            };
            if let Some(next) = next {
                self.carry_out(next, &shared);
            }
        }
        while let Ok(found) = found.try_recv() {
            submissions.spawn(submit(self.nodes.clone(), found, shared.waiting.clone()));
        }
        let last = async {
            while let Some(done) = submissions.join_next().await {
                if let Ok((found, verdict)) = done {
                    judged(&shared, &found, &verdict);
                }
            }
        };
        if timeout(JUDGE_WITHIN, last).await.is_err() {
            submission::left(&shared, submissions.len());
        }
    }

    fn carry_out(&mut self, next: Effect, shared: &PoolState) {
        match next {
            Effect::Renew => shared.publish(self.desk.work(Now::read())),
            Effect::Publish => {
                shared.publish(self.desk.work(Now::read()));
                if shared.trouble.clear() {
                    tracing::info!("a node works again");
                }
            }
            Effect::Warn { keep } => {
                let minutes = keep.as_secs() / 60;
                tracing::error!(
                    "no node works: miners keep their last job, but for {minutes} minutes at most"
                );
                shared.trouble.set("no node works: the last job may be outdated");
            }
            Effect::Withdraw => {
                tracing::error!("no node works for too long: connections end, so that miners turn elsewhere");
                shared.trouble.set("no node works: there is no work");
                shared.withdraw();
            }
        }
    }
}

/// The tag after some bytes that no other pool has: two that pay the same address on the same node must not search the
/// same headers, should they give out the same extranonce1.
fn distinct(tag: &[u8]) -> Arc<[u8]> {
    [&rand::random::<[u8; 4]>()[..], tag].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_pools_make_the_same_coinbase() {
        let tags: std::collections::HashSet<_> = (0..100).map(|_| distinct(b"/tag/")).collect();
        assert!(tags.len() > 90 && tags.iter().all(|tag| tag.ends_with(b"/tag/")));
    }
}
