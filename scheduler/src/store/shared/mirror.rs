//! What ZooKeeper holds, as its only writer knows it: changes in, nodes to be written out. Pure.
//!
//! A task and all accounts of it are one node, written with every change, so that what was acknowledged is there for
//! the next leader. What ended long ago is one sum in the node of the framework: the number of nodes follows the
//! tasks that there are, not those that there were. Names of workers that are no tasks come from outside; they gather
//! in pages of bounded size.

use std::collections::{BTreeMap, BTreeSet};

use mesos::v1::TaskState;

use super::node::{Account, FORMAT, Head, Leader, Node};
use crate::ledger;
use crate::numbers::number;
use crate::record::{Change, FrameworkRecord, Recovered, StatusRecord};

/// The node of the framework; all others are below `tasks`.
pub(super) const HEAD: &str = "framework";
/// A page takes no more accounts when it has so many bytes; a node may have a million in all.
const PAGE: usize = 200_000;
/// So many at most an account takes in a page, its name apart.
const ACCOUNT: usize = 400;

/// Why a node can't be understood.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the node {name} in ZooKeeper is not of this program's making")]
    Json {
        name: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("the nodes in ZooKeeper have format {found}; this program knows formats up to {FORMAT}")]
    Format { found: u32 },
}

/// A node to be written, or deleted if it has no content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Write {
    pub name: String,
    pub data: Option<Vec<u8>>,
}

/// All that is in ZooKeeper.
#[derive(Clone, Debug, Default)]
pub(super) struct Mirror {
    recovered: Recovered,
    leader: Option<Leader>,
    /// Where the accounts of those who are no tasks are: reporter and name → page.
    pages: BTreeMap<(String, String), String>,
    /// Each reporter's last page, and how full it is.
    last: BTreeMap<String, (usize, usize)>,
    dirty: BTreeSet<String>,
}

impl Mirror {
    /// Takes over what a state folder alone has held so far.
    pub fn of(recovered: Recovered) -> Mirror {
        let mut mirror = Mirror { recovered, ..Mirror::default() };
        mirror.dirty.extend(mirror.recovered.tasks.iter().map(|task| task.id.clone()));
        let accounts: Vec<(String, String)> = mirror
            .recovered
            .ledger
            .iter()
            .map(|(by, worker, ..)| (by.to_owned(), worker.to_owned()))
            .collect();
        for (by, worker) in accounts {
            mirror.touch(&by, &worker);
        }
        mirror.dirty.insert(HEAD.to_owned());
        mirror
    }

    /// Reads the framework's node and those below `tasks`.
    pub fn read(head: &[u8], nodes: &BTreeMap<String, Vec<u8>>) -> Result<Mirror, Unreadable> {
        let json = |name: &str| {
            let name = name.to_owned();
            move |source| Unreadable::Json { name, source }
        };
        let head: Head = serde_json::from_slice(head).map_err(json(HEAD))?;
        if head.format > FORMAT {
            return Err(Unreadable::Format { found: head.format });
        }
        let mut mirror = Mirror { leader: head.leader, ..Mirror::default() };
        let recovered = &mut mirror.recovered;
        recovered.framework = head.framework;
        recovered.peak_workers = head.peak_workers;
        recovered.past = head.past;
        let (line, blocks) = head.folded.into();
        recovered.ledger.add_folded(line, blocks);
        recovered.next_number = head.next_number.max(1);
        for (name, data) in nodes {
            if recovered.framework.is_none() {
                // Left over from a framework that was torn down.
                mirror.dirty.insert(name.clone());
                continue;
            }
            let node: Node = serde_json::from_slice(data).map_err(json(name))?;
            for account in &node.accounts {
                let entry = account.entry();
                recovered.ledger.insert(&account.by, &account.worker, account.kind, entry);
                if number(&account.worker).is_none() {
                    mirror.pages.insert((account.by.clone(), account.worker.clone()), name.clone());
                }
            }
            recovered.tasks.extend(node.task);
            if let Some((by, page)) = name.split_once('+').and_then(|(by, n)| Some((by, n.parse().ok()?))) {
                let last = mirror.last.entry(by.to_owned()).or_default();
                // Full enough: how full it was is not known.
                *last = (last.0.max(page), PAGE);
            }
        }
        recovered.tasks.sort_by_key(|task| number(&task.id));
        let used = recovered.tasks.iter().filter_map(|task| number(&task.id));
        let used = used.chain(recovered.past.done.last()).chain(recovered.past.lost.last()).max();
        recovered.next_number = recovered.next_number.max(used.unwrap_or(0).saturating_add(1));
        Ok(mirror)
    }

