//! What becomes of the workers when their server is gone.

use std::time::Instant;

use super::{Happening, Intent, Policy, View};
use crate::user_notice::UserNotice;

/// The rule.
#[derive(Debug, Default)]
pub(super) struct ServerLoss;

impl Policy for ServerLoss {
    fn on(&mut self, view: &View<'_>, happening: &Happening, _now: Instant) -> Vec<Intent> {
        match happening {
            Happening::Ended(ended) if view.fleet.service(&ended.task).is_some() => {
                vec![Intent::GiveUpServer { server: ended.task.clone() }]
            }
            Happening::ServerLost { server } => lost(view, server),
            _ => Vec::new(),
        }
    }
}

/// Its workers would be talking to a dead server, unless they stay for the next one. Those that never ran are ended all
/// the same: they may well be on the very room that the server has left.
fn lost(view: &View<'_>, server: &str) -> Vec<Intent> {
    let keeps = view.keeps_workers();
    let stays = |worker: &&crate::fleet::Task| keeps && worker.running_since().is_some();
    let kept = view.fleet.workers_of(server).filter(stays).count();
    let goes = view.fleet.workers_of(server).filter(|worker| !stays(worker));
    let mut intents: Vec<Intent> = goes.map(|worker| Intent::End { task: worker.id().to_owned() }).collect();
    let never_ran = view.fleet.get(server).is_none_or(|server| server.running_since().is_none());
    let told = view.fleet.common_failure().is_some() && never_ran;
    if !view.session.ending && !told {
        let workers = if keeps { kept } else { intents.len() };
        let notice = UserNotice::ServerLost { task: server.to_owned(), workers, kept: keeps };
        intents.insert(0, Intent::Notify(notice));
    }
    intents
}
