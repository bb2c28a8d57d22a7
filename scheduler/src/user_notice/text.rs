//! The words of the notices.

use std::fmt;

use ::text::InWords;
use command_line::pluralize;
use task::ServerAddress;

use super::UserNotice;
use crate::journal::RecordedCommand;
use crate::server_address::stratum_url;

/// Maximum number of tasks that one notice names. Further tasks are only counted.
const NAMED: usize = 10;

/// How the user can end a shutdown.
const AT_ONCE: &str = "a second signal ends the scheduler at once";

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
            UserNotice::Command(RecordedCommand { said, what }) => {
                write!(f, "{} tells the scheduler: {what}", said.by)
            }
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
    use std::time::Duration;

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
