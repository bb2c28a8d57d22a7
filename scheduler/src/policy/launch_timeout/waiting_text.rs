//! What the user is told of launches that take long. Whether an executor is being fetched is known only if the agents fetch it
//! from this scheduler. Otherwise the text leaves it open.

use std::time::{Duration, Instant};

use mesos::v1::TaskState;

use crate::artifact::DownloadStats;
use crate::fleet::Task;
use crate::policy::View;
use crate::task_info::Delivery;

/// While there are downloads, their statistics come every second. Older ones say nothing about the present.
const RECENT: Duration = Duration::from_secs(3);

/// A launch that takes long, and how long it has taken so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting<'a> {
    pub task: &'a Task,
    pub time: Duration,
}

/// The agents' downloads of the executor from this scheduler: when they were last counted, and how many there were.
#[derive(Debug, Default)]
pub(super) struct Downloads(Option<(Instant, usize)>);

impl Downloads {
    pub fn measured(&mut self, stats: &DownloadStats, now: Instant) {
        self.0 = Some((now, stats.running));
    }

    /// Whether there are at least as many downloads as waiting tasks. If so, each of these tasks is assumed to wait for its
    /// download.
    pub fn fetch_all(&self, waiting: usize, now: Instant) -> bool {
        self.0.is_some_and(|(at, running)| now.duration_since(at) <= RECENT && running >= waiting)
    }
}

/// What the server waits for. `fetching` says whether its executor is being fetched from this scheduler.
pub(super) fn server(view: &View<'_>, server: &Waiting<'_>, fetching: bool) -> String {
    let task = server.task;
    let (id, host, time) = (task.id(), task.host(), in_words(server.time));
    let template = &view.settings.template;
    let what = match (task.state(), &template.delivery) {
        (None, _) => format!("the launch of {id} on {host} has not been answered for {time}"),
        (Some(TaskState::TaskStarting), _) => {
            format!("{id} on {host} has been starting for {time}: its executor runs, the server does not yet")
        }
        _ if !template.programs.is_ours(task.record.kind) => {
            format!("{id} on {host} has been launching for {time}: its agent pulls or starts its image")
        }
        (_, delivery) if delivery.is_served_here() && fetching => {
            format!("{id} on {host} is being fetched for {time}")
        }
        (_, Delivery::Fetch { uri, .. }) => {
            format!("{id} on {host} has been launching for {time}: its agent fetches or starts {uri}")
        }
        (_, Delivery::Path(path)) => {
            format!("{id} on {host} has been launching for {time}: its agent starts {path}")
        }
        (_, Delivery::Image { image, .. }) => {
            format!(
                "{id} on {host} has been launching for {time}: its agent pulls or starts the image {image}"
            )
        }
    };
    let limit = in_words(view.settings.options.launch_timeout);
    format!("{what}; it is given up after {limit} (--launch-timeout)")
}

/// A text of one line about the workers whose launches take long; `None` if there are none.
pub(super) fn workers(workers: &[Waiting<'_>]) -> Option<String> {
    let Waiting { task, time } = workers.iter().max_by_key(|worker| worker.time)?;
    let (id, host, time) = (task.id(), task.host(), in_words(*time));
    Some(match workers.len() {
        1 => format!("{id} on {host} has been starting for {time}"),
        count => format!("{count} workers have been starting for up to {time} ({id} on {host})"),
    })
}

/// A time for people: steps of ten seconds above half a minute, and minutes from two minutes on.
pub(super) fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..30 => format!("{seconds} s"),
        seconds @ 30..120 => format!("{} s", seconds / 10 * 10),
        seconds => format!("{} min", seconds / 60),
    }
}
