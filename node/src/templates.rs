//! New templates as soon as a node has them, from the best of several nodes.
//!
//! That is the first in the operator's order that works and is not behind another one: a node that is up but has lost its
//! peers is no better than one that is down. Each node is watched by a task of its own all the time, so that going over
//! to the next one, and back, takes no more than a look at what is known already.

#[cfg(test)]
mod tests;
mod watch;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bitcoin::{Block, Network};
use tokio::sync::watch as latest;
use tokio::task::JoinSet;

use crate::network::{self, NetworkError};
use crate::rpc::RpcClient;
use crate::submit::{self, BlockVerdict};
use crate::template::{Template, TemplateError};
use logging::error_chain;
use net::Backoff;

/// How nodes are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateTiming {
    /// Time between two templates on the same tip, for the fees of new transactions. 30 s.
    pub refresh: Duration,
    /// The least time between two of them, however often a node says that there is a new one. 1 s.
    pub pause: Duration,
    /// The first and the longest pause after a node has failed. 0.25 s and 15 s.
    pub retry: (Duration, Duration),
}

impl Default for TemplateTiming {
    fn default() -> TemplateTiming {
        TemplateTiming {
            refresh: Duration::from_secs(30),
            pause: Duration::from_secs(1),
            retry: (Duration::from_millis(250), Duration::from_secs(15)),
        }
    }
}

/// A node that gives no template.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateFetchError {
    /// The node can't be asked, or is not one to mine on.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Its template can't be used.
    #[error("node {node} gives a template that can't be used")]
    Template {
        /// The node.
        node: String,
        /// Why not.
        #[source]
        source: TemplateError,
    },
}

impl From<crate::rpc::RpcError> for TemplateFetchError {
    fn from(error: crate::rpc::RpcError) -> TemplateFetchError {
        TemplateFetchError::Network(error.into())
    }
}

/// Nodes on one network, the best first.
#[derive(Clone, Debug)]
pub struct Nodes {
    clients: Arc<[Arc<RpcClient>]>,
}

/// There is no node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no node is given")]
pub struct NoNodes;

impl Nodes {
    /// Nodes in the order in which they are to be used.
    ///
    /// # Errors
    /// If there is none.
    pub fn new(clients: impl IntoIterator<Item = RpcClient>) -> Result<Nodes, NoNodes> {
        let clients: Arc<[_]> = clients.into_iter().map(Arc::new).collect();
        if clients.is_empty() { Err(NoNodes) } else { Ok(Nodes { clients }) }
    }

    /// The clients, best first.
    pub fn clients(&self) -> &[Arc<RpcClient>] {
        &self.clients
    }

    /// The network of the first node that answers. Waits for nodes that are starting or can't be reached, for ever.
    ///
    /// # Errors
    /// If no node can be mined on and waiting won't help: the first node's fault.
    pub async fn network(&self) -> Result<Network, NetworkError> {
        let (first, max) = TemplateTiming::default().retry;
        let mut backoff = Backoff::new(first, max);
        loop {
            let mut faults = Vec::new();
            for client in self.clients.iter() {
                match network::detect(client).await {
                    Ok(network) => return Ok(network),
                    Err(fault) => faults.push(fault),
                }
            }
            let hopeless = faults.iter().all(|fault| !fault.is_transient());
            if hopeless && !faults.is_empty() {
                return Err(faults.swap_remove(0));
            }
            for fault in &faults {
                tracing::warn!(error = error_chain(fault), "no answer from this node");
            }
            let delay = backoff.delay();
            tracing::warn!(nodes = self.clients.len(), again_in = ?delay, "waiting for a node");
            tokio::time::sleep(delay).await;
        }
    }

    /// Starts to watch all nodes. Must be called in a Tokio runtime.
    pub fn templates(&self, network: Network, timing: TemplateTiming) -> TemplateStream {
        let (sender, states) = latest::channel(vec![State::Starting; self.clients.len()]);
        let sender = Arc::new(sender);
        let mut tasks = JoinSet::new();
        for (index, client) in self.clients.iter().enumerate() {
            let sender = sender.clone();
            let publish = move |state: State| {
                sender.send_modify(|states| {
                    if let Some(entry) = states.get_mut(index) {
                        *entry = state;
                    }
                });
            };
            tasks.spawn(watch::watch(client.clone(), network, timing, publish));
        }
        TemplateStream { clients: self.clients.clone(), states, last: Last::default(), _tasks: tasks }
    }

