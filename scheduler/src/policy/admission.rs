//! The servers admit a limited number of workers. The user is told when this limit is reached.

use std::time::Instant;

use ::task::{Live, PoolLive};
use problem::{Problem, ProblemKind};

use super::{Intent, Policy, PolicyEvent, View};
use crate::fleet::Task;
use crate::history::Topic;
use crate::server_capacity;
use crate::task_id::TaskKind;

/// The policy.
#[derive(Debug, Default)]
pub(super) struct Admission;

impl Policy for Admission {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, _now: Instant) -> Vec<Intent> {
        if !matches!(event, PolicyEvent::Tick) {
            return Vec::new();
        }
        let problem = full(view).map(|text| Problem::new(ProblemKind::ServerFull, text));
        view.set_and_tell(Topic::Admission, problem)
    }
}

impl View<'_> {
    /// The number of workers that the servers admit. `None` in three cases: the pool is external; no server takes new workers; or
    /// the server is a user's own program, whose limit is unknown.
    pub fn admitted(&self) -> Option<u64> {
        let template = &self.settings.template;
        if self.external_pool().is_some() || !template.programs.is_ours(TaskKind::Server) {
            return None;
        }
        let connections = |server: &Task| match &server.live {
            Some((_, Live::Pool(PoolLive { max_connections: Some(told), .. }))) => *told,
            _ => server_capacity::connections(template.options.server_mem),
        };
        let admitted = |(server, _)| server_capacity::workers(connections(server));
        self.fleet.open_servers().map(admitted).reduce(u64::saturating_add)
    }

    /// Whether a server from an earlier run of the scheduler has not yet reported how many workers it admits. That server may
    /// have less memory than a server launched now, and admit fewer workers.
    pub fn admission_is_unknown(&self) -> bool {
        self.fleet.open_servers().any(|(server, _)| server.first_live_due.is_some())
    }
}

/// What to tell the user if only the server's limit prevents more workers.
fn full(view: &View<'_>) -> Option<String> {
    let admitted = view.admitted().filter(|_| !view.run.ending && !view.admission_is_unknown())?;
    let most = view.limits().max_workers;
    let (_, workers) = view.fleet.placed();
    if workers < admitted || most.is_some_and(|most| most <= admitted) {
        return None;
    }
    let mem = view.settings.template.options.server_mem;
    let by_memory = server_capacity::workers(server_capacity::connections(mem))
        * view.fleet.open_servers().count() as u64;
    let help = if admitted < by_memory {
        "its agent limits open files (ulimit -n), or it was launched with less --server-mem".to_owned()
    } else {
        format!("for more, give it more memory than {mem} MB (--server-mem)")
    };
    Some(format!("the server is full, with {admitted} workers: {help}"))
}
