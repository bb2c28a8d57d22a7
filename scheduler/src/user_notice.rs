//! What the state machine has to say to people.

use std::fmt;
use std::time::Duration;

use command_line::pluralize;
use task::{Intervals, ServerAddress};

use crate::fleet::CommonFailure;
use crate::offers::UnusedAgent;
use crate::task_info::pool_url;

/// So many tasks are named in one line; others are counted.
const NAMED: usize = 10;

/// Something that the user wants to know.
#[derive(Clone, Debug, PartialEq)]
pub enum UserNotice {
    /// Subscribed.
    Subscribed {
        /// The framework's id.
        framework: String,
    },
    /// The master has given an earlier framework up.
    Removed {
        /// The framework's id.
        framework: String,
    },
    /// An earlier run of the scheduler, or another one, has left tasks running.
    GoingOn {
        /// How many.
        tasks: usize,
    },
    /// A task is launched.
    Launched {
        /// Its id.
        task: String,
        /// Its host.
        host: String,
        /// Thousandths of a CPU.
        cpus_milli: u64,
    },
    /// The server listens.
    ServerUp {
        /// The task's id.
        task: String,
        /// Where.
        address: ServerAddress,
    },
    /// A worker mines.
    Mining {
        /// The task's id.
        task: String,
        /// Its host.
        host: String,
    },
    /// A task is not well, or well again.
    Health {
        /// The task's id.
        task: String,
        /// Whether it is.
        healthy: bool,
        /// Why not.
        why: String,
    },
    /// The agent of a task does not answer the master.
    Unreachable {
        /// The task's id.
        task: String,
        /// Its host.
        host: String,
    },
    /// A task ended.
    Ended {
        /// Its id.
        task: String,
        /// Its host.
        host: String,
        /// Mesos' name of the state.
        state: String,
        /// Reason and message, for people.
        why: String,
    },
    /// The server is no more; workers are killed, or wait for the next one.
    ServerLost {
        /// The task's id.
        task: String,
        /// How many workers it had.
        workers: usize,
        /// Whether they stay.
        kept: bool,
    },
    /// A worker has gone to another server.
    SentOn {
        /// The task's id.
        task: String,
        /// The server's.
        server: String,
    },
    /// A worker is ended to make room for a server.
    GivesWay {
        /// The task's id.
        task: String,
    },
    /// A task is ended because its executor is of an earlier version.
    Outdated {
        /// The task's id.
        task: String,
    },
    /// A task did not come up or does not answer, and is given up.
    GivenUp {
        /// The task's id.
        task: String,
        /// Why.
        why: &'static str,
    },
    /// Workers of an agent end for one that has the CPU of all.
    Merging {
        /// The agent's host.
        host: String,
        /// How many they are.
        workers: usize,
        /// Thousandths of a CPU of the one.
        cpus_milli: u64,
    },
    /// A machine with tasks is to go away.
    Maintenance {
        /// The agent's host.
        host: String,
        /// When.
        begins_in: Duration,
        /// How many tasks are there.
        tasks: usize,
    },
    /// The server's machine is to go away; workers end before it.
    ServerMoves {
        /// The task's id.
        task: String,
        /// How many workers it has.
        workers: usize,
    },
    /// Nothing is launched on an agent for a while.
    Paused {
        /// The agent's host.
        host: String,
        /// For how long.
        pause: Duration,
        /// How many tasks failed in a row.
        failures: u32,
        /// The last failure.
        why: String,
    },
    /// Launches fail alike on different agents: one at a time is tried.
    CommonFailure(CommonFailure),
    /// Launches succeed again.
    CommonFailureOver {
        /// How many failed.
        launches: u64,
    },
    /// Nothing is launched on what was offered.
    Unused(UnusedAgent),
    /// Less is launched than could be.
    Remark(String),
    /// An executor ended without being asked to, or an agent is gone.
    Failure(String),
    /// A task that is not in the books is killed.
    Unknown {
        /// Its id.
        task: String,
    },
    /// A report could not be read.
    BadReport {
        /// The task's id.
        task: String,
        /// Why.
        why: String,
    },
    /// The end has begun.
    Ending {
        /// How many tasks are to be ended.
        tasks: usize,
    },
    /// Workers send live messages and reports at other intervals.
    Intervals {
        /// How many they are.
        workers: u64,
        /// These.
        intervals: Intervals,
    },
    /// A step of the end took too long.
    Overdue {
        /// The tasks that were waited for.
        tasks: Vec<String>,
    },
}

