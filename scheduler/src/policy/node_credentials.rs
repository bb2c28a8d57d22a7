//! Sends new credentials for the Bitcoin nodes to the running server: a node writes a new cookie at each start.
//!
//! The server cannot read the cookie file, which is on the scheduler's machine. It is launched with the content of the file, and told
//! when the content has changed. The message may be lost, so it is repeated until the server's live messages name the revision of the
//! credentials. A server that a node refuses sends a live message at once, which also is how it asks for fresh credentials. A server of an
//! earlier version cannot be told; the policy `replacement` replaces it when a node refuses it.
//!
//! Revisions are numbers of this run of the scheduler. A server that an earlier run has launched is told once, since the file may have
//! changed between the runs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ::task::{Instruction, Live};
use mesos::v1::TaskState;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Intent, Policy, PolicyEvent, View};
use crate::event::Call;
use crate::fleet::Task;
use crate::user_notice::UserNotice;

/// If a live message shows that the last instruction has not arrived, it is sent again after this time.
const SEND_AGAIN: Duration = Duration::from_secs(2);

/// The policy.
#[derive(Debug)]
pub(super) struct NodeCredentials {
    /// The revision of the credentials of today; never 0.
    revision: u64,
    /// The servers in this table, by task id, were launched with credentials of this revision.
    launched: BTreeMap<String, u64>,
    /// When the credentials of today were last sent to each server, by task id.
    sent: BTreeMap<String, Instant>,
}

impl NodeCredentials {
    /// `seed` makes revisions that no other run of the scheduler has.
    pub fn new(seed: u64) -> Self {
        let revision = StdRng::seed_from_u64(seed).random_range(1..=u64::MAX / 2);
        Self { revision, launched: BTreeMap::new(), sent: BTreeMap::new() }
    }

    /// The instruction for a server, if the server does not have the credentials of today and may understand it.
    fn needs(&self, server: &Task) -> bool {
        if server.is_worker() || server.is_to_end() {
            return false;
        }
        let used = match (server.state(), &server.live) {
            (Some(TaskState::TaskStarting), None) => Some(0),
            // `None` is an earlier version, which does not support the instruction.
            (Some(TaskState::TaskStarting | TaskState::TaskRunning), Some((_, Live::Pool(live)))) => {
                live.credentials
            }
            _ => None,
        };
        let Some(used) = used else { return false };
        let used = if used == 0 { self.launched.get(server.id()).copied().unwrap_or(0) } else { used };
        used != self.revision
    }

    fn send(&mut self, view: &View<'_>, server: &Task, now: Instant) -> Option<Intent> {
        let early = self.sent.get(server.id()).is_some_and(|at| now < *at + SEND_AGAIN);
        if early || !view.run.connected || !self.needs(server) {
            return None;
        }
        self.sent.insert(server.id().to_owned(), now);
        let programs = &view.settings.template.programs;
        let from_file = programs.nodes().iter().filter(|node| programs.cookies.of(&node.url).is_some());
        let nodes = from_file.cloned().collect();
        let data = Instruction::SetNodeCredentials { revision: self.revision, nodes }.encode();
        let (executor, agent) = (server.id().to_owned(), server.agent().to_owned());
        Some(Intent::Call(Call::Message { executor, agent, data }))
    }

    fn changed(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        self.revision += 1;
        self.sent.clear();
        let sent: Vec<_> =
            view.fleet.servers_in_service().filter_map(|it| self.send(view, it, now)).collect();
        let to = if sent.is_empty() { "" } else { ", which is sent to the running server" };
        let text = format!("the cookie file of a node has a new content{to}");
        [Intent::Notify(UserNotice::Remark(text))].into_iter().chain(sent).collect()
    }
}

impl Policy for NodeCredentials {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        if view.settings.template.programs.cookies.is_empty() {
            return Vec::new();
        }
        match event {
            PolicyEvent::NodeCredentialsChanged => return self.changed(view, now),
            PolicyEvent::Launched(task) if view.fleet.get(task).is_some_and(|task| !task.is_worker()) => {
                self.launched.insert(task.clone(), self.revision);
            }
            PolicyEvent::Ended(end) => {
                self.launched.remove(&end.task);
                self.sent.remove(&end.task);
            }
            PolicyEvent::LiveMessage { task, .. } | PolicyEvent::Alive { task, .. } => {
                let server = view.fleet.get(task);
                return server.and_then(|server| self.send(view, server, now)).into_iter().collect();
            }
            _ => {}
        }
        Vec::new()
    }
}
