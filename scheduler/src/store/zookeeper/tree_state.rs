//! The leader's view of the tree in ZooKeeper: it takes changes and returns transactions, without any I/O.
//!
//! A task and all its accounts are one node, rewritten with every change, so that the next leader finds everything that was
//! acknowledged. Tasks that ended long ago are kept only as sums in the framework node, so that the number of nodes depends on
//! the current tasks, not on all tasks that were ever launched. Miners that are not tasks choose their own names; their accounts
//! are collected in pages of bounded size. The cost of a change does not depend on the number of tasks and accounts.

mod account_pages;
mod read;
mod transactions;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use self::account_pages::AccountPages;
pub(super) use self::read::{UnreadableNode, format};
use super::znode::{AVOIDED, CONTROLS, FORMAT, FrameworkNode, Leader, Node, avoided_name};
use crate::journal::{
    self, Account, AggregatedWorker, AvoidedAgent, Change, Controls, Entry, FrameworkRecord, Ledger,
    LedgerLine, Records, RecoveredState, Removal, RetiredTasks, SpecificationKey, TaskRecord,
};
use crate::task_id::{TaskKind, task_number};

/// A node to be written, or to be deleted if `data` is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NodeWrite {
    pub name: String,
    pub data: Option<Vec<u8>>,
}

/// The content of the tree, and which nodes have changed since they were last written.
#[derive(Clone, Debug, Default)]
pub(super) struct TreeState {
    framework: Option<FrameworkRecord>,
    tasks: BTreeMap<String, TaskRecord>,
    retired: RetiredTasks,
    ledger: Ledger,
    next_number: u64,
    peak_workers: u64,
    avoided: BTreeMap<String, AvoidedAgent>,
    controls: Controls,
    specification_key: Option<SpecificationKey>,
    leader: Option<Leader>,
    /// The pages that contain the accounts of miners that are not tasks. Each page is a ZooKeeper node.
    pages: AccountPages,
    /// Whether the framework node has changed and is to be written.
    framework_changed: bool,
    /// The names of the other nodes that have changed and are to be written or deleted.
    changed: BTreeSet<String>,
    /// Node name → the totals and the number of blocks that have moved from this node to the sum in the framework node. Each of
    /// these nodes is written in one transaction with the framework node.
    moved: BTreeMap<String, (LedgerLine, u64)>,
    /// The names of nodes whose task has retired or whose framework has ended. Such a node is written again without the task, or
    /// deleted if nothing else is in it. The framework node, which records the retirement or the end, is written first.
    dropped: BTreeSet<String>,
    /// The sum of retired accounts that was last written to the framework node. It lacks what was added to the sum after this
    /// write.
    written_sum: (LedgerLine, u64),
    /// The content of the framework node of format 1, if the tree has yet to be converted. It is written to a backup node
    /// together with the new framework node.
    format_1_backup: Option<Vec<u8>>,
}

impl TreeState {
    /// The state of a new tree, which starts with the records of a state folder.
    pub fn of(recovered: RecoveredState) -> Self {
        let mut state = TreeState {
            framework: recovered.framework,
            tasks: recovered.tasks.into_iter().map(|task| (task.id.clone(), task)).collect(),
            retired: recovered.retired,
            ledger: recovered.ledger,
            next_number: recovered.next_number,
            peak_workers: recovered.peak_workers,
            avoided: recovered.avoided.into_iter().map(|it| (it.agent.clone(), it)).collect(),
            controls: recovered.controls,
            specification_key: recovered.specification_key,
            ..TreeState::default()
        };
        state.written_sum = state.ledger.aggregated();
        for account in state.ledger.iter() {
            if task_number(account.worker).is_none() {
                state.pages.page_for(account.reporter, account.worker);
            }
        }
        state.write_all();
        state
    }

    /// Marks every node as changed.
    fn write_all(&mut self) {
        self.framework_changed = true;
        self.changed.extend(self.tasks.keys().cloned());
        self.changed.extend(self.avoided.keys().map(|agent| avoided_name(agent)));
        self.changed.extend((self.controls != Controls::default()).then(|| CONTROLS.to_owned()));
        let names = self.ledger.iter().filter_map(|it| self.node_of(it.reporter, it.worker));
        let names: BTreeSet<String> = names.collect();
        self.changed.extend(names);
    }

    /// The state that the next leader continues with.
    pub fn recovered(&self) -> RecoveredState {
        let mut tasks: Vec<TaskRecord> = self.tasks.values().cloned().collect();
        tasks.sort_by_key(|task| task_number(&task.id));
        RecoveredState {
            framework: self.framework.clone(),
            tasks,
            retired: self.retired.clone(),
            ledger: self.ledger.clone(),
            next_number: self.next_number,
            peak_workers: self.peak_workers,
            avoided: self.avoided.values().cloned().collect(),
            controls: self.controls.clone(),
            specification_key: self.specification_key.clone(),
        }
    }

