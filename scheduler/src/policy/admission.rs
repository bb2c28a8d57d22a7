//! The servers admit so many workers, and [`View::room`] has no more. The user is told when these are there.

use std::time::Instant;

use ::task::{Live, PoolLive};

use super::{Intent, Policy, PolicyEvent, View};
use crate::fleet::Task;
use crate::history::RemarkTopic;
use crate::server_capacity;
use crate::task_id::TaskKind;
use crate::user_notice::UserNotice;

/// The rule.
#[derive(Debug, Default)]
pub(super) struct Admission {
    said: Option<String>,
}

impl Policy for Admission {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, _now: Instant) -> Vec<Intent> {
        if !matches!(event, PolicyEvent::Tick) {
            return Vec::new();
        }
        let text = full(view);
        if text == self.said {
            return Vec::new();
        }
        self.said.clone_from(&text);
        let notice = text.clone().map(|text| Intent::Notify(UserNotice::Remark(text)));
        [Intent::Remark { topic: RemarkTopic::Server, text }].into_iter().chain(notice).collect()
    }
}

impl View<'_> {
    /// The most workers that the servers admit. `None` if none is open, or if they are not ours: then they turn away whom
    /// they like.
    pub fn admitted(&self) -> Option<u64> {
        let template = &self.settings.template;
        if self.pool().is_some() || !template.programs.is_ours(TaskKind::Server) {
            return None;
        }
        let connections = |server: &Task| match &server.live {
            Some((_, Live::Pool(PoolLive { max_connections: Some(told), .. }))) => *told,
            _ => server_capacity::connections(template.options.server_mem),
        };
        let admitted = |server: &Task| match &server.live {
            // It may have been launched with less memory, and says so with its next live message.
            None if server.is_recovered => self.fleet.count_workers_of(server.id()) as u64,
            _ => server_capacity::workers(connections(server)),
        };
        self.fleet.open_servers().map(|(server, _)| admitted(server)).reduce(u64::saturating_add)
    }
}

/// What to say if the server, and nothing else, is why there are no more workers.
fn full(view: &View<'_>) -> Option<String> {
    if view.fleet.open_servers().any(|(server, _)| server.is_recovered && server.live.is_none()) {
        // It is about to say how many it admits.
        return None;
    }
    let admitted = view.admitted().filter(|_| !view.run.ending)?;
    let most = view.settings.placement.limits.max_workers;
    let (_, workers) = view.fleet.placed();
    if workers < admitted || most.is_some_and(|most| most <= admitted) {
        return None;
    }
    let mem = view.settings.template.options.server_mem;
    let by_memory = server_capacity::workers(server_capacity::connections(mem))
        * view.fleet.open_servers().count() as u64;
    let help = if admitted < by_memory {
        "its agent allows no more open files (ulimit -n), or it was launched with less --server-mem"
            .to_owned()
    } else {
        format!("give it more memory than {mem} MB (--server-mem) for more")
    };
    Some(format!("the server admits {admitted} workers, and has them: {help}"))
}
