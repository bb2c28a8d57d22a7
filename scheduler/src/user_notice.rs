//! The notices of the state machine to the user.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use command_line::pluralize;
use logging::Level;
use problem::Problem;
use task::{Intervals, ServerAddress};
use text::InWords;

use crate::fleet::CommonFailure;
use crate::offers::UnusedAgent;
use crate::server_address::stratum_url;

/// Maximum number of tasks that one notice names. Further tasks are only counted.
const NAMED: usize = 10;

/// How the user can end a shutdown.
const AT_ONCE: &str = "a second signal ends the scheduler at once";

/// Something that the user wants to know. Tasks are given by their ids, agents by their host names.
#[derive(Clone, Debug, PartialEq)]
pub enum UserNotice {
    /// The master has accepted the subscription of this framework.
    Subscribed(String),
    /// The master has removed this framework, and a new framework begins.
    Removed(String),
    /// An earlier run has torn this framework down, and a new framework begins.
    TornDown(String),
    /// The number of tasks of an earlier run or of another scheduler that are still running.
    Resumed(usize),
    /// A task is launched.
    Launched {
        /// The task's id.
        task: String,
        /// The host name of the task's agent.
        host: String,
        /// The task's CPU in thousandths.
        cpus_milli: u64,
    },
    /// A server listens for miners.
    ServerUp {
        /// The server's task id.
        task: String,
        /// The address at which it listens.
        address: ServerAddress,
    },
    /// Workers should connect to a server by its agent's IP address, but this address is not known yet.
    AddressUnknown {
        /// The server's task id.
        task: String,
        /// The host name of the server's agent, to which workers connect until then.
        host: String,
    },
    /// A worker mines.
    Mining {
        /// The task's id.
        task: String,
        /// The host name of the task's agent.
        host: String,
    },
    /// A task's health has changed.
    Health {
        /// The task's id.
        task: String,
        /// Whether the task is healthy.
        healthy: bool,
        /// Why the task is not healthy.
        why: String,
    },
    /// The agent of a task is unreachable.
    Unreachable {
        /// The task's id.
        task: String,
        /// The host name of the unreachable agent.
        host: String,
    },
    /// A task ended.
    Ended {
        /// The task's id.
        task: String,
        /// The host name of the task's agent.
        host: String,
        /// Mesos' name of the task's last state.
        state: String,
        /// Mesos' reason and message, as text for the user.
        why: String,
    },
    /// A server is lost. Its workers are killed, or they wait for the next server.
    ServerLost {
        /// The task's id.
        task: String,
        /// The number of workers that mine at the lost server.
        workers: usize,
        /// Whether the workers keep running and wait for the next server. Otherwise they are killed.
        kept: bool,
    },
    /// A worker now mines at another server.
    Redirected {
        /// The worker's task id.
        task: String,
        /// The task id of the server at which the worker now mines.
        server: String,
    },
    /// A worker is ended to make room for a server.
    Preempted(String),
    /// Workers are replaced.
    Replacing {
        /// The ids of the workers.
        workers: Vec<String>,
        /// The reason, as a phrase about one worker.
        why: &'static str,
    },
    /// Workers are ended since there are more than the limits allow.
    BeyondLimits {
        /// The ids of the workers.
        workers: Vec<String>,
        /// The limits, as options with their values.
        limits: String,
    },
    /// The scheduler gives up on a task.
    GivenUp {
        /// The task's id.
        task: String,
        /// The reason.
        why: Cow<'static, str>,
    },
    /// The workers of an agent are replaced by a single worker with the CPU of all of them.
    Merging {
        /// The host name of the agent.
        host: String,
        /// The number of workers that are replaced.
        workers: usize,
        /// The new worker's CPU in thousandths.
        cpus_milli: u64,
    },
    /// Maintenance of a machine with tasks is planned.
    Maintenance {
        /// The host name of the agent.
        host: String,
        /// The time until the maintenance begins; zero if it has begun.
        begins_in: Duration,
        /// The number of tasks on the agent.
        tasks: usize,
    },
    /// A server is ended, and another one is launched in its place.
    ServerDrained {
        /// The task's id.
        task: String,
        /// The words that follow the task's id in the notice. They say what happens to the server, and why.
        why: &'static str,
        /// The number of the server's workers.
        workers: usize,
        /// Whether the workers keep running and wait for the next server. Otherwise they are ended before the server.
        keeps_workers: bool,
    },
    /// Nothing is launched on an agent for a while.
    Paused {
        /// The host name of the agent.
        host: String,
        /// The time for which nothing is launched on the agent.
        pause: Duration,
        /// The number of consecutive failures on the agent.
        failures: u32,
    },
    /// Launches fail in the same way on several agents. From now on, one agent at a time is tried.
    CommonFailure(CommonFailure),
    /// Launches succeed again, after this many launches have failed.
    CommonFailureOver(u64),
    /// An agent is unused.
    Unused(UnusedAgent),
    /// A problem that the user can do something about, or that explains why fewer tasks run than resources would allow.
    Problem(Problem),
    /// A remark on a step of the scheduler.
    Remark(String),
    /// A line from the end of the standard error of an executor that does not run.
    Stderr {
        /// The task's id.
        task: String,
        /// The host name of the task's agent.
        host: String,
        /// The line.
        line: String,
    },
    /// Where a browser shows the sandbox of an executor that does not run.
    Sandbox {
        /// The task's id.
        task: String,
        /// The address.
        url: String,
    },
    /// Why the standard error of an executor that does not run cannot be shown.
    NoStderr {
        /// The task's id.
        task: String,
        /// The host name of the task's agent.
        host: String,
        /// The reason.
        why: String,
    },
    /// An agent was removed.
    MesosFailure(String),
    /// A task without a record is killed.
    UnknownTask(String),
    /// A report cannot be read.
    BadReport {
        /// The task's id.
        task: String,
        /// The reason.
        why: String,
    },
    /// The shutdown has begun: this many tasks are to be ended.
    Ending(usize),
    /// The shutdown waits for these tasks to end.
    WaitingForTasks {
        /// The ids of the tasks.
        tasks: Vec<String>,
        /// How long the shutdown still waits for them.
        left: Duration,
    },
    /// The shutdown waits until records are on disk.
    WaitingForRecords {
        /// The number of records.
        records: usize,
        /// Why they cannot be written now; `None` if writing them only takes time.
        why: Option<String>,
        /// How long the shutdown still waits for them.
        left: Duration,
    },
    /// The intervals of workers' live messages and reports have changed.
    Intervals {
        /// The number of workers.
        workers: u64,
        /// The intervals that these workers now use.
        intervals: Intervals,
    },
    /// The intervals of live messages and reports cannot be changed for this many workers.
    FixedIntervals(usize),
    /// A step of the shutdown took too long: the scheduler no longer waits for these tasks.
    Overdue(Vec<String>),
}

