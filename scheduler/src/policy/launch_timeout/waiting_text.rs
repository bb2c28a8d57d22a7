//! What the user is told of launches that take long. Whether an executor is being fetched is known only if the agents fetch it
//! from this scheduler. Otherwise the text leaves it open.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mesos::v1::TaskState;
use text::InWords;

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

/// What a task waits for before it runs. Tasks of one kind that wait for the same are named together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum WaitsFor<'a> {
    /// No update of the task has come yet. This is usual while the agent prepares the task, but it may also have lost the launch.
    Answer(Preparation<'a>),
    /// The agents are downloading the executor from this scheduler.
    Download,
    /// The agent prepares the task: it fetches, pulls or starts something, and the executor has not registered yet.
    Agent(Preparation<'a>),
    /// The executor has registered, and the task's program does not run yet.
    Program,
}

/// What an agent does before an executor registers. It does not say how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Preparation<'a> {
    /// It fetches the executor from this URI and starts it.
    Fetch(&'a str),
    /// It starts the executor at this path.
    Start(&'a str),
    /// It pulls the executor's image and starts it.
    Pull(&'a str),
    /// It pulls the image of a program that is not ours and starts it.
    PullTheirs,
}

impl<'a> WaitsFor<'a> {
    /// `fetching` says whether all waiting executors are being fetched from this scheduler.
    fn of(task: &Task, view: &'a View<'_>, fetching: bool) -> Self {
        let template = &view.settings.template;
        let ours = template.programs.is_ours(task.record.kind);
        let preparation = match &template.delivery {
            _ if !ours => Preparation::PullTheirs,
            Delivery::Fetch { uri, .. } => Preparation::Fetch(uri),
            Delivery::Path(path) => Preparation::Start(path),
            Delivery::Image { image, .. } => Preparation::Pull(image),
        };
        match task.state() {
            Some(TaskState::TaskStarting) => Self::Program,
            _ if ours && fetching && template.delivery.is_served_here() => Self::Download,
            None => Self::Answer(preparation),
            Some(_) => Self::Agent(preparation),
        }
    }

    /// A sentence about one task; `role` is "server" or "worker".
    fn one(self, role: &str, Waiting { task, time }: &Waiting<'_>) -> String {
        let (id, host, time) = (task.id(), task.host(), in_steps(*time));
        match self {
            Self::Answer(preparation) => {
                let may = preparation.in_words("", "its");
                format!(
                    "the launch of {id} on {host} has not been answered for {time}: its agent may still {may}"
                )
            }
            Self::Download => format!("{id} on {host} is being fetched for {time}"),
            Self::Agent(preparation) => {
                let prepares = preparation.in_words("s", "its");
                format!("{id} on {host} has been launching for {time}: its agent {prepares}")
            }
            Self::Program => {
                let why = match task.last_problem() {
                    Some(problem) => problem.to_string(),
                    None => format!("its executor runs, the {role} does not yet"),
                };
                format!("{id} on {host} has been starting for {time}: {why}")
            }
        }
    }

    /// A sentence about several workers. `longest` is the one that has waited for the longest time.
    fn many(self, count: usize, longest: &Waiting<'_>) -> String {
        let (task, time) = (longest.task, in_steps(longest.time));
        let time = format!("up to {time} ({} on {})", task.id(), task.host());
        match self {
            Self::Answer(preparation) => {
                let may = preparation.in_words("", "their");
                format!(
                    "the launches of {count} workers have not been answered for {time}: their agents may still {may}"
                )
            }
            Self::Download => format!("{count} workers are being fetched for {time}"),
            Self::Agent(preparation) => {
                let prepare = preparation.in_words("", "their");
                format!("{count} workers have been launching for {time}: their agents {prepare}")
            }
            Self::Program => {
                let why = match task.last_problem() {
                    Some(problem) => problem.to_string(),
                    None => "their executors run, the workers do not yet".to_owned(),
                };
                format!("{count} workers have been starting for {time}: {why}")
            }
        }
    }
}

impl Preparation<'_> {
    /// What agents do. `s` is the end of the verbs: "s" for one agent, otherwise empty. `its` is "its" or "their".
    fn in_words(self, s: &str, its: &str) -> String {
        let fetch = if s.is_empty() { "fetch" } else { "fetches" };
        match self {
            Self::Fetch(uri) => format!("{fetch} or start{s} {uri}"),
            Self::Start(path) => format!("start{s} {path}"),
            Self::Pull(image) => format!("pull{s} or start{s} the image {image}"),
            Self::PullTheirs => format!("pull{s} or start{s} {its} image"),
        }
    }
}

/// What the server waits for, and when it is given up. `fetching` says whether all waiting executors are being fetched from this
/// scheduler.
pub(super) fn server(view: &View<'_>, server: &Waiting<'_>, fetching: bool) -> String {
    let what = WaitsFor::of(server.task, view, fetching).one("server", server);
    format!("{what}; it is given up after {}", limit(view))
}

/// A text of one line about the workers whose launches take long: what they wait for, and when they are given up. `None` if there
/// are none. `fetching` has the same meaning as for the server.
pub(super) fn workers(view: &View<'_>, workers: &[Waiting<'_>], fetching: bool) -> Option<String> {
    let mut groups = BTreeMap::<WaitsFor<'_>, Vec<&Waiting<'_>>>::new();
    for worker in workers {
        groups.entry(WaitsFor::of(worker.task, view, fetching)).or_default().push(worker);
    }
    let sentences = groups.iter().filter_map(|(waits_for, group)| match &group[..] {
        [only] => Some(waits_for.one("worker", only)),
        several => Some(waits_for.many(several.len(), several.iter().max_by_key(|worker| worker.time)?)),
    });
    let what = sentences.collect::<Vec<_>>().join("; ");
    let which = if workers.len() == 1 { "it" } else { "each" };
    (!workers.is_empty()).then(|| format!("{what}; {which} is given up after {}", limit(view)))
}

/// The time after which a task that does not run is given up.
fn limit(view: &View<'_>) -> String {
    format!("{} (--launch-timeout)", InWords(view.settings.options.launch_timeout))
}

/// A time that passes, in steps, so that a text does not change all the time: steps of ten seconds above half a minute, and minutes
/// from two minutes on.
pub(super) fn in_steps(time: Duration) -> InWords {
    let seconds = match time.as_secs() {
        seconds @ 0..30 => seconds,
        seconds @ 30..120 => seconds / 10 * 10,
        seconds => seconds / 60 * 60,
    };
    InWords(Duration::from_secs(seconds))
}
