//! Why there are no offers, as text for the user.

use std::fmt::{self, Display};

use command_line::pluralize;
use problem::{Problem, ProblemKind};

use super::{AgentFate, ClusterView, OfferOptions, QuotaFinding};

/// A text names at most this many reasons, and at most this many roles.
const NAMED: usize = 4;
/// The maximum number of characters of a role or region in a text.
const MAX_NAME: usize = 60;

/// Agents that masters normally offer only to frameworks that ask for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAskedFor {
    /// Agents with GPUs, which need `--gpu-agents`.
    GpuAgents,
    /// Agents in another region than the master, which need `--remote-regions`.
    RemoteRegions,
}

impl Display for NotAskedFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotAskedFor::GpuAgents => "agents with GPUs only with --gpu-agents",
            NotAskedFor::RemoteRegions => "agents in another region only with --remote-regions",
        })
    }
}

/// The agents that masters normally do not offer, because their option is not given.
pub(crate) fn not_asked_for(wanted: &OfferOptions) -> Vec<NotAskedFor> {
    let options =
        [(wanted.gpu_agents, NotAskedFor::GpuAgents), (wanted.remote_regions, NotAskedFor::RemoteRegions)];
    options.into_iter().filter_map(|(asked_for, agents)| (!asked_for).then_some(agents)).collect()
}

/// Why a role gets no offers, or none that is usable. Without a view, the master's operator API did not answer. `before` says whether
/// there were offers before. `None` if offers come, and what the master says adds nothing to the reasons why they were declined.
pub(crate) fn problem(view: Option<&ClusterView>, wanted: &OfferOptions, before: bool) -> Option<Problem> {
    let (kind, why) = match view {
        Some(view) if view.agents() == 0 => (ProblemKind::NoAgents, no_agents(view)),
        Some(view) => explain(view)?,
        None => (ProblemKind::NoOffers, unknown(wanted)),
    };
    let when = match view {
        Some(view) if view.offers_come => "no usable offers",
        _ if before => "no more offers",
        _ => "no offers yet",
    };
    Some(Problem::new(kind, format!("{when} for role {}: {why}", name(&wanted.role))))
}

/// What is said if the master's operator API does not answer.
fn unknown(wanted: &OfferOptions) -> String {
    let common = "the agents may be in use, the offers held by other frameworks, or the role (--role) without resources";
    let not_asked_for: Vec<_> = not_asked_for(wanted).iter().map(ToString::to_string).collect();
    match not_asked_for.is_empty() {
        true => common.to_owned(),
        false => format!("{common}; masters normally offer {}", not_asked_for.join(", and ")),
    }
}

fn no_agents(view: &ClusterView) -> String {
    let back = match view.recovered {
        0 => String::new(),
        away => format!(", and {away} have not come back since it began to lead"),
    };
    format!("the master has no agents{back}")
}

/// What explains most: the reason with the highest rank comes first, and is the kind of the problem.
fn explain(view: &ClusterView) -> Option<(ProblemKind, String)> {
    let told = view.fates.iter().filter(|(fate, _)| match fate {
        AgentFate::KnownReason => false,
        AgentFate::Free => view.quota.is_some() || !view.offers_come,
        _ => true,
    });
    let mut fates: Vec<_> = told.map(|(fate, count)| (kind(fate, view), fate, *count)).collect();
    fates.sort_by_key(|(kind, _, count)| (*kind, std::cmp::Reverse(*count)));
    let kind = fates.first()?.0;
    let reasons = fates.iter().take(NAMED).map(|(_, fate, count)| reason(fate, *count, view));
    let reasons = reasons.collect::<Vec<_>>().join(", ");
    let more = if fates.len() > NAMED { ", …" } else { "" };
    let agents = pluralize(view.agents(), "agent");
    let agents = if view.is_cut { format!("more than {agents}") } else { agents };
    Some((kind, format!("the master has {agents}: {reasons}{more}")))
}

fn kind(fate: &AgentFate, view: &ClusterView) -> ProblemKind {
    match fate {
        AgentFate::Deactivated | AgentFate::Draining | AgentFate::Disconnected => ProblemKind::AgentsInactive,
        AgentFate::Remote(_) => ProblemKind::RemoteAgents,
        AgentFate::Gpu => ProblemKind::GpuAgents,
        AgentFate::Reserved(_) => ProblemKind::ReservedForOthers,
        AgentFate::InUse | AgentFate::Offered => ProblemKind::AgentsInUse,
        AgentFate::Free if view.quota.is_some() => ProblemKind::QuotaReached,
        AgentFate::Free => ProblemKind::NoOffers,
        AgentFate::KnownReason => ProblemKind::AgentTooSmall,
    }
}

fn reason(fate: &AgentFate, agents: u64, view: &ClusterView) -> String {
    let what = match fate {
        AgentFate::Deactivated => "deactivated by an operator".to_owned(),
        AgentFate::Draining => "drained for maintenance".to_owned(),
        AgentFate::Disconnected => "not connected to the master".to_owned(),
        AgentFate::Remote(region) => {
            format!("in another region ({}), offered only with --remote-regions", name(region))
        }
        AgentFate::Gpu => "with GPUs, offered only with --gpu-agents".to_owned(),
        AgentFate::Reserved(role) if view.offers_come => {
            format!("with too little that is not reserved for other roles, such as {} (--role)", name(role))
        }
        AgentFate::Reserved(role) => format!("reserved for other roles, such as {} (--role)", name(role)),
        AgentFate::InUse if view.offers_come => {
            format!("with too little that is not in use by tasks of others{}", users(view))
        }
        AgentFate::InUse => format!("with all resources in use by tasks{}", users(view)),
        AgentFate::Offered => "offered to other frameworks now".to_owned(),
        AgentFate::Free => format!("with free resources{}", free(view.quota.as_ref())),
        AgentFate::KnownReason => "too small".to_owned(),
    };
    format!("{agents} {what}")
}

/// The roles of the tasks that use the resources.
fn users(view: &ClusterView) -> String {
    let names: Vec<_> = view.users.iter().map(|role| name(role)).collect();
    match names.len() {
        0 => String::new(),
        1 => format!(" (role {})", names[0]),
        _ => format!(" (roles {})", names.join(", ")),
    }
}

/// Why free resources are not offered.
fn free(quota: Option<&QuotaFinding>) -> String {
    match quota {
        None => " that the master does not offer (see its --whitelist)".to_owned(),
        Some(QuotaFinding::Limit { role, resource, limit }) => {
            let amount = if *resource == "cpus" { format!("{limit} CPU") } else { format!("{limit} MB") };
            format!(", but the quota of role {} limits it to {amount}", name(role))
        }
        Some(QuotaFinding::Guarantees(roles)) => {
            let named: Vec<_> = roles.iter().take(NAMED).map(|role| name(role)).collect();
            let more = if roles.len() > NAMED { ", …" } else { "" };
            let role = if roles.len() == 1 { "role" } else { "roles" };
            format!(" that the master keeps for the quota of {role} {}{more}", named.join(", "))
        }
    }
}

/// A name that others have chosen, short and without control characters.
fn name(name: &str) -> String {
    name.chars().take(MAX_NAME).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
