//! Replaces a server that has other options than those of today, or an old cookie of its node and no way to be told the new one.
//!
//! The server goes on until its successor fits on some agent. On the server's own agent, the server's resources count as free. If
//! the successor fits nowhere, workers on one agent are ended to make room.
//!
//! The server's workers go on and are redirected to the successor, whatever `--on-server-loss` says: that option is about servers
//! that fail. Workers that run a user's own image cannot be redirected. They end before the server, and the user is told of this
//! some time before.
//!
//! If the workers are to mine at an external pool, no server is wanted any more. A server from before then ends after its last
//! worker.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ::task::Live;
use command_line::pluralize;
use mesos::v1::{Offer, TaskState};
use problem::{Problem, ProblemKind};
use text::InWords;

use super::super::server_drain::ServerDrain;
use super::super::{Intent, View};
use super::server_place;
use crate::constraints::{Occupancy, TentativeOccupancy, all_allow};
use crate::fleet::{ServerState, Task};
use crate::history::Topic;
use crate::user_notice::UserNotice;

/// The user is told of the search for a server's place only if the search takes longer than this.
const TOLD_AFTER: Duration = Duration::from_secs(5);
/// If no offer is large enough for the next server after this time, workers on one agent are ended to make room. If there is
/// still no room when the same time has passed again, workers on another agent are ended.
const MAKE_ROOM: Duration = Duration::from_secs(60);
/// If all of a server's workers are to end with it, the user is warned this long in advance.
const WARNING: Duration = Duration::from_secs(30);

/// The words that follow a server's id in the notice of its end, if workers mine at an external pool.
const UNWANTED: &str = "is no longer needed, because workers mine at --pool: ending it";

/// Replaces servers.
#[derive(Debug, Default)]
pub(super) struct ServerReplacement {
    drain: ServerDrain,
    search: Option<Search>,
    /// If the user was warned (see [`WARNING`]): the server's id, and the earliest time of its end.
    warned: Option<(String, Instant)>,
}

/// The search for a place for the next server.
#[derive(Debug)]
struct Search {
    /// The id of the server that is to be replaced.
    server: String,
    since: Instant,
    told: bool,
    /// The next time at which workers are ended to make room.
    make_room: Instant,
    /// Agent id → the last offers of the agent.
    free: BTreeMap<String, Vec<Offer>>,
    /// The ids of the agents on which workers were ended to make room.
    tried: BTreeSet<String>,
}

impl ServerReplacement {
    /// Replaces an outdated server if there is a place for its successor. Otherwise searches for a place.
    pub fn tick(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        if view.external_pool().is_some() {
            return self.end_unwanted(view, now);
        }
        let Some((server, why)) = outdated(view, now) else { return self.stop_searching(view) };
        // Waits a while for the server's first live message, because the server's memory is estimated from it.
        if server.first_live_due.is_some() {
            return Vec::new();
        }
        if view.fleet.common_failure().is_some() {
            let waits = format!("replacing {} waits until launches succeed again", server.id());
            return set_problem(view, Some(waits)).into_iter().collect();
        }
        if server_place::find(view, &[server], &[], now).is_some() {
            return self.replace(view, server, why, now);
        }
        self.search(view, server, now)
    }

    /// Looks whether one of the offers is a place for the next server.
    pub fn offers(&mut self, view: &View<'_>, offers: &[Offer], now: Instant) -> Vec<Intent> {
        let Some(search) = &mut self.search else { return Vec::new() };
        let Some((server, why)) = outdated(view, now).filter(|(server, _)| server.id() == search.server)
        else {
            return Vec::new();
        };
        let mut by_agent: BTreeMap<&str, Vec<Offer>> = BTreeMap::new();
        for offer in offers {
            by_agent.entry(&offer.agent_id.value).or_default().push(offer.clone());
        }
        search.free.extend(by_agent.into_iter().map(|(agent, offers)| (agent.to_owned(), offers)));
        if view.fleet.common_failure().is_some() || server_place::find(view, &[server], offers, now).is_none()
        {
            return Vec::new();
        }
        self.replace(view, server, why, now)
    }

    /// Ends servers whose workers have ended, or have not ended in time.
    pub fn end_drained(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        self.drain.end_drained(view, now)
    }

    /// Ends servers without workers.
    fn end_unwanted(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        let is_done = |server: &&Task| !server.is_to_end() && view.fleet.count_workers_of(server.id()) == 0;
        let done = view.fleet.servers_in_service().filter(is_done);
        done.flat_map(|server| self.drain.begin(view, server.id(), UNWANTED, false, now)).collect()
    }

    fn replace(&mut self, view: &View<'_>, server: &Task, why: Why, now: Instant) -> Vec<Intent> {
        let keeps = view.can_redirect();
        let workers = view.fleet.count_workers_of(server.id());
        if !keeps && workers > 0 {
            let warned = self.warned.as_ref().filter(|(warned, _)| warned == server.id());
            let Some((_, at)) = warned else {
                self.warned = Some((server.id().to_owned(), now + WARNING));
                return vec![Intent::Notify(UserNotice::Remark(warning(server, why, workers)))];
            };
            if now < *at {
                return Vec::new();
            }
        }
        let mut intents = self.stop_searching(view);
        intents.extend(self.drain.begin(view, server.id(), why.text(), keeps, now));
        intents
    }

