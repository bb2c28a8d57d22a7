//! The miner, alone (`mine`) and as a custom Mesos executor (`executor`).
//!
//! ```text
//! pool ─Notify→ miner ─Job→ engine ─Found→ miner ─Share→ pool
//!                 └─JudgedShare→ tally ─Report→ standalone (terminal)  or  agent (status updates)
//! ```
//!
//! - [`engine`]: the mining threads and what each of them searches;
//! - [`miner`]: the connection to the pool, jobs in, shares out;
//! - [`tally`]: from shares and hash counts to reports;
//! - [`timers`]: when reports and live messages are due;
//! - [`standalone`]: the terminal front end, with cpuminer's habits;
//! - [`agent`]: the Mesos side, a pure state machine and the I/O around it;
//! - [`runner`]: the seam between the Mesos side and the kinds of task;
//! - [`worker`]: the runner of a worker task.

pub mod agent;
pub mod bench;
pub mod cli;
pub mod engine;
pub mod miner;
pub mod report_builder;
pub mod runner;
pub mod standalone;
pub mod started_engine;
pub mod timers;
pub mod worker;

pub use agent::run as run_executor;
pub use bench::run as run_bench;
pub use runner::{Runner, Runners, TaskContext, TaskError, TaskEvent};
pub use standalone::run as run_mine;
