//! Workers that outlive their server are redirected to the next one: with `--on-server-loss=repoint`, or because the scheduler
//! replaces the server.
//!
//! A message to an executor may be lost, so it is repeated until the worker's live messages show that the worker mines at the new
//! server. Only then does the worker's record change, so a restarted scheduler redirects all workers that have not confirmed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ::task::{Instruction, Live};
use mesos::v1::TaskState;

use super::{Intent, Policy, PolicyEvent, View};
use crate::event::Call;
use crate::fleet::Task;
use crate::server_address::{PoolUrls, pool_urls};
use crate::user_notice::UserNotice;

/// If a worker that was told to switch to another server has not confirmed, it is told again after this time.
const SEND_AGAIN: Duration = Duration::from_secs(5);
/// A worker that has been told to switch servers this many times, and has not, is replaced.
const MAX_MESSAGES: u32 = 12;
/// Executors whose wire format has at least this version can be told to switch to another server.
pub(super) const REDIRECTED_SINCE: u32 = 2;

/// The messages that redirect a worker to a server.
#[derive(Clone, Debug)]
struct Redirect {
    server: String,
    /// When the worker was last told to switch to this server.
    at: Instant,
    times: u32,
}

/// The policy.
#[derive(Debug, Default)]
pub(super) struct Redirects {
    /// Worker id → the last redirect of this worker.
    sent: HashMap<String, Redirect>,
}

impl Policy for Redirects {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        if !view.can_redirect() {
            return Vec::new();
        }
        match event {
            PolicyEvent::Tick if view.run.connected && !view.run.ending => self.send_all(view, now),
            PolicyEvent::LiveMessage { task, .. } => self.confirm(view, task),
            _ => Vec::new(),
        }
    }
}

impl Redirects {
    /// Redirects workers whose server is gone to an open server, repeatedly until each worker confirms.
    fn send_all(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let Some((server, _)) = view.fleet.least_busy_server() else { return Vec::new() };
        let Some(urls) = urls(view, server) else { return Vec::new() };
        // Before TASK_STARTING there is no executor, and messages do not reach an unreachable agent.
        let receives = |worker: &&Task| {
            let state = worker.state();
            let present = matches!(state, Some(TaskState::TaskStarting | TaskState::TaskRunning));
            present && is_redirected(view, worker)
        };
        let workers = view.fleet.workers_without_server().filter(receives);
        let intents = workers.flat_map(|worker| self.send(worker, server, &urls, now)).collect();
        self.sent.retain(|id, _| view.fleet.get(id).is_some_and(|task| is_redirected(view, task)));
        intents
    }

    fn send(&mut self, worker: &Task, server: &Task, urls: &PoolUrls, now: Instant) -> Vec<Intent> {
        let id = worker.id().to_owned();
        let sent = self.sent.get(&id).filter(|sent| sent.server == server.id());
        if sent.is_some_and(|sent| now < sent.at + SEND_AGAIN) {
            return Vec::new();
        }
        let times = sent.map_or(0, |sent| sent.times);
        if times >= MAX_MESSAGES || worker.version.is_some_and(|version| version < REDIRECTED_SINCE) {
            let why = "it does not switch to the new server";
            return vec![Intent::notify_given_up(&id, why), Intent::End(id)];
        }
        let redirect = Redirect { server: server.id().to_owned(), at: now, times: times + 1 };
        self.sent.insert(id.clone(), redirect);
        let PoolUrls { pool, alternatives } = urls.clone();
        let data = Instruction::MineAt { pool, alternatives }.encode();
        vec![Intent::Call(Call::Message { executor: id, agent: worker.agent().to_owned(), data })]
    }

    /// Assigns a worker to the server that its live message names.
    fn confirm(&mut self, view: &View<'_>, worker: &str) -> Vec<Intent> {
        let Some(task) = view.fleet.get(worker).filter(|task| is_redirected(view, task)) else {
            return Vec::new();
        };
        let Some((_, Live::Worker(live))) = &task.live else { return Vec::new() };
        let mut open = view.fleet.open_servers();
        let is_named = |server: &Task| urls(view, server).is_some_and(|urls| urls.pool == live.pool);
        let Some((server, _)) = open.find(|(server, _)| is_named(server)) else { return Vec::new() };
        let (worker, server) = (worker.to_owned(), server.id().to_owned());
        self.sent.remove(&worker);
        vec![
            Intent::Notify(UserNotice::Redirected { task: worker.clone(), server: server.clone() }),
            Intent::Assign { worker, server },
        ]
    }
}

/// The URLs at which workers reach a server.
fn urls(view: &View<'_>, server: &Task) -> Option<PoolUrls> {
    pool_urls(&server.record, view.settings.template.options.server_address)
}

/// Whether a worker is to be redirected.
fn is_redirected(view: &View<'_>, worker: &Task) -> bool {
    worker.is_worker()
        && worker.may_live()
        && !worker.is_to_end()
        && view.fleet.has_lost_its_server(worker)
        && view.can_be_redirected(worker)
}

/// The workers that wait for a server.
pub(super) fn waiting<'a>(view: &View<'a>) -> impl Iterator<Item = &'a Task> {
    let view = *view;
    view.fleet.workers_without_server().filter(move |worker| is_redirected(&view, worker))
}
