//! What the state machine is told, and what it wants done.

use std::time::{Duration, Instant};

use mesos::v1::{Offer, TaskInfo, TaskStatus};

use crate::artifact::Fetching;
use crate::journal::{Change, Ticket};
use crate::user_notice::UserNotice;

/// Something that has happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A subscription stands, under this framework id.
    Subscribed {
        /// The id.
        framework: String,
    },
    /// The master is there, and has nothing to say.
    Heartbeat,
    /// The subscription is gone; offers are void, calls have no effect.
    Disconnected,
    /// The master has given the framework up: its tasks are gone, its id is of no more use.
    Removed,
    /// Offers.
    Offers(Vec<Offer>),
    /// An offer is gone.
    Rescinded {
        /// Its id.
        offer: String,
    },
    /// What the offers that follow say of their agents' machines.
    Planned(Vec<(String, Option<Away>)>),
    /// Resources are wanted back.
    InverseOffers(Vec<InverseOffer>),
    /// An inverse offer is gone.
    InverseRescinded {
        /// Its id.
        offer: String,
    },
    /// A status update.
    Update(Box<TaskStatus>),
    /// An executor's message.
    Message {
        /// The executor's id, which is its task's.
        executor: String,
        /// The content.
        data: Vec<u8>,
    },
    /// An executor has ended or, without one, an agent is gone. Updates of the tasks follow.
    Failure {
        /// The agent's id.
        agent: Option<String>,
        /// The executor's id.
        executor: Option<String>,
        /// As wait(2) gives it.
        status: Option<i32>,
    },
    /// Changes are on disk, oldest first. They come together, so that what follows from all of them is looked at once.
    Persisted(Vec<Ticket>),
    /// Agents fetch the executor from this scheduler, this fast.
    Fetching(Fetching),
    /// The master has taken all calls that were decided before an instant.
    CallsAnswered {
        /// The instant.
        decided_before: Instant,
    },
    /// Time has passed.
    Tick,
    /// The user wants an end.
    Stop,
}

/// When a machine is away, from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Away {
    /// Until it begins; zero if it has.
    pub begins_in: Duration,
    /// How long it lasts from then on; `None`: for good.
    pub lasts: Option<Duration>,
}

/// Asks for what an agent has given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InverseOffer {
    /// Its id.
    pub id: String,
    /// The agent; `None`: any.
    pub agent: Option<String>,
    /// When.
    pub away: Away,
}

impl Event {
    /// Whether it came through the subscription.
    pub(crate) fn is_from_master(&self) -> bool {
        !matches!(
            self,
            Event::Disconnected
                | Event::Removed
                | Event::Persisted(_)
                | Event::Fetching(_)
                | Event::CallsAnswered { .. }
                | Event::Tick
                | Event::Stop
        )
    }
}

/// Something to do, in the order given.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write this down, and say [`Event::Persisted`] when the disk has it.
    Persist(Ticket, Change),
    /// Tell the master.
    Call(Call),
    /// Tell the user.
    Publish(UserNotice),
    /// All is done; nothing more will come.
    Finish,
}

/// A call to the master.
#[derive(Clone, Debug, PartialEq)]
pub enum Call {
    /// Launches tasks of one agent.
    Accept {
        /// The offers to use.
        offers: Vec<String>,
        /// The tasks.
        tasks: Vec<TaskInfo>,
        /// For how long what is left should not be offered again.
        refuse: Duration,
    },
    /// Declines offers.
    Decline {
        /// The offers.
        offers: Vec<String>,
        /// For how long they should not be offered again.
        refuse: Duration,
    },
    /// Accepts inverse offers: the resources will be given back in time.
    AcceptInverse {
        /// The inverse offers.
        offers: Vec<String>,
    },
    /// Declines inverse offers that name no agent.
    DeclineInverse {
        /// The inverse offers.
        offers: Vec<String>,
    },
    /// Tells the master to send no offers.
    Suppress,
    /// Tells the master to send offers, also of what was declined.
    Revive,
    /// Ends a task.
    Kill {
        /// Its id.
        task: String,
        /// Its agent's id.
        agent: String,
    },
    /// Ends an executor, which is named as its task: its agent kills it if it does not end by itself.
    Shutdown {
        /// Its id.
        executor: String,
        /// Its agent's id.
        agent: String,
    },
    /// Tells an executor something. May be lost.
    Message {
        /// The executor's id.
        executor: String,
        /// The agent's id.
        agent: String,
        /// The content.
        data: Vec<u8>,
    },
    /// An update is on disk.
    Acknowledge {
        /// The task's id.
        task: String,
        /// The agent's id.
        agent: String,
        /// The update's uuid.
        uuid: Vec<u8>,
    },
    /// Asks for the state of these tasks (id, agent), or of all that the master knows.
    Reconcile(Vec<(String, String)>),
    /// Ends the framework.
    Teardown,
}
