//! All that scheduler and executor tell each other.
//!
//! | what | travels in | lost? |
//! |---|---|---|
//! | [`TaskSpec`] | `TaskInfo.data` | never: a task without it does not start |
//! | [`Report`] | `TaskStatus.data` | never: status updates are repeated until acknowledged |
//! | [`Live`] | the executor's `MESSAGE` | may be: it is shown, never accounted |
//! | [`Instruction`] | the scheduler's `MESSAGE` | may be: it is repeated until the task obeys |
//!
//! The wire form is protobuf with field numbers that are never reused, so that a reader skips what it does
//! not know, inside an envelope whose `version` says what the reader must know to understand it: the version that first had
//! all that cannot be skipped. Readers take the versions from [`OLDEST_VERSION`] to [`VERSION`]. Compactness counts here: a Mesos agent keeps every update of a live task
//! in memory and on disk for as long as the task lives.

mod instruction;
mod intervals;
mod live;
mod report;
mod spec;
mod wire;

pub use instruction::Instruction;
pub use intervals::Intervals;
pub use live::{Live, PoolLive, WorkerLive};
pub use report::{Account, Report, ServerAddress, ShareRow, Totals, Verdict};
pub use spec::{
    Chain, NodeAccess, NodeSpec, PoolAccess, ProxyAccess, ServerSpec, TaskKind, TaskSpec, UpstreamSpec,
    WorkerSpec,
};
pub use wire::{DecodeError, OLDEST_VERSION, VERSION, version};
