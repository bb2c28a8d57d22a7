//! Queries about the framework's state. The driver owns the state and answers them.
//!
//! Nothing is computed without a query, and many queries cost little: an answer is reused for half a second, and the driver
//! pauses after each answer, so that answers take at most a twentieth of its time. The pause is limited to 60 ms, so that no
//! query waits long.

use std::sync::Arc;
use std::time::Duration;

use problem::Problem;
use text::InWords;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::control::ControlClient;
use crate::core::{Overview, State, TaskPage};
use crate::journal::{AvoidedAgent, RecordedCommand};

/// Maximum number of queries that wait for the driver. When the queue is full, further clients wait until it has room.
const QUEUE: usize = 16;
/// How long an answer is reused for further queries with the same arguments.
const REUSED: Duration = Duration::from_millis(500);
/// If the driver has not answered a query within this time, the client gets the error [`QueryError::Busy`].
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// The length of the driver's pause after an answer, as a multiple of the time that the answer took.
const PAUSE_FACTOR: u32 = 19;
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
    /// The last commands of operators, the oldest first, and the agents to avoid.
    Commands(oneshot::Sender<Commands>),
}

/// The answer to [`Query::Commands`].
pub(crate) type Commands = (Vec<RecordedCommand>, Vec<AvoidedAgent>);

impl Query {
    fn is_abandoned(&self) -> bool {
        match self {
            Query::Overview(answer) => answer.is_closed(),
            Query::Tasks { answer, .. } => answer.is_closed(),
            Query::Commands(answer) => answer.is_closed(),
        }
    }

