//! How old the work is, and when its source last answered, for those who ask.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use node::Nodes;
use task::BlockSourceSpec;

use crate::current_job::JobTimes;

/// What kind of source the work comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceKind {
    /// The built-in chain.
    #[default]
    Builtin,
    /// Bitcoin nodes.
    Node,
    /// An upstream pool.
    Upstream,
}

impl From<&BlockSourceSpec> for SourceKind {
    fn from(spec: &BlockSourceSpec) -> Self {
        match spec {
            BlockSourceSpec::Builtin { .. } => SourceKind::Builtin,
            BlockSourceSpec::Node(_) => SourceKind::Node,
            BlockSourceSpec::Upstream(_) => SourceKind::Upstream,
        }
    }
}

/// Where work comes from, and how old it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSummary {
    /// What kind of source it is.
    pub kind: SourceKind,
    /// When the tip changed on which miners work; `None` before there is any work.
    pub tip_since: Option<Instant>,
    /// When miners got their job; `None` before there is any.
    pub published: Option<Instant>,
    /// When the node was asked for the template in work, or the upstream pool sent the job; `None` if there is neither.
    pub given: Option<Instant>,
    /// When a node last answered anything, or the upstream pool last sent anything; `None` if none has.
    pub answered: Option<Instant>,
    /// The nodes, in the operator's order of preference.
    pub nodes: Vec<NodeStatus>,
}

/// What the source of work has given last.
#[derive(Debug, Default)]
pub struct SourceStatus {
    kind: SourceKind,
    last: Mutex<LastGiven>,
}

#[derive(Debug, Default)]
struct LastGiven {
    nodes: Option<Nodes>,
    given: Option<Instant>,
    answered: Option<Instant>,
}

/// A node, for those who ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// The node's address, without credentials.
    pub url: String,
    /// When it last answered a call, whatever the answer was; `None` if it never has.
    pub answered: Option<Instant>,
}

impl SourceStatus {
    /// A source of this kind that has given nothing yet.
    pub fn new(kind: SourceKind) -> Self {
        SourceStatus { kind, last: Mutex::default() }
    }

    /// Work comes from these nodes, which know themselves when they have answered.
    pub fn set_nodes(&self, nodes: Nodes) {
        self.lock().nodes = Some(nodes);
    }

    /// The present template or job is from this time: the node was asked for it, or the upstream pool has sent it.
    pub fn set_given(&self, at: Instant) {
        self.lock().given = Some(at);
    }

    /// The upstream pool has sent something.
    pub fn set_answered(&self, at: Instant) {
        self.lock().answered = Some(at);
    }

    /// A summary, with the times of the miners' jobs.
    pub fn summary(&self, JobTimes { published, tip_since }: JobTimes) -> SourceSummary {
        let last = self.lock();
        let clients = last.nodes.iter().flat_map(|nodes| nodes.clients());
        let nodes: Vec<_> = clients
            .map(|client| NodeStatus { url: client.url().to_string(), answered: client.answered() })
            .collect();
        let of_nodes = nodes.iter().filter_map(|node| node.answered).max();
        let answered = of_nodes.max(last.answered);
        SourceSummary { kind: self.kind, tip_since, published, given: last.given, answered, nodes }
    }

    fn lock(&self) -> MutexGuard<'_, LastGiven> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use node::{Credentials, RpcClient, RpcLimits};

    use super::*;

    #[test]
    fn the_last_answer_is_that_of_any_node_or_of_the_upstream_pool() {
        let status = SourceStatus::new(SourceKind::Upstream);
        let told = || {
            let SourceSummary { kind, given, answered, nodes, .. } = status.summary(JobTimes::default());
            (kind, given, answered, nodes)
        };
        assert_eq!(told(), (SourceKind::Upstream, None, None, Vec::new()));
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        status.set_given(now);
        status.set_answered(later);
        assert_eq!(told(), (SourceKind::Upstream, Some(now), Some(later), Vec::new()));
        let url = "http://127.0.0.1:1".parse().unwrap();
        let client = RpcClient::new(url, Credentials::None, RpcLimits::default()).unwrap();
        status.set_nodes(Nodes::new([client]).unwrap());
        let node = NodeStatus { url: "http://127.0.0.1:1".into(), answered: None };
        assert_eq!(told(), (SourceKind::Upstream, Some(now), Some(later), vec![node]));
    }
}
