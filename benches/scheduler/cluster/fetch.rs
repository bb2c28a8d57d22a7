//! Agents fetch the executor before a task starts, and keep the fetched file.

use std::time::{Duration, Instant};

use mesos::v1::TaskState;
use mesos::v1::task_status::Reason;

use super::Cluster;
use super::agent::ExecutorFile;

/// How agents fetch executors.
#[derive(Clone, Debug)]
pub struct FetchSettings {
    /// The bandwidth of the link through which all agents fetch, in bytes per second.
    pub bytes_per_second: f64,
    /// A task fails if its executor has not been fetched within this time, as on Mesos' agents.
    pub registration_timeout: Duration,
}

/// A request to fetch a file.
#[derive(Clone, Debug)]
pub struct Fetch {
    pub agent: usize,
    pub uri: String,
    /// The fetch fails if it has not ended by this time.
    pub by: Instant,
}

/// The result of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    All,
    /// The fetch had not ended at the time limit [`Fetch::by`].
    TooLate,
    /// The server does not have the file, or its response is malformed.
    Failed(String),
}

impl Cluster {
    /// Whether the agent has the executor. If not, requests the fetch and makes the task wait for it.
    pub(super) fn has_executor(&mut self, agent: usize, task: usize, uri: String, now: Instant) -> bool {
        match &mut self.agents[agent].executor {
            ExecutorFile::There => return true,
            ExecutorFile::Coming(waiting) => waiting.push(task),
            executor => {
                *executor = ExecutorFile::Coming(vec![task]);
                let by = now + self.settings.fetch.registration_timeout;
                // Sending fails only if the master, which has the receiver, has ended.
                let _ = self.fetches.send(Fetch { agent, uri, by });
            }
        }
        false
    }

    /// Handles the end of a fetch.
    pub fn fetched(&mut self, agent: usize, bytes: u64, end: &Fetched, now: Instant) {
        self.counters.fetched_bytes += bytes;
        let next = match end {
            Fetched::All => ExecutorFile::There,
            _ => ExecutorFile::Missing,
        };
        let ExecutorFile::Coming(waiting) = std::mem::replace(&mut self.agents[agent].executor, next) else {
            return;
        };
        if *end == Fetched::All {
            self.counters.fetched += 1;
            self.counters.last_fetched = Some(now);
        }
        for index in waiting {
            // The task may have been killed in the meantime.
            if self.tasks[index].state == TaskState::TaskStaging {
                self.go_on(index, end, now);
            }
        }
    }

    fn go_on(&mut self, index: usize, end: &Fetched, now: Instant) {
        let (reason, text) = match end {
            Fetched::All => return self.begin(index, now),
            Fetched::TooLate => {
                (Reason::ExecutorRegistrationTimeout, "Executor did not register within the timeout")
            }
            Fetched::Failed(why) => (Reason::ContainerLaunchFailed, why.as_str()),
        };
        self.counters.not_fetched += 1;
        self.push_failure(index, reason, text, now);
        self.free(index);
    }
}
