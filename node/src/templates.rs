//! The stream of new templates from the best of several nodes.
//!
//! The best node is one that works and is not behind another node; see the module `choice`. A node that has lost
//! its peers falls behind, and is then as useless as a node that is down. A separate task watches each node all the time, so
//! that every node's newest template is available when the best node changes.

mod answers;
mod calls;
mod choice;
mod last_event;
mod load;
mod slot;
mod slowness;
mod subscription;
#[cfg(test)]
mod tests;
mod tip_watch;
mod watch;
mod zmtp;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::{Block, Network};
use problem::{Problem, ProblemKind};
use text::InWords;
use tokio::sync::watch as latest;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use self::last_event::LastEvent;
use self::slowness::Delay;
use crate::clock::NodeClock;
use crate::network::{self, NetworkError};
use crate::rpc::{RpcClient, RpcError};
use crate::submit::{self, BlockVerdict};
use crate::template::{Template, TemplateError};
use logging::{Repeats, error_chain};
use net::Backoff;

/// How often all nodes must answer in a row that waiting will not help, before [`Nodes::network`] gives up. A node that has just
/// been restarted with another password, or a proxy before it, may give such an answer once.
const HOPELESS: u32 = 3;

/// How nodes are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateTiming {
    /// While the tip stays the same, a new template is requested at this interval to include new transactions and their
    /// fees. Default: 30 s.
    pub refresh: Duration,
    /// The first and the longest pause before a node that has failed is asked again. Default: 0.25 s and 15 s.
    pub retry: (Duration, Duration),
    /// The longest pause if the node cannot be reached, is still starting, or is too busy. Default: 2 s.
    pub absent: Duration,
    /// How long a node must keep up with the others before it takes over from a working node after it in the operator's order.
    /// Default: 10 s.
    pub settle: Duration,
}

impl Default for TemplateTiming {
    fn default() -> Self {
        TemplateTiming {
            refresh: Duration::from_secs(30),
            retry: (Duration::from_millis(250), Duration::from_secs(15)),
            absent: Duration::from_secs(2),
            settle: Duration::from_secs(10),
        }
    }
}

impl TemplateTiming {
    /// The longest pause before a node that has failed is asked again; `error` is the node's, if it has given one.
    fn longest_pause(&self, error: Option<&RpcError>) -> Duration {
        match error {
            Some(error) if error.is_absent() || error.is_busy() => self.absent,
            _ => self.retry.1,
        }
    }
}

/// Why a node gives no usable template.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateFetchError {
    /// The node does not answer, or its network cannot be mined on.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The node's template cannot be used.
    #[error("node {node} gives a template that cannot be used")]
    Template {
        /// The node.
        node: String,
        /// The fault in the template.
        #[source]
        source: TemplateError,
    },
}

impl TemplateFetchError {
    /// The error as a problem.
    pub fn problem(&self) -> Problem {
        match self {
            TemplateFetchError::Network(error) => error.problem(),
            TemplateFetchError::Template { .. } => Problem::new(ProblemKind::NodeRefuses, error_chain(self)),
        }
    }
}

impl From<crate::rpc::RpcError> for TemplateFetchError {
    fn from(error: crate::rpc::RpcError) -> Self {
        TemplateFetchError::Network(error.into())
    }
}

impl TemplateFetchError {
    /// The node's error, if the node has given one.
    fn rpc(&self) -> Option<&RpcError> {
        match self {
            TemplateFetchError::Network(error) => error.rpc(),
            TemplateFetchError::Template { .. } => None,
        }
    }

    /// Whether the node is too busy to take the call.
    fn is_busy(&self) -> bool {
        self.rpc().is_some_and(RpcError::is_busy)
    }
}

/// Bitcoin nodes on one network, in the operator's order of preference.
#[derive(Clone, Debug)]
pub struct Nodes {
    clients: Arc<[Arc<RpcClient>]>,
}

/// The list of nodes is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no node is given")]
pub struct NoNodes;

