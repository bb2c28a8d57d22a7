//! The miner, standalone (`mine`) and as a custom Mesos executor (`executor`).
//!
//! ```text
//! pool ─Job→ miner ─Job→ engine ─FoundShare→ miner ─Share→ pool
//!              └─MinedShare→ report_builder ─Report→ standalone (terminal)  or  agent (status updates)
//! ```
//!
//! - [`engine`]: the mining threads and the units of work that they search;
//! - [`started_engine`]: chooses a backend and starts the engine;
//! - [`miner`]: passes jobs from the pool to the engine, and shares back;
//! - [`report_builder`]: builds reports from shares and hash counts;
//! - [`delays`]: the delays of the last minute;
//! - [`cpu_model`]: the name of this machine's CPU;
//! - [`timers`]: when reports and live messages are due;
//! - [`standalone`]: the terminal front end, similar to that of cpuminer;
//! - [`mesos_executor`]: the Mesos side: a pure state machine and its I/O;
//! - [`runner`]: the interface between the Mesos side and the kinds of task;
//! - [`waiting`]: what a task without work waits for, and when it says so;
//! - [`worker`]: runs worker tasks.

pub mod bench;
pub mod cli;
pub mod cpu_model;
pub mod delays;
pub mod engine;
pub mod mesos_executor;
pub mod miner;
pub mod report_builder;
pub mod runner;
pub mod standalone;
pub mod started_engine;
pub mod timers;
pub mod waiting;
pub mod worker;

pub use bench::run as run_bench;
pub use mesos_executor::run as run_executor;
pub use runner::{BLOCK_REPORT_INTERVAL, Runner, Runners, TaskContext, TaskError, TaskEvent};
pub use standalone::run as run_mine;