    /// The last leader that the tree records, if there is one.
    pub fn leader(&self) -> Option<&Leader> {
        self.leader.as_ref()
    }

    /// Records a new leader. `key` is used for the fingerprints of task specifications, unless the tree already has a key for
    /// them.
    pub fn set_leader(&mut self, leader: Leader, key: Option<SpecificationKey>) {
        self.leader = Some(leader);
        self.specification_key = self.specification_key.take().or(key);
        self.framework_changed = true;
    }

    /// Applies a change; `now` is in milliseconds since the Unix epoch. Applying it again changes nothing.
    pub fn apply(&mut self, change: &Change, now: u64) {
        let Ok(()) = journal::apply(self, change, now);
    }

    /// Whether this change must be written after all earlier changes and before all later ones. This holds for changes that make
    /// other nodes invalid, and for the mark that the master has removed the framework. A scheduler that finds this mark expects
    /// that the end of every task is recorded, so these ends are written before the mark.
    pub fn must_be_written_alone(change: &Change) -> bool {
        matches!(change, Change::Retire(_) | Change::FrameworkEnded | Change::FrameworkRemoved(_))
    }

    /// The node that contains an account, if there is one.
    fn node_of(&self, reporter: &str, worker: &str) -> Option<String> {
        match task_number(worker) {
            Some(_) => Some(worker.to_owned()),
            None => self.pages.find(reporter, worker),
        }
    }

    /// Removes a worker's accounts from the nodes that list them, because the total in the framework node now includes these
    /// accounts.
    fn move_to_sum(&mut self, aggregated: AggregatedWorker) {
        let AggregatedWorker { worker, line, by_reporter } = aggregated;
        if task_number(&worker).is_some() {
            self.add_moved(worker, line);
            return;
        }
        for (reporter, (kind, entry)) in by_reporter {
            let Some(page) = self.pages.remove(&reporter, &worker) else { continue };
            let mut line = LedgerLine::default();
            match kind {
                TaskKind::Worker => line.worker = entry.totals,
                TaskKind::Server => line.pool = entry.totals,
            }
            self.add_moved(page, line);
        }
    }

    fn add_moved(&mut self, node: String, line: LedgerLine) {
        let (sum, blocks) = self.moved.entry(node).or_default();
        sum.worker += line.worker;
        sum.pool += line.pool;
        *blocks = blocks.saturating_add(line.blocks());
        self.framework_changed = true;
    }

    /// The content that a node should have; `None` if it should not exist.
    fn node(&self, name: &str) -> Option<Node> {
        let mut node = Node::default();
        match self.pages.workers(name) {
            Some((reporter, workers)) => {
                let accounts = workers.iter().filter_map(|worker| self.ledger.account(reporter, worker));
                node.accounts = accounts.map(Into::into).collect();
            }
            None => {
                node.task = self.tasks.get(name).cloned().map(Into::into);
                node.accounts = self.ledger.accounts_of(name).map(Into::into).collect();
                node.avoided = self.avoided_in(name).cloned();
                let controls = name == CONTROLS && self.controls != Controls::default();
                node.controls = controls.then(|| self.controls.clone());
            }
        }
        (node != Node::default()).then_some(node)
    }

    fn avoided_in(&self, name: &str) -> Option<&AvoidedAgent> {
        let agent = hex::decode(name.strip_prefix(AVOIDED)?).ok()?;
        self.avoided.get(&String::from_utf8(agent).ok()?)
    }

    /// The content of the framework node, with `written_sum` as the sum of retired accounts.
    fn framework_node(&self) -> FrameworkNode {
        FrameworkNode {
            format: FORMAT,
            framework: self.framework.clone(),
            leader: self.leader.clone(),
            next_number: self.next_number,
            peak_workers: self.peak_workers,
            retired: self.retired.clone().into(),
            sum: self.written_sum.into(),
            specification_key: self.specification_key.as_ref().map(SpecificationKey::to_hex),
        }
    }
}

impl Records for TreeState {
    type Error = Infallible;