impl fmt::Display for UserNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UserNotice::Subscribed { framework } => write!(f, "subscribed as framework {framework}"),
            UserNotice::Removed { framework } => {
                write!(f, "the master has given framework {framework} up; starting a new one")
            }
            UserNotice::GoingOn { tasks } => {
                write!(f, "going on with what was left mining: {}", pluralize(*tasks, "task"))
            }
            UserNotice::Launched { task, host, cpus_milli } => {
                write!(f, "launching {task} on {host} with {} CPU", *cpus_milli as f64 / 1e3)
            }
            UserNotice::ServerUp { task, address } => write!(f, "{task} listens at {}", pool_url(address)),
            UserNotice::Mining { task, host } => write!(f, "{task} mines on {host}"),
            UserNotice::Health { task, healthy: true, .. } => write!(f, "{task} is well again"),
            UserNotice::Health { task, why, .. } => write!(f, "{task} is not well: {why}"),
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
                write!(f, "{task} is gone: its {workers} stay for the next server")
            }
            UserNotice::SentOn { task, server } => write!(f, "{task} mines at {server} now"),
            UserNotice::GivesWay { task } => {
                write!(f, "nothing on offer is enough for a server: {task} gives way")
            }
            UserNotice::Outdated { task } => {
                write!(f, "{task} is of an earlier version: ending it, for a new one to take its place")
            }
            UserNotice::GivenUp { task, why } => write!(f, "{task} is given up: {why}"),
            UserNotice::Merging { host, workers, cpus_milli } => write!(
                f,
                "merging {} on {host} into one with {} CPU",
                pluralize(*workers, "worker"),
                *cpus_milli as f64 / 1e3
            ),
            UserNotice::Maintenance { host, begins_in, tasks } => write!(
                f,
                "{host} goes away for maintenance in {:.0} s: {} there will end before",
                begins_in.as_secs_f64(),
                pluralize(*tasks, "task")
            ),
            UserNotice::ServerMoves { task, workers: 0 } => write!(f, "{task} makes way for maintenance"),
            UserNotice::ServerMoves { task, workers } => {
                write!(
                    f,
                    "{task} makes way for maintenance: ending its {} first",
                    pluralize(*workers, "worker")
                )
            }
            UserNotice::Paused { host, pause, failures, why } => write!(
                f,
                "nothing is launched on {host} for {:.0} s: {failures} failed in a row, the last with {why}",
                pause.as_secs_f64()
            ),
            UserNotice::CommonFailure(failure) => write!(
                f,
                "{} launches have failed alike, on {}: {failure}; from now on one agent at a time is tried, with growing \
                 pauses and without a line for each",
                failure.launches,
                pluralize(failure.agents, "agent")
            ),
            UserNotice::CommonFailureOver { launches } => {
                write!(f, "launches succeed again, after {launches} that failed alike")
            }
            UserNotice::Unused(unused) => unused.fmt(f),
            UserNotice::Failure(text) | UserNotice::Remark(text) => f.write_str(text),
            UserNotice::Unknown { task } => write!(f, "{task} is not in the books: killing it"),
            UserNotice::BadReport { task, why } => write!(f, "cannot read a report of {task}: {why}"),
            UserNotice::Ending { tasks } => write!(f, "ending {}", pluralize(*tasks, "task")),
            UserNotice::Intervals { workers, intervals } => write!(
                f,
                "{}: each sends a live message every {} s and a report every {} s",
                pluralize(*workers, "worker"),
                intervals.live().as_secs_f64(),
                intervals.report().as_secs_f64()
            ),
            UserNotice::Overdue { tasks } => {
                let named = tasks.len().min(NAMED);
                write!(f, "no longer waiting for {}", tasks[..named].join(", "))?;
                match tasks.len() - named {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_tasks_are_named() {
        let said = |tasks: u64| {
            let tasks = (0..tasks).map(|n| format!("w{n}")).collect();
            UserNotice::Overdue { tasks }.to_string()
        };
        assert_eq!(said(2), "no longer waiting for w0, w1");
        assert!(said(10).ends_with("w8, w9"));
        assert!(said(50_000).ends_with("w8, w9 and 49990 more"));
    }
}
