//! How the scheduler ended, and what is left running.

use std::path::Path;

use anyhow::anyhow;
use command_line::{RunEnd, Summary, pluralize};
use mesos::zookeeper::Ensemble;

use crate::framework_fate::LeftFramework;
use crate::unix_time::date;

const TORN_DOWN: &str = "the framework is torn down: no task is left";

/// How the scheduler ended, and whether tasks keep running. The summary has the figures of the framework's whole life, including
/// earlier runs of the scheduler.
#[derive(Clone, Debug, PartialEq)]
pub enum SchedulerEnd {
    /// The scheduler ended while it was not leading. The leader, if there is one, continues.
    Standby {
        /// The summary has only the time for which the scheduler waited.
        summary: Summary,
    },
    /// The scheduler ended before there was a framework.
    NoFramework {
        /// The figures of a run that mined nothing.
        summary: Summary,
    },
    /// The scheduler ended as requested, and the framework's tasks stay.
    TasksLeft {
        /// The figures of the framework's life so far.
        summary: Summary,
        /// The number of tasks that have not ended.
        tasks: usize,
        /// How many of them are in TASK_RUNNING. The others are, for example, starting or unreachable.
        running: usize,
        /// The framework, which stays registered.
        framework: LeftFramework,
    },
    /// The scheduler ended because the master had removed the framework. No task is left.
    Removed {
        /// The figures of the framework's whole life.
        summary: Summary,
        /// What probably happened, and the way out.
        why: String,
    },
    /// The scheduler ended as requested, after the framework and all its tasks had ended.
    TornDown {
        /// The figures of the framework's whole life.
        summary: Summary,
    },
    /// The framework could not be ended, or the last records could not be written.
    Failed {
        /// The figures of the framework's whole life.
        summary: Summary,
        /// The reason for the failure.
        why: String,
    },
}

impl SchedulerEnd {
    /// The summary. The documentation of each variant says what its figures cover.
    pub fn summary(&self) -> &Summary {
        match self {
            SchedulerEnd::Standby { summary }
            | SchedulerEnd::NoFramework { summary }
            | SchedulerEnd::TasksLeft { summary, .. }
            | SchedulerEnd::Removed { summary, .. }
            | SchedulerEnd::TornDown { summary }
            | SchedulerEnd::Failed { summary, .. } => summary,
        }
    }

    /// The reason, if the scheduler failed.
    pub fn failure(&self) -> Option<&str> {
        match self {
            SchedulerEnd::Failed { why, .. } | SchedulerEnd::Removed { why, .. } => Some(why),
            _ => None,
        }
    }

    /// Turns this value into `Failed`, because the last records could not be written. `why` is the reason. An earlier failure is
    /// kept. `new_cluster` is whether the next start begins a new framework in any case.
    pub(crate) fn unrecorded(self, why: String, new_cluster: bool) -> Self {
        match self {
            SchedulerEnd::Failed { .. } => self,
            SchedulerEnd::TasksLeft { summary, tasks, running, framework } => {
                let left = format!("{}; {}", stay(tasks, running), framework.how_long(tasks > 0));
                SchedulerEnd::Failed { summary, why: format!("{why}; {left}") }
            }
            SchedulerEnd::Removed { summary, why: removed } => {
                SchedulerEnd::Failed { summary, why: format!("{removed}; {why}") }
            }
            SchedulerEnd::TornDown { summary } => {
                // To the next scheduler it looks as if an operator had torn the framework down, which it does not undo by itself.
                let next =
                    if new_cluster { "" } else { ": start the scheduler next time with --new-framework" };
                let why = format!("{why}; {TORN_DOWN}, but this is not recorded{next}");
                SchedulerEnd::Failed { summary, why }
            }
            SchedulerEnd::Standby { summary } | SchedulerEnd::NoFramework { summary } => {
                SchedulerEnd::Failed { summary, why }
            }
        }
    }

    /// The last messages to the user. They say whether tasks keep running. They also say that shares from before
    /// `shares_complete_since` may be missing in the state folder. This time is in milliseconds since the Unix epoch; `None` if
    /// no other scheduler has ever led.
    pub fn exit_messages(
        &self,
        state_dir: &Path,
        zk: Option<&Ensemble>,
        shares_complete_since: Option<u64>,
    ) -> Vec<String> {
        let led = zk.is_some() && !matches!(self, SchedulerEnd::Standby { .. });
        let complete_since = shares_complete_since.filter(|_| led).map(|ms| {
            let (since, folder) = (date(ms), state_dir.display());
            format!("single shares are complete in {folder} since {since}; totals count from the start")
        });
        let left = match self {
            SchedulerEnd::TasksLeft { tasks, running, framework, .. } => {
                Some(how_to_go_on(*tasks, *running, framework, state_dir, zk))
            }
            SchedulerEnd::TornDown { .. } => Some(TORN_DOWN.to_owned()),
            SchedulerEnd::NoFramework { .. } => {
                Some("no framework was subscribed: no task was launched".to_owned())
            }
            SchedulerEnd::Standby { .. } => {
                Some("this scheduler was waiting: nothing was ended, and the leader continues".to_owned())
            }
            // The command prints the reason for the failure as its error.
            SchedulerEnd::Failed { .. } | SchedulerEnd::Removed { .. } => None,
        };
        complete_since.into_iter().chain(left).collect()
    }
}

impl From<SchedulerEnd> for RunEnd {
    /// Without notes; [`SchedulerEnd::exit_messages`] has them.
    fn from(end: SchedulerEnd) -> Self {
        let result = match end.failure() {
            Some(failure) => Err(anyhow!(failure.to_owned())),
            None => Ok(()),
        };
        RunEnd { summary: end.summary().clone(), notes: Vec::new(), result }
    }
}

