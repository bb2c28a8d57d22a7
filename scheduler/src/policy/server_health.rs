//! A server that does not come up, gives no work, or is on an agent that does not answer is replaced.

use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use super::unreachable::UNREACHABLE;
use super::{Happening, Intent, Policy, View};
use crate::fleet::Task;
use crate::user_notice::UserNotice;

/// A server that does not listen after this time is replaced. Fetching and starting must fit in.
pub const SERVER_START: Duration = Duration::from_secs(180);
/// A server that runs but gives no work is replaced after this time.
pub const ILL_SERVER: Duration = Duration::from_secs(60);

/// The rule.
#[derive(Debug, Default)]
pub(super) struct ServerHealth;

impl Policy for ServerHealth {
    fn on(&mut self, view: &View<'_>, happening: &Happening, now: Instant) -> Vec<Intent> {
        if !matches!(happening, Happening::Tick) || !view.hears_tasks(now) {
            return Vec::new();
        }
        let failed = view.fleet.servers().filter_map(|server| Some((server.id(), why(server, now)?)));
        let give_up = |(task, why): (&str, &'static str)| {
            let task = task.to_owned();
            [
                Intent::Notify(UserNotice::GivenUp { task: task.clone(), why }),
                Intent::PauseAgent { task: task.clone(), why: why.to_owned(), common: false },
                Intent::GiveUpServer { server: task.clone() },
                Intent::End { task },
            ]
        };
        failed.flat_map(give_up).collect()
    }
}

/// Why a server is of no use, if it is not.
fn why(server: &Task, now: Instant) -> Option<&'static str> {
    let long_ago = |at: Option<Instant>, limit| at.is_some_and(|at| now.duration_since(at) >= limit);
    match server.state()? {
        TaskState::TaskUnreachable if long_ago(server.since(), UNREACHABLE) => {
            Some("its agent does not answer")
        }
        TaskState::TaskStaging | TaskState::TaskStarting if long_ago(server.launched(), SERVER_START) => {
            Some("it does not come up")
        }
        TaskState::TaskRunning if long_ago(server.ill_since(), ILL_SERVER) => Some("it gives no work"),
        _ => None,
    }
}
