//! Workers that outlive their server (`--on-server-loss=repoint`) are sent to the next one.
//!
//! A message to an executor may be lost, so it is repeated until the worker says in its live messages that it mines at
//! the new server. Only then does the record say so: a scheduler that starts anew tells those again of which it is not
//! sure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ::task::{Instruction, Live, ServerAddress};
use mesos::v1::TaskState;

use super::{Happening, Intent, Policy, View};
use crate::event::Call;
use crate::fleet::Task;
use crate::task_info::pool_url;
use crate::user_notice::UserNotice;

/// Time between two messages to one worker.
const TELL_AGAIN: Duration = Duration::from_secs(5);
/// A worker that does not go after so many is replaced.
const PATIENCE: u32 = 12;
/// Executors follow instructions since this version of the wire form.
pub(super) const REDIRECTED_SINCE: u32 = 2;

/// The messages that send a worker to a server.
#[derive(Clone, Debug)]
struct Redirect {
    server: String,
    /// When the last one was sent.
    at: Instant,
    times: u32,
}

/// The rule.
#[derive(Debug, Default)]
pub(super) struct Redirects {
    /// By worker.
    sent: HashMap<String, Redirect>,
}

impl Policy for Redirects {
    fn on(&mut self, view: &View<'_>, happening: &Happening, now: Instant) -> Vec<Intent> {
        if !view.keeps_workers() {
            return Vec::new();
        }
        match happening {
            Happening::Tick if view.session.connected && !view.session.ending => self.send_all(view, now),
            Happening::Spoke { task, .. } => self.confirm(view, task),
            _ => Vec::new(),
        }
    }
}

impl Redirects {
    /// Sends workers whose server is gone to one that is open, again and again until they are there.
    fn send_all(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let Some((server, address)) = view.fleet.least_busy_server() else { return Vec::new() };
        // Without an executor, or a way to it, nobody hears.
        let hears = |worker: &&Task| {
            let state = worker.state();
            let present = matches!(state, Some(TaskState::TaskStarting | TaskState::TaskRunning));
            present && is_redirected(view, worker)
        };
        let workers = view.fleet.workers_without_server().filter(hears);
        let intents = workers.flat_map(|worker| self.send(worker, server, address, now)).collect();
        self.sent.retain(|id, _| view.fleet.get(id).is_some_and(|task| is_redirected(view, task)));
        intents
    }

    fn send(&mut self, worker: &Task, server: &Task, address: &ServerAddress, now: Instant) -> Vec<Intent> {
        let id = worker.id().to_owned();
        let sent = self.sent.get(&id).filter(|sent| sent.server == server.id());
        if sent.is_some_and(|sent| now < sent.at + TELL_AGAIN) {
            return Vec::new();
        }
        let times = sent.map_or(0, |sent| sent.times);
        if times >= PATIENCE || worker.version().is_some_and(|version| version < REDIRECTED_SINCE) {
            let why = "it does not go to the new server";
            return vec![
                Intent::Notify(UserNotice::GivenUp { task: id.clone(), why }),
                Intent::End { task: id },
            ];
        }
        let redirect = Redirect { server: server.id().to_owned(), at: now, times: times + 1 };
        self.sent.insert(id.clone(), redirect);
        let data = Instruction::MineAt { pool: pool_url(address) }.encode();
        vec![Intent::Call(Call::Message { executor: id, agent: worker.agent().to_owned(), data })]
    }

    /// A worker says where it mines.
    fn confirm(&mut self, view: &View<'_>, worker: &str) -> Vec<Intent> {
        let Some(task) = view.fleet.get(worker).filter(|task| is_redirected(view, task)) else {
            return Vec::new();
        };
        let Some((_, Live::Worker(live))) = task.live() else { return Vec::new() };
        let mut open = view.fleet.open_servers();
        let Some((server, _)) = open.find(|(_, address)| pool_url(address) == live.pool) else {
            return Vec::new();
        };
        let (worker, server) = (worker.to_owned(), server.id().to_owned());
        self.sent.remove(&worker);
        vec![
            Intent::Notify(UserNotice::SentOn { task: worker.clone(), server: server.clone() }),
            Intent::Assign { worker, server },
        ]
    }
}

/// Whether a worker is to go to another server.
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
