//! Replaces a server that provides no work, or is on an unreachable agent.

use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use super::unreachable::UNREACHABLE;
use super::{Intent, Policy, PolicyEvent, View};
use crate::fleet::Task;

/// A running server is replaced if it has been unhealthy for this long: an unhealthy server provides no work.
pub const ILL_SERVER: Duration = Duration::from_secs(60);

/// The policy.
#[derive(Debug, Default)]
pub(super) struct ServerHealth;

impl Policy for ServerHealth {
    fn on_event(&mut self, view: &View<'_>, event: &PolicyEvent, now: Instant) -> Vec<Intent> {
        if !matches!(event, PolicyEvent::Tick) || !view.hears_tasks(now) {
            return Vec::new();
        }
        let servers = view.fleet.servers_in_service();
        let failed = servers.filter_map(|server| Some((server.id().to_owned(), why(server, now)?)));
        let give_up = |(task, why): (String, &'static str)| {
            [
                Intent::notify_given_up(&task, why),
                Intent::PauseAgent {
                    task: task.clone(),
                    why: why.to_owned(),
                    common: false,
                    least: Duration::ZERO,
                },
                Intent::GiveUpServer(task.clone()),
                Intent::End(task),
            ]
        };
        failed.flat_map(give_up).collect()
    }
}

/// Why a server is to be replaced; `None` if it is not.
fn why(server: &Task, now: Instant) -> Option<&'static str> {
    let long_ago = |at: Option<Instant>, limit| at.is_some_and(|at| now.duration_since(at) >= limit);
    match server.state()? {
        TaskState::TaskUnreachable if long_ago(server.since(), UNREACHABLE) => {
            Some("its agent is unreachable")
        }
        TaskState::TaskRunning if long_ago(server.unhealthy_since(), ILL_SERVER) => Some("it sends no work"),
        _ => None,
    }
}
