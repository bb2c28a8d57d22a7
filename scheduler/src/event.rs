//! The events that the state machine handles, and the effects that it requests.

use std::time::{Duration, Instant};

use mesos::v1::{Offer, TaskInfo, TaskState, TaskStatus, task_status};
use problem::Problem;
use task::NodeAccess;

use crate::artifact::DownloadStats;
use crate::cluster_view::{ClusterView, Question};
use crate::control::{Obeyed, OrderRequest, Refusal};
use crate::history::Topic;
use crate::journal::{Change, ChangeId};
use crate::sandbox::{Sandbox, StderrRead};
use crate::user_notice::UserNotice;

/// Something that has happened. Tasks, agents and offers are given by their ids.
#[derive(Clone, Debug)]
pub enum Event {
    /// The master has accepted a subscription, with this framework id.
    Subscribed(String),
    /// The master is alive.
    Heartbeat,
    /// The subscription has ended. All offers are void, and calls have no effect.
    Disconnected,
    /// The master has removed the framework, with all its tasks. The framework's id cannot be used again.
    Removed {
        /// The wall-clock time, in milliseconds since the Unix epoch.
        now_ms: u64,
    },
    /// The master offers resources.
    Offers(Vec<Offer>),
    /// An offer is rescinded.
    Rescinded(String),
    /// This event comes just before [`Event::Offers`]. It has the id of each agent in those offers, and the planned maintenance
    /// of the agent's machine, if any.
    Unavailabilities(Vec<(String, Option<Unavailability>)>),
    /// The master asks for resources to be returned.
    InverseOffers(Vec<InverseOffer>),
    /// An inverse offer is rescinded.
    InverseRescinded(String),
    /// A status update.
    Update(Box<TaskStatus>),
    /// An executor's message.
    Message {
        /// The id of the executor and of its task.
        executor: String,
        /// The encoded message.
        data: Vec<u8>,
    },
    /// An executor has terminated. An update of its task follows.
    ExecutorTerminated {
        /// The agent's id, if the master gave it.
        agent: Option<String>,
        /// The id of the executor and of its task.
        executor: String,
        /// The exit status, as wait(2) returns it.
        status: Option<i32>,
    },
    /// An agent was removed. Updates of its tasks follow.
    AgentRemoved(String),
    /// Changes are on disk, oldest first.
    Persisted(Vec<ChangeId>),
    /// Statistics of the agents' downloads of the executor from this scheduler.
    Fetching(DownloadStats),
    /// The master has answered all calls that were decided on before an instant.
    CallsAnswered {
        /// Calls that were decided on before this instant have been answered.
        decided_before: Instant,
    },
    /// The end of an executor's standard error was read, or could not be read.
    StderrRead(Box<StderrRead>),
    /// Sets or clears a problem that only I/O knows of.
    Problem {
        /// The topic, which the driver owns.
        topic: Topic,
        /// The problem; `None` if there is none any more.
        problem: Option<Problem>,
    },
    /// The answer to [`Effect::AskMaster`]; `None` if the master did not answer.
    ClusterViewed(Option<ClusterView>),
    /// The cookie file of a node has changed: the server's nodes, with the users and passwords of today.
    NodeCredentials(Vec<NodeAccess>),
    /// An operator tells the scheduler to do something. [`Effect::Answer`] answers it, before the next order comes.
    Order(Box<OrderRequest>),
    /// The time for periodic work has come.
    Tick,
    /// The user wants the scheduler to stop.
    Stop,
}

/// The time during which a machine is unavailable because of maintenance, relative to now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailability {
    /// The time until maintenance begins; zero if it has begun.
    pub begins_in: Duration,
    /// How long the maintenance lasts from its begin; `None` if the machine does not come back.
    pub lasts: Option<Duration>,
}

/// A request to return resources that were offered before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InverseOffer {
    /// The id of the inverse offer.
    pub id: String,
    /// The id of the agent; `None` for any agent.
    pub agent: Option<String>,
    /// The maintenance for which the resources are to be returned.
    pub unavailability: Unavailability,
}

