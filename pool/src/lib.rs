//! The miner server: a Stratum V1 pool over a Bitcoin node or a chain of its own.
//!
//! ```text
//! Source ─Work→ Job ─watch→ Session ─IssuedJob→ miner ─Submit→ validate ─→ Effect::{Count, Found}
//!   ↑                                                                             │      │
//!   └───────────────────────────── Block ────────────────────────────────────────────────┘
//!                                                                   Accounts ←────┘ ─→ Handle
//! ```
//!
//! - [`chain`]: the built-in chain;
//! - [`Source`]: the task that owns the chain or speaks to the nodes; takes blocks, publishes work;
//! - `session`: one connection's protocol state, pure; `validate` and `vardiff` are its judges;
//! - `connection`, `server`: the sockets;
//! - `accounts`, [`Handle`]: what each worker has done;
//! - `store`: the data folder, where accounts and found blocks outlive the process; [`books`] reads it.

mod accounts;
mod bans;
pub mod chain;
pub mod cli;
mod clock;
mod config;
mod connection;
mod descriptors;
mod forward;
mod found;
mod handle;
mod http;
mod job;
mod job_id;
mod layout;
mod lease;
mod meter;
mod parking;
mod puzzle;
mod record;
mod serve;
mod server;
mod session;
mod shared;
mod source;
mod store;
mod validate;
mod vardiff;

pub use bans::BanRules;
pub use config::{Config, Limits};
pub use forward::{ForwardCounts, UpstreamSummary};
pub use handle::{Handle, Summary, WorkerSummary};
pub use serve::{Chain, Listen, ServeError, ServeOptions, Server};
pub use server::{BindError, Pool};
pub use shared::Changes;
pub use source::{
    NodeError, NodeOptions, NodeSource, Source, UpstreamError, UpstreamOptions, UpstreamSource,
};
pub use store::{BlockBook, Books, DATABASE, StoreError, StoreOptions, WorkerBook, books};

/// Hashes that it takes on average to reach difficulty 1, as pools count it.
pub const HASHES_PER_DIFFICULTY: f64 = 4_294_967_296.0;