/// Says how many tasks stay. Only those in TASK_RUNNING are said to mine.
pub(crate) fn stay(tasks: usize, running: usize) -> String {
    let count = pluralize(tasks, "task");
    match (tasks, running) {
        (0, _) => "no task is left".to_owned(),
        (1, 0) => "1 task stays, not in TASK_RUNNING".to_owned(),
        (1, _) => "1 task keeps mining".to_owned(),
        (_, 0) => format!("{count} stay, none of them in TASK_RUNNING"),
        (_, running) if running < tasks => format!("{count} stay, {running} of them in TASK_RUNNING"),
        _ => format!("{count} keep mining"),
    }
}

fn how_to_go_on(
    tasks: usize,
    running: usize,
    framework: &LeftFramework,
    state_dir: &Path,
    zk: Option<&Ensemble>,
) -> String {
    let which = match zk {
        None => format!("--state-dir {}", state_dir.display()),
        Some(zk) => format!("--zk {zk}"),
    };
    let (stay, how_long) = (stay(tasks, running), framework.how_long(tasks > 0));
    let (figures, them) =
        if tasks > 0 { (" (figures as of their last reports)", "them") } else { ("", "the framework") };
    let others = match zk {
        Some(_) => {
            format!("a waiting scheduler takes {} over; otherwise ", if tasks > 0 { "them" } else { "it" })
        }
        None => String::new(),
    };
    format!(
        "{stay}{figures}; {how_long}; {others}start the scheduler again with {which} to continue, or also with \
         --teardown-on-exit to end {them} with it; without a scheduler: {}",
        framework.teardown,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn left(tasks: usize) -> SchedulerEnd {
        left_of(tasks, tasks)
    }

    fn left_of(tasks: usize, running: usize) -> SchedulerEnd {
        let config = Config::new("m1".parse::<mesos::masters::Masters>().unwrap(), "/x");
        let framework = LeftFramework::new(&config, "f", None);
        SchedulerEnd::TasksLeft { summary: Summary::default(), tasks, running, framework }
    }

    fn last(end: &SchedulerEnd) -> String {
        end.exit_messages(Path::new("dir"), None, None).pop().unwrap_or_default()
    }

    #[test]
    fn the_last_message_says_whether_tasks_are_left() {
        let summary = Summary::default;
        let text = last(&left(3));
        assert!(
            text.starts_with("3 tasks keep mining") && text.contains("again with --state-dir dir"),
            "{text}"
        );
        for part in ["keeps framework f and its tasks for 7 days", "curl -d frameworkId=f http://m1:5050/"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(last(&left(1)).starts_with("1 task keeps mining"));
        let gone = SchedulerEnd::TornDown { summary: summary() };
        assert_eq!(last(&gone), "the framework is torn down: no task is left");
        let none = SchedulerEnd::NoFramework { summary: summary() };
        assert_eq!(last(&none), "no framework was subscribed: no task was launched");
        assert!(last(&SchedulerEnd::Standby { summary: summary() }).contains("nothing was ended"));
        let zk = "zk://u:secret@z/miner".parse::<mesos::masters::Masters>().unwrap();
        let messages = left(2).exit_messages(Path::new("dir"), zk.ensemble(), None);
        assert!(
            messages[0].contains("a waiting scheduler takes them over") && !messages[0].contains("secret"),
            "{messages:?}"
        );
    }

    #[test]
    fn only_tasks_that_run_are_said_to_mine() {
        for (tasks, running, said) in [
            (0, 0, "no task is left; the master keeps framework f for 7 days without"),
            (1, 0, "1 task stays, not in TASK_RUNNING ("),
            (4, 0, "4 tasks stay, none of them in TASK_RUNNING ("),
            (4, 1, "4 tasks stay, 1 of them in TASK_RUNNING ("),
            (4, 4, "4 tasks keep mining ("),
        ] {
            let text = last(&left_of(tasks, running));
            assert!(text.starts_with(said), "{said}: {text}");
        }
    }

    #[test]
    fn a_failure_to_record_does_not_hide_that_tasks_are_left_nor_an_earlier_failure() {
        let failed = left(2).unrecorded("the disk is full".into(), false);
        let why = failed.failure().unwrap().to_owned();
        assert!(
            why.starts_with("the disk is full; 2 tasks keep mining; the master keeps framework f"),
            "{why}"
        );
        let failed = failed.unrecorded("again".into(), false);
        assert_eq!(failed.failure(), Some(&*why));
        assert_eq!(last(&failed), "");
        let removed = SchedulerEnd::Removed { summary: Summary::default(), why: "it is gone".into() };
        assert_eq!(removed.failure(), Some("it is gone"), "exit status 1");
        assert_eq!(
            removed.unrecorded("the disk is full".into(), false).failure(),
            Some("it is gone; the disk is full")
        );
    }

    #[test]
    fn a_teardown_that_is_not_recorded_is_said_with_the_way_out() {
        let why = |new_cluster| {
            let gone = SchedulerEnd::TornDown { summary: Summary::default() };
            gone.unrecorded("the disk is full".into(), new_cluster).failure().unwrap().to_owned()
        };
        let said = "the disk is full; the framework is torn down: no task is left, but this is not recorded";
        assert_eq!(why(false), format!("{said}: start the scheduler next time with --new-framework"));
        assert_eq!(why(true), said, "the next start begins a new framework in any case");
    }
}
