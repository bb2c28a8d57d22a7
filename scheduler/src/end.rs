//! Why the scheduler ended, and what it leaves behind.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use command_line::{Summary, pluralize};
use mesos::zookeeper::Ensemble;

use crate::store;

/// Why the scheduler ended, and what it leaves behind. The summary has the figures of the framework's whole life,
/// restarts of the scheduler included.
#[derive(Clone, Debug, PartialEq)]
pub enum SchedulerEnd {
    /// It ended while another scheduler led, or before it began to lead: whoever leads goes on.
    Standby {
        /// The time that it waited.
        summary: Summary,
    },
    /// It ended before there was a framework.
    NoFramework {
        /// Nothing was mined.
        summary: Summary,
    },
    /// It ended as it was told to, and the framework's tasks go on.
    TasksLeft {
        /// The figures so far.
        summary: Summary,
        /// How many tasks there are.
        tasks: usize,
    },
    /// It ended as it was told to, and the framework and all its tasks with it.
    TornDown {
        /// The figures.
        summary: Summary,
    },
    /// The framework could not be ended, or the last records not be written.
    Failed {
        /// The figures.
        summary: Summary,
        /// What went wrong.
        why: String,
    },
}

impl SchedulerEnd {
    /// The figures.
    pub fn summary(&self) -> &Summary {
        match self {
            SchedulerEnd::Standby { summary }
            | SchedulerEnd::NoFramework { summary }
            | SchedulerEnd::TasksLeft { summary, .. }
            | SchedulerEnd::TornDown { summary }
            | SchedulerEnd::Failed { summary, .. } => summary,
        }
    }

    /// What went wrong, if anything did.
    pub fn failure(&self) -> Option<&str> {
        match self {
            SchedulerEnd::Failed { why, .. } => Some(why),
            _ => None,
        }
    }

    /// The same end, but the last records could not be written. What went wrong before that counts more.
    pub(crate) fn unrecorded(self, why: String) -> Self {
        match self {
            SchedulerEnd::Failed { .. } => self,
            SchedulerEnd::TasksLeft { summary, tasks } => {
                SchedulerEnd::Failed { summary, why: format!("{why}; {}", keep_mining(tasks)) }
            }
            SchedulerEnd::Standby { summary }
            | SchedulerEnd::NoFramework { summary }
            | SchedulerEnd::TornDown { summary } => SchedulerEnd::Failed { summary, why },
        }
    }

    /// What the user is told last: since when single shares are complete, and what is left running.
    pub fn exit_messages(&self, state_dir: &Path, zk: Option<&Ensemble>) -> Vec<String> {
        // Only where other schedulers have led, there may be shares that are not in this folder.
        let led = zk.filter(|_| !matches!(self, SchedulerEnd::Standby { .. }));
        let complete_since = led.and_then(|_| store::rows_since(state_dir)).map(|ms| {
            let (since, folder) = (date(ms), state_dir.display());
            format!("single shares are complete in {folder} since {since}; totals are since the start")
        });
        let left = match self {
            SchedulerEnd::TasksLeft { tasks, .. } => Some(how_to_go_on(*tasks, state_dir, zk)),
            SchedulerEnd::TornDown { .. } => Some("the framework is torn down: no task is left".to_owned()),
            SchedulerEnd::NoFramework { .. } => {
                Some("no framework was subscribed: no task was launched".to_owned())
            }
            SchedulerEnd::Standby { .. } => {
                Some("this scheduler was waiting: nothing was ended, and whoever leads goes on".to_owned())
            }
            // The failure is reported as one.
            SchedulerEnd::Failed { .. } => None,
        };
        complete_since.into_iter().chain(left).collect()
    }
}

fn keep_mining(tasks: usize) -> String {
    let verb = if tasks == 1 { "keeps" } else { "keep" };
    format!("{} {verb} mining", pluralize(tasks, "task"))
}

fn how_to_go_on(tasks: usize, state_dir: &Path, zk: Option<&Ensemble>) -> String {
    let which = match zk {
        None => format!("--state-dir {}", state_dir.display()),
        Some(zk) => format!("--zk {zk}"),
    };
    let others = if zk.is_some() { "whoever waits goes on with them; otherwise " } else { "" };
    format!(
        "{} (figures as of their last reports); {others}start the scheduler again with {which} to go on, or with \
         --teardown-on-exit as well to end them with it",
        keep_mining(tasks),
    )
}

/// A time for people, in UTC.
pub(crate) fn date(ms: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(tasks: usize) -> SchedulerEnd {
        SchedulerEnd::TasksLeft { summary: Summary::default(), tasks }
    }

    fn last(end: &SchedulerEnd) -> String {
        end.exit_messages(Path::new("dir"), None).pop().unwrap_or_default()
    }

    #[test]
    fn the_last_line_says_whether_tasks_are_left() {
        let summary = Summary::default;
        let text = last(&left(3));
        assert!(
            text.starts_with("3 tasks keep mining") && text.contains("again with --state-dir dir"),
            "{text}"
        );
        assert!(last(&left(1)).starts_with("1 task keeps mining"));
        let gone = SchedulerEnd::TornDown { summary: summary() };
        assert_eq!(last(&gone), "the framework is torn down: no task is left");
        let none = SchedulerEnd::NoFramework { summary: summary() };
        assert_eq!(last(&none), "no framework was subscribed: no task was launched");
        assert!(last(&SchedulerEnd::Standby { summary: summary() }).contains("nothing was ended"));
        let zk = "zk://u:secret@z/miner".parse::<mesos::masters::Masters>().unwrap();
        let messages = left(2).exit_messages(Path::new("dir"), zk.ensemble());
        assert!(
            messages[0].contains("whoever waits goes on with them") && !messages[0].contains("secret"),
            "{messages:?}"
        );
    }

    #[test]
    fn a_failure_to_record_does_not_hide_that_tasks_are_left_nor_an_earlier_failure() {
        let failed = left(2).unrecorded("the disk is full".into());
        assert_eq!(failed.failure(), Some("the disk is full; 2 tasks keep mining"));
        let failed = failed.unrecorded("again".into());
        assert_eq!(failed.failure(), Some("the disk is full; 2 tasks keep mining"));
        assert_eq!(last(&failed), "");
    }
}
