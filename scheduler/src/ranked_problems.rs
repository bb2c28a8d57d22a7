//! The one ranked list of problems: those that policies and the driver have set, the common failure, and why agents are unused.

use command_line::pluralize;
use problem::{Problem, ProblemKind};

use crate::fleet::{CommonFailure, Fleet};
use crate::history::{History, RecentFailures, Topic};
use crate::offers::{DeclineReason, UnusedAgent};

/// Maximum number of problems in the list.
const LISTED_PROBLEMS: usize = 20;

/// The problems that exist now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// The problems, without duplicates, by rank; at most 20.
    pub first: Vec<Problem>,
    /// The number of further problems that are not listed.
    pub more: u64,
}

impl Problems {
    /// Lists each reason of an unused agent once: agents on one machine share a host name, so many of their reasons are the same.
    pub(crate) fn of(fleet: &Fleet, history: &History) -> Self {
        // What the failed tasks name is listed already.
        let listed = |common: &&CommonFailure| {
            common.failure.problem.is_some_and(|kind| history.problems.contains_key(&Topic::Tasks(kind)))
        };
        let common = fleet.common_failure().filter(|common| !listed(common)).map(common_failure);
        let mut first: Vec<Problem> = history.problems.values().cloned().chain(common).collect();
        let all = first.len() + fleet.agents.reasons().len();
        // There may be as many reasons as agents, so texts are written only for those that are listed.
        let ranked = |unused| (kind(fleet, unused), &unused.host, unused);
        let mut unused: Vec<(ProblemKind, &String, &UnusedAgent)> =
            fleet.agents.reasons().map(ranked).collect();
        if unused.len() > LISTED_PROBLEMS {
            unused.select_nth_unstable(LISTED_PROBLEMS);
            unused.truncate(LISTED_PROBLEMS);
        }
        unused.sort_unstable();
        // Where the failures have a problem of their own, it names them.
        let named = first.iter().any(|problem| problem.kind < ProblemKind::ConstraintNotMet);
        let failures = (!named).then_some(&history.failures);
        let problem = |(kind, _, unused)| Problem::new(kind, unused_text(fleet, failures, unused));
        first.extend(unused.into_iter().map(problem));
        first.sort_by_key(|problem| problem.kind);
        first.truncate(LISTED_PROBLEMS);
        let more = (all - first.len()) as u64;
        Self { first, more }
    }

    /// The texts of the listed problems.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.first.iter().map(|problem| &*problem.text)
    }
}

fn common_failure(failure: &CommonFailure) -> Problem {
    let CommonFailure { failure, launches, agents, cause } = failure;
    let agents = pluralize(*agents, "agent");
    let how = format!("{}{}", failure.state.as_str_name(), failure.how());
    let cause_text = if cause.text.is_empty() { String::new() } else { format!("{cause}; ") };
    let text = format!(
        "{cause_text}{launches} launches on {agents} failed in this way ({how}): trying one agent at a time"
    );
    Problem::new(cause.kind, text)
}

/// Why an agent is unused: with the server that takes its resources, or with the last of `failures` there, if it is one of these.
fn unused_text(fleet: &Fleet, failures: Option<&RecentFailures>, unused: &UnusedAgent) -> String {
    let server = fleet.on_agent(&unused.agent).find(|task| !task.is_worker() && !task.has_ended());
    match (server, &unused.reason) {
        (Some(server), DeclineReason::NoWorker { .. }) => {
            let cpus = server.record.cpus_milli() as f64 / 1000.0;
            format!("{unused}; {} takes {cpus} CPU there", server.id())
        }
        (_, DeclineReason::Paused(_)) => match failures.and_then(|failures| failures.last_on(&unused.host)) {
            Some(failure) => format!("{unused}; the last: {failure}"),
            None => unused.to_string(),
        },
        _ => unused.to_string(),
    }
}

/// What is wrong with an unused agent. An agent that our own tasks fill is as it should be.
fn kind(fleet: &Fleet, unused: &UnusedAgent) -> ProblemKind {
    match unused.reason {
        DeclineReason::Constraint(..) => ProblemKind::ConstraintNotMet,
        DeclineReason::Avoided => ProblemKind::AgentAvoided,
        DeclineReason::Paused(_) => ProblemKind::AgentPaused,
        DeclineReason::Leaving(_) => ProblemKind::Maintenance,
        DeclineReason::NoServer { .. } | DeclineReason::NoWorker { .. } => {
            // An agent that the server fills is as it should be only if other agents have workers.
            let is_used = fleet.on_agent(&unused.agent).any(|task| !task.has_ended());
            let (_, workers) = fleet.placed();
            if is_used && workers > 0 { ProblemKind::AgentFull } else { ProblemKind::AgentTooSmall }
        }
    }
}
