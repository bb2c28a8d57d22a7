//! What the cluster's core is told, and by whom.

use super::parts::Parts;
use crate::container;
use crate::http::Reply;
use crate::http::wire::Wire;
use crate::link::RequestId;
use crate::operator;
use mesos::v1::{executor, scheduler};
use tokio::sync::oneshot;
use uuid::Uuid;

/// Who answers a request or owns a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Party {
    Master,
    Agent(usize),
}

/// A request that waits for its answer.
pub(super) struct Pending {
    pub wire: Wire,
    pub reply: oneshot::Sender<Reply>,
}

/// What the core is told.
pub(super) enum Message {
    Scheduler {
        call: Box<scheduler::Call>,
        stream_id: Option<String>,
        pending: Pending,
    },
    Operator {
        call: Box<operator::master::Call>,
        pending: Pending,
    },
    Executor {
        place: usize,
        call: Box<executor::Call>,
        pending: Pending,
    },
    Closed(Party, RequestId),
    Container {
        place: usize,
        container: Uuid,
        event: container::Event,
    },
    Look(Box<dyn FnOnce(&Parts) + Send>),
    Fault(Fault),
    /// Ends everything, in the executors' own time or at once.
    Stop {
        at_once: bool,
        done: oneshot::Sender<()>,
    },
}

/// A disturbance.
#[derive(Debug)]
pub(super) enum Fault {
    KillAgent(usize),
    StartAgent(usize),
    StopAgent(usize),
    KillMaster,
    StartMaster,
    RescindOffers,
    DuplicateUpdates(bool),
    KillExecutor(String),
    Revoke(usize),
}
