//! Queries about the framework's state. The driver owns the state and answers them.
//!
//! Nothing is computed without a query, and many queries cost little: an answer is reused for half a second, and the driver
//! pauses after each answer, so that answers take at most a twentieth of its time. The pause is limited to 60 ms, so that no
//! query waits long. A long list is read in slices, with events between them, and reused for a second; its slices take at most
//! a third of the driver's time, so that the list is complete soon.

mod client;

use std::time::Duration;

use problem::Problem;
use text::InWords;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

pub(crate) use self::client::QueryClient;

use crate::control::ControlClient;
use crate::core::{
    AgentFacts, BlockFinder, Overview, Pulse, Slice, State, TaskOverview, TaskPage, WorkerSums,
};
use crate::history::TaskFailure;
use crate::journal::{AvoidedAgent, RecordedCommand};

/// Maximum number of queries that wait for the driver. When the queue is full, further clients wait until it has room.
const QUEUE: usize = 16;
/// If the driver has not answered a query within this time, the client gets the error [`QueryError::Busy`].
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// The length of the driver's pause after an answer, as a multiple of the time that the answer took.
const PAUSE_FACTOR: u32 = 19;
/// The same for a slice of a list.
const SLICE_PAUSE_FACTOR: u32 = 2;
/// The longest pause of the driver between two answers.
const LONGEST_PAUSE: Duration = Duration::from_millis(60);

/// Whether this scheduler runs the framework, and so can answer queries.
#[derive(Clone, Debug)]
pub(crate) enum SchedulerPhase {
    /// This scheduler does not lead.
    Standby(Standby),
    /// This scheduler is about to run the framework, and cannot answer queries yet. The problem, if any, keeps it from going on.
    Starting(Option<Problem>),
    /// This scheduler runs the framework.
    Leading(QueryClient, ControlClient),
    /// This scheduler has ended its work on the framework.
    Ending,
}

/// What a scheduler knows that does not lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standby {
    /// What keeps it from taking part in the election, if anything does.
    pub problem: Option<Problem>,
    /// The scheduler that leads, with its address: as text for the user, if it is known.
    pub leader: Option<String>,
}

impl Standby {
    /// Whom to ask instead, as text for the user.
    pub fn text(&self) -> String {
        match &self.leader {
            Some(leader) => format!("another scheduler leads, {leader}: ask that one"),
            None => "another scheduler leads: ask that one".to_owned(),
        }
    }
}

/// A query, with the channel for the answer.
#[derive(Debug)]
pub(crate) enum Query {
    /// The overview.
    Overview(oneshot::Sender<Overview>),
    /// A page of tasks.
    Tasks {
        /// The id of the task before the first task of the page.
        after: Option<String>,
        /// Maximum number of tasks on the page.
        limit: usize,
        /// The channel for the page.
        answer: oneshot::Sender<TaskPage>,
    },
    /// The next tasks of the list of all tasks that have not ended.
    TaskSlice(SliceQuery<TaskOverview>),
    /// The next agents of the list of those about which something is known.
    AgentSlice(SliceQuery<AgentFacts>),
    /// The next workers of the list of those that have found blocks.
    BlockSlice(SliceQuery<BlockFinder>),
    /// The tasks that failed most recently, the newest first.
    Failures(oneshot::Sender<Vec<TaskFailure>>),
    /// The last commands of operators, the oldest first, and the agents to avoid.
    Commands(oneshot::Sender<Commands>),
    /// The figures of this moment, for the series.
    Pulse(oneshot::Sender<Pulse>),
    /// A part of the sums over all workers.
    WorkerSums(Box<PartialSums>),
}

/// The answer to [`Query::Commands`].
pub(crate) type Commands = (Vec<RecordedCommand>, Vec<AvoidedAgent>);

/// A query for the next slice of a list.
#[derive(Debug)]
pub(crate) struct SliceQuery<T> {
    /// The name of the row before the first row of the slice.
    pub after: Option<String>,
    /// The channel for the slice.
    pub answer: oneshot::Sender<Slice<T>>,
}

