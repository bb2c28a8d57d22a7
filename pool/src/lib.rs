//! The pool server: a Stratum V1 pool over Bitcoin nodes, an upstream pool, or a built-in chain.
//!
//! ```text
//!            Job               Event               Request
//! Source ──────────→ Session ←─────── connection ←──────── stratum_v1 ←─ miner
//!   ↑  ↑               │                            ─────→ stratum_v1 ─→ miner
//!   │  └─ FoundBlock ──┤ Effect               MinerMessage
//!   └─── UpstreamShare ┤
//!                      └─ JudgedShare ─→ Accounts ─→ PoolHandle, store
//! ```
//!
//! - `source`: the source of the jobs, which also takes the blocks and shares that are found; `chain`: the built-in chain;
//!   `source_status`: how old the work is;
//! - `job`: what miners work on, and how the coinbase's free bytes are divided among them; `current_job` publishes it;
//! - `session`: decides about one miner's difficulty, jobs and shares, without I/O and without a protocol. `share` checks
//!   a share, `vardiff` chooses the difficulty;
//! - `stratum_v1`: reads and writes a miner's messages; a second protocol would be another module like this one;
//! - `server`: the sockets; `bans`, `extranonce_lease`: the extranonce1 of each connection;
//! - `miner_sessions`: who is connected, with what; `miners`: lists of all miners; `figures`: the pool's figures over time;
//! - `accounts`: the shares and blocks of each worker; `stats` and `health`: sums and faults; [`PoolHandle`] reads them all;
//! - `operator_log`: what the pool tells its operator, within the limits of [`logging::LineLimit`];
//! - `pool_state`: the state that these modules share;
//! - `store`: the data folder, where accounts and found blocks outlive the process; [`read_accounts`] reads it.

mod accounts;
mod bans;
mod chain;
pub mod cli;
mod clock;
mod config;
mod current_job;
mod extranonce_lease;
mod figures;
mod handle;
mod health;
mod http_api;
mod job;
mod miner_sessions;
mod miners;
mod operator_log;
mod pool_state;
mod server;
mod session;
mod share;
mod source;
mod source_status;
mod stats;
mod store;
mod stratum_v1;
mod vardiff;

pub use accounts::{BlockRecord, BlockState, BlockSummary, Hashrates};
pub use bans::BanRules;
pub use config::{BlockLimits, Config, ConnectionLimits};
pub use handle::{PoolHandle, PoolSummary, WorkerSummary};
pub use miner_sessions::MinerSession;
pub use miners::{AddressSummary, MinerSummary};
pub use operator_log::HEALTH_CHECK_USER;
pub use server::{Server, ServerError, ServerOptions, StartingServer};
pub use share::{RejectionCounts, UpstreamShareCounts, UpstreamSummary};
pub use source::{BlockSourceError, SourceChanges};
pub use source_status::{NodeStatus, SourceKind, SourceSummary};
pub use stats::PoolCounters;
pub use store::{AccountsSnapshot, DATA_FOLDER, StoreError, StoreOptions, WorkerAccount, read_accounts};
pub use vardiff::VardiffConfig;
