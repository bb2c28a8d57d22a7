//! The events that policies react to.

use std::time::Instant;

use mesos::v1::{Offer, TaskState};

use super::TaskEnd;
use crate::artifact::DownloadStats;
use crate::cluster_view::ClusterView;
use crate::event::{InverseOffer, Unavailability};
use crate::fleet::StateChange;
use crate::journal::Command;
use crate::offers::UnusedAgent;
use crate::sandbox::StderrRead;

/// Something that policies may react to. Tasks, agents, servers and offers are identified by their ids.
#[derive(Clone, Debug)]
pub enum PolicyEvent {
    /// The first event. The fleet already has the tasks of an earlier run of the scheduler.
    Started,
    /// The master has accepted a subscription.
    Subscribed,
    /// After a subscription, the master has answered for each task that an earlier run launched, or has had enough time to do so.
    /// The answers are applied.
    Reconciled,
    /// Time has passed.
    Tick,
    /// All reactions of the policies to the last event have been carried out. `Settled` is raised again until no policy reacts to
    /// it.
    Settled,
    /// The user wants the scheduler to stop.
    Stop,
    /// The master has sent offers.
    Offers(Vec<Offer>),
    /// The planned maintenance, if any, of the agents whose offers follow in the next event.
    Unavailabilities(Vec<(String, Option<Unavailability>)>),
    /// The master asks for resources back.
    InverseOffers(Vec<InverseOffer>),
    /// An inverse offer was rescinded.
    InverseRescinded(String),
    /// The executor with this id, which is also the id of its task, has terminated.
    ExecutorTerminated(String),
    /// An agent was removed.
    AgentRemoved(String),
    /// The launch of a task is on disk.
    LaunchPersisted(String),
    /// The launch of a task was sent, or a task without a record was found.
    Launched(String),
    /// The master has answered all calls that were decided before a certain instant.
    CallsAnswered {
        /// All calls that were decided before this instant are answered.
        decided_before: Instant,
    },
    /// A status update of a task was received. It is not on disk yet.
    UpdateReceived(String),
    /// An update that is on disk says that a task has not ended.
    Alive {
        /// The task's id.
        task: String,
        /// The state in the update.
        state: TaskState,
        /// The task's state before the update, and whether the task then counted against limits such as `--max-workers`.
        change: StateChange,
    },
    /// An update that is on disk says that a task has ended.
    Ended(TaskEnd),
    /// A task that does not start was given up, and is being ended. The `TaskEnd` has the state in which the task was given up.
    LaunchGivenUp(TaskEnd),
    /// An update is on disk and was applied.
    UpdatePersisted {
        /// The task's id.
        task: String,
        /// The id of the task's agent.
        agent: String,
        /// The update's uuid, if the update is to be acknowledged.
        uuid: Option<Vec<u8>>,
        /// Whether the task is still alive, although it has retired.
        still_alive: bool,
    },
    /// The end of an executor's standard error was read, or could not be read.
    StderrRead(Box<StderrRead>),
    /// A task's health has changed.
    Health {
        /// The task's id.
        task: String,
        /// Whether the task is healthy.
        healthy: bool,
        /// Whether the task's health was known before.
        known: bool,
        /// Why the task is not healthy.
        why: String,
    },
    /// An executor sent a live message.
    LiveMessage {
        /// The task's id.
        task: String,
        /// Whether this is the task's first live message.
        first: bool,
    },
    /// A worker no longer counts against limits and constraints.
    SlotReleased(String),
    /// A server was taken out of service.
    ServerLost(String),
    /// A worker was assigned to another server.
    Assigned(String),
    /// Nothing is launched on an agent's offers.
    Unused(UnusedAgent),
    /// A policy asks for declined offers again.
    OffersRevived,
    /// The answer to [`Intent::AskMaster`](super::Intent::AskMaster); `None` if the master did not answer.
    ClusterViewed(Option<ClusterView>),
    /// The users and passwords of the server's nodes have changed. The settings have the new ones.
    NodeCredentialsChanged,
    /// A command of an operator is on disk, and applied to the records.
    Commanded(Command),
    /// A measurement of how fast agents fetch the executor from this scheduler.
    Fetching(DownloadStats),
}
