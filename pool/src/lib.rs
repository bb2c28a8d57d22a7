//! The pool server: Stratum V1 for miners, over Bitcoin nodes, another pool or a built-in chain.
//!
//! ```text
//! Source ─Work→ Job ─watch→ Session ─IssuedJob→ miner ─Submit→ validate ─→ Effect::{Count, Found}
//!   ↑                                                                             │      │
//!   └───────────────────────────── Block ────────────────────────────────────────────────┘
//!                                                                   Accounts ←────┘ ─→ PoolHandle
//! ```
//!
//! - [`chain`]: the built-in chain;
//! - [`Source`]: the running source of work, which publishes jobs and takes found blocks;
//! - `job`: what miners get, and how the coinbase's free bytes are shared out among them; `current_job` publishes it;
//! - `session`: one connection's protocol state, pure; `share` has the check of a share, `vardiff` its difficulty;
//! - `server`: the sockets; `admission`: who may come, and with which extranonce1;
//! - `accounts`: what each worker has done; `stats` and `health`: sums and faults; [`PoolHandle`] reads them all;
//! - `pool_state`: what these share;
//! - `store`: the data folder, where accounts and found blocks outlive the process; [`read_accounts`] reads it.

mod accounts;
mod admission;
pub mod chain;
pub mod cli;
mod clock;
mod config;
mod current_job;
mod handle;
mod health;
mod job;
mod page;
mod pool_state;
mod serve;
mod server;
mod session;
mod share;
mod source;
mod stats;
mod store;
mod vardiff;

pub use accounts::BlockRecord;
pub use admission::BanRules;
pub use config::{Config, Limits};
pub use handle::{PoolHandle, PoolSummary, WorkerSummary};
pub use serve::{Listen, ServeError, ServeOptions, Server};
pub use server::Pool;
pub use share::{UpstreamShareCounts, UpstreamSummary};
pub use source::{NodeError, NodeSource, Source, SourceError, UpstreamError, UpstreamSource};
pub use stats::PoolCounters;
pub use store::{AccountsSnapshot, DATA_FOLDER, StoreError, StoreOptions, WorkerAccount, read_accounts};
