//! Offers → launches: a server where none is in service, then workers on all that is offered. Offers are asked for when
//! something is wanted of them, and suppressed when not.

use std::time::{Duration, Instant};

use mesos::v1::Offer;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::{Happening, Intent, Policy, View, decline_groups, jitter, maintenance};
use crate::event::Call;
use crate::fleet::{Marks, Task, launched_with, planned_launch};
use crate::offers::{self, Demand, Wanted};

/// For how long offers that are of no use are refused, on average: REVIVE lifts it when they are of use again.
const REFUSE: Duration = Duration::from_secs(60);

/// So many servers are wanted.
const SERVERS: usize = 1;

/// The rule.
#[derive(Debug)]
pub(super) struct Launch {
    random: StdRng,
    /// What the master was last told that is wanted.
    announced_demand: Wanted,
    /// Offers were declined because of a constraint that may be met when workers come or go.
    held_back: bool,
    /// What was declined is to be offered again.
    offer_again: bool,
    /// Offers were declined because no more launches were allowed.
    limited: bool,
}

impl Launch {
    pub fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            announced_demand: Wanted::Nothing,
            held_back: false,
            offer_again: false,
            limited: false,
        }
    }
}

impl Policy for Launch {
    fn on(&mut self, view: &View<'_>, happening: &Happening, now: Instant) -> Vec<Intent> {
        match happening {
            // A new subscription starts with no filters, and with offers wanted.
            Happening::Subscribed => {
                self.announced_demand = match wanted(view) {
                    Wanted::Nothing => Wanted::Workers,
                    wanted => wanted,
                };
            }
            Happening::Offers(offers) => return self.use_offers(view, offers, now),
            Happening::LaunchWritten { task } => return self.send(view, task),
            Happening::Ended(_) | Happening::SlotReleased { .. } => self.workers_changed(),
            Happening::OffersWanted => self.offer_again = true,
            Happening::Settled => return self.announce_demand(view, now),
            _ => {}
        }
        Vec::new()
    }
}

impl Launch {
    fn use_offers(&mut self, view: &View<'_>, offers: &[Offer], now: Instant) -> Vec<Intent> {
        let (mut wanted, mut refuse) = (wanted(view), REFUSE);
        let (cpus_left_milli, mut workers_left) = view.room().unwrap_or((0, 0));
        let allowed = view.fleet.launches_allowed(now);
        if let Some(allowed) = allowed {
            refuse = self.limit(view, allowed, &mut wanted, now);
            workers_left = workers_left.min(allowed);
        }
        let for_server = matches!(wanted, Wanted::Server { .. });
        let notice = if for_server { maintenance::NO_SERVER } else { maintenance::NO_LAUNCH };
        let demand = Demand {
            wanted,
            placement: &view.settings.placement,
            cpus_left_milli,
            workers_left,
            placed: view.fleet.occupancy(),
            agents: &Marks { fleet: view.fleet, notice, now },
            refuse,
            fewest_failures_first: allowed.is_some(),
        };
        let plan = offers::plan(offers, &demand);
        self.limited |= allowed == Some(plan.accepts.len() as u64) && !plan.declines.is_empty();
        let server_placed = for_server && !plan.accepts.is_empty();
        if !plan.accepts.is_empty() {
            self.workers_changed();
        }
        self.held_back |= plan.held_back;
        let mut intents = Vec::new();
        let mut group = Vec::new();
        for accept in plan.accepts {
            let last = !accept.offers.is_empty();
            group.push(accept);
            intents.extend(last.then(|| Intent::Launch(std::mem::take(&mut group))));
        }
        let declines = decline_groups::calls(plan.declines, refuse, &mut self.random);
        intents.extend(declines.into_iter().map(Intent::Call));
        if !server_placed {
            intents.extend(plan.unused.into_iter().map(Intent::NoteUnused));
        }
        intents
    }

