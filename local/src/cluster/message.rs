//! Messages to the core: calls, events, and requests through handles.

use crate::agent::{self, Agent, ContainerEvent};
use crate::encoding::Encoding;
use crate::http::Reply;
use crate::master::{self, Master};
use crate::messages::RequestId;
use mesos::v1::{executor, scheduler};
use tokio::sync::oneshot;
use uuid::Uuid;

/// Master and agents.
pub(super) struct Members {
    pub master: Master,
    /// The agents. An agent's position in this list is its index.
    pub agents: Vec<Agent>,
}

/// A member of the cluster: the master or an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Master,
    Agent(usize),
}

/// An event for a member.
#[derive(Debug)]
pub(super) enum MemberEvent {
    Master(master::Event),
    Agent(usize, agent::Event),
}

/// A message to the core.
pub(super) enum Message {
    SchedulerCall {
        call: Box<scheduler::Call>,
        stream_id: Option<String>,
        pending: Pending,
    },
    ExecutorCall {
        agent: usize,
        call: Box<executor::Call>,
        pending: Pending,
    },
    /// The peer has closed an event stream, or the stream has ended.
    Closed(Member, RequestId),
    Container {
        agent: usize,
        id: Uuid,
        event: ContainerEvent,
    },
    /// Calls a function with the cluster's members.
    Inspect(Box<dyn FnOnce(&Members) + Send>),
    /// An event that only tests inject.
    Fault(MemberEvent),
    /// Ends the cluster: executors get their grace period or, with `at_once`, SIGKILL immediately.
    Stop {
        at_once: bool,
        done: oneshot::Sender<()>,
    },
}

/// A request that waits for its answer.
pub(super) struct Pending {
    /// The encoding that the answer must have.
    pub encoding: Encoding,
    pub reply: oneshot::Sender<Reply>,
}