impl Nodes {
    /// Nodes in the operator's order of preference.
    ///
    /// # Errors
    /// If there is no node.
    pub fn new(clients: impl IntoIterator<Item = RpcClient>) -> Result<Self, NoNodes> {
        let clients: Arc<[_]> = clients.into_iter().map(Arc::new).collect();
        if clients.is_empty() { Err(NoNodes) } else { Ok(Nodes { clients }) }
    }

    /// The clients of the nodes, in the operator's order of preference.
    pub fn clients(&self) -> &[Arc<RpcClient>] {
        &self.clients
    }

    /// The network of the first node that answers. Waits without a time limit for nodes that are starting or cannot be
    /// reached.
    ///
    /// # Errors
    /// The first node's error, if each node has answered a few times in a row that it cannot be mined on, and waiting will not
    /// help.
    pub async fn network(&self) -> Result<Network, NetworkError> {
        self.network_reporting(|_| ()).await
    }

    /// Like [`network`](Self::network). After each round without an answer, `report` gets the errors of all nodes.
    ///
    /// # Errors
    /// As for [`network`](Self::network).
    pub async fn network_reporting(
        &self,
        mut report: impl FnMut(&[NetworkError]),
    ) -> Result<Network, NetworkError> {
        let timing = TemplateTiming::default();
        let mut backoff = Backoff::new(timing.retry.0, timing.retry.1);
        let (mut hopeless, mut repeats) = (0, Repeats::default());
        loop {
            let mut faults = Vec::new();
            for client in self.clients.iter() {
                match network::detect(client).await {
                    Ok(network) => return Ok(network),
                    Err(fault) => faults.push(fault),
                }
            }
            hopeless = if faults.iter().all(|fault| !fault.is_transient()) { hopeless + 1 } else { 0 };
            if hopeless >= HOPELESS && !faults.is_empty() {
                return Err(faults.swap_remove(0));
            }
            report(&faults);
            let longest = faults.iter().map(|fault| timing.longest_pause(fault.rpc())).min();
            let longest = longest.unwrap_or(timing.retry.1);
            for error in faults.iter().map(|fault| error_chain(fault)) {
                if repeats.print(&error, Instant::now()).is_some() {
                    tracing::warn!(error, tries_every = %InWords(longest), "this node cannot be used yet; trying again");
                }
            }
            tokio::time::sleep(backoff.delay().min(longest)).await;
        }
    }

    /// Starts to watch all nodes. Panics outside of a Tokio runtime.
    pub fn templates(&self, network: Network, timing: TemplateTiming) -> TemplateStream {
        let (sender, states) = latest::channel(vec![NodeView::default(); self.clients.len()]);
        let sender = Arc::new(sender);
        let mut tasks = JoinSet::new();
        for (index, client) in self.clients.iter().enumerate() {
            let sender = sender.clone();
            let publish = move |news: NodeNews| {
                sender.send_modify(|nodes| {
                    if let Some(node) = nodes.get_mut(index) {
                        node.take(news);
                    }
                });
            };
            tasks.spawn(watch::watch(client.clone(), network, timing, publish));
        }
        TemplateStream {
            clients: self.clients.clone(),
            states,
            last: LastEvent::new(timing.settle),
            _tasks: tasks,
        }
    }

    /// Submits a block to all nodes; see [`submit::submit`].
    pub async fn submit(&self, block: &Block) -> BlockVerdict {
        self.submit_reporting(block, |_| ()).await
    }

    /// Like [`submit`](Self::submit). `report` gets the reason why no node takes the block, if waiting will not help.
    pub async fn submit_reporting(&self, block: &Block, report: impl FnMut(Problem)) -> BlockVerdict {
        submit::submit(&self.clients, block, report).await
    }

    /// Asks each node that works for a new template now, without waiting for the next refresh.
    pub fn ask_for_templates(&self) {
        self.clients.iter().for_each(|client| client.want_refresh());
    }
}

