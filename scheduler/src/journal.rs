//! The records of the framework, which are persisted before anything depends on them.
//!
//! Records change only through a [`Change`]. [`apply()`] implements each change once for all backends. The backends (memory,
//! SQLite and ZooKeeper) implement [`Records`], which only reads and writes single records.

mod apply;
mod change;
mod command;
mod framework_record;
mod ledger;
mod recovered;
mod specification_key;
mod sums;
mod task_numbers;
mod task_record;

pub use self::apply::{Records, apply, new_state, record_accounts};
pub use self::change::{AvoidedAgent, Change, ChangeId, StatusRecord};
pub use self::command::{
    Command, Controls, KEPT_COMMANDS, MiningPause, Operator, RecordedCommand, Said, Scale, ScaleLimits,
};
pub use self::framework_record::{FrameworkRecord, Removal};
pub use self::ledger::{Account, AggregatedWorker, Entry, Ledger, OTHERS, UNTRACKED_MINERS, accounts};
pub use self::recovered::{RecoveredState, RetiredTasks};
pub use self::specification_key::SpecificationKey;
pub use self::sums::{LedgerLine, worker_candidates};
pub use self::task_numbers::TaskNumberSet;
pub use self::task_record::{Assignment, Origin, TaskRecord};
