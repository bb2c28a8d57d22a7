//! What agents have to fetch before a task can start. An agent keeps what it has fetched.

use std::time::{Duration, Instant};

use mesos::v1::TaskState;
use mesos::v1::task_status::Reason;

use super::Cluster;
use super::agent::ExecutorFile;

/// How agents fetch.
#[derive(Clone, Debug)]
pub struct FetchSettings {
    /// Of all agents together.
    pub bytes_per_second: f64,
    /// A task whose executor is not there so long after its launch fails, as Mesos' agents have it.
    pub registration_timeout: Duration,
}

/// Something that an agent has to fetch.
#[derive(Clone, Debug)]
pub struct Fetch {
    pub agent: usize,
    pub uri: String,
    /// After this moment it is of no more use.
    pub by: Instant,
}

/// How a fetch has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    All,
    /// The agent gave it up.
    TooLate,
    /// The server does not have it, or says something that is no answer.
    Failed(String),
}

impl Cluster {
    /// Whether the agent has the executor. If not, the task waits for it.
    pub(super) fn has_executor(&mut self, agent: usize, task: usize, uri: String, now: Instant) -> bool {
        match &mut self.agents[agent].executor {
            ExecutorFile::There => return true,
            ExecutorFile::Coming(waiting) => waiting.push(task),
            executor => {
                *executor = ExecutorFile::Coming(vec![task]);
                let by = now + self.settings.fetch.registration_timeout;
                // Whoever fetches lives as long as the master does.
                let _ = self.fetches.send(Fetch { agent, uri, by });
            }
        }
        false
    }

    /// An agent has fetched so many bytes, all that there are or not.
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
            // It may have been killed meanwhile.
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
