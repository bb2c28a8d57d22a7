//! Ids of tasks: `miner-server-N` and `miner-worker-N`. Each number is used once, in the order of launches.

use serde::{Deserialize, Serialize};

/// The two kinds of task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskKind {
    /// The pool server; its reports fill the pool's column of the ledger.
    Server,
    /// A miner; its reports fill the workers' column of the ledger.
    Worker,
}

impl TaskKind {
    /// The word for this kind in task ids and in the store.
    pub fn name(self) -> &'static str {
        match self {
            TaskKind::Server => "server",
            TaskKind::Worker => "worker",
        }
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<Self> {
        [TaskKind::Server, TaskKind::Worker].into_iter().find(|kind| kind.name() == name)
    }

    /// The kind of the task with this id. An id that this program did not create is treated as a worker's.
    pub fn of_id(id: &str) -> Self {
        if id.starts_with("miner-server-") { TaskKind::Server } else { TaskKind::Worker }
    }
}

/// The id of the task with this number.
pub fn task_id(kind: TaskKind, number: u64) -> String {
    format!("miner-{}-{number}", kind.name())
}

/// The number in a task id; `None` if this program did not create the id.
pub fn task_number(id: &str) -> Option<u64> {
    let (kind, digits) = id.strip_prefix("miner-")?.split_once('-')?;
    TaskKind::named(kind)?;
    digits.parse().ok().filter(|number: &u64| number.to_string() == digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ids_of_our_making_have_numbers() {
        assert_eq!(task_number("miner-worker-7"), Some(7));
        assert_eq!(task_number("miner-server-1"), Some(1));
        for id in ["miner-worker-07", "miner-worker-+7", "miner-worker-", "worker-7", "miner-worker-7x"] {
            assert_eq!(task_number(id), None, "{id}");
        }
    }
}