    /// What the next leader goes on with.
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// Who led last.
    pub fn leader(&self) -> Option<&Leader> {
        self.leader.as_ref()
    }

    /// From now on somebody else leads.
    pub fn lead(&mut self, leader: Leader) {
        self.leader = Some(leader);
        self.dirty.insert(HEAD.to_owned());
    }

    /// Takes a change in; `now` is in milliseconds since the Unix epoch. Repeating it changes nothing.
    pub fn apply(&mut self, change: &Change, now: u64) {
        let recovered = &mut self.recovered;
        match change {
            Change::Framework { id } => {
                if recovered.framework.as_ref().is_none_or(|known| known.id != *id) {
                    recovered.framework = Some(FrameworkRecord { id: id.clone(), started_ms: now });
                }
                self.dirty.insert(HEAD.to_owned());
            }
            Change::FrameworkEnded => self.end(),
            Change::Task(record) => {
                let used = number(&record.id).unwrap_or(0).saturating_add(1);
                recovered.next_number = recovered.next_number.max(used);
                if !recovered.tasks.iter().any(|task| task.id == record.id) {
                    recovered.tasks.push(record.clone());
                    self.dirty.insert(record.id.clone());
                }
            }
            Change::Forget { task } => {
                recovered.tasks.retain(|known| known.id != *task);
                self.dirty.insert(task.clone());
            }
            Change::Status(status) => self.status(status),
            Change::Employer { task, server } => {
                if let Some(known) = recovered.tasks.iter_mut().find(|known| known.id == *task) {
                    known.server = Some(server.clone());
                    self.dirty.insert(task.clone());
                }
            }
            Change::Past { tasks } => self.move_to_past(tasks),
            Change::Peak(workers) => {
                recovered.peak_workers = recovered.peak_workers.max(*workers);
                self.dirty.insert(HEAD.to_owned());
            }
            // They go with the server to the past.
            Change::FoldOutsiders { .. } => {}
        }
    }

    fn end(&mut self) {
        let names: Vec<String> = self.names().into_values().collect();
        self.dirty.extend(names);
        self.dirty.extend(self.recovered.tasks.iter().map(|task| task.id.clone()));
        self.dirty.insert(HEAD.to_owned());
        let next_number = self.recovered.next_number;
        self.recovered = Recovered { next_number, ..Recovered::default() };
        (self.pages, self.last) = Default::default();
    }

    fn status(&mut self, status: &StatusRecord) {
        // What a task of the past has to say yet is only on the leader's disk.
        let Some(task) = self.recovered.tasks.iter_mut().find(|task| task.id == status.task) else { return };
        let before = task.state.as_deref().and_then(TaskState::from_str_name);
        if status.state.is_some() && !before.is_some_and(TaskState::is_final) {
            task.state.clone_from(&status.state);
        }
        task.closed |= status.last;
        self.dirty.insert(status.task.clone());
        let Some(report) = &status.report else { return };
        if report.server.is_some() {
            task.address.clone_from(&report.server);
        }
        for (worker, entry) in ledger::entries(&status.task, status.kind, report) {
            if self.recovered.ledger.insert(&status.task, worker, status.kind, entry) {
                self.touch(&status.task, worker);
            }
        }
    }