    /// Sends the answer. Sending fails if the client no longer waits for it.
    fn answer(self, state: &State, now: std::time::Instant) {
        match self {
            Query::Overview(answer) => drop(answer.send(state.overview(now))),
            Query::Tasks { after, limit, answer } => {
                drop(answer.send(state.tasks(after.as_deref(), limit, now)));
            }
            Query::Commands(answer) => drop(answer.send(state.commands())),
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

/// The clients' end of the queue. It caches the last answers, and clones share this cache.
#[derive(Clone, Debug)]
pub(crate) struct QueryClient(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queries: mpsc::Sender<Query>,
    overview: LastAnswer<(), Overview>,
    page: LastAnswer<PageArguments, TaskPage>,
    commands: LastAnswer<(), Commands>,
}

/// The arguments of [`Query::Tasks`].
type PageArguments = (Option<String>, usize);
/// The last answer. A client keeps it locked while it asks the driver. Other clients with the same question wait for the lock and
/// then get the same answer.
type LastAnswer<Q, A> = Mutex<Option<Answer<Q, A>>>;

#[derive(Debug)]
struct Answer<Q, A> {
    question: Q,
    answer: Arc<A>,
    at: Instant,
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
    let (overview, page, commands) = Default::default();
    let shared = Shared { queries: sender, overview, page, commands };
    (QueryClient(Arc::new(shared)), QueryQueue { queries: receiver, paused_until: Instant::now() })
}

impl QueryClient {
    /// The overview, at most half a second old.
    pub async fn overview(&self) -> Result<Arc<Overview>, QueryError> {
        self.ask(&self.0.overview, (), Query::Overview).await
    }

    /// A page of tasks, at most half a second old.
    pub async fn tasks(&self, after: Option<String>, limit: usize) -> Result<Arc<TaskPage>, QueryError> {
        let query = {
            let after = after.clone();
            move |answer| Query::Tasks { after, limit, answer }
        };
        self.ask(&self.0.page, (after, limit), query).await
    }

    /// The last commands of operators, the oldest first, and the agents to avoid; at most half a second old.
    pub async fn commands(&self) -> Result<Arc<Commands>, QueryError> {
        self.ask(&self.0.commands, (), Query::Commands).await
    }

    /// Asks the driver, unless a recent answer to the same arguments exists. Concurrent callers share one answer.
    async fn ask<Q: PartialEq, A>(
        &self,
        last: &LastAnswer<Q, A>,
        question: Q,
        query: impl FnOnce(oneshot::Sender<A>) -> Query,
    ) -> Result<Arc<A>, QueryError> {
        let asking = async {
            let mut last = last.lock().await;
            if let Some(known) = &*last
                && known.question == question
                && known.at.elapsed() < REUSED
            {
                return Ok(Arc::clone(&known.answer));
            }
            let (sender, answer) = oneshot::channel();
            self.0.queries.send(query(sender)).await.map_err(|_| QueryError::Ended)?;
            let answer = Arc::new(answer.await.map_err(|_| QueryError::Ended)?);
            *last = Some(Answer { question, answer: Arc::clone(&answer), at: Instant::now() });
            Ok(answer)
        };
        timeout(ANSWER_WITHIN, asking).await.unwrap_or(Err(QueryError::Busy))
    }
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
        query.answer(state, begun);
        self.pause_after(begun.elapsed());
    }

    fn pause_after(&mut self, took: Duration) {
        self.paused_until = Instant::now() + (took * PAUSE_FACTOR).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overview(peak: u64) -> Overview {
        Overview { peak, ..Overview::default() }
    }

    /// Answers the next query with an overview. The tests recognize the overview by its field `peak`.
    async fn serve(queue: &mut QueryQueue, peak: u64) {
        let Query::Overview(answer) = queue.next().await else { panic!("another query") };
        answer.send(overview(peak)).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_reused_for_a_while_and_by_all_who_ask_at_once() {
        let (client, mut queue) = channel();
        let first = tokio::join!(client.overview(), client.overview(), serve(&mut queue, 1));
        assert_eq!((first.0.unwrap().peak, first.1.unwrap().peak), (1, 1));
        tokio::time::advance(REUSED / 2).await;
        assert_eq!(client.overview().await.unwrap().peak, 1);
        tokio::time::advance(REUSED).await;
        let (later, ()) = tokio::join!(client.overview(), serve(&mut queue, 2));
        assert_eq!(later.unwrap().peak, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn another_page_is_another_query() {
        let (client, mut queue) = channel();
        let serve = async {
            for _ in 0..2 {
                let Query::Tasks { after, answer, .. } = queue.next().await else { panic!("no page") };
                answer.send(TaskPage { next: after, ..TaskPage::default() }).unwrap();
            }
        };
        let ask = async {
            assert_eq!(client.tasks(None, 5).await.unwrap().next, None);
            assert_eq!(client.tasks(None, 5).await.unwrap().next, None);
            assert_eq!(client.tasks(Some("x".into()), 5).await.unwrap().next.as_deref(), Some("x"));
        };
        tokio::join!(serve, ask);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_take_a_small_part_of_the_time() {
        let (client, mut queue) = channel();
        for (took, rest) in [(2, 38), (1, 19), (60_000, 60)] {
            queue.pause_after(Duration::from_millis(took));
            let asking = tokio::spawn({
                let client = client.clone();
                async move { client.tasks(Some(took.to_string()), 1).await.map(|_| ()) }
            });
            let begun = Instant::now();
            let Query::Tasks { answer, .. } = queue.next().await else { panic!("another query") };
            assert_eq!(begun.elapsed(), Duration::from_millis(rest));
            answer.send(TaskPage::default()).unwrap();
            assert_eq!(asking.await.unwrap(), Ok(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_clients_of_a_busy_driver_get_an_error_in_time() {
        let (client, queue) = channel();
        let begun = Instant::now();
        let asking: Vec<_> = (0..100)
            .map(|n| {
                let client = client.clone();
                tokio::spawn(async move {
                    match n % 2 {
                        0 => client.overview().await.map(|_| ()),
                        _ => client.tasks(Some(n.to_string()), 10).await.map(|_| ()),
                    }
                })
            })
            .collect();
        for asked in asking {
            assert_eq!(asked.await.unwrap(), Err(QueryError::Busy));
        }
        assert!(begun.elapsed() < 2 * ANSWER_WITHIN);
        drop(queue);
        assert_eq!(client.overview().await.unwrap_err(), QueryError::Ended);
    }
}
