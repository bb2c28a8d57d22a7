//! Ends or keeps the workers of a lost server.

use std::time::Instant;

use super::{Intent, Policy, PolicyEvent, View};
use crate::fleet::Task;
use crate::user_notice::UserNotice;

/// The policy.
#[derive(Debug, Default)]
pub(super) struct ServerLoss;

impl Policy for ServerLoss {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, _now: Instant) -> Vec<Intent> {
        match event {
            PolicyEvent::Ended(ended) if view.fleet.servers.contains_key(&ended.task) => {
                vec![Intent::GiveUpServer(ended.task.clone())]
            }
            PolicyEvent::ServerLost(server) => lost(view, server),
            _ => Vec::new(),
        }
    }
}

/// Ends the workers of a lost server, or keeps them for the next one. Workers that have never run are ended in any case: the
/// next server may need their resources.
fn lost(view: &View<'_>, server: &str) -> Vec<Intent> {
    let keeps = view.keeps_workers_of(server);
    let workers = view.fleet.workers_of(server);
    let (kept, ended): (Vec<&Task>, Vec<&Task>) =
        workers.partition(|worker| keeps && worker.running_since.is_some());
    let never_ran = view.fleet.get(server).is_none_or(|server| server.running_since.is_none());
    // If launches fail on many agents, the user was already told of that. Then a server that never ran needs no notice.
    let is_told = view.fleet.common_failure().is_some() && never_ran;
    // With an external pool, no other server follows.
    let is_unwanted = view.external_pool().is_some() && kept.is_empty() && ended.is_empty();
    let notice = (!view.run.ending && !is_told && !is_unwanted).then(|| {
        let workers = if keeps { kept.len() } else { ended.len() };
        Intent::Notify(UserNotice::ServerLost { task: server.to_owned(), workers, kept: keeps })
    });
    notice.into_iter().chain(ended.into_iter().map(Intent::end)).collect()
}
