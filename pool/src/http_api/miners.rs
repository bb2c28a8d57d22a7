//! The miners, by worker and by address.

use std::borrow::Cow;
use std::sync::Arc;

use api::list::{self, Key, KeyOf, Row, Search};
use api::{JsonText, Listing, Page, PageQuery, RequestError};
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::figures::MiningFigures;
use super::page;
use crate::accounts::WorkerSummary;
use crate::handle::PoolHandle;
use crate::miner_sessions::MinerSession;
use crate::miners::{AddressSummary, MinerSummary};

/// Maximum number of sessions of a worker that are shown: the newest.
const MAX_SESSIONS: usize = 10;

/// A worker.
#[derive(Serialize, ToSchema)]
pub struct Miner {
    /// The worker's name.
    worker: String,
    /// What stands before the first dot in the name, or the address that its blocks pay.
    address: String,
    #[serde(flatten)]
    figures: MiningFigures,
    /// Number of connections at present.
    connections: usize,
    /// The newest connections, at most ten, the oldest of them first.
    #[schema(max_items = 10)]
    sessions: Vec<Session>,
}

/// A connection of a miner.
#[derive(Serialize, ToSchema)]
pub struct Session {
    /// When it was opened, in seconds since the Unix epoch.
    since: u64,
    /// The miner's IP address and port.
    address: String,
    /// The name and version of its program, at most 100 characters; null if it has sent none.
    user_agent: Option<String>,
    /// The difficulty of its shares; null before it has got one.
    difficulty: Option<f64>,
}

/// An address, with the sums of its workers.
#[derive(Serialize, ToSchema)]
pub struct Address {
    /// The address, or whatever the names of its workers begin with.
    address: String,
    /// Number of workers.
    workers: u64,
    /// Number of connections of all workers at present.
    connections: usize,
    #[serde(flatten)]
    figures: MiningFigures,
}

/// A row of either list.
trait Figures {
    fn figures(&self) -> &WorkerSummary;
    fn connections(&self) -> usize;
}

impl Figures for MinerSummary {
    fn figures(&self) -> &WorkerSummary {
        &self.account
    }

    fn connections(&self) -> usize {
        self.sessions.len()
    }
}

impl Figures for AddressSummary {
    fn figures(&self) -> &WorkerSummary {
        &self.sum
    }

    fn connections(&self) -> usize {
        self.sessions
    }
}

/// What lists of miners can be sorted by; `name` is that of the first column.
const fn keys<R: Figures>(name: &'static str) -> [(&'static str, KeyOf<R>); 10] {
    [
        (name, |row| (&*row.figures().worker).into()),
        ("hashrate", |row| Key::Number(row.figures().hashrate)),
        ("hashrate_1m", |row| Key::Number(row.figures().hashrates.minute)),
        ("hashrate_1h", |row| Key::Number(row.figures().hashrates.hour)),
        ("hashrate_1d", |row| Key::Number(row.figures().hashrates.day)),
        ("best_share", |row| Key::Number(row.figures().best_share)),
        ("last_share", |row| Key::number(row.figures().last_share_ms.map(|ms| ms as f64))),
        ("accepted", |row| Key::Number(row.figures().totals.accepted as f64)),
        ("rejected", |row| Key::Number(row.figures().totals.rejected as f64)),
        ("connections", |row| Key::Number(row.connections() as f64)),
    ]
}

impl Listing for MinerSummary {
    type Key = KeyOf<Self>;
    const KEYS: &'static [(&'static str, KeyOf<Self>)] = &keys::<Self>("worker");
    const FILTERS: &'static [(&'static str, &'static str)] = &[("address", "Only workers of this address.")];
}

impl Row for MinerSummary {
    fn id(&self) -> Cow<'_, str> {
        (&*self.account.worker).into()
    }

    fn is_after(&self, id: &str) -> bool {
        &*self.account.worker > id
    }

    fn has(&self, search: Search<'_>) -> bool {
        let of_session = |session: &Arc<MinerSession>| {
            session.user_agent().is_some_and(|agent| search.is_in(agent))
                || search.is_in(&session.peer.to_string())
        };
        search.is_in(&self.account.worker) || self.sessions.iter().any(of_session)
    }
}

impl Listing for AddressSummary {
    type Key = KeyOf<Self>;
    const KEYS: &'static [(&'static str, KeyOf<Self>)] = &keys::<Self>("address");
}

impl Row for AddressSummary {
    fn id(&self) -> Cow<'_, str> {
        (&*self.sum.worker).into()
    }

    fn is_after(&self, id: &str) -> bool {
        &*self.sum.worker > id
    }

    fn has(&self, search: Search<'_>) -> bool {
        search.is_in(&self.sum.worker)
    }
}

