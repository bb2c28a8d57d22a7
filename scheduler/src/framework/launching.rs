//! Offers → launches: decided, written down, then sent.

use std::time::{Duration, Instant};

use ::task::ServerAddress;
use mesos::v1::{Offer, TaskState};

use super::ending::Ending;
use super::task::{Phase, Task};
use super::{Call, Pending, State, UserNotice};
use crate::kind::Kind;
use crate::offers::{self, Accept, Demand, Remark, Wanted};
use crate::record::{Change, StatusRecord, TaskRecord};

/// For how long offers that are of no use are refused, on average: REVIVE lifts it when they are of use again.
const REFUSE: Duration = Duration::from_secs(60);

impl State {
    /// What the next offers are wanted for.
    pub(super) fn wanted(&self) -> Wanted {
        if self.ending != Ending::No || self.maintenance.is_moving() {
            return Wanted::Nothing;
        }
        let idle = || if self.room().is_some() { Wanted::Workers } else { Wanted::Nothing };
        match self.server.as_ref().and_then(|id| self.tasks.get(id)) {
            _ if self.settings.template.pool.is_some() => idle(),
            None => Wanted::Server { cpus_milli: self.settings.server_cpus_milli },
            Some(server) if server.is_running() => idle(),
            Some(_) => Wanted::Nothing,
        }
    }

    /// SUPPRESS when nothing is wanted. REVIVE when something else is wanted than before, since what was declined
    /// may fit now.
    pub(super) fn tell_what_is_wanted(&mut self) {
        let wanted = self.wanted();
        let again = std::mem::take(&mut self.offer_again) && wanted == Wanted::Workers;
        if self.connected && (again || wanted != self.told) {
            self.told = wanted;
            self.call(if wanted == Wanted::Nothing { Call::Suppress } else { Call::Revive });
        }
    }

    pub(super) fn offers(&mut self, offers: &[Offer], now: Instant) {
        let offers = self.hold_back_for_merging(offers);
        let (wanted, refuse) = (self.wanted(), self.jitter(REFUSE));
        let (cpus_left_milli, workers_left) = self.room().unwrap_or((0, 0));
        let demand = Demand {
            wanted,
            placement: &self.settings.placement,
            cpus_left_milli,
            workers_left,
            placed: self.places_without(None),
            failures: self.agents.failures(),
            paused: self.agents.paused(now),
            leaving: self.maintenance.leaving(matches!(wanted, Wanted::Server { .. }), now),
            refuse,
        };
        let plan = offers::plan(&offers, &demand);
        let server_placed = matches!(wanted, Wanted::Server { .. }) && !plan.accepts.is_empty();
        if !plan.accepts.is_empty() {
            self.workers_changed();
        }
        self.held_back |= plan.held_back;
        for accept in plan.accepts {
            self.write_down(accept, now);
        }
        for decline in plan.declines {
            self.call(Call::Decline { offers: decline.offers, refuse: decline.refuse });
        }
        if !server_placed {
            for remark in plan.remarks {
                self.merge_with_rest(&remark, now);
                self.remark(remark, now);
            }
        }
    }

    /// CPU (thousandths) and number of workers that there may be beside those there are; `None` if no more.
    pub(super) fn room(&self) -> Option<(u64, u64)> {
        let limits = &self.settings.placement.limits;
        if limits.max_cpus_milli.is_none() && limits.max_workers.is_none() {
            return Some((u64::MAX, u64::MAX));
        }
        let (used, count) = self.taken();
        let used = used.saturating_add(self.server_cpus());
        let cpus = limits.max_cpus_milli.map_or(u64::MAX, |most| most.saturating_sub(used));
        let workers = limits.max_workers.map_or(u64::MAX, |most| most.saturating_sub(count));
        (cpus >= limits.min_worker_cpus_milli && workers > 0).then_some((cpus, workers))
    }

    /// Workers come or go: constraints that were not met may be now.
    pub(super) fn workers_changed(&mut self) {
        self.offer_again |= std::mem::take(&mut self.held_back);
    }

    /// What is left beside a task of ours needs no explanation.
    fn remark(&mut self, remark: Remark, now: Instant) {
        let busy = |task: &Task| task.record.agent == remark.agent && task.is_worker() && !task.is_over();
        if !self.tasks.values().any(busy) && self.agents.remark(&remark, now) {
            self.publish(UserNotice::Remark(remark));
        }
    }