impl UserNotice {
    /// The level of the notice in the log.
    pub fn level(&self) -> Level {
        use UserNotice as N;
        let wrong = match self {
            N::WaitingForRecords { why, .. } => why.is_some(),
            N::Ended { state, .. } => state != "TASK_FINISHED" && state != "TASK_KILLED",
            N::Health { healthy, .. } => !healthy,
            N::Removed(_)
            | N::AddressUnknown { .. }
            | N::Unreachable { .. }
            | N::ServerLost { .. }
            | N::GivenUp { .. }
            | N::Paused { .. }
            | N::CommonFailure(_)
            | N::Problem(_)
            | N::Remark(_)
            | N::MesosFailure(_)
            | N::UnknownTask(_)
            | N::BadReport { .. }
            | N::Overdue(_) => true,
            _ => false,
        };
        if wrong { Level::WARN } else { Level::INFO }
    }
}

impl fmt::Display for UserNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UserNotice::Subscribed(framework) => write!(f, "subscribed as framework {framework}"),
            UserNotice::Removed(framework) => {
                write!(
                    f,
                    "the master has removed framework {framework}: beginning a new one; the ledger is kept"
                )
            }
            UserNotice::TornDown(framework) => {
                write!(
                    f,
                    "an earlier run has torn down framework {framework}: beginning a new one; the ledger is kept"
                )
            }
            UserNotice::Resumed(tasks) => {
                write!(f, "resuming with {} still running from an earlier run", pluralize(*tasks, "task"))
            }
            UserNotice::Launched { task, host, cpus_milli } => {
                write!(f, "launching {task} on {host} with {} CPU", *cpus_milli as f64 / 1e3)
            }
            UserNotice::ServerUp { task, address: ServerAddress { host, stratum_port, .. } } => {
                write!(f, "{task} listens at {}", stratum_url(host, *stratum_port))
            }
            UserNotice::AddressUnknown { task, host } => write!(
                f,
                "the IP address of {host}, where {task} runs, is not known (--server-address=ip): workers connect to {host} \
                 until an offer of this agent tells the address"
            ),
            UserNotice::Mining { task, host } => write!(f, "{task} mines on {host}"),
            UserNotice::Health { task, healthy: true, .. } => write!(f, "{task} is healthy again"),
            UserNotice::Health { task, why, .. } => write!(f, "{task} is not healthy: {why}"),
            UserNotice::Unreachable { task, host } => {
                write!(f, "{task} cannot be reached: {host} does not answer")
            }
            UserNotice::Ended { task, host, state, why } => write!(f, "{task} on {host}: {state}{why}"),
            UserNotice::ServerLost { task, workers, kept: false } => {
                write!(f, "{task} is gone: ")?;
                match workers {
                    0 => f.write_str("starting over"),
                    workers => write!(f, "killing its {} and starting over", pluralize(*workers, "worker")),
                }
            }
            UserNotice::ServerLost { task, workers, kept: true } => {
                let workers = pluralize(*workers, "worker");
                write!(f, "{task} is gone: keeping its {workers} for the next server")
            }
            UserNotice::Redirected { task, server } => write!(f, "{task} mines at {server} now"),
            UserNotice::Preempted(task) => {
                write!(f, "no offer is enough for a server: ending {task} to make room")
            }
            UserNotice::Replacing { workers, why } => {
                write!(f, "replacing {} ({why})", list(workers))
            }
            UserNotice::BeyondLimits { workers, limits } => {
                write!(f, "more workers run than {limits} allows: ending {}", list(workers))
            }
            UserNotice::GivenUp { task, why } => write!(f, "giving up on {task}: {why}"),
            UserNotice::Merging { host, workers, cpus_milli } => write!(
                f,
                "merging {} on {host} into one with {} CPU",
                pluralize(*workers, "worker"),
                *cpus_milli as f64 / 1e3
            ),
            UserNotice::Maintenance { host, begins_in, tasks } => write!(
                f,
                "maintenance of {host} begins in {}: its {} will be ended before that",
                InWords(*begins_in),
                pluralize(*tasks, "task")
            ),
            UserNotice::ServerDrained { task, why, workers: 0, .. } => write!(f, "{task} {why}"),
            UserNotice::ServerDrained { task, why, workers, keeps_workers } => {
                let workers = pluralize(*workers, "worker");
                match keeps_workers {
                    true => write!(f, "{task} {why}: its {workers} will mine at the next server"),
                    false => write!(f, "{task} {why}: ending its {workers} first"),
                }
            }
            UserNotice::Paused { host, pause, failures } => write!(
                f,
                "nothing is launched on {host} for {} (failures in a row: {failures})",
                InWords(*pause)
            ),
            UserNotice::CommonFailure(failure) => write!(
                f,
                "{} on {}: {failure}; from now on trying one agent at a time, with growing pauses; single failures are no longer \
                 shown",
                match failure.launches {
                    1 => "a launch failed".to_owned(),
                    launches => format!("{launches} launches failed in the same way"),
                },
                pluralize(failure.agents, "agent")
            ),
            UserNotice::CommonFailureOver(launches) => {
                write!(f, "launches succeed again, after {launches} that failed in the same way")
            }
            UserNotice::Unused(unused) => unused.fmt(f),
            UserNotice::Problem(problem) => problem.fmt(f),
            UserNotice::MesosFailure(text) | UserNotice::Remark(text) => f.write_str(text),
            UserNotice::Stderr { task, host, line } => write!(f, "{task} on {host}, stderr: {line}"),
            UserNotice::Sandbox { task, url } => write!(f, "the sandbox of {task}: {url}"),
            UserNotice::NoStderr { task, host, why } => {
                write!(f, "cannot read the stderr of {task} on {host}: {why}")
            }
            UserNotice::UnknownTask(task) => write!(f, "{task} has no record: killing it"),
            UserNotice::BadReport { task, why } => write!(f, "cannot read a report of {task}: {why}"),
            UserNotice::Ending(tasks) => write!(f, "ending {}", pluralize(*tasks, "task")),
            UserNotice::WaitingForTasks { tasks, left } => write!(
                f,
                "waiting for {} to end: {} (up to {:.0} s more; {AT_ONCE})",
                pluralize(tasks.len(), "task"),
                list(tasks),
                left.as_secs_f64().ceil()
            ),
            UserNotice::WaitingForRecords { records, why, left } => {
                if let Some(why) = why {
                    write!(f, "{why}: ")?;
                }
                write!(
                    f,
                    "waiting up to {:.0} s for {} to be written ({AT_ONCE})",
                    left.as_secs_f64().ceil(),
                    pluralize(*records, "record")
                )
            }
            UserNotice::Intervals { workers, intervals } => write!(
                f,
                "{}: each sends a live message every {} and a report every {}",
                pluralize(*workers, "worker"),
                InWords(intervals.live()),
                InWords(intervals.report())
            ),
            UserNotice::FixedIntervals(workers) => write!(
                f,
                "{} of earlier versions cannot be told other intervals: until it ends, each keeps those of its launch",
                pluralize(*workers, "worker")
            ),
            UserNotice::Overdue(tasks) => write!(f, "no longer waiting for {}", list(tasks)),
        }
    }
}