/// The workers that have an account or are connected, sorted by name unless asked otherwise. `search` looks at the name, and at the
/// miner's address and program.
#[utoipa::path(
    get,
    path = "/api/v1/miners",
    tag = "pool",
    params(PageQuery<MinerSummary>),
    responses((status = 200, description = "A page of the workers.", body = Page<Miner>), RequestError)
)]
pub async fn miners(
    State(pool): State<PoolHandle>,
    query: PageQuery<MinerSummary>,
) -> Result<JsonText, RequestError> {
    page(move || {
        let mut rows = pool.miners();
        if let Some(address) = query.filter("address") {
            rows.retain(|row| pool.address_of(&row.account.worker) == address);
        }
        Ok(list::page(rows.iter(), &query)?.into_page(|row| Miner::new(row, &pool)))
    })
    .await
}

/// The addresses of the workers, sorted by address unless asked otherwise.
#[utoipa::path(
    get,
    path = "/api/v1/addresses",
    tag = "pool",
    params(PageQuery<AddressSummary>),
    responses((status = 200, description = "A page of the addresses.", body = Page<Address>), RequestError)
)]
pub async fn addresses(
    State(pool): State<PoolHandle>,
    query: PageQuery<AddressSummary>,
) -> Result<JsonText, RequestError> {
    page(move || Ok(list::page(pool.addresses().iter(), &query)?.into_page(Address::from))).await
}

impl Miner {
    fn new(row: &MinerSummary, pool: &PoolHandle) -> Self {
        let MinerSummary { account, sessions } = row;
        let newest = &sessions[sessions.len().saturating_sub(MAX_SESSIONS)..];
        Miner {
            worker: account.worker.to_string(),
            address: pool.address_of(&account.worker).to_owned(),
            figures: account.into(),
            connections: sessions.len(),
            sessions: newest.iter().map(|session| Session::from(&**session)).collect(),
        }
    }
}

impl From<&MinerSession> for Session {
    fn from(session: &MinerSession) -> Self {
        Session {
            since: session.since_ms / 1000,
            address: session.peer.to_string(),
            user_agent: session.user_agent().map(str::to_owned),
            difficulty: session.difficulty(),
        }
    }
}

impl From<&AddressSummary> for Address {
    fn from(AddressSummary { sum, workers, sessions }: &AddressSummary) -> Self {
        let (address, figures) = (sum.worker.to_string(), sum.into());
        Address { address, workers: *workers, connections: *sessions, figures }
    }
}

#[cfg(test)]
mod tests {
    use api::QueryParameters;
    use serde_json::{Value, json};

    use super::*;
    use crate::config::Config;
    use crate::miner_sessions::MinerSessionGuard;
    use crate::pool_state::PoolState;

    fn connect(state: &PoolState, worker: &str, port: u16) -> MinerSessionGuard {
        let mut guard = MinerSessionGuard::new(state.miners.clone(), ([127, 0, 0, 1], port).into(), 5_900);
        guard.set_user_agent("cgminer/4");
        guard.set_difficulty(0.5);
        guard.add_worker(worker.into());
        guard
    }

    async fn page(state: &Arc<PoolState>, query: &str) -> Value {
        let query = PageQuery::read(QueryParameters::parse(query).unwrap()).unwrap();
        miners(State(PoolHandle::new(state.clone())), query).await.unwrap().parse().unwrap()
    }

    #[tokio::test]
    async fn a_miner_is_told_with_its_newest_sessions_and_found_by_address_name_and_program() {
        let state = Arc::new(PoolState::new(Config::default(), false).0);
        let _sessions: Vec<_> = (1..=13).map(|port| connect(&state, "x.many", port)).collect();
        let _other = connect(&state, "y.one", 99);
        let many = page(&state, "sort=-connections&limit=1").await;
        assert_eq!((&many["total"], &many["next"]), (&json!(2), &json!(r#"["13","x.many"]"#)));
        let miner = &many["items"][0];
        assert_eq!((&miner["address"], &miner["connections"]), (&json!("x"), &json!(13)));
        let sessions = miner["sessions"].as_array().unwrap();
        assert_eq!(sessions.len(), MAX_SESSIONS);
        let newest =
            json!({"since": 5, "address": "127.0.0.1:13", "user_agent": "cgminer/4", "difficulty": 0.5});
        assert_eq!(sessions.last(), Some(&newest));
        for (query, worker) in [("address=y", "y.one"), ("search=ANY", "x.many"), ("search=1:99", "y.one")] {
            let found = page(&state, query).await;
            assert_eq!(
                (&found["total"], &found["items"][0]["worker"]),
                (&json!(1), &json!(worker)),
                "{query}"
            );
        }
        assert_eq!(page(&state, "search=CGMINER").await["total"], 2);
        assert_eq!(page(&state, "address=z").await, json!({"items": [], "next": null, "total": 0}));
    }
}