    /// The launch is sent when this is on disk; until then its offers are held.
    fn write_down(&mut self, accept: Accept, now: Instant) {
        let kind = if accept.ports.is_some() { Kind::Server } else { Kind::Worker };
        let id = format!("miner-{}-{}", kind.name(), self.next_number);
        self.next_number += 1;
        let address = accept.ports.map(|(http_port, stratum_port)| {
            let host = accept.place.host.clone();
            ServerAddress { host, stratum_port, http_port }
        });
        let record = TaskRecord {
            id: id.clone(),
            kind,
            agent: accept.agent.clone(),
            host: accept.place.host.clone(),
            attributes: accept.place.attributes.clone(),
            server: if kind == Kind::Worker { self.employer().map(str::to_owned) } else { None },
            cpus_milli: accept.cpus_milli,
            address,
            state: None,
            closed: false,
        };
        if kind == Kind::Server {
            self.server = Some(id.clone());
        }
        self.agents.forget_remark(&accept.agent);
        let task = Task::new(record.clone(), Phase::Writing(Some(Box::new(accept))), now);
        self.tasks.insert(id.clone(), task);
        self.persist(Change::Task(record), Pending::Launch(id));
    }

    pub(super) fn rescinded(&mut self, offer: &str) {
        for task in self.tasks.values_mut() {
            if let Phase::Writing(accept) = &mut task.phase
                && accept.as_ref().is_some_and(|accept| accept.offers.iter().any(|id| id == offer))
            {
                // The agent's other offers, if any, come back by themselves when the launch is forgotten.
                let rest = accept.take().map(|accept| accept.offers).unwrap_or_default();
                let rest: Vec<String> = rest.into_iter().filter(|id| id != offer).collect();
                if !rest.is_empty() {
                    self.call(Call::Decline { offers: rest, refuse: Duration::ZERO });
                }
                return;
            }
        }
    }

    /// The launch is on disk: sends it if it is still wanted and possible, forgets it otherwise.
    pub(super) fn launch(&mut self, id: &str, now: Instant) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        let Phase::Writing(accept) = &mut task.phase else { return };
        let accept = accept.take();
        let called_off = task.kill.is_some();
        let record = task.record.clone();
        let wanted = match record.kind {
            Kind::Server => self.ending == Ending::No && self.server.as_deref() == Some(id),
            Kind::Worker => self.serves() && self.employer() == record.server.as_deref(),
        };
        match accept {
            Some(accept) if wanted && self.connected && !called_off => self.send(&record, *accept, now),
            accept => {
                if let Some(accept) = accept {
                    self.call(Call::Decline { offers: accept.offers, refuse: Duration::ZERO });
                }
                self.forget(id);
            }
        }
    }

    /// Whether workers have a server to work for.
    fn serves(&self) -> bool {
        let server = self.server.as_ref().and_then(|id| self.tasks.get(id));
        let pool = self.settings.template.pool.is_some();
        self.ending == Ending::No && (pool || server.is_some_and(Task::is_running))
    }

    fn send(&mut self, record: &TaskRecord, accept: Accept, now: Instant) {
        let server = record.server.as_ref().and_then(|id| self.tasks.get(id));
        let pool = server.and_then(|server| server.record.address.as_ref());
        let task = self.settings.template.task(record, pool, accept.executor, accept.task);
        let refuse = if accept.more { Duration::ZERO } else { self.jitter(REFUSE) };
        self.call(Call::Accept { offers: accept.offers, task: Box::new(task), refuse });
        let (host, cpus_milli) = (record.host.clone(), record.cpus_milli);
        self.publish(UserNotice::Launched { task: record.id.clone(), host, cpus_milli });
        if let Some(task) = self.tasks.get_mut(&record.id) {
            task.phase = Phase::Sent(now);
        }
    }

    fn forget(&mut self, id: &str) {
        self.tasks.remove(id);
        if self.server.as_deref() == Some(id) {
            self.server = None;
        }
        self.persist(Change::Forget { task: id.to_owned() }, Pending::Nothing);
    }

    /// Nothing was ever heard of it: taken for lost, so that another can take its place.
    pub(super) fn presume_lost(&mut self, id: &str, now: Instant) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        task.state = Some(TaskState::TaskLost);
        task.since = now;
        let status = StatusRecord {
            task: id.to_owned(),
            kind: task.record.kind,
            state: Some(TaskState::TaskLost.as_str_name().to_owned()),
            reason: None,
            last: false,
            message: Some("the launch was never answered".to_owned()),
            report: None,
        };
        self.persist(Change::Status(status), Pending::Nothing);
        self.killing.remove(id);
        if self.server.as_deref() == Some(id) {
            self.lose_server(now);
        }
    }
}
