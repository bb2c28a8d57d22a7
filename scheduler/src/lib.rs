//! The Mesos framework: runs one pool server and as many workers as the cluster has room for, and keeps their
//! accounts.
//!
//! ```text
//!             events                    Persist            tickets
//!  master ───────────▶ framework::State ────────▶ store ───────────┐
//!    ▲     driver          │      ▲                                │
//!    └─────────────────────┘      └────────────────────────────────┘
//!             calls
//! ```
//!
//! [`framework`] decides, and does nothing else: no clock, no disk, no socket. `driver` talks to the master, [`store`]
//! writes, [`accounts`] shows what was written, [`master_access`] has the credentials for masters, [`artifact`] gives
//! agents the executor. `display` draws on the terminal; `page` answers over HTTP, and asks the driver by `query`. With
//! several schedulers, `election` says which of them leads, and the others wait: `run` stands for election, and a `term`
//! is one time as the leader.

pub mod accounts;
pub mod artifact;
pub mod cli;
pub mod config;
pub mod constraints;
mod delivery;
mod display;
mod driver;
mod election;
mod end;
pub mod framework;
pub mod kind;
pub mod launch;
pub mod ledger;
pub mod master_access;
pub mod numbers;
pub mod offers;
mod page;
mod query;
pub mod record;
mod run;
pub mod store;
mod term;
mod time_limit;
mod wire;

pub use config::Config;
pub use end::SchedulerEnd;
pub use run::run;
