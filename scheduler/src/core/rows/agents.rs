//! Agents: those that have our tasks, and those about which something is known.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use utoipa::ToSchema;

use super::AgentFacts;
use crate::attributes::Attributes;
use crate::core::TaskOverview;
use crate::history::TaskFailure;
use crate::journal::AvoidedAgent;

/// An agent: what its tasks tell together, and what is known about it otherwise. Each task belongs to one agent, so sums over
/// agents count each worker once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentRow {
    /// The agent's id; if only its name is known, as an agent to avoid, that name.
    pub id: String,
    /// The agent's host name; empty if it is not known.
    pub host: String,
    /// The agent's attributes, as its tasks' offers had them.
    pub attributes: Attributes,
    /// The CPU of our tasks there, in thousandths of a CPU.
    pub cpus_milli: u64,
    /// The number of our workers there.
    pub workers: u64,
    /// The CPU of the workers that tell their hashrate, in thousandths of a CPU.
    pub telling_cpus_milli: u64,
    /// The sum of the workers' hashrates in H/s; `None` if none has told it lately.
    pub hashrate: Option<f64>,
    /// The name of the CPU; empty if it is not known.
    pub cpu_model: String,
    /// Whether tasks may be launched there.
    pub state: AgentState,
    /// Why nothing, or nothing more, is launched there.
    pub why: Option<String>,
    /// How many launches in a row have failed there.
    pub failures: u32,
    /// How the last task failed on the agent's host, if that was lately.
    pub last_failure: Option<String>,
}

/// Whether tasks may be launched on an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AgentState {
    /// They may.
    #[default]
    Ok,
    /// Not until a pause is over: that of the agent after failures, or that of mining as a whole.
    Paused,
    /// No, since maintenance of the machine is near.
    Draining,
    /// No, since it is to be avoided.
    Avoided,
}

impl AgentState {
    /// The state's name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            AgentState::Ok => "ok",
            AgentState::Paused => "paused",
            AgentState::Draining => "draining",
            AgentState::Avoided => "avoided",
        }
    }
}

impl AgentRow {
    /// The hashrate for each CPU of the workers that tell it, in H/s.
    pub fn hashrate_per_cpu(&self) -> Option<f64> {
        let cpus = self.telling_cpus_milli as f64 / 1000.0;
        self.hashrate.filter(|_| cpus > 0.0).map(|hashrate| hashrate / cpus)
    }

    fn add_task(&mut self, task: &TaskOverview) {
        if self.host.is_empty() {
            self.host.clone_from(&task.host);
            self.attributes = task.attributes.clone();
        }
        self.cpus_milli += task.cpus_milli;
        self.workers += u64::from(task.is_worker());
        if let Some(hashrate) = task.hashrate() {
            *self.hashrate.get_or_insert_default() += hashrate;
            self.telling_cpus_milli += task.cpus_milli;
        }
        if let Some(model) = task.cpu_model().filter(|_| self.cpu_model.is_empty()) {
            self.cpu_model = model.to_owned();
        }
    }

    fn add_facts(&mut self, facts: &AgentFacts) {
        self.failures = facts.failures;
        self.state = match (facts.leaving, facts.paused) {
            (Some(_), _) => AgentState::Draining,
            (None, Some(_)) => AgentState::Paused,
            (None, None) => AgentState::Ok,
        };
        if let Some(unused) = &facts.unused {
            self.host.clone_from(&unused.host);
            self.why = Some(unused.to_string());
        }
    }

    fn avoid(&mut self, avoided: &AvoidedAgent) {
        (self.state, self.why) = (AgentState::Avoided, Some(avoided.why.clone()));
    }
}

/// All agents that have tasks, about which something is known, or that are to be avoided, by id. `mining_paused` says whether an
/// operator has paused mining, so that nothing is launched anywhere.
pub fn agent_rows(
    tasks: &[TaskOverview],
    facts: &[AgentFacts],
    avoided: &[AvoidedAgent],
    failures: &[TaskFailure],
    mining_paused: bool,
) -> Vec<AgentRow> {
    let mut rows: HashMap<&str, AgentRow> = HashMap::new();
    for task in tasks {
        rows.entry(&task.agent).or_default().add_task(task);
    }
    for facts in facts {
        rows.entry(&facts.id).or_default().add_facts(facts);
    }
    avoid(&mut rows, avoided);
    // The newest failure of a host is first.
    let mut last: HashMap<&str, &str> = HashMap::new();
    for failure in failures {
        last.entry(&failure.host).or_insert(&failure.text);
    }
    let complete = |(id, mut row): (&str, AgentRow)| {
        row.id = id.to_owned();
        row.last_failure = last.get(row.host.as_str()).map(|text| (*text).to_owned());
        if mining_paused && row.state == AgentState::Ok {
            row.state = AgentState::Paused;
        }
        row
    };
    let mut rows: Vec<AgentRow> = rows.into_iter().map(complete).collect();
    rows.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    rows
}

