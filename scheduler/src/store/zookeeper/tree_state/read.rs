//! Nodes → the state that the next leader continues with.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::TreeState;
use super::account_pages;
use crate::journal::{LedgerLine, SpecificationKey, TaskRecord};
use crate::store::zookeeper::znode::{
    AccountJson, FORMAT, FRAMEWORK, FormatNode, FrameworkNode, Node, TASKS_1, node_path,
};
use crate::task_id::task_number;

/// Why a node's content cannot be used.
#[derive(Debug, thiserror::Error)]
pub(in crate::store::zookeeper) enum UnreadableNode {
    #[error(
        "the node {path} in ZooKeeper was not written by this program, or is damaged ({source}): correct it there (zkCli.sh), \
         or start a new framework under another path (--zk)"
    )]
    Json { path: String, source: serde_json::Error },
    #[error(
        "the specification_key in the node framework in ZooKeeper is not a key: correct it there (zkCli.sh)"
    )]
    Key,
    #[error(
        "the nodes in ZooKeeper have format {found}; this program knows formats up to {FORMAT}: start the newer program \
         that wrote them, or return to format {FORMAT}: set the node framework to the content of \
         framework-format-{FORMAT}"
    )]
    Format { found: u32 },
}

/// The format number in a framework node.
pub(in crate::store::zookeeper) fn format(framework: &[u8]) -> Result<u32, UnreadableNode> {
    let FormatNode { format } = parse(FRAMEWORK.to_owned(), framework)?;
    if format > FORMAT { Err(UnreadableNode::Format { found: format }) } else { Ok(format) }
}

fn parse<T: DeserializeOwned>(path: String, data: &[u8]) -> Result<T, UnreadableNode> {
    serde_json::from_slice(data).map_err(|source| UnreadableNode::Json { path, source })
}

impl TreeState {
    /// Reads the framework node and the nodes that belong to it: those in the shards or, in format 1, those below `tasks`.
    pub fn read(framework: &[u8], nodes: &BTreeMap<String, Vec<u8>>) -> Result<Self, UnreadableNode> {
        let format = format(framework)?;
        let mut state = TreeState::with_framework(parse(FRAMEWORK.to_owned(), framework)?)?;
        for (name, data) in nodes {
            if format == 1 && state.framework.is_none() {
                // This node is left over from a framework that was torn down. It stays as a backup.
                continue;
            }
            let path = if format == 1 { format!("{TASKS_1}/{name}") } else { node_path(name) };
            let node: Node = parse(path, data)?;
            state.insert_node(name, if format == 1 { node.converted_from_format_1() } else { node });
        }
        state.aggregate_retired_accounts();
        let used = state.tasks.keys().filter_map(|id| task_number(id));
        let used = used.chain(state.retired.done.last()).chain(state.retired.lost.last()).max();
        state.next_number = state.next_number.max(used.unwrap_or(0).saturating_add(1));
        if format == 1 {
            state.write_all();
            state.format_1_backup = Some(framework.to_owned());
        }
        Ok(state)
    }

    fn with_framework(node: FrameworkNode) -> Result<Self, UnreadableNode> {
        let key = |text: String| SpecificationKey::from_hex(&text).ok_or(UnreadableNode::Key);
        let mut state = TreeState {
            framework: node.framework,
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

    fn insert_node(&mut self, name: &str, node: Node) {
        if let Some(avoided) = node.avoided {
            self.avoided.insert(avoided.agent.clone(), avoided);
            return;
        }
        if let Some(controls) = node.controls {
            self.controls = controls;
            return;
        }
        if self.framework.is_none() {
            // This node is left over from a framework that was torn down, and is to be deleted.
            self.dropped.insert(name.to_owned());
            return;
        }
        for account in node.accounts.iter().map(AccountJson::account) {
            self.ledger.put(account);
            if let (None, Some((_, page))) = (task_number(account.worker), account_pages::parse(name)) {
                self.pages.insert_read(account.reporter, page, account.worker);
            }
        }
        match node.task.map(TaskRecord::from) {
            // The previous leader was stopped before it deleted the node, so the node is still to be deleted.
            Some(task) if self.retired.contains(&task.id) => drop(self.dropped.insert(name.to_owned())),
            Some(task) => drop(self.tasks.insert(task.id.clone(), task)),
            None => {}
        }
    }

    /// Adds accounts of retired tasks to the sum, in case the previous leader was stopped before it had written the sum.
    fn aggregate_retired_accounts(&mut self) {
        let tasks = &self.tasks;
        for aggregated in self.ledger.aggregate_all_but(|task| tasks.contains_key(task)) {
            self.move_to_sum(aggregated);
        }
    }
}
