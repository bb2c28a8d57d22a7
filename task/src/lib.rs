//! The messages between scheduler and executor.
//!
//! | message | carried by | may be lost? |
//! |---|---|---|
//! | [`TaskSpec`] | `TaskInfo.data` | no: a task does not start without it |
//! | [`Report`] | `TaskStatus.data` | no: status updates are repeated until they are acknowledged |
//! | [`Message`] | the executor's `MESSAGE` | yes: it is only displayed, never counted |
//! | [`Instruction`] | the scheduler's `MESSAGE` | yes: it is repeated until the task obeys |
//!
//! The wire form is protobuf. A field number is never used again for another field. Readers skip fields whose numbers they do not
//! know. Some fields must not be skipped. Each message therefore carries the lowest version whose readers know all such fields of
//! the message. This crate reads versions [`OLDEST_VERSION`] to [`VERSION`]. Messages are compact, because a Mesos agent keeps
//! every update of a live task in memory and on disk.

mod instruction;
mod live;
mod report;
mod source;
mod spec;
mod wire;

pub use instruction::{Instruction, Intervals};
pub use live::{DelayQuantiles, Live, Message, PoolLive, WorkerDelays, WorkerLive};
pub use report::{Account, Report, ServerAddress, ShareRow, Totals, Verdict};
pub use source::{BlockSourceSpec, NodeAccess, NodeSpec, UpstreamSpec};
pub use spec::{PoolAccess, PoolRules, ProgramSpec, ProxyAccess, ServerSpec, TaskSpec, WorkerSpec};
pub use wire::{DecodeError, OLDEST_VERSION, VERSION, version};
