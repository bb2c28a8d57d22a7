//! Workers that outlive their server (`--on-server-loss=repoint`): they are sent to the next one.
//!
//! A message to an executor may be lost, so it is repeated until the worker says in its live messages that it mines at
//! the new server. Only then does the record say so: a scheduler that starts anew tells those again that it is not sure
//! of.

use std::time::{Duration, Instant};

use ::task::{Instruction, Live};
use mesos::v1::TaskState;

use super::ending::Ending;
use super::task::{Task, Told};
use super::{Call, Pending, State, UserNotice};
use crate::constraints::Place;
use crate::launch::pool_url;
use crate::record::Change;

/// What becomes of the workers when their server is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OnServerLoss {
    /// They are killed, and all starts over.
    #[default]
    Kill,
    /// They stay, and are sent to the new server.
    Repoint,
}

/// Time between two messages to one worker.
const TELL_AGAIN: Duration = Duration::from_secs(5);
/// A worker that does not obey after so many is replaced.
const PATIENCE: u32 = 12;
/// If nothing on offer fits a new server for so long, a worker gives way.
const GIVE_WAY: Duration = Duration::from_secs(10);
/// Executors obey instructions since this version of the wire form.
const OBEDIENT_SINCE: u32 = 2;

impl State {
    /// Whether workers outlive their server. Those of somebody else's image obey nobody.
    pub(super) fn repoints(&self) -> bool {
        let template = &self.settings.template;
        self.settings.on_server_loss == OnServerLoss::Repoint
            && template.pool.is_none()
            && template.programs.worker.is_none()
    }

    /// Whether it works for a server task, if not for the present one.
    pub(super) fn can_be_sent_on(&self, task: &Task) -> bool {
        self.repoints() && task.record.server.as_ref().is_some_and(|server| !server.contains("://"))
    }

    /// Live workers of another server than the present one that are to stay.
    fn orphans(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values().filter(|task| {
            task.is_worker()
                && task.may_live()
                && task.kill.is_none()
                && task.record.server != self.server
                && self.can_be_sent_on(task)
        })
    }

    /// The present server, if it runs, and its URL.
    fn open_server(&self) -> Option<(&str, String)> {
        let server = self.tasks.get(self.server.as_ref()?).filter(|server| server.is_running())?;
        Some((&server.record.id, pool_url(server.record.address.as_ref()?)))
    }

    /// Sends workers to the present server, again and again until they are there.
    pub(super) fn send_orphans_on(&mut self, now: Instant) {
        if self.ending != Ending::No {
            return;
        }
        let Some((server, pool)) = self.open_server() else { return };
        let server = server.to_owned();
        let listens = |task: &&Task| {
            // Without an executor, or a way to it, nobody hears.
            matches!(task.state, Some(TaskState::TaskStarting | TaskState::TaskRunning))
        };
        let ids: Vec<String> = self.orphans().filter(listens).map(|task| task.record.id.clone()).collect();
        for id in ids {
            self.send_on(&id, &server, &pool, now);
        }
    }

    fn send_on(&mut self, id: &str, server: &str, pool: &str, now: Instant) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        let told = task.told.take().filter(|told| told.server == server);
        let times = told.as_ref().map_or(0, |told| told.times);
        if let Some(told) = told.filter(|told| now < told.at + TELL_AGAIN) {
            task.told = Some(told);
            return;
        }
        if times >= PATIENCE || task.version.is_some_and(|version| version < OBEDIENT_SINCE) {
            let why = "it does not go to the new server";
            self.publish(UserNotice::GivenUp { task: id.to_owned(), why });
            return self.want_kill(id, now);
        }
        task.told = Some(Told { server: server.to_owned(), at: now, times: times + 1 });
        let (executor, agent) = (id.to_owned(), task.record.agent.clone());
        let data = Instruction::MineAt { pool: pool.to_owned() }.encode();
        self.call(Call::Message { executor, agent, data });
    }

    /// A worker says where it mines.
    pub(super) fn mines_at(&mut self, id: &str, live: &Live) {
        let Live::Worker(live) = live else { return };
        let Some((server, pool)) = self.open_server() else { return };
        let is_orphan = self.orphans().any(|task| task.record.id == id);
        if !is_orphan || live.pool != pool {
            return;
        }
        let (task, server) = (id.to_owned(), server.to_owned());
        if let Some(task) = self.tasks.get_mut(id) {
            task.told = None;
            task.record.server = Some(server.clone());
        }
        self.publish(UserNotice::SentOn { task: task.clone(), server: server.clone() });
        self.persist(Change::Employer { task, server }, Pending::Nothing);
    }

    /// Workers that stay may take all the room there is: one of them has to go if a server finds none.
    pub(super) fn give_way(&mut self, now: Instant) {
        let idle = self.repoints() && self.server.is_none() && self.connected && self.ending == Ending::No;
        if !idle || self.orphans().next().is_none() {
            self.without_server = None;
            return;
        }
        let since = *self.without_server.get_or_insert(now);
        if now.duration_since(since) < GIVE_WAY {
            return;
        }
        // The next one, if this was not enough.
        self.without_server = Some(now);
        if let Some(task) = self.most_dispensable(now) {
            self.publish(UserNotice::GivesWay { task: task.clone() });
            self.want_kill(&task, now);
        }
    }

    /// The smallest worker whose room is enough for the server, where a server may run.
    fn most_dispensable(&self, now: Instant) -> Option<String> {
        let (placement, needed) = (&self.settings.placement, self.settings.server_cpus_milli);
        let (paused, leaving) = (self.agents.paused(now), self.maintenance.leaving(true, now));
        let helps = |task: &&Task| {
            let place = Place { host: task.record.host.clone(), attributes: task.record.attributes.clone() };
            let reachable = task.state != Some(TaskState::TaskUnreachable);
            let allowed = placement.server.iter().all(|constraint| constraint.allows(&place, &[]));
            let agent = &task.record.agent;
            reachable && allowed && !paused.contains_key(agent) && !leaving.contains_key(agent)
        };
        // Revocable CPU is nothing for a server.
        let candidates = self.orphans().filter(|_| !placement.revocable).filter(helps);
        // One that is too small may be enough with what its agent has left.
        let cost = |task: &&Task| {
            let cpus = task.record.cpus_milli;
            (cpus < needed, if cpus < needed { u64::MAX - cpus } else { cpus })
        };
        candidates.min_by_key(cost).map(|task| task.record.id.clone())
    }

    /// The server is gone, and its workers wait for the next one; how many they are. Those that never mined are ended:
    /// they may well be on the very room that the server has left.
    pub(super) fn keep_workers(&mut self, server: &str, now: Instant) -> usize {
        let of_server = |task: &&Task| task.is_worker() && task.record.server.as_deref() == Some(server);
        let live = self.tasks.values().filter(of_server).filter(|task| !task.is_over());
        let (kept, new): (Vec<_>, Vec<_>) = live.partition(|task| task.running_since.is_some());
        let (kept, new) = (kept.len(), new.iter().map(|task| task.record.id.clone()).collect::<Vec<_>>());
        for id in new {
            self.want_kill(&id, now);
        }
        kept
    }
}