/// What has become known about a node.
#[derive(Clone, Debug)]
pub(crate) enum NodeNews {
    /// Whether the node works.
    State(NodeState),
    /// How the node's plain calls are late, if they have become slow; `None` if they are not, or not any more.
    Slow(Option<Delay>),
}

/// What is known about a node.
#[derive(Clone, Debug, Default)]
struct NodeView {
    state: NodeState,
    /// How the node's plain calls are late, if they are slow.
    slow: Option<Delay>,
}

impl NodeView {
    fn take(&mut self, news: NodeNews) {
        match news {
            NodeNews::State(state) => self.state = state,
            NodeNews::Slow(slow) => self.slow = slow,
        }
    }
}

/// Whether a node works.
#[derive(Clone, Debug, Default)]
pub(crate) enum NodeState {
    /// The node has not answered yet.
    #[default]
    Starting,
    /// The node works, and this is its newest template.
    Up(Arc<FetchedTemplate>),
    /// The node does not work, and this is its last error.
    Down(Arc<TemplateFetchError>),
}

/// A template, with data from other calls to its node.
#[derive(Debug)]
pub(crate) struct FetchedTemplate {
    pub template: Arc<Template>,
    pub parent_time: Option<u32>,
    /// The node's clock. An empty template ([`crate::empty_template`]) keeps the clock of the template before it.
    pub clock: NodeClock,
    /// When the node was asked.
    pub asked: Instant,
    /// Whether this is the node's own template, not an empty one that was made of facts about a new tip.
    pub full: bool,
}

/// A new template.
#[derive(Clone, Debug)]
pub struct TemplateUpdate {
    /// The template.
    pub template: Arc<Template>,
    /// The time in the parent's header, seconds since the Unix epoch; known only if the bits depend on this time
    /// ([`crate::min_difficulty`]).
    pub parent_time: Option<u32>,
    /// The node's clock.
    pub clock: NodeClock,
    /// Whether the tip has changed, so that older work is worthless.
    pub clean: bool,
    /// The node's index in [`Nodes::clients`].
    pub node: usize,
    /// The index of the main node, which is the one to tell users of: another node may only have been a moment faster.
    pub main_node: usize,
    /// When the node was asked for the template. Whatever the node had accepted before this moment is below the template.
    pub asked: Instant,
}

/// An event of a [`TemplateStream`].
#[derive(Clone, Debug)]
pub enum TemplateEvent {
    /// There is a new template.
    New(TemplateUpdate),
    /// No node works. Contains the error of each node, in the nodes' order. The event is repeated when the problem changes.
    AllDown(Vec<Arc<TemplateFetchError>>),
    /// Nodes work, but have become slow to answer: a warning that names them. `None` if none is slow any more.
    Slow(Option<Problem>),
}

/// The stream of new templates. Dropping it stops watching the nodes.
pub struct TemplateStream {
    clients: Arc<[Arc<RpcClient>]>,
    states: latest::Receiver<Vec<NodeView>>,
    last: LastEvent,
    _tasks: JoinSet<()>,
}

impl fmt::Debug for TemplateStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TemplateStream").field("clients", &self.clients).finish_non_exhaustive()
    }
}

impl TemplateStream {
    /// Waits for the next event; skips templates that newer ones have replaced meanwhile. Safe to cancel.
    pub async fn next(&mut self) -> TemplateEvent {
        loop {
            let event = {
                let nodes = self.states.borrow_and_update();
                let states: Vec<_> = nodes.iter().map(|node| &node.state).collect();
                let event = self.last.decide(&states, Instant::now());
                event.or_else(|| self.last.decide_slow(&self.clients, &nodes))
            };
            if let Some(event) = event {
                return event;
            }
            let next = self.last.next_change();
            tokio::select! {
                changed = self.states.changed() => if changed.is_err() {
                    // The tasks that watch the nodes have ended, because the runtime is shutting down. So no event will follow.
                    std::future::pending::<()>().await;
                },
                () = sleep_until(next.unwrap_or_else(Instant::now).into()), if next.is_some() => {}
            }
        }
    }
}
