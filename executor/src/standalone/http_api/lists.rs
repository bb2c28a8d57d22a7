//! The lists: threads, pools and jobs.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use api::list::{self, Key, KeyOf, Row, Search};
use api::{Listing, Page, PageQuery, RequestError};
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::summary::Shares;
use crate::standalone::record::{JobRecord, PoolRecord};
use crate::standalone::status::{MiningStatus, ThreadFigures};

/// A mining thread.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MinerThread)]
pub struct Thread {
    /// The number of the thread, from 0.
    thread: usize,
    /// The core to which it is pinned; null if it is not.
    core: Option<usize>,
    /// Hashes per second over about 10 s; null before anything was measured.
    hashrate: Option<f64>,
    /// Hashes per second over about a minute.
    hashrate_1m: Option<f64>,
    /// Hashes per second over about a quarter of an hour.
    hashrate_15m: Option<f64>,
    /// Hashes since the start.
    hashes: u64,
}

impl From<&ThreadFigures> for Thread {
    fn from(figures: &ThreadFigures) -> Self {
        let ThreadFigures { thread, core, hashes, hashrates: [hashrate, hashrate_1m, hashrate_15m] } =
            *figures;
        Thread { thread, core, hashrate, hashrate_1m, hashrate_15m, hashes }
    }
}

impl Listing for ThreadFigures {
    type Key = KeyOf<Self>;
    const KEYS: &'static [(&'static str, KeyOf<Self>)] = &[
        ("thread", |row| Key::Number(row.thread as f64)),
        ("hashrate", |row| Key::number(row.hashrates[0])),
    ];
}

impl Row for ThreadFigures {
    fn id(&self) -> Cow<'_, str> {
        self.thread.to_string().into()
    }

    fn is_after(&self, id: &str) -> bool {
        id.parse().is_ok_and(|id: usize| self.thread > id)
    }

    fn has(&self, search: Search<'_>) -> bool {
        let is_in = |number: usize| search.is_in(&number.to_string());
        is_in(self.thread) || self.core.is_some_and(is_in)
    }
}

/// The mining threads. `search` looks at the numbers of thread and core.
#[utoipa::path(
    get,
    path = "/api/v1/threads",
    tag = "miner",
    params(PageQuery<ThreadFigures>),
    responses((status = 200, description = "A page of the threads.", body = Page<Thread>), RequestError)
)]
pub async fn threads(
    State(status): State<MiningStatus>,
    query: PageQuery<ThreadFigures>,
) -> Result<Page<Thread>, RequestError> {
    Ok(list::page(status.snapshot().threads.iter(), &query)?.into_page(Thread::from))
}

/// A pool of the command line.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MinerPool)]
pub struct Pool {
    /// Its place in the order of preference, from 0.
    index: usize,
    /// Its URL.
    url: String,
    /// Our user name there.
    user: String,
    /// `standby`: not needed yet, or left for a better pool; `connected`: it has authorized us; `mining`: its job is searched;
    /// `lost`: it could not be reached, or has failed.
    state: &'static str,
    /// Its verdicts on our shares.
    shares: Shares,
    /// The last problem with it; null if there was none.
    last_problem: Option<Problem>,
}

/// A problem with a pool.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MinerPoolProblem)]
struct Problem {
    /// When it was met, in seconds since the Unix epoch.
    at: f64,
    /// What is wrong.
    text: String,
}

impl From<&PoolRecord> for Pool {
    fn from(pool: &PoolRecord) -> Self {
        let problem = pool.last_problem.as_ref();
        Pool {
            index: pool.index,
            url: pool.url.clone(),
            user: pool.user.clone(),
            state: pool.state.word(),
            shares: pool.shares.into(),
            last_problem: problem.map(|it| Problem { at: unix(it.at), text: it.text.clone() }),
        }
    }
}

impl Listing for PoolRecord {
    type Key = KeyOf<Self>;
    const KEYS: &'static [(&'static str, KeyOf<Self>)] = &[
        ("index", |row| Key::Number(row.index as f64)),
        ("accepted", |row| Key::Number(row.shares.accepted as f64)),
    ];
}

impl Row for PoolRecord {
    fn id(&self) -> Cow<'_, str> {
        self.index.to_string().into()
    }

    fn is_after(&self, id: &str) -> bool {
        id.parse().is_ok_and(|id: usize| self.index > id)
    }

    fn has(&self, search: Search<'_>) -> bool {
        let problem = self.last_problem.as_ref().map_or("", |problem| &problem.text);
        [&self.url, &self.user, self.state.word(), problem].iter().any(|field| search.is_in(field))
    }
}

/// The pools that the miner knows, in order of preference. `search` looks at URL, user, state and problem.
#[utoipa::path(
    get,
    path = "/api/v1/pools",
    tag = "miner",
    params(PageQuery<PoolRecord>),
    responses((status = 200, description = "A page of the pools.", body = Page<Pool>), RequestError)
)]
pub async fn pools(
    State(status): State<MiningStatus>,
    query: PageQuery<PoolRecord>,
) -> Result<Page<Pool>, RequestError> {
    Ok(list::page(status.snapshot().pools.iter(), &query)?.into_page(Pool::from))
}

/// A job.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MinerJob)]
pub struct Job {
    /// The number of the job since the miner started, from 1.
    number: u64,
    /// The pool's id of the job.
    id: String,
    /// The index of the pool in the list of pools.
    pool: usize,
    /// The height of the block, if the job tells it.
    height: Option<u32>,
    /// When it was received, in seconds since the Unix epoch.
    received: f64,
    /// Whether it voids all earlier jobs.
    clean: bool,
    /// The share difficulty.
    difficulty: f64,
    /// The network's difficulty.
    network_difficulty: f64,
}

impl From<&JobRecord> for Job {
    fn from(job: &JobRecord) -> Self {
        Job {
            number: job.number,
            id: job.id.clone(),
            pool: job.pool,
            height: job.height,
            received: unix(job.received),
            clean: job.clean,
            difficulty: job.difficulty,
            network_difficulty: job.network_difficulty,
        }
    }
}

impl Listing for JobRecord {
    type Key = KeyOf<Self>;
    const KEYS: &'static [(&'static str, KeyOf<Self>)] = &[("number", |row| Key::Number(row.number as f64))];
}

impl Row for JobRecord {
    fn id(&self) -> Cow<'_, str> {
        self.number.to_string().into()
    }

    fn is_after(&self, id: &str) -> bool {
        id.parse().is_ok_and(|id: u64| self.number < id)
    }

    fn has(&self, search: Search<'_>) -> bool {
        search.is_in(&self.id)
    }
}

/// The present job and the twenty before it, the newest first unless asked otherwise. `search` looks at the id.
#[utoipa::path(
    get,
    path = "/api/v1/jobs",
    tag = "miner",
    params(PageQuery<JobRecord>),
    responses((status = 200, description = "A page of the jobs.", body = Page<Job>), RequestError)
)]
pub async fn jobs(
    State(status): State<MiningStatus>,
    query: PageQuery<JobRecord>,
) -> Result<Page<Job>, RequestError> {
    Ok(list::page(status.snapshot().jobs.iter(), &query)?.into_page(Job::from))
}

fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}