    /// Asks the master for offers. If no offer is large enough for some time, ends workers to make room.
    fn search(&mut self, view: &View<'_>, server: &Task, now: Instant) -> Vec<Intent> {
        let mut intents = Vec::new();
        if self.search.as_ref().is_none_or(|search| search.server != server.id()) {
            let (id, free, tried) = (server.id().to_owned(), BTreeMap::new(), BTreeSet::new());
            let make_room = now + MAKE_ROOM;
            self.search = Some(Search { server: id, since: now, told: false, make_room, free, tried });
            // Offers that were declined earlier may be large enough for the server, so REVIVE asks for them again.
            intents.extend([Intent::SeekServerPlace(true), Intent::ReviveOffers]);
        }
        intents.extend(set_problem(view, Some(waiting(view, server))));
        let Some(search) = &mut self.search else { return intents };
        if !search.told && now >= search.since + TOLD_AFTER {
            search.told = true;
            intents.push(Intent::Notify(UserNotice::Remark(waiting(view, server))));
        }
        if now < search.make_room {
            return intents;
        }
        search.make_room = now + MAKE_ROOM;
        let tried = |agent: &str| search.tried.contains(agent);
        if let Some((agent, workers)) = server_place::workers_to_end(view, server, &search.free, tried, now) {
            search.tried.insert(agent);
            let end =
                |worker: String| [Intent::Notify(UserNotice::Preempted(worker.clone())), Intent::End(worker)];
            intents.extend(workers.into_iter().flat_map(end));
        }
        intents
    }

    fn stop_searching(&mut self, view: &View<'_>) -> Vec<Intent> {
        let searched = self.search.take().map(|_| Intent::SeekServerPlace(false));
        searched.into_iter().chain(set_problem(view, None)).collect()
    }
}

fn set_problem(view: &View<'_>, text: Option<String>) -> Option<Intent> {
    let problem = text.map(|text| Problem::new(ProblemKind::NoRoomForNewServer, text));
    view.set_problem(Topic::ReplacingServer, problem)
}

/// Why a server is replaced.
#[derive(Clone, Copy, Debug)]
enum Why {
    Options,
    Constraint,
    /// A node refuses the server's cookie, and the server is of an earlier version, which cannot be told another one.
    Cookie,
}

impl Why {
    /// The words that follow the server's id in the notice. They give the reason.
    fn text(self) -> &'static str {
        match self {
            Why::Options => "was launched with other options: replacing it",
            Why::Constraint => "is where --server-constraint does not allow it: replacing it",
            Why::Cookie => "is of an earlier version, and cannot be told its node's new cookie: replacing it",
        }
    }
}

/// A server in service that does not comply with the present options, and why it has to be replaced.
fn outdated<'a>(view: &View<'a>, now: Instant) -> Option<(&'a Task, Why)> {
    view.fleet.servers.iter().find_map(|(id, state)| {
        let server = view.fleet.get(id).filter(|server| server.may_live() && !server.is_to_end())?;
        let away = server.state() == Some(TaskState::TaskUnreachable);
        let why = why_replaced(view, server, now)?;
        (*state == ServerState::Open && !away).then_some((server, why))
    })
}

/// Why a server has to be replaced; `None` if it complies with the present options.
fn why_replaced(view: &View<'_>, server: &Task, now: Instant) -> Option<Why> {
    if view.fingerprints.differ_from(&server.record) {
        return Some(Why::Options);
    }
    let nobody = Occupancy::default();
    let allowed =
        all_allow(&view.settings.placement.server, &server.place(), &TentativeOccupancy::of(&nobody));
    match allowed {
        false => Some(Why::Constraint),
        true => is_stuck_with_a_cookie(view, server, now).then_some(Why::Cookie),
    }
}

/// Whether a node refuses a server of an earlier version, and the next server would have the cookie of today. The next server is not of
/// an earlier version, so it is not replaced for this reason again.
fn is_stuck_with_a_cookie(view: &View<'_>, server: &Task, now: Instant) -> bool {
    let Some((_, Live::Pool(live))) = &server.live else { return false };
    let problem = server.problem(Duration::ZERO, now);
    let is_refused = problem.is_some_and(|problem| problem.kind == ProblemKind::NodeCredentials);
    is_refused && live.credentials.is_none() && !view.settings.template.programs.cookies.is_empty()
}

fn waiting(view: &View<'_>, server: &Task) -> String {
    let (cpus, mem) = (view.settings.server_cpus_milli(), view.settings.template.options.server_mem);
    let constraints = view.settings.placement.server.iter().map(|it| format!(", --server-constraint {it}"));
    format!(
        "{} goes on with the options of its launch, because there is no place for the next server yet: an agent with {} CPU \
         (--server-cpus), {mem} MB (--server-mem), two ports{}",
        server.id(),
        cpus as f64 / 1e3,
        constraints.collect::<String>(),
    )
}

fn warning(server: &Task, why: Why, workers: usize) -> String {
    let workers = pluralize(workers, "worker");
    let prevented = match why {
        Why::Options | Why::Constraint => {
            "; to prevent it, stop this scheduler and start it with the options of before"
        }
        Why::Cookie => "",
    };
    format!(
        "{} {} in {}, and its {workers} with it, all at once, because a user's own image (--worker-image) cannot be told of \
         another server{prevented}",
        server.id(),
        why.text(),
        InWords(WARNING)
    )
}
