//! Records in plain collections, with which those in SQLite and ZooKeeper are compared.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::convert::Infallible;

use super::super::*;
use crate::journal::{self, AvoidedAgent, Controls, Entry, Records, Removal, RetiredTasks, TaskRecord};

/// The simplest implementation of [`Records`], with which SQLite and ZooKeeper are compared.
#[derive(Default)]
pub(super) struct Plain {
    pub framework: Option<String>,
    pub failover_ms: Option<u64>,
    pub tearing_down: bool,
    pub removal: Option<Removal>,
    pub tasks: BTreeMap<String, TaskRecord>,
    pub retired: RetiredTasks,
    pub ledger: Ledger,
    pub peak_workers: u64,
    pub avoided: BTreeMap<String, AvoidedAgent>,
    pub controls: Controls,
}

impl Records for Plain {
    type Error = Infallible;

    fn framework(&self) -> Result<Option<Cow<'_, str>>, Infallible> {
        Ok(self.framework.as_deref().map(Cow::Borrowed))
    }

    fn begin_framework(&mut self, id: &str, _now_ms: u64) -> Result<(), Infallible> {
        self.framework = Some(id.to_owned());
        Ok(())
    }

    fn end_framework(&mut self, _now_ms: u64) -> Result<(), Infallible> {
        let Plain { avoided, controls, .. } = std::mem::take(self);
        *self = Plain { avoided, controls, ..Plain::default() };
        Ok(())
    }

    fn set_failover_timeout(&mut self, ms: u64) -> Result<(), Infallible> {
        self.failover_ms = self.framework.is_some().then_some(ms);
        Ok(())
    }

    fn set_tearing_down(&mut self, tearing_down: bool) -> Result<(), Infallible> {
        self.tearing_down = tearing_down && self.framework.is_some();
        Ok(())
    }

    fn mark_removed(&mut self, removal: Removal) -> Result<(), Infallible> {
        self.removal = self.framework.is_some().then_some(removal);
        Ok(())
    }

    fn task(&self, id: &str) -> Result<Option<Cow<'_, TaskRecord>>, Infallible> {
        Ok(self.tasks.get(id).map(Cow::Borrowed))
    }

    fn put_task(&mut self, task: TaskRecord) -> Result<(), Infallible> {
        self.tasks.insert(task.id.clone(), task);
        Ok(())
    }

    fn remove_task(&mut self, id: &str) -> Result<(), Infallible> {
        self.tasks.remove(id);
        Ok(())
    }

    fn has_retired(&self, id: &str) -> Result<bool, Infallible> {
        Ok(self.retired.contains(id))
    }

    fn retire_task(&mut self, task: TaskRecord) -> Result<(), Infallible> {
        self.tasks.remove(&task.id);
        self.retired.insert(&task);
        Ok(())
    }

    fn account(&self, reporter: &str, worker: &str) -> Result<Option<Entry>, Infallible> {
        Ok(self.ledger.entry(reporter, worker).copied())
    }

    fn put_account(&mut self, account: journal::Account<'_>) -> Result<(), Infallible> {
        self.ledger.put(account);
        Ok(())
    }

    fn aggregate_accounts(&mut self, retired: &[String]) -> Result<(), Infallible> {
        let _aggregated = self.ledger.aggregate(retired, |task| self.tasks.contains_key(task));
        Ok(())
    }

    fn raise_next_number(&mut self, _at_least: u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn raise_peak_workers(&mut self, at_least: u64) -> Result<(), Infallible> {
        self.peak_workers = self.peak_workers.max(at_least);
        Ok(())
    }

    fn avoid_agent(&mut self, agent: &AvoidedAgent) -> Result<(), Infallible> {
        self.avoided.insert(agent.agent.clone(), agent.clone());
        Ok(())
    }

    fn allow_agent(&mut self, agent: &str) -> Result<(), Infallible> {
        self.avoided.remove(agent);
        Ok(())
    }

    fn controls(&self) -> Result<Cow<'_, Controls>, Infallible> {
        Ok(Cow::Borrowed(&self.controls))
    }

    fn set_controls(&mut self, controls: Controls) -> Result<(), Infallible> {
        self.controls = controls;
        Ok(())
    }
}