    /// The very same as the framework's state does with its own.
    fn move_to_past(&mut self, ids: &[String]) {
        let before = self.names();
        let Recovered { tasks, past, ledger, .. } = &mut self.recovered;
        for id in ids {
            let (Some(number), Some(place)) = (number(id), tasks.iter().position(|task| task.id == *id))
            else {
                continue;
            };
            let task = tasks.remove(place);
            let numbers = if task.closed { &mut past.done } else { &mut past.lost };
            numbers.insert(number);
            *past.states.entry(task.state.unwrap_or_default()).or_default() += 1;
            self.dirty.insert(task.id);
        }
        let living: BTreeSet<&str> = tasks.iter().map(|task| task.id.as_str()).collect();
        ledger.fold(|task| living.contains(task));
        self.pages.retain(|(by, worker), _| ledger.entry(by, worker).is_some());
        self.last.retain(|by, _| living.contains(by.as_str()));
        let after = self.names();
        let gone = before.into_iter().filter(|(account, _)| !after.contains_key(account));
        self.dirty.extend(gone.map(|(_, name)| name));
        self.dirty.insert(HEAD.to_owned());
    }

    /// This account has changed.
    fn touch(&mut self, by: &str, worker: &str) {
        if number(worker).is_some() {
            self.dirty.insert(worker.to_owned());
            return;
        }
        let key = (by.to_owned(), worker.to_owned());
        if let Some(page) = self.pages.get(&key) {
            self.dirty.insert(page.clone());
            return;
        }
        // A character takes six bytes of JSON at most.
        let size = ACCOUNT + by.len() + 6 * worker.len();
        let last = self.last.entry(by.to_owned()).or_default();
        *last = if last.1 + size > PAGE { (last.0 + 1, size) } else { (last.0, last.1 + size) };
        let page = format!("{by}+{}", last.0);
        self.dirty.insert(page.clone());
        self.pages.insert(key, page);
    }

    /// Where each account is.
    fn names(&self) -> BTreeMap<(String, String), String> {
        let place = |(by, worker): (&str, &str)| {
            let key = (by.to_owned(), worker.to_owned());
            let name = match number(worker) {
                Some(_) => worker.to_owned(),
                None => self.pages.get(&key)?.clone(),
            };
            Some((key, name))
        };
        let accounts = self.recovered.ledger.iter();
        accounts.filter_map(|(by, worker, ..)| place((by, worker))).collect()
    }

    /// The nodes that have changed since the last call.
    pub fn take_writes(&mut self) -> Vec<Write> {
        let dirty = std::mem::take(&mut self.dirty);
        let mut nodes: BTreeMap<&str, Node> = BTreeMap::new();
        for task in self.recovered.tasks.iter().filter(|task| dirty.contains(&task.id)) {
            nodes.entry(&task.id).or_default().task = Some(task.clone());
        }
        for (by, worker, kind, entry) in self.recovered.ledger.iter() {
            let name = match number(worker) {
                Some(_) => Some(worker),
                None => self.pages.get(&(by.to_owned(), worker.to_owned())).map(String::as_str),
            };
            if let Some(name) = name.filter(|name| dirty.contains(*name)) {
                nodes.entry(name).or_default().accounts.push(Account::new(by, worker, kind, entry));
            }
        }
        let write = |name: &String| {
            let data =
                if name == HEAD { Some(json(&self.head())) } else { nodes.get(name.as_str()).map(json) };
            Write { name: name.clone(), data }
        };
        dirty.iter().map(write).collect()
    }

    fn head(&self) -> Head {
        Head {
            format: FORMAT,
            framework: self.recovered.framework.clone(),
            leader: self.leader.clone(),
            next_number: self.recovered.next_number,
            peak_workers: self.recovered.peak_workers,
            past: self.recovered.past.clone(),
            folded: self.recovered.ledger.folded().into(),
        }
    }
}

fn json(node: &impl serde::Serialize) -> Vec<u8> {
    // Maps with text for keys, numbers and text: there is nothing in it that JSON has not.
    serde_json::to_vec(node).unwrap_or_default()
}

#[cfg(test)]
mod tests;