    /// Submits a block to all nodes, until one has answered; see [`submit::submit`].
    pub async fn submit(&self, block: &Block) -> BlockVerdict {
        submit::submit(&self.clients, block).await
    }
}

/// What a node's watcher knows.
#[derive(Clone, Debug)]
pub(crate) enum State {
    /// Nothing yet.
    Starting,
    /// The newest template.
    Up(Arc<Fetched>),
    /// What went wrong last.
    Down(Arc<TemplateFetchError>),
}

/// A template with what its node says about it elsewhere.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub template: Arc<Template>,
    pub parent_time: Option<u32>,
}

/// A new template.
#[derive(Clone, Debug)]
pub struct TemplateUpdate {
    /// The template.
    pub template: Arc<Template>,
    /// The time in the header of the block before, seconds since the Unix epoch; known where it decides on bits
    /// ([`crate::min_difficulty`]).
    pub parent_time: Option<u32>,
    /// Whether the tip is another one than before: older work is worthless.
    pub clean: bool,
    /// Which node it is from: its place among [`Nodes::clients`].
    pub node: usize,
}

/// What [`TemplateStream::next`] tells.
#[derive(Clone, Debug)]
pub enum TemplateEvent {
    /// There is new work.
    New(TemplateUpdate),
    /// No node works any more, or none does at the start; the faults in the nodes' order. Work on the last template
    /// will probably be in vain.
    AllDown(Vec<Arc<TemplateFetchError>>),
}

/// The stream of new templates. Dropping it ends the watch.
pub struct TemplateStream {
    clients: Arc<[Arc<RpcClient>]>,
    states: latest::Receiver<Vec<State>>,
    last: Last,
    _tasks: JoinSet<()>,
}

impl fmt::Debug for TemplateStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TemplateStream").field("clients", &self.clients).finish_non_exhaustive()
    }
}

impl TemplateStream {
    /// Waits for news. Whoever asks late gets the newest template only. Safe to cancel.
    pub async fn next(&mut self) -> TemplateEvent {
        loop {
            let event = self.last.decide(&self.states.borrow_and_update());
            if let Some(event) = event {
                return event;
            }
            if self.states.changed().await.is_err() {
                // The watchers never end before this does, unless the runtime is on its way out.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// What was told last.
#[derive(Debug, Default)]
struct Last {
    told: Option<Arc<Fetched>>,
    all_down: bool,
}

impl Last {
    /// What there is to tell now, if anything.
    fn decide(&mut self, states: &[State]) -> Option<TemplateEvent> {
        let up = states.iter().enumerate().filter_map(|(node, state)| match state {
            State::Up(fetched) => Some((node, fetched)),
            _ => None,
        });
        // Of several with the same height, the last of what is turned around: the first.
        let best = up.rev().max_by_key(|(_, fetched)| fetched.template.height);
        let Some((node, fetched)) = best else { return self.decide_down(states) };
        self.all_down = false;
        if self.told.as_ref().is_some_and(|told| Arc::ptr_eq(told, fetched)) {
            return None;
        }
        let told = self.told.replace(fetched.clone());
        let clean = told.is_none_or(|told| told.template.prev_hash != fetched.template.prev_hash);
        let (template, parent_time) = (fetched.template.clone(), fetched.parent_time);
        Some(TemplateEvent::New(TemplateUpdate { template, parent_time, clean, node }))
    }

    fn decide_down(&mut self, states: &[State]) -> Option<TemplateEvent> {
        let faults: Option<Vec<_>> = states
            .iter()
            .map(|state| match state {
                State::Down(fault) => Some(fault.clone()),
                _ => None,
            })
            .collect();
        let faults = faults.filter(|_| !self.all_down)?;
        self.all_down = true;
        Some(TemplateEvent::AllDown(faults))
    }
}
