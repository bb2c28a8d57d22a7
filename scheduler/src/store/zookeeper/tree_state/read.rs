//! Nodes → what the next leader goes on with.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::TreeState;
use super::pages;
use crate::journal::{AvoidedAgent, FrameworkRecord, LedgerLine, SpecificationKey, TaskRecord};
use crate::store::zookeeper::node::{FORMAT, FRAMEWORK, FormatNode, FrameworkNode, Node, TASKS_1, place};
use crate::task_id::task_number;

/// Why a node cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(in crate::store::zookeeper) enum Unreadable {
    #[error(
        "the node {place} in ZooKeeper is not of this program's making, or was damaged ({source}): correct it there (zkCli.sh), \
         or begin with a new framework under another path (--zk)"
    )]
    Json { place: String, source: serde_json::Error },
    #[error(
        "the specification_key in the node framework in ZooKeeper is not a key: correct it there (zkCli.sh)"
    )]
    Key,
    #[error(
        "the nodes in ZooKeeper have format {found}; this program knows formats up to {FORMAT}: start the newer program \
         that wrote them, or go back to what it left of format {FORMAT}: set the node framework to the content of \
         framework-format-{FORMAT}"
    )]
    Format { found: u32 },
}

/// The number of the format of a framework's node.
pub(in crate::store::zookeeper) fn format(framework: &[u8]) -> Result<u32, Unreadable> {
    let FormatNode { format } = parse(FRAMEWORK.to_owned(), framework)?;
    if format > FORMAT { Err(Unreadable::Format { found: format }) } else { Ok(format) }
}

fn parse<T: DeserializeOwned>(place: String, data: &[u8]) -> Result<T, Unreadable> {
    serde_json::from_slice(data).map_err(|source| Unreadable::Json { place, source })
}

impl TreeState {
    /// Reads the framework's node and those that belong to it, in the shards or, in format 1, below `tasks`.
    pub fn read(framework: &[u8], nodes: &BTreeMap<String, Vec<u8>>) -> Result<Self, Unreadable> {
        let format = format(framework)?;
        let head: FrameworkNode = parse(FRAMEWORK.to_owned(), framework)?;
        let mut state = TreeState::with_framework(head)?;
        for (name, data) in nodes {
            let place = if format == 1 { format!("{TASKS_1}/{name}") } else { place(name) };
            if format == 1 && state.framework.is_none() {
                // Left over from a framework that was torn down. It stays with the copy.
                continue;
            }
            let node: Node = parse(place, data)?;
            state.take(name, if format == 1 { node.read_as_format_1() } else { node });
        }
        state.aggregate_what_retired();
        let used = state.tasks.keys().filter_map(|id| task_number(id));
        let used = used.chain(state.retired.done.last()).chain(state.retired.lost.last()).max();
        state.next_number = state.next_number.max(used.unwrap_or(0).saturating_add(1));
        if format == 1 {
            state.write_all();
            state.copy = Some(framework.to_owned());
        }
        Ok(state)
    }

    fn with_framework(node: FrameworkNode) -> Result<Self, Unreadable> {
        let key = |text: String| SpecificationKey::from_hex(&text).ok_or(Unreadable::Key);
        let mut state = TreeState {
            framework: node.framework.map(FrameworkRecord::from),
            retired: node.retired.into(),
            next_number: node.next_number,
            peak_workers: node.peak_workers,
            leader: node.leader,
            specification_key: node.specification_key.map(key).transpose()?,
            ..TreeState::default()
        };
        let (line, blocks): (LedgerLine, u64) = node.sum.into();
        state.ledger.add_aggregated(line, blocks);
        state.written_sum = (line, blocks);
        Ok(state)
    }

    fn take(&mut self, name: &str, node: Node) {
        if let Some(avoided) = node.avoided.map(AvoidedAgent::from) {
            self.avoided.insert(avoided.agent.clone(), avoided);
            return;
        }
        if self.framework.is_none() {
            // Left over from a framework that was torn down.
            self.dropped.insert(name.to_owned());
            return;
        }
        for account in node.accounts.iter().map(|account| account.account()) {
            self.ledger.put(account);
            if let (None, Some((_, page))) = (task_number(account.worker), pages::parse(name)) {
                self.pages.was_in(account.reporter, page, account.worker);
            }
        }
        match node.task.map(TaskRecord::from) {
            // The leader before was stopped while it wrote this down.
            Some(task) if self.retired.contains(&task.id) => drop(self.dropped.insert(name.to_owned())),
            Some(task) => drop(self.tasks.insert(task.id.clone(), task)),
            None => {}
        }
    }

    /// The leader before may have been stopped while it wrote down that tasks retired.
    fn aggregate_what_retired(&mut self) {
        let tasks = &self.tasks;
        for aggregated in self.ledger.aggregate_all_but(|task| tasks.contains_key(task)) {
            self.move_to_sum(aggregated);
        }
    }
}
