//! The miner server: a Stratum V1 pool over a Bitcoin node or a chain of its own.
//!
//! ```text
//! Source ─Work→ Job ─watch→ Session ─IssuedJob→ miner ─Submit→ validate ─→ Effect::{Count, Found}
//!   ↑                                                                             │      │
//!   └───────────────────────────── Block ────────────────────────────────────────────────┘
//!                                                                   Accounts ←────┘ ─→ PoolHandle
//! ```
//!
//! - [`chain`]: the built-in chain;
//! - [`Source`]: the task that owns the chain or speaks to the nodes; takes blocks, publishes work;
//! - `job`: what miners get, and how the coinbase's free bytes are shared out among them;
//! - `session`: one connection's protocol state, pure; `share` has the check of a share, `vardiff` its difficulty;
//! - `server`: the sockets; `admission`: who may come, and with which extranonce1;
//! - `accounts`, [`PoolHandle`]: what each worker has done;
//! - `store`: the data folder, where accounts and found blocks outlive the process; [`read_accounts`] reads it.

mod accounts;
mod admission;
pub mod chain;
pub mod cli;
mod clock;
mod config;
mod handle;
mod job;
mod page;
mod serve;
mod server;
mod session;
mod share;
mod shared;
mod source;
mod store;
mod vardiff;

pub use accounts::BlockRecord;
pub use admission::BanRules;
pub use config::{Config, Limits};
pub use handle::{PoolHandle, PoolSummary, WorkerSummary};
pub use serve::{Listen, ServeError, ServeOptions, Server};
pub use server::Pool;
pub use share::{UpstreamShareCounts, UpstreamSummary};
pub use shared::PoolCounters;
pub use source::{NodeError, NodeSource, Source, SourceError, UpstreamError, UpstreamSource};
pub use store::{AccountsSnapshot, DATA_FOLDER, StoreError, StoreOptions, WorkerAccount, read_accounts};
