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
//! [`core`] decides, and does nothing else: no clock, no disk, no socket. `driver` talks to the master, [`journal`] says
//! what a change means and [`store`] writes it, [`access`] has what proves to masters who we are, [`accounts`] shows what
//! it wrote, [`artifact`] gives agents the executor, `display` shows, also
//! by `page` to others. With several schedulers, `election` says which of them leads; the others wait.

pub mod accounts;
pub mod artifact;
pub mod cli;
pub mod config;
pub mod constraints;
pub mod core;
mod delivery;
mod display;
mod driver;
mod election;
mod end;
pub mod fleet;
pub mod journal;
pub mod kind;
pub mod launch;
pub mod master_access;
pub mod offers;
mod page;
pub mod policy;
mod query;
mod run;
pub mod store;
mod term;
mod time_limit;
pub mod user_notice;
mod wire;

pub use config::Config;
pub use end::SchedulerEnd;
pub use run::run;
