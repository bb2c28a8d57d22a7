//! How a run of the scheduler ended.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use mesos::zookeeper::Ensemble;
use program::{Summary, counted};

/// What is left when the scheduler has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// The figures of the framework's whole life, restarts of the scheduler included.
    pub summary: Summary,
    /// What became of the framework.
    pub left: Left,
    /// Since when all single shares are in the state folder, milliseconds since the Unix epoch, if earlier ones are
    /// where other schedulers have led.
    pub rows_since_ms: Option<u64>,
    /// What could not be ended as wished.
    pub failure: Option<String>,
}

/// What a scheduler leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing: no framework was ever subscribed.
    NeverBegan,
    /// The framework with so many tasks, as was wished.
    Running(usize),
    /// Nothing: the framework and all its tasks were ended.
    TornDown,
    /// The framework, though it was to be torn down.
    NotTornDown,
    /// Another scheduler led to the end, and goes on.
    Led,
}

impl Ended {
    pub(crate) fn new(summary: Summary, left: Left) -> Ended {
        Ended { summary, left, rows_since_ms: None, failure: None }
    }

    /// What the user is told last: where the books are, and what is left running.
    pub fn last_words(&self, state_dir: &Path, zk: Option<&Ensemble>) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(ms) = self.rows_since_ms {
            let (since, folder) = (date(ms), state_dir.display());
            words.push(format!(
                "single shares are complete in {folder} since {since}; totals are since the start"
            ));
        }
        words.extend(match self.left {
            Left::Running(tasks) => Some(keep_mining(tasks, state_dir, zk)),
            Left::TornDown => Some("the framework is torn down: no task is left".to_owned()),
            Left::NeverBegan => Some("no framework was subscribed: no task was launched".to_owned()),
            Left::Led => {
                Some("this scheduler was waiting: nothing was ended, and whoever leads goes on".to_owned())
            }
            // The failure says it all.
            Left::NotTornDown => None,
        });
        words
    }
}

fn keep_mining(tasks: usize, state_dir: &Path, zk: Option<&Ensemble>) -> String {
    let verb = if tasks == 1 { "keeps" } else { "keep" };
    let which = match zk {
        None => format!("--state-dir {}", state_dir.display()),
        Some(zk) => format!("--zk {zk}"),
    };
    let others = if zk.is_some() { "whoever waits goes on with them; otherwise " } else { "" };
    format!(
        "{} {verb} mining (figures as of their last reports); {others}start the scheduler again with {which} to go \
         on, or with --teardown-on-exit as well to end them with it",
        counted(tasks, "task"),
    )
}

/// A time for people, in UTC.
pub(crate) fn date(ms: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(left: Left) -> Ended {
        Ended::new(Summary::default(), left)
    }

    fn last(ended: &Ended) -> String {
        ended.last_words(Path::new("dir"), None).pop().unwrap_or_default()
    }

    #[test]
    fn the_last_line_says_whether_tasks_are_left() {
        let left = last(&ended(Left::Running(3)));
        assert!(
            left.starts_with("3 tasks keep mining") && left.contains("again with --state-dir dir"),
            "{left}"
        );
        assert!(last(&ended(Left::Running(1))).starts_with("1 task keeps mining"));
        let gone = Ended { rows_since_ms: Some(0), ..ended(Left::TornDown) };
        assert_eq!(last(&gone), "the framework is torn down: no task is left");
        assert_eq!(last(&ended(Left::NeverBegan)), "no framework was subscribed: no task was launched");
        assert!(last(&ended(Left::Led)).contains("nothing was ended"));
        let zk = "zk://u:secret@z/miner".parse::<mesos::masters::Masters>().unwrap();
        let words = ended(Left::Running(2)).last_words(Path::new("dir"), zk.ensemble());
        assert!(
            words[0].contains("whoever waits goes on with them") && !words[0].contains("secret"),
            "{words:?}"
        );
    }
}