/// Sums over some workers, to which the next ones are to be added.
#[derive(Debug)]
pub(crate) struct PartialSums {
    /// The sums so far.
    pub sums: WorkerSums,
    /// The id of the last task that was read.
    pub after: Option<String>,
    /// Whether each worker is wanted, too.
    pub each: bool,
    /// The channel for the sums, and the id of the last task that was read; `None` if they are complete.
    pub answer: oneshot::Sender<(WorkerSums, Option<String>)>,
}

impl PartialSums {
    fn answer(mut self, state: &State) {
        let next = state.add_worker_sums(self.after.as_deref(), self.each, &mut self.sums);
        drop(self.answer.send((self.sums, next)));
    }
}

impl Query {
    fn is_abandoned(&self) -> bool {
        match self {
            Query::Overview(answer) => answer.is_closed(),
            Query::Tasks { answer, .. } => answer.is_closed(),
            Query::TaskSlice(query) => query.answer.is_closed(),
            Query::AgentSlice(query) => query.answer.is_closed(),
            Query::BlockSlice(query) => query.answer.is_closed(),
            Query::Failures(answer) => answer.is_closed(),
            Query::Commands(answer) => answer.is_closed(),
            Query::Pulse(answer) => answer.is_closed(),
            Query::WorkerSums(part) => part.answer.is_closed(),
        }
    }

    /// How long the driver pauses after the answer, as a multiple of the time that the answer took.
    fn pause_factor(&self) -> u32 {
        match self {
            Query::TaskSlice(_) | Query::AgentSlice(_) | Query::BlockSlice(_) | Query::WorkerSums(_) => {
                SLICE_PAUSE_FACTOR
            }
            _ => PAUSE_FACTOR,
        }
    }

    /// Sends the answer. Sending fails if the client no longer waits for it.
    fn answer(self, state: &State, now: std::time::Instant) {
        match self {
            Query::Overview(answer) => drop(answer.send(state.overview(now))),
            Query::Tasks { after, limit, answer } => {
                drop(answer.send(state.tasks(after.as_deref(), limit, now)));
            }
            Query::TaskSlice(SliceQuery { after, answer }) => {
                drop(answer.send(state.task_slice(after.as_deref(), now)));
            }
            Query::AgentSlice(SliceQuery { after, answer }) => {
                drop(answer.send(state.agent_slice(after.as_deref(), now)));
            }
            Query::BlockSlice(SliceQuery { after, answer }) => {
                drop(answer.send(state.block_slice(after.as_deref(), now)));
            }
            Query::Failures(answer) => drop(answer.send(state.failures(now))),
            Query::Commands(answer) => drop(answer.send(state.commands())),
            Query::Pulse(answer) => drop(answer.send(state.pulse())),
            Query::WorkerSums(part) => part.answer(state),
        }
    }
}

/// Why a query got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    /// The driver is busy.
    #[error("the scheduler is busy: it has not answered within {}", InWords(ANSWER_WITHIN))]
    Busy,
    /// The driver has ended.
    #[error("the scheduler does not run the framework any more")]
    Ended,
}

/// The driver's end of the queue.
#[derive(Debug)]
pub(crate) struct QueryQueue {
    queries: mpsc::Receiver<Query>,
    /// After each answer, the driver pauses. It answers no query until this time.
    paused_until: Instant,
}

/// Creates a queue of queries.
pub(crate) fn channel() -> (QueryClient, QueryQueue) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (QueryClient::new(sender), QueryQueue { queries: receiver, paused_until: Instant::now() })
}

impl QueryQueue {
    /// Waits for the next query that may be answered, or for ever if all clients have been dropped. Cancelling this future loses
    /// no query.
    pub async fn next(&mut self) -> Query {
        // Outside a pause, no timer is used, because even a timer that has expired may fire late while the runtime is busy.
        if Instant::now() < self.paused_until {
            sleep_until(self.paused_until).await;
        }
        match self.queries.recv().await {
            Some(query) => query,
            None => std::future::pending().await,
        }
    }

    /// Answers a query, unless its client no longer waits.
    pub fn answer(&mut self, query: Query, state: &State) {
        if query.is_abandoned() {
            return;
        }
        let begun = std::time::Instant::now();
        let factor = query.pause_factor();
        query.answer(state, begun);
        self.pause_after(begun.elapsed(), factor);
    }

    fn pause_after(&mut self, took: Duration, factor: u32) {
        self.paused_until = Instant::now() + (took * factor).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests;
