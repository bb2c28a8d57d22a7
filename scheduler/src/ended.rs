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
                "{} {verb} mining; {others}start the scheduler again with {which} to go on, or with \
                 --teardown-on-exit as well to end them with it",
                counted(tasks, "task"),
            ));
        } else if self.torn_down {
            words.push("the framework is torn down: no task is left".to_owned());
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
