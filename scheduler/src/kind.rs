//! Server or worker.

use serde::{Deserialize, Serialize};

/// The two kinds of task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The pool server; its reports fill the pool's column of the ledger.
    Server,
    /// A miner; its reports fill the workers' column.
    Worker,
}

impl Kind {
    /// The word in task ids and in the store.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Server => "server",
            Kind::Worker => "worker",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Kind> {
        [Kind::Server, Kind::Worker].into_iter().find(|kind| kind.name() == name)
    }
}