/// The ids of tasks. Where there are many, the first ones are named and the others counted.
fn list(tasks: &[String]) -> String {
    let (named, others) = tasks.split_at(tasks.len().min(NAMED));
    let named = named.join(", ");
    match others.len() {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shutdown_says_what_it_waits_for() {
        let left = Duration::from_millis(11_400);
        let tasks = vec!["w1".to_owned(), "w2".to_owned(), "w3".to_owned()];
        assert_eq!(
            UserNotice::WaitingForTasks { tasks, left }.to_string(),
            "waiting for 3 tasks to end: w1, w2, w3 (up to 12 s more; a second signal ends the scheduler at once)"
        );
        let why = Some("the disk of state folder /x is full".to_owned());
        assert_eq!(
            UserNotice::WaitingForRecords { records: 1, why, left }.to_string(),
            "the disk of state folder /x is full: waiting up to 12 s for 1 record to be written (a second signal ends the \
             scheduler at once)"
        );
    }

    #[test]
    fn ten_tasks_are_named_and_the_others_counted() {
        let said = |tasks: u64| {
            let tasks = (0..tasks).map(|n| format!("w{n}")).collect();
            UserNotice::Overdue(tasks).to_string()
        };
        assert_eq!(said(2), "no longer waiting for w0, w1");
        assert!(said(10).ends_with("w8, w9"));
        assert!(said(50_000).ends_with("w8, w9 and 49990 more"));
    }
}
