//! Those who ask the driver.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::{ANSWER_WITHIN, Commands, PartialSums, Query, QueryError, SliceQuery};
use crate::core::{
    AgentFacts, AgentRow, BlockFinder, Overview, Pulse, TaskOverview, TaskPage, WorkerSums, agent_rows,
};
use crate::history::TaskFailure;

/// How long an answer is reused for further queries with the same arguments.
pub(super) const REUSED: Duration = Duration::from_millis(500);
/// How long a list that was read in slices is reused.
pub(super) const LIST_REUSED: Duration = Duration::from_secs(1);

/// The clients' end of the queue. It caches the last answers, and clones share this cache.
#[derive(Clone, Debug)]
pub(crate) struct QueryClient(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queries: mpsc::Sender<Query>,
    overview: LastAnswer<(), Overview>,
    page: LastAnswer<PageArguments, TaskPage>,
    tasks: LastAnswer<(), Vec<TaskOverview>>,
    facts: LastAnswer<(), Vec<AgentFacts>>,
    agents: LastAnswer<(), Vec<AgentRow>>,
    blocks: LastAnswer<(), Vec<BlockFinder>>,
    failures: LastAnswer<(), Vec<TaskFailure>>,
    commands: LastAnswer<(), Commands>,
    sums: LastAnswer<bool, WorkerSums>,
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

impl QueryClient {
    pub(super) fn new(queries: mpsc::Sender<Query>) -> Self {
        Self(Arc::new(Shared {
            queries,
            overview: Mutex::default(),
            page: Mutex::default(),
            tasks: Mutex::default(),
            facts: Mutex::default(),
            agents: Mutex::default(),
            blocks: Mutex::default(),
            failures: Mutex::default(),
            commands: Mutex::default(),
            sums: Mutex::default(),
        }))
    }

    /// The overview, at most half a second old.
    pub async fn overview(&self) -> Result<Arc<Overview>, QueryError> {
        reuse(&self.0.overview, (), REUSED, self.send(Query::Overview)).await
    }

    /// A page of tasks, at most half a second old.
    pub async fn tasks(&self, after: Option<String>, limit: usize) -> Result<Arc<TaskPage>, QueryError> {
        let query = {
            let after = after.clone();
            move |answer| Query::Tasks { after, limit, answer }
        };
        reuse(&self.0.page, (after, limit), REUSED, self.send(query)).await
    }

    /// All tasks that have not ended, in the order of their launch, at most a second old.
    pub async fn all_tasks(&self) -> Result<Arc<Vec<TaskOverview>>, QueryError> {
        reuse(&self.0.tasks, (), LIST_REUSED, self.list(Query::TaskSlice)).await
    }

    /// All agents that have tasks, or about which something is known, by id; about a second old.
    pub async fn agents(&self) -> Result<Arc<Vec<AgentRow>>, QueryError> {
        let asking = async {
            let tasks = self.all_tasks().await?;
            let facts = reuse(&self.0.facts, (), LIST_REUSED, self.list(Query::AgentSlice)).await?;
            let (failures, commands) = (self.failures().await?, self.commands().await?);
            let paused = self.overview().await?.steering.pause.is_some();
            // To put many tasks together must not keep other clients waiting.
            let agents = tokio::task::spawn_blocking(move || {
                agent_rows(&tasks, &facts, &commands.1, &failures, paused)
            });
            agents.await.map_err(|_| QueryError::Ended)
        };
        reuse(&self.0.agents, (), LIST_REUSED, asking).await
    }

    /// All workers that have found blocks, at most a second old.
    pub async fn blocks(&self) -> Result<Arc<Vec<BlockFinder>>, QueryError> {
        reuse(&self.0.blocks, (), LIST_REUSED, self.list(Query::BlockSlice)).await
    }

    /// The tasks that failed most recently, the newest first; at most half a second old.
    pub async fn failures(&self) -> Result<Arc<Vec<TaskFailure>>, QueryError> {
        reuse(&self.0.failures, (), REUSED, self.send(Query::Failures)).await
    }

    /// The last commands of operators, the oldest first, and the agents to avoid; at most half a second old.
    pub async fn commands(&self) -> Result<Arc<Commands>, QueryError> {
        reuse(&self.0.commands, (), REUSED, self.send(Query::Commands)).await
    }

    /// The figures of this moment.
    pub async fn pulse(&self) -> Result<Pulse, QueryError> {
        timeout(ANSWER_WITHIN, self.send(Query::Pulse)).await.unwrap_or(Err(QueryError::Busy))
    }

    /// The sums over all workers, at most half a second old, with each worker if `each` is true.
    pub async fn worker_sums(&self, each: bool) -> Result<Arc<WorkerSums>, QueryError> {
        let adding = async {
            let (mut sums, mut after) = (WorkerSums::default(), None);
            loop {
                let part = |answer| Query::WorkerSums(Box::new(PartialSums { sums, after, each, answer }));
                (sums, after) = self.send(part).await?;
                if after.is_none() {
                    return Ok(sums);
                }
            }
        };
        reuse(&self.0.sums, each, REUSED, adding).await
    }

    /// Forgets long lists that are too old to be reused, so that they take no memory while nobody asks.
    pub fn forget_old_lists(&self) {
        forget_old(&self.0.tasks);
        forget_old(&self.0.facts);
        forget_old(&self.0.agents);
        forget_old(&self.0.blocks);
        forget_old(&self.0.sums);
    }

    /// Asks the driver for a list, slice by slice.
    async fn list<T>(&self, query: fn(SliceQuery<T>) -> Query) -> Result<Vec<T>, QueryError> {
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let slice = self.send(|answer| query(SliceQuery { after, answer })).await?;
            rows.extend(slice.rows);
            match slice.next {
                Some(name) => after = Some(name),
                None => return Ok(rows),
            }
        }
    }

    /// Sends a query to the driver and waits for the answer.
    async fn send<A>(&self, query: impl FnOnce(oneshot::Sender<A>) -> Query) -> Result<A, QueryError> {
        let (sender, answer) = oneshot::channel();
        self.0.queries.send(query(sender)).await.map_err(|_| QueryError::Ended)?;
        answer.await.map_err(|_| QueryError::Ended)
    }
}

/// The last answer, if it is to the same question and not older than `reused`; else the result of `asking`. Concurrent callers
/// share one answer.
async fn reuse<Q: PartialEq, A>(
    last: &LastAnswer<Q, A>,
    question: Q,
    reused: Duration,
    asking: impl Future<Output = Result<A, QueryError>>,
) -> Result<Arc<A>, QueryError> {
    let asking = async {
        let mut last = last.lock().await;
        if let Some(known) = &*last
            && known.question == question
            && known.at.elapsed() < reused
        {
            return Ok(Arc::clone(&known.answer));
        }
        let answer = Arc::new(asking.await?);
        *last = Some(Answer { question, answer: Arc::clone(&answer), at: Instant::now() });
        Ok(answer)
    };
    timeout(ANSWER_WITHIN, asking).await.unwrap_or(Err(QueryError::Busy))
}

fn forget_old<Q, A>(last: &LastAnswer<Q, A>) {
    // A list that is being read is not old.
    if let Ok(mut last) = last.try_lock()
        && last.as_ref().is_some_and(|known| known.at.elapsed() >= LIST_REUSED)
    {
        *last = None;
    }
}
