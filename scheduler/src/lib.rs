//! The Mesos framework: runs one pool server and as many workers as the cluster has room for, and keeps their accounts.
//!
//! ```text
//!             events                    Persist            change ids
//!  master ───────────▶ core::State      ────────▶ store ───────────┐
//!    ▲     driver          │      ▲                                │
//!    └─────────────────────┘      └────────────────────────────────┘
//!             calls
//! ```
//!
//! [`core`] only decides; it has no clock, no disk and no socket. It keeps tasks and agents in a [`fleet`] and asks the
//! policies in [`policy`]. `driver` talks to the master. [`journal`] defines the meaning of each change of the records,
//! [`store`] writes the records, and [`ledger_table`] shows the ledger. [`master_access`] has the credentials for masters, and
//! [`artifact`] serves the executor to agents. `display` draws on the terminal. `http_api` answers HTTP requests by asking the
//! driver through `query`, and passes the orders of operators to it through [`control`]. With several schedulers, `election` decides which one leads, and `run` makes this scheduler a
//! candidate. `framework_run` runs the framework while this scheduler leads, and `closing` writes the last records.

pub mod agent_access;
pub mod artifact;
pub mod attributes;
pub mod cli;
mod closing;
mod cluster_view;
pub mod config;
pub mod constraints;
pub mod control;
mod cookie_watch;
pub mod core;
mod display;
mod driver;
pub mod dry_run;
mod election;
pub mod event;
mod executable;
mod executor_delivery;
pub mod fleet;
mod framework_fate;
mod framework_run;
pub mod history;
mod http_api;
pub mod journal;
pub mod ledger_table;
pub mod master_access;
mod mesos_api;
pub mod offers;
pub mod options;
pub mod policy;
mod query;
pub mod ranked_problems;
mod run;
pub mod run_state;
pub mod sandbox;
mod scheduler_end;
mod series_recorder;
pub mod server_address;
pub mod server_capacity;
pub mod settings;
pub mod specification;
pub mod store;
mod subscription_problem;
pub mod task_id;
pub mod task_info;
mod time_limit;
mod unix_time;
pub mod user_notice;
mod webui_url;

pub use config::Config;
pub use run::run;
pub use scheduler_end::SchedulerEnd;
