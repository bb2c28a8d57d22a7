//! Applies changes to the records. The implementations of [`Records`] only read and write single records.

use std::borrow::Cow;
use std::slice;

use mesos::v1::TaskState;
use task::ShareRow;

use super::change::{AvoidedAgent, Change, StatusRecord};
use super::command::{Command, Controls, RecordedCommand};
use super::framework_record::Removal;
use super::ledger::{Account, Entry, accounts};
use super::task_record::{Assignment, TaskRecord};
use crate::task_id::{TaskKind, task_number};

/// A backend that keeps records. The methods for records that not every backend keeps (single shares, messages for people) do
/// nothing by default.
pub trait Records {
    /// The error if records cannot be read or written.
    type Error;

    /// The id of the framework, if there is one that has not ended.
    fn framework(&self) -> Result<Option<Cow<'_, str>>, Self::Error>;
    /// Begins a framework.
    fn begin_framework(&mut self, id: &str, now_ms: u64) -> Result<(), Self::Error>;
    /// Ends the framework: its tasks and accounts are no longer current. The used task numbers, the avoided agents and the controls
    /// are kept.
    fn end_framework(&mut self, now_ms: u64) -> Result<(), Self::Error>;

    /// Sets the failover timeout that the master knows, in milliseconds.
    fn set_failover_timeout(&mut self, ms: u64) -> Result<(), Self::Error>;
    /// Sets whether the scheduler is about to send TEARDOWN.
    fn set_tearing_down(&mut self, tearing_down: bool) -> Result<(), Self::Error>;
    /// Marks the framework as removed by the master.
    fn mark_removed(&mut self, removal: Removal) -> Result<(), Self::Error>;

    /// The record of a task; `None` if there is no such task, or if it has retired.
    fn task(&self, id: &str) -> Result<Option<Cow<'_, TaskRecord>>, Self::Error>;
    /// Adds a task, or replaces the one with the same id.
    fn put_task(&mut self, task: TaskRecord) -> Result<(), Self::Error>;
    /// Removes a task that was never launched.
    fn remove_task(&mut self, id: &str) -> Result<(), Self::Error>;
    /// Whether a task has retired.
    fn has_retired(&self, id: &str) -> Result<bool, Self::Error>;
    /// Moves a task to the retired tasks. The task must have a number and a state.
    fn retire_task(&mut self, task: TaskRecord) -> Result<(), Self::Error>;

