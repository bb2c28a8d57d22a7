//! The Mesos framework: runs one pool server and as many workers as the cluster has room for, and keeps their
//! accounts.
//!
//! ```text
//!             events                    Persist            tickets
//!  master ───────────▶ core::State      ────────▶ store ───────────┐
//!    ▲     driver          │      ▲                                │
//!    └─────────────────────┘      └────────────────────────────────┘
//!             calls
//! ```
//!
//! [`core`] decides, and does nothing else: no clock, no disk, no socket. It keeps tasks and agents in a [`fleet`], and asks
//! the rules in [`policy`]. `driver` talks to the master. [`journal`] says what a change of the records means, [`store`]
//! writes it, and [`accounts`] shows what was written. [`master_access`] has the credentials for masters, [`artifact`]
//! gives agents the executor. `display` draws on the terminal; `page` answers over HTTP, and asks the driver by `query`.
//! With several schedulers, `election` says which of them leads, and the others wait: `run` stands for election, and a
//! `term` is one time as the leader.

pub mod accounts;
pub mod artifact;
pub mod attributes;
pub mod cli;
pub mod config;
pub mod constraints;
pub mod core;
mod delivery;
mod display;
mod driver;
mod election;
mod end;
pub mod event;
pub mod fleet;
pub mod history;
pub mod journal;
pub mod master_access;
pub mod offers;
mod page;
pub mod policy;
mod query;
mod run;
pub mod run_state;
pub mod server_size;
pub mod settings;
pub mod store;
pub mod task_id;
pub mod task_info;
mod term;
mod time_limit;
pub mod user_notice;
mod wire;

pub use config::Config;
pub use end::SchedulerEnd;
pub use run::run;