impl Event {
    /// Whether the event was received from the master.
    pub(crate) fn is_from_master(&self) -> bool {
        !matches!(
            self,
            Event::Disconnected
                | Event::Removed { .. }
                | Event::Persisted(_)
                | Event::Fetching(_)
                | Event::CallsAnswered { .. }
                | Event::StderrRead(_)
                | Event::Problem { .. }
                | Event::ClusterViewed(_)
                | Event::NodeCredentials(_)
                | Event::Order(_)
                | Event::Tick
                | Event::Stop
        )
    }
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskEnd {
    /// The id of the task that has ended.
    pub task: String,
    /// The state in which the task ended.
    pub state: TaskState,
    /// The reason that Mesos gave for the end, if any.
    pub reason: Option<task_status::Reason>,
    /// The status with which the task's executor has terminated, as wait(2) returns it, if Mesos has said so.
    pub status: Option<i32>,
    /// What Mesos or the executor says about the end, as text for the user.
    pub message: Option<String>,
    /// The problem that the task named last, if it has failed.
    pub problem: Option<Problem>,
}

/// Something to do. Effects are carried out in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Persist a change, and report [`Event::Persisted`] when it is on disk.
    Persist(ChangeId, Change),
    /// Call the master.
    Call(Call),
    /// Ask the master's operator API for its agents and quotas, and report [`Event::ClusterViewed`].
    AskMaster(Question),
    /// Show a notice to the user.
    Notify(UserNotice),
    /// Answer the order of an operator.
    Answer(Result<Obeyed, Refusal>),
    /// Read the end of an executor's standard error, because of a failure, and report [`Event::StderrRead`].
    ReadStderr(Sandbox, TaskEnd),
    /// The shutdown is complete. No further effect follows.
    Finish,
}

/// A call to the master. `Debug` omits the content of messages, which may have a password.
#[derive(Clone, PartialEq, derive_more::Debug)]
pub enum Call {
    /// Launches tasks on one agent.
    Accept {
        /// The ids of the offers to use; all are offers of one agent.
        offers: Vec<String>,
        /// The tasks to launch.
        tasks: Vec<TaskInfo>,
        /// How long the master does not offer this framework the resources that the tasks leave unused.
        refuse: Duration,
    },
    /// Declines offers.
    Decline {
        /// The ids of the offers to decline.
        offers: Vec<String>,
        /// How long the master does not offer this framework the resources of these offers.
        refuse: Duration,
    },
    /// Accepts inverse offers: the resources will be free in time.
    AcceptInverse(Vec<String>),
    /// Declines inverse offers that name no agent.
    DeclineInverse(Vec<String>),
    /// Asks the master for no more offers.
    Suppress,
    /// Asks the master for offers, including those that were declined.
    Revive,
    /// Ends a task.
    Kill {
        /// The task's id.
        task: String,
        /// The agent's id.
        agent: String,
    },
    /// Shuts an executor down. Its agent kills it if it does not end by itself.
    Shutdown {
        /// The id of the executor and of its task.
        executor: String,
        /// The agent's id.
        agent: String,
    },
    /// Sends a message to an executor. It may be lost.
    Message {
        /// The id of the executor and of its task.
        executor: String,
        /// The agent's id.
        agent: String,
        /// The encoded message.
        #[debug("{} bytes", data.len())]
        data: Vec<u8>,
    },
    /// Acknowledges an update.
    Acknowledge {
        /// The task's id.
        task: String,
        /// The agent's id.
        agent: String,
        /// The update's uuid.
        uuid: Vec<u8>,
    },
    /// Asks for the states of these tasks (id, agent). If the list is empty, asks for the states of all tasks that the master
    /// knows.
    Reconcile(Vec<(String, String)>),
    /// Ends the framework.
    Teardown,
}
