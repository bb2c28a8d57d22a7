//! How a run of the scheduler ended.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use mesos::zookeeper::Ensemble;
use program::{Summary, counted};

/// What is left when the scheduler has ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ended {
    /// The figures of the framework's whole life, restarts of the scheduler included.
    pub summary: Summary,
    /// How many tasks were left running, if they were meant to.
    pub left_running: Option<usize>,
    /// The framework and all its tasks were ended.
    pub torn_down: bool,
    /// No framework was ever subscribed.
    pub never_began: bool,
    /// Another scheduler led to the end.
    pub waited: bool,
    /// Since when all single shares are in the state folder, milliseconds since the Unix epoch, if earlier ones are
    /// where other schedulers have led.
    pub rows_since_ms: Option<u64>,
    /// What could not be ended as wished.
    pub failure: Option<String>,
}

impl Ended {
    /// What the user is told last: where the books are, and what is left running.
    pub fn last_words(&self, state_dir: &Path, zk: Option<&Ensemble>) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(ms) = self.rows_since_ms {
            let (since, folder) = (date(ms), state_dir.display());
            words.push(format!(
                "single shares are complete in {folder} since {since}; totals are since the start"
            ));
        }
        if let Some(tasks) = self.left_running {
            let verb = if tasks == 1 { "keeps" } else { "keep" };
            let which = match zk {
                None => format!("--state-dir {}", state_dir.display()),
                Some(zk) => format!("--zk {zk}"),
            };
            let others = if zk.is_some() { "whoever waits goes on with them; otherwise " } else { "" };
            words.push(format!(
                "{} {verb} mining (figures as of their last reports); {others}start the scheduler again with \
                 {which} to go on, or with --teardown-on-exit as well to end them with it",
                counted(tasks, "task"),
            ));
        } else if self.torn_down {
            words.push("the framework is torn down: no task is left".to_owned());
        } else if self.never_began {
            words.push("no framework was subscribed: no task was launched".to_owned());
        } else if self.waited {
            words.push("this scheduler was waiting: nothing was ended, and whoever leads goes on".to_owned());
        }
        words
    }
}

/// A time for people, in UTC.
pub(crate) fn date(ms: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(ended: Ended) -> String {
        ended.last_words(Path::new("dir"), None).pop().unwrap_or_default()
    }

    #[test]
    fn the_last_line_says_whether_tasks_are_left() {
        let ended = Ended::default;
        let left = last(Ended { left_running: Some(3), ..ended() });
        assert!(
            left.starts_with("3 tasks keep mining") && left.contains("again with --state-dir dir"),
            "{left}"
        );
        assert!(last(Ended { left_running: Some(1), ..ended() }).starts_with("1 task keeps mining"));
        let gone = last(Ended { torn_down: true, rows_since_ms: Some(0), ..ended() });
        assert_eq!(gone, "the framework is torn down: no task is left");
        assert_eq!(
            last(Ended { never_began: true, ..ended() }),
            "no framework was subscribed: no task was launched"
        );
        assert!(last(Ended { waited: true, ..ended() }).contains("nothing was ended"));
        let zk = "zk://u:secret@z/miner".parse::<mesos::masters::Masters>().unwrap();
        let words = Ended { left_running: Some(2), ..ended() }.last_words(Path::new("dir"), zk.ensemble());
        assert!(
            words[0].contains("whoever waits goes on with them") && !words[0].contains("secret"),
            "{words:?}"
        );
    }
}