/// Marks the agents to avoid, which are named by id or host. Those of which nothing else is known get rows of their own.
fn avoid<'a>(rows: &mut HashMap<&'a str, AgentRow>, avoided: &'a [AvoidedAgent]) {
    let by_name: HashMap<&str, &AvoidedAgent> =
        avoided.iter().map(|agent| (agent.agent.as_str(), agent)).collect();
    let mut met: HashSet<&str> = HashSet::new();
    for (id, row) in rows.iter_mut() {
        if let Some(avoided) = by_name.get(id).or_else(|| by_name.get(row.host.as_str())) {
            row.avoid(avoided);
            met.insert(&avoided.agent);
        }
    }
    for avoided in avoided.iter().filter(|avoided| !met.contains(avoided.agent.as_str())) {
        rows.entry(&avoided.agent).or_default().avoid(avoided);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use task::{Live, WorkerLive};

    use super::*;
    use crate::task_id::TaskKind;

    fn task(id: &str, agent: &str, cpus_milli: u64, hashrate: Option<f64>) -> TaskOverview {
        let live = |hashrate| {
            Live::Worker(WorkerLive { hashrate, cpu_model: "EPYC".into(), ..WorkerLive::default() })
        };
        TaskOverview {
            id: id.into(),
            kind: TaskKind::of_id(id),
            agent: agent.into(),
            host: format!("{agent}.host"),
            attributes: Attributes::from([("rack".to_owned(), "r1".to_owned())]),
            state: "TASK_RUNNING",
            launched: None,
            healthy: None,
            cpus_milli,
            live: hashrate.map(live),
            totals: Default::default(),
        }
    }

    fn avoided(agent: &str) -> AvoidedAgent {
        AvoidedAgent { agent: agent.into(), why: format!("{agent} is hot"), since_ms: 0 }
    }

    fn row<'a>(rows: &'a [AgentRow], id: &str) -> &'a AgentRow {
        rows.iter().find(|row| row.id == id).expect("it is listed")
    }

    #[test]
    fn an_agent_has_the_sums_of_its_tasks_and_what_is_known_otherwise() {
        let tasks = [
            task("miner-server-1", "a", 1000, None),
            task("miner-worker-2", "a", 2000, Some(4e6)),
            task("miner-worker-3", "a", 2000, Some(2e6)),
            task("miner-worker-4", "b", 4000, None),
        ];
        let facts = [
            AgentFacts {
                id: "b".into(),
                failures: 2,
                paused: Some(Duration::from_secs(4)),
                ..AgentFacts::default()
            },
            AgentFacts {
                id: "c".into(),
                leaving: Some(Duration::ZERO),
                paused: Some(Duration::ZERO),
                ..AgentFacts::default()
            },
        ];
        let failure = |number, text: &str| TaskFailure {
            number,
            ago: Duration::ZERO,
            task: "miner-worker-4".into(),
            host: "b.host".into(),
            text: text.into(),
            stderr: None,
            sandbox: None,
        };
        let failures = [failure(2, "again"), failure(1, "first")];
        let rows = agent_rows(&tasks, &facts, &[], &failures, false);
        assert_eq!(rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        let a = row(&rows, "a");
        assert_eq!((a.cpus_milli, a.workers, a.hashrate), (5000, 2, Some(6e6)));
        assert_eq!((a.hashrate_per_cpu(), a.cpu_model.as_str()), (Some(1.5e6), "EPYC"));
        assert_eq!((a.attributes.get("rack"), a.state), (Some("r1"), AgentState::Ok));
        let b = row(&rows, "b");
        assert_eq!((b.hashrate, b.state, b.failures), (None, AgentState::Paused, 2));
        assert_eq!(b.last_failure.as_deref(), Some("again"));
        assert_eq!(row(&rows, "c").state, AgentState::Draining);
        let while_paused = agent_rows(&tasks, &facts, &[], &failures, true);
        assert_eq!(row(&while_paused, "a").state, AgentState::Paused);
        assert_eq!(row(&while_paused, "c").state, AgentState::Draining);
    }

    #[test]
    fn agents_are_avoided_by_id_or_host_also_where_nothing_else_is_known() {
        let tasks = [task("miner-worker-2", "a", 1000, None), task("miner-worker-3", "b", 1000, None)];
        let names = [avoided("a"), avoided("b.host"), avoided("elsewhere")];
        let rows = agent_rows(&tasks, &[], &names, &[], true);
        assert_eq!(rows.len(), 3);
        for (id, why) in [("a", "a is hot"), ("b", "b.host is hot"), ("elsewhere", "elsewhere is hot")] {
            let row = row(&rows, id);
            assert_eq!((row.state, row.why.as_deref()), (AgentState::Avoided, Some(why)), "{id}");
        }
    }
}