    fn framework(&self) -> Result<Option<Cow<'_, str>>, Infallible> {
        Ok(self.framework.as_ref().map(|framework| Cow::Borrowed(framework.id.as_str())))
    }

    fn begin_framework(&mut self, id: &str, now_ms: u64) -> Result<(), Infallible> {
        self.framework =
            Some(FrameworkRecord { id: id.to_owned(), started_ms: now_ms, ..FrameworkRecord::default() });
        self.framework_changed = true;
        Ok(())
    }

    fn end_framework(&mut self, _now_ms: u64) -> Result<(), Infallible> {
        let accounts = self.ledger.iter().filter_map(|it| self.node_of(it.reporter, it.worker));
        let names: Vec<String> = accounts.chain(self.tasks.keys().cloned()).collect();
        *self = TreeState {
            next_number: self.next_number,
            avoided: std::mem::take(&mut self.avoided),
            controls: std::mem::take(&mut self.controls),
            specification_key: self.specification_key.take(),
            leader: self.leader.take(),
            changed: std::mem::take(&mut self.changed),
            dropped: std::mem::take(&mut self.dropped),
            format_1_backup: self.format_1_backup.take(),
            framework_changed: true,
            ..TreeState::default()
        };
        self.dropped.extend(names);
        Ok(())
    }

    fn set_failover_timeout(&mut self, ms: u64) -> Result<(), Infallible> {
        if let Some(framework) = &mut self.framework {
            framework.failover_ms = Some(ms);
            self.framework_changed = true;
        }
        Ok(())
    }

    fn set_tearing_down(&mut self, tearing_down: bool) -> Result<(), Infallible> {
        if let Some(framework) = &mut self.framework {
            framework.tearing_down = tearing_down;
            self.framework_changed = true;
        }
        Ok(())
    }

    fn mark_removed(&mut self, removal: Removal) -> Result<(), Infallible> {
        if let Some(framework) = &mut self.framework {
            framework.removal = Some(removal);
            self.framework_changed = true;
        }
        Ok(())
    }

    fn task(&self, id: &str) -> Result<Option<Cow<'_, TaskRecord>>, Infallible> {
        Ok(self.tasks.get(id).map(Cow::Borrowed))
    }

    fn put_task(&mut self, task: TaskRecord) -> Result<(), Infallible> {
        self.changed.insert(task.id.clone());
        self.tasks.insert(task.id.clone(), task);
        Ok(())
    }

    fn remove_task(&mut self, id: &str) -> Result<(), Infallible> {
        if self.tasks.remove(id).is_some() {
            self.changed.insert(id.to_owned());
        }
        Ok(())
    }

    fn has_retired(&self, id: &str) -> Result<bool, Infallible> {
        Ok(self.retired.contains(id))
    }

    fn retire_task(&mut self, task: TaskRecord) -> Result<(), Infallible> {
        self.tasks.remove(&task.id);
        self.retired.insert(&task);
        self.framework_changed = true;
        self.dropped.insert(task.id);
        Ok(())
    }

    fn account(&self, reporter: &str, worker: &str) -> Result<Option<Entry>, Infallible> {
        Ok(self.ledger.entry(reporter, worker).copied())
    }

    fn put_account(&mut self, account: Account<'_>) -> Result<(), Infallible> {
        self.ledger.put(account);
        let Account { reporter, worker, .. } = account;
        let node = match task_number(worker) {
            Some(_) => worker.to_owned(),
            None => self.pages.page_for(reporter, worker),
        };
        self.changed.insert(node);
        Ok(())
    }

    fn aggregate_accounts(&mut self, retired: &[String]) -> Result<(), Infallible> {
        let tasks = &self.tasks;
        for aggregated in self.ledger.aggregate(retired, |task| tasks.contains_key(task)) {
            self.move_to_sum(aggregated);
        }
        Ok(())
    }

    fn raise_next_number(&mut self, at_least: u64) -> Result<(), Infallible> {
        self.next_number = self.next_number.max(at_least);
        Ok(())
    }

    fn raise_peak_workers(&mut self, at_least: u64) -> Result<(), Infallible> {
        if self.peak_workers < at_least {
            self.peak_workers = at_least;
            self.framework_changed = true;
        }
        Ok(())
    }

    fn avoid_agent(&mut self, agent: &AvoidedAgent) -> Result<(), Infallible> {
        self.changed.insert(avoided_name(&agent.agent));
        self.avoided.insert(agent.agent.clone(), agent.clone());
        Ok(())
    }

    fn allow_agent(&mut self, agent: &str) -> Result<(), Infallible> {
        if self.avoided.remove(agent).is_some() {
            self.changed.insert(avoided_name(agent));
        }
        Ok(())
    }

    fn controls(&self) -> Result<Cow<'_, Controls>, Infallible> {
        Ok(Cow::Borrowed(&self.controls))
    }

    fn set_controls(&mut self, controls: Controls) -> Result<(), Infallible> {
        self.changed.insert(CONTROLS.to_owned());
        self.controls = controls;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
