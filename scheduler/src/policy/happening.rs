//! What rules hear.

use std::time::Instant;

use mesos::v1::{Offer, TaskState};

use super::Ended;
use crate::artifact::Fetching;
use crate::event::{Away, InverseOffer};
use crate::fleet::StateChange;
use crate::offers::UnusedAgent;

/// Something that rules may have to do something about.
#[derive(Clone, Debug)]
pub enum Happening {
    /// The tasks of an earlier run of the scheduler are in the fleet. Comes first.
    Started,
    /// A subscription stands.
    Subscribed,
    /// Time has passed.
    Tick,
    /// All that follows from an event is done. Comes last, and again until no rule wants anything.
    Settled,
    /// The user wants an end.
    Stop,
    /// Offers.
    Offers(Vec<Offer>),
    /// What the offers that follow say of their agents' machines.
    Planned(Vec<(String, Option<Away>)>),
    /// Resources are wanted back.
    InverseOffers(Vec<InverseOffer>),
    /// An inverse offer is gone.
    InverseRescinded {
        /// Its id.
        offer: String,
    },
    /// An executor has ended.
    ExecutorFailed {
        /// Its id, which is its task's.
        executor: String,
        /// As wait(2) gives it.
        status: Option<i32>,
    },
    /// An agent is gone.
    AgentGone {
        /// Its id.
        agent: String,
    },
    /// The launch of a task is on disk.
    LaunchWritten {
        /// The task's id.
        task: String,
    },
    /// The launch of a task was sent, or a task was found that stands in no record.
    Launched {
        /// The task's id.
        task: String,
    },
    /// The master has taken all calls that were decided before an instant.
    CallsAnswered {
        /// The instant.
        decided_before: Instant,
    },
    /// The master told of a task, or its agent did. Nothing of it is on disk yet.
    Answered {
        /// The task's id.
        task: String,
    },
    /// A task is on its agent, and that is on disk.
    Alive {
        /// The task's id.
        task: String,
        /// Mesos' state.
        state: TaskState,
        /// What was before.
        change: StateChange,
    },
    /// A task ended, and that is on disk.
    Ended(Ended),
    /// What follows from an update is on its way.
    Recorded {
        /// The task's id.
        task: String,
        /// The agent's id.
        agent: String,
        /// The update's id, if it is to be acknowledged.
        uuid: Option<Vec<u8>>,
        /// Whether the task ended long ago for us, and lives.
        outlived: bool,
    },
    /// A task says that it is well, or not.
    Health {
        /// The task's id.
        task: String,
        /// Whether it is.
        healthy: bool,
        /// Whether it has said so before.
        known: bool,
        /// Why not.
        why: String,
    },
    /// An executor sent a live message.
    Spoke {
        /// The task's id.
        task: String,
        /// Whether it is the first one.
        first: bool,
    },
    /// A worker no longer counts against limits and constraints.
    SlotReleased {
        /// The task's id.
        task: String,
    },
    /// A server was given up.
    ServerLost {
        /// The task's id.
        server: String,
    },
    /// A worker works for another server now.
    Assigned {
        /// The worker's id.
        worker: String,
    },
    /// Nothing is launched on what an agent offers.
    Unused(UnusedAgent),
    /// What was declined is to be offered again.
    OffersWanted,
    /// Agents fetch the executor from this scheduler, this fast.
    Fetching(Fetching),
}
