//! What is written down before anything depends on it, and what it means.
//!
//! A [`Change`] is the only way in which what is kept changes. [`apply()`] says, once, what each change means; memory,
//! SQLite and ZooKeeper implement [`Records`], which only gets and puts.

mod apply;
mod change;
mod ledger;
mod recovered;
mod specification_key;
mod sums;
mod task_numbers;
mod task_record;

pub use self::apply::{Records, apply, book, new_state};
pub use self::change::{AvoidedAgent, Change, StatusRecord, Ticket};
pub use self::ledger::{Account, AggregatedWorker, Entry, Ledger, Line, OTHERS, UNTRACKED_MINERS, accounts};
pub use self::recovered::{FrameworkRecord, Recovered, RetiredTasks};
pub use self::specification_key::SpecificationKey;
pub use self::task_numbers::{TaskNumberSet, number};
pub use self::task_record::{Assignment, Origin, TaskRecord};
