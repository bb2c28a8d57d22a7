//! Questions to the framework's state, from those who show it to the driver, which alone has it.
//!
//! Nothing is computed while nobody asks, and little when many do: an answer is reused for half a second, and making
//! answers takes a twentieth of the driver's time, unless one takes longer than 3 ms: nobody waits long for a turn.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use crate::core::{Overview, State, TaskPage};

/// Questions that may wait.
const QUEUE: usize = 16;
/// An answer is reused for so long.
const REUSED: Duration = Duration::from_millis(500);
/// A driver that has not answered in this time is busy.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// After an answer the next one waits for so many times as long as that one took, up to a bound.
const REST: u32 = 19;
const LONGEST_REST: Duration = Duration::from_millis(60);

/// Who can tell of the framework at present.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    /// Another scheduler leads, or nobody does yet.
    Standby,
    /// This scheduler is about to run the framework.
    Starting,
    /// This scheduler runs the framework.
    Leader(QueryClient),
    /// This scheduler has ended its work on the framework.
    Ending,
}

/// A question, and where the answer goes.
#[derive(Debug)]
pub(crate) enum Query {
    /// For the figures.
    Overview(oneshot::Sender<Overview>),
    /// For a page of tasks.
    Tasks {
        /// The task before the first one.
        after: Option<String>,
        /// How many at most.
        limit: usize,
        /// Where the page goes.
        answer: oneshot::Sender<TaskPage>,
    },
}

impl Query {
    fn is_abandoned(&self) -> bool {
        match self {
            Query::Overview(answer) => answer.is_closed(),
            Query::Tasks { answer, .. } => answer.is_closed(),
        }
    }

    // Whoever has asked may have gone.
    fn answer(self, state: &State, now: std::time::Instant) {
        match self {
            Query::Overview(answer) => drop(answer.send(state.overview(now))),
            Query::Tasks { after, limit, answer } => {
                drop(answer.send(state.tasks(after.as_deref(), limit, now)));
            }
        }
    }
}

/// Why a question got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    /// The driver does something else.
    #[error("the scheduler is busy: it has not answered within {} s", ANSWER_WITHIN.as_secs())]
    Busy,
    /// The driver has ended.
    #[error("the scheduler does not run the framework any more")]
    Ended,
}

/// The way to the driver. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct QueryClient(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queries: mpsc::Sender<Query>,
    overview: LastAnswer<(), Overview>,
    page: LastAnswer<PageQuestion, TaskPage>,
}

/// After which task, and how many.
type PageQuestion = (Option<String>, usize);
/// Whoever holds the lock asks; others wait for the same answer.
type LastAnswer<Q, A> = Mutex<Option<Answer<Q, A>>>;

#[derive(Debug)]
struct Answer<Q, A> {
    question: Q,
    answer: Arc<A>,
    at: Instant,
}

/// The driver's end of the way.
#[derive(Debug)]
pub(crate) struct QueryQueue {
    queries: mpsc::Receiver<Query>,
    /// Not before then the next question is answered.
    rests_until: Instant,
}

/// Both ends of a way.
pub(crate) fn channel() -> (QueryClient, QueryQueue) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let shared = Shared { queries: sender, overview: Mutex::default(), page: Mutex::default() };
    (QueryClient(Arc::new(shared)), QueryQueue { queries: receiver, rests_until: Instant::now() })
}

impl QueryClient {
    /// The figures, at most half a second old.
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

    /// Those who ask at the same time wait for one answer.
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
    /// Waits for the next question that may be answered; without anybody to ask, for ever. Cancelling loses nothing.
    pub async fn next(&mut self) -> Query {
        // A timer fires only when the runtime has nothing else to do.
        if Instant::now() < self.rests_until {
            sleep_until(self.rests_until).await;
        }
        match self.queries.recv().await {
            Some(query) => query,
            None => std::future::pending().await,
        }
    }

    /// Answers a question, unless nobody waits for the answer any more.
    pub fn answer(&mut self, query: Query, state: &State) {
        if query.is_abandoned() {
            return;
        }
        let begun = std::time::Instant::now();
        query.answer(state, begun);
        self.rest_after(begun.elapsed());
    }

    fn rest_after(&mut self, took: Duration) {
        self.rests_until = Instant::now() + (took * REST).min(LONGEST_REST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overview(peak: u64) -> Overview {
        Overview { peak, ..Overview::default() }
    }

    /// Answers the next question about the figures.
    async fn serve(queue: &mut QueryQueue, peak: u64) {
        let Query::Overview(answer) = queue.next().await else { panic!("another question") };
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
    async fn another_page_is_another_question() {
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
            queue.rest_after(Duration::from_millis(took));
            let asking = tokio::spawn({
                let client = client.clone();
                async move { client.tasks(Some(took.to_string()), 1).await.map(|_| ()) }
            });
            let begun = Instant::now();
            let Query::Tasks { answer, .. } = queue.next().await else { panic!("another question") };
            assert_eq!(begun.elapsed(), Duration::from_millis(rest));
            answer.send(TaskPage::default()).unwrap();
            assert_eq!(asking.await.unwrap(), Ok(()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_a_busy_driver_is_told_so_in_time_however_many_ask() {
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
