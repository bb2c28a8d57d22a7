//! What the nodes in ZooKeeper hold: JSON, for people with `zkCli`, too.

use serde::{Deserialize, Serialize};

use super::super::sum::{Figures, Sum};
use crate::kind::Kind;
use crate::ledger::Entry;
use crate::record::{FrameworkRecord, PastRecord, TaskRecord};

/// The format that this program writes.
pub(super) const FORMAT: u32 = 1;

/// The node `framework`: all but the tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub format: u32,
    /// None once it was torn down.
    pub framework: Option<FrameworkRecord>,
    pub leader: Option<Leader>,
    /// The lowest number that was never used in a task id.
    pub next_number: u64,
    pub peak_workers: u64,
    #[serde(default)]
    pub past: PastRecord,
    /// The sum of the accounts of tasks of the past.
    #[serde(default)]
    pub folded: Sum,
}

/// Who leads, or led last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// Its state folder's own name for itself: the rows of single shares are there.
    pub folder: String,
    /// Its machine.
    pub host: String,
    /// Since when, milliseconds since the Unix epoch.
    pub since_ms: u64,
}

/// A node below `tasks`: a task with all accounts of it, or some accounts of those who are no tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Node {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskRecord>,
    #[serde(default)]
    pub accounts: Vec<Account>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Account {
    /// Who reports.
    pub by: String,
    pub kind: Kind,
    pub worker: String,
    pub sequence: u64,
    #[serde(flatten)]
    pub figures: Figures,
    pub rows_omitted: u64,
}

impl Account {
    pub fn new(by: &str, worker: &str, kind: Kind, entry: &Entry) -> Account {
        let Entry { sequence, totals, rows_omitted } = *entry;
        Account {
            by: by.to_owned(),
            kind,
            worker: worker.to_owned(),
            sequence,
            figures: totals.into(),
            rows_omitted,
        }
    }

    pub fn entry(&self) -> Entry {
        let (totals, rows_omitted) = (self.figures.clone().into(), self.rows_omitted);
        Entry { sequence: self.sequence, totals, rows_omitted }
    }
}