    /// Only so many launches are allowed. Returns for how long offers are refused: until the next try, which REVIVE begins.
    fn limit(&mut self, view: &View<'_>, allowed: u64, wanted: &mut Wanted, now: Instant) -> Duration {
        if allowed == 0 && *wanted != Wanted::Nothing {
            *wanted = Wanted::Nothing;
            self.limited = true;
        }
        let wait = view.fleet.launch_limit().map(|limit| limit.wait(now)).unwrap_or_default();
        REFUSE.max(wait)
    }

    /// Workers come or go: constraints that were not met may be now.
    fn workers_changed(&mut self) {
        self.offer_again |= std::mem::take(&mut self.held_back);
    }

    /// A launch is on disk. With the last one on an agent's offers, those are sent that are still wanted and possible, and
    /// the others are forgotten.
    fn send(&mut self, view: &View<'_>, holder: &str) -> Vec<Intent> {
        let Some(known) = view.fleet.get(holder).filter(|task| task.is_unsent()) else { return Vec::new() };
        let holder = holder.to_owned();
        let Some(with) = launched_with(known) else {
            // The one with the offers is still on its way to the disk.
            let called_off = planned_launch(known).is_none();
            return called_off.then_some(Intent::ForgetLaunch { task: holder }).into_iter().collect();
        };
        let can_be_sent = |task: &Task| {
            planned_launch(task).is_some() && view.session.connected && is_still_wanted(view, task)
        };
        let unsent = with.iter().chain([&holder]).filter_map(|id| view.fleet.get(id));
        let (send, forget): (Vec<&Task>, Vec<&Task>) =
            unsent.filter(|task| task.is_unsent()).partition(|task| can_be_sent(task));
        let tasks: Vec<String> = send.into_iter().map(|task| task.id().to_owned()).collect();
        let forget = forget.into_iter().map(|task| Intent::ForgetLaunch { task: task.id().to_owned() });
        let refuse = jitter(&mut self.random, REFUSE);
        let send = (!tasks.is_empty()).then_some(Intent::SendLaunches { holder, tasks, refuse });
        send.into_iter().chain(forget).collect()
    }

    /// SUPPRESS when nothing is wanted. REVIVE when something else is wanted than before, since what was declined
    /// may fit now.
    fn announce_demand(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let wanted = wanted(view);
        let allowed = view.fleet.launches_allowed(now);
        if wanted != Wanted::Nothing && allowed == Some(0) {
            // Whatever is wanted, it is of use when the next launch is allowed.
            return Vec::new();
        }
        let mut again = std::mem::take(&mut self.offer_again) && wanted == Wanted::Workers;
        again |= std::mem::take(&mut self.limited) && wanted != Wanted::Nothing;
        if !view.session.connected || !again && wanted == self.announced_demand {
            return Vec::new();
        }
        self.announced_demand = wanted;
        vec![Intent::Call(if wanted == Wanted::Nothing { Call::Suppress } else { Call::Revive })]
    }
}

/// What the next offers are wanted for.
fn wanted(view: &View<'_>) -> Wanted {
    if view.session.ending {
        return Wanted::Nothing;
    }
    if lacks_server(view) {
        return Wanted::Server { cpus_milli: view.settings.server_cpus_milli };
    }
    let serves = view.pool().is_some() || view.fleet.open_servers().next().is_some();
    if serves && view.room().is_some() { Wanted::Workers } else { Wanted::Nothing }
}

/// Whether there are fewer servers in service than wanted.
pub(super) fn lacks_server(view: &View<'_>) -> bool {
    view.pool().is_none() && view.fleet.servers().count() < SERVERS
}

/// Whether a task that is about to be launched has its place.
fn is_still_wanted(view: &View<'_>, task: &Task) -> bool {
    if view.session.ending {
        return false;
    }
    if !task.is_worker() {
        return view.fleet.service(task.id()).is_some();
    }
    let server = task.record().server().and_then(|server| view.fleet.get(server));
    view.belongs(task) && (view.pool().is_some() || server.is_some_and(Task::is_running))
}
