//! Takes servers out of service. A server is ended after its workers, so that it counts their last shares.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{Intent, View};
use crate::user_notice::UserNotice;

/// A server is ended after its workers, so that it counts their last shares. It waits for the workers for at most this long.
const WORKERS_END: Duration = Duration::from_secs(15);

/// The servers that wait for their workers to end before they are ended.
#[derive(Debug, Default)]
pub(super) struct ServerDrain {
    /// The ids of the servers that wait for their workers, each with the time when it stops waiting.
    draining: BTreeMap<String, Instant>,
}

impl ServerDrain {
    /// Ends a server, so that another one is launched. Unless the workers are kept for the next server, they end first, so that
    /// this server counts all their shares. `why` tells the user what happens to the server.
    pub fn begin(
        &mut self,
        view: &View<'_>,
        server: &str,
        why: &'static str,
        keeps_workers: bool,
        now: Instant,
    ) -> Vec<Intent> {
        if self.draining.contains_key(server) || view.run.ending {
            return Vec::new();
        }
        let server = server.to_owned();
        let workers: Vec<String> =
            view.fleet.workers_of(&server).map(|worker| worker.id().to_owned()).collect();
        let notice =
            UserNotice::ServerDrained { task: server.clone(), why, workers: workers.len(), keeps_workers };
        if keeps_workers {
            // The workers continue at the next server. No more are launched for this one.
            return vec![Intent::Notify(notice), Intent::DrainServer(server.clone()), Intent::End(server)];
        }
        self.draining.insert(server.clone(), now + WORKERS_END);
        let ends = workers.into_iter().map(Intent::End);
        [Intent::Notify(notice), Intent::DrainServer(server)].into_iter().chain(ends).collect()
    }

    /// Ends servers whose workers have ended, or have not ended in time.
    pub fn end_drained(&mut self, view: &View<'_>, now: Instant) -> Vec<Intent> {
        self.draining.retain(|server, _| view.fleet.servers.contains_key(server));
        let drained = self.draining.iter().filter(|(server, deadline)| {
            let waits = view.fleet.get(server).is_some_and(|server| !server.is_to_end());
            waits && (now >= **deadline || view.fleet.count_workers_of(server) == 0)
        });
        drained.map(|(server, _)| Intent::End(server.clone())).collect()
    }
}