    /// The work that the task `reporter` has counted for `worker`.
    fn account(&self, reporter: &str, worker: &str) -> Result<Option<Entry>, Self::Error>;
    /// Adds an account, or replaces the one of the same reporter and worker.
    fn put_account(&mut self, account: Account<'_>) -> Result<(), Self::Error>;
    /// Aggregates the accounts of tasks that have retired, as [`Ledger::aggregate`](super::Ledger::aggregate) does.
    fn aggregate_accounts(&mut self, retired: &[String]) -> Result<(), Self::Error>;

    /// Makes `at_least` the next task number, unless the next task number is already higher.
    fn raise_next_number(&mut self, at_least: u64) -> Result<(), Self::Error>;
    /// Makes `at_least` the recorded highest number of workers that ran at the same time, unless the recorded number is already
    /// higher.
    fn raise_peak_workers(&mut self, at_least: u64) -> Result<(), Self::Error>;

    /// Adds an agent to avoid, or replaces the entry with the same id or host name.
    fn avoid_agent(&mut self, agent: &AvoidedAgent) -> Result<(), Self::Error>;
    /// Stops avoiding an agent.
    fn allow_agent(&mut self, agent: &str) -> Result<(), Self::Error>;

    /// What holds because operators have said so.
    fn controls(&self) -> Result<Cow<'_, Controls>, Self::Error>;
    /// Replaces what [`controls`](Self::controls) returns.
    fn set_controls(&mut self, controls: Controls) -> Result<(), Self::Error>;

    /// Stores Mesos' reason and message for a task's new state.
    fn explain(&mut self, _status: &StatusRecord) -> Result<(), Self::Error> {
        Ok(())
    }
    /// Adds single shares. Some of them may have been added before.
    fn add_shares(
        &mut self,
        _reporter: &str,
        _worker: &str,
        _sequence: u64,
        _shares: &[ShareRow],
    ) -> Result<(), Self::Error> {
        Ok(())
    }
    /// Handles an update of a task that has retired. A backend that keeps the rows of retired tasks can set the task's
    /// [`new_state`] and call [`record_accounts`]. In other backends, the task's accounts are part of a sum, in which they cannot
    /// be replaced.
    fn late_update(&mut self, _status: &StatusRecord) -> Result<(), Self::Error> {
        Ok(())
    }
    /// Limits the number of accounts that a server task leaves behind, in backends that keep accounts for ever.
    fn aggregate_untracked_miners(&mut self, _server: &str) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Applies one change; `now_ms` is in milliseconds since the Unix epoch. Repeating the last change changes nothing.
///
/// # Errors
/// If the records cannot be read or written.
pub fn apply<R: Records>(records: &mut R, change: &Change, now_ms: u64) -> Result<(), R::Error> {
    match change {
        Change::Framework(id) => {
            if records.framework()?.as_deref() != Some(id) {
                records.begin_framework(id, now_ms)?;
            }
            Ok(())
        }
        Change::FrameworkEnded => end_framework(records, now_ms),
        Change::FailoverTimeout { ms } => records.set_failover_timeout(*ms),
        Change::TearingDown(tearing_down) => records.set_tearing_down(*tearing_down),
        Change::FrameworkRemoved(removal) => records.mark_removed(*removal),
        Change::Task(task) => add_task(records, task),
        Change::Forget(task) => {
            records.remove_task(task)?;
            // There may be accounts with this name although the task was never launched: a miner that is not our task may have
            // used the name.
            records.aggregate_accounts(slice::from_ref(task))
        }
        Change::Status(status) => update(records, status),
        Change::Assign { task, server } => assign(records, task, server),
        Change::AgentUrl { task, url } => set_agent_url(records, task, url),
        Change::AggregateUntrackedMiners(server) => records.aggregate_untracked_miners(server),
        Change::Retire(tasks) => retire(records, tasks),
        Change::Peak(workers) => records.raise_peak_workers(*workers),
        Change::AvoidAgent(agent) => records.avoid_agent(agent),
        Change::AllowAgent(agent) => records.allow_agent(agent),
        Change::Command(command) => obey(records, command),
    }
}

/// Ends the framework, and with it the command to do so.
fn end_framework<R: Records>(records: &mut R, now_ms: u64) -> Result<(), R::Error> {
    records.end_framework(now_ms)?;
    let controls = records.controls()?;
    if controls.teardown.is_none() {
        return Ok(());
    }
    let controls = Controls { teardown: None, ..controls.into_owned() };
    records.set_controls(controls)
}

fn obey<R: Records>(records: &mut R, command: &RecordedCommand) -> Result<(), R::Error> {
    let mut controls = records.controls()?.into_owned();
    if controls.apply(command) {
        records.set_controls(controls)?;
    }
    match &command.what {
        Command::Avoid { agent } => {
            let (agent, why) = (agent.clone(), format!("{} has said so", command.said.by));
            records.avoid_agent(&AvoidedAgent { agent, why, since_ms: command.said.at_ms })
        }
        Command::Allow { agent } => records.allow_agent(agent),
        _ => Ok(()),
    }
}

fn add_task<R: Records>(records: &mut R, task: &TaskRecord) -> Result<(), R::Error> {
    if let Some(number) = task_number(&task.id) {
        records.raise_next_number(number.saturating_add(1))?;
    }
    if records.task(&task.id)?.is_some() || records.has_retired(&task.id)? {
        return Ok(());
    }
    records.put_task(task.clone())
}

/// The state of a task after an update. A final state never changes: any update that arrives later was sent before the task
/// ended, or repeats the end.
pub fn new_state(known: Option<TaskState>, status: &StatusRecord) -> Option<TaskState> {
    status.state.filter(|_| !known.is_some_and(TaskState::is_final))
}

fn update<R: Records>(records: &mut R, status: &StatusRecord) -> Result<(), R::Error> {
    let Some(task) = records.task(&status.task)? else {
        return records.late_update(status);
    };
    let state = new_state(task.state, status);
    let address = status.report.as_ref().and_then(|report| report.server.as_ref());
    let address = address.filter(|_| task.kind == TaskKind::Server);
    let changes = state.is_some() && state != task.state
        || status.last && !task.closed
        || address.is_some() && address != task.address.as_ref();
    if changes {
        let mut task = task.into_owned();
        task.state = state.or(task.state);
        task.closed |= status.last;
        task.address = address.cloned().or(task.address);
        records.put_task(task)?;
    }
    if state.is_some() {
        records.explain(status)?;
    }
    record_accounts(records, status)
}

/// Stores the accounts that a report contains. A stored account from the same or a later report is not changed.
///
/// # Errors
/// If the records cannot be read or written.
pub fn record_accounts<R: Records>(records: &mut R, status: &StatusRecord) -> Result<(), R::Error> {
    let Some(report) = &status.report else { return Ok(()) };
    for (account, reported) in accounts(&status.task, status.kind, report).zip(&report.accounts) {
        let known = records.account(account.reporter, account.worker)?;
        if account.entry.supersedes(known.as_ref()) {
            records.put_account(account)?;
        }
        records.add_shares(account.reporter, account.worker, account.entry.sequence, &reported.rows)?;
    }
    Ok(())
}

fn assign<R: Records>(records: &mut R, id: &str, server: &str) -> Result<(), R::Error> {
    let Some(task) = records.task(id)? else { return Ok(()) };
    if task.server() != Some(server) {
        let mut task = task.into_owned();
        task.assignment = Some(Assignment::Server(server.to_owned()));
        records.put_task(task)?;
    }
    Ok(())
}

fn set_agent_url<R: Records>(records: &mut R, id: &str, url: &str) -> Result<(), R::Error> {
    let Some(task) = records.task(id)? else { return Ok(()) };
    if task.agent_url.as_deref() != Some(url) {
        let mut task = task.into_owned();
        task.agent_url = Some(url.to_owned());
        records.put_task(task)?;
    }
    Ok(())
}

/// Retires tasks. Of each task, only the number and the state are kept. Its accounts are aggregated once no other task needs
/// them. A task without a number does not retire, since it could not be recognized later. A task without a state does not retire,
/// since it may be about to start.
fn retire<R: Records>(records: &mut R, ids: &[String]) -> Result<(), R::Error> {
    let mut retired = Vec::new();
    for id in ids.iter().filter(|id| task_number(id).is_some()) {
        if let Some(task) = records.task(id)?.filter(|task| task.state.is_some()) {
            let task = task.into_owned();
            records.retire_task(task)?;
            retired.push(id.clone());
        }
    }
    if retired.is_empty() { Ok(()) } else { records.aggregate_accounts(&retired) }
}
