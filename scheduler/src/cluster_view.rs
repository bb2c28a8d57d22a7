//! Why the master makes no offers: what it says of its agents and quotas. The decision is pure; [`inquiry`] asks the master.

pub(crate) mod inquiry;
mod shortage;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;

use mesos::operator::Agents;
use mesos::resources::{Quantity, Resources};
use mesos::v1::master::drain_info;
use mesos::v1::master::response::get_agents::Agent;
use mesos::v1::quota::QuotaConfig;
use mesos::v1::{AgentInfo, Resource};

use crate::offers::Placement;
use crate::settings::Settings;

pub use self::shortage::{Question, Shortage};
pub use self::text::NotAskedFor;
pub(crate) use self::text::{not_asked_for, problem};

/// Mesos makes no offer of less CPU and less memory than this.
const LEAST: [(&str, f64); 2] = [("cpus", 0.01), ("mem", 32.0)];

/// Maximum number of roles that are named as users of resources.
const USERS: usize = 3;

/// What a framework asks the master for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferOptions {
    /// The role that gets the offers.
    pub role: String,
    /// Whether the framework wants offers of agents with GPUs.
    pub gpu_agents: bool,
    /// Whether the framework wants offers of agents in other regions than the master's.
    pub remote_regions: bool,
}

/// Why the resources of an agent are not offered. If several reasons apply, the first one counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AgentFate {
    /// An operator has deactivated the agent.
    Deactivated,
    /// The agent is drained before maintenance.
    Draining,
    /// The agent is not connected to the master.
    Disconnected,
    /// The agent is in this region, which is not the master's, and the framework does not ask for such agents.
    Remote(String),
    /// The agent has GPUs, and the framework does not ask for such agents.
    Gpu,
    /// All resources are reserved for other roles. This is one of them.
    Reserved(String),
    /// Tasks use all resources.
    InUse,
    /// The master offers the resources to other frameworks now.
    Offered,
    /// The agent has free resources.
    Free,
    /// If offers come, but none is usable: what the user knows from the scheduler itself explains why this agent is not used. It is
    /// too small, this framework's tasks fill it, or its offers were declined for another reason than their size.
    KnownReason,
}

/// A role's quota as far as it explains why there are no offers. CPU is in CPUs, memory in MB.
#[derive(Clone, Debug, PartialEq)]
pub enum QuotaFinding {
    /// The framework's role has reached its limit of this resource.
    Limit {
        /// The role with the limit.
        role: String,
        /// The resource, `cpus` or `mem`.
        resource: &'static str,
        /// The limit.
        limit: f64,
    },
    /// What the master keeps free for other roles is all that is free.
    Guarantees(Vec<String>),
}

/// What the master says of its agents and quotas, as far as it explains why a role gets no offers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterView {
    /// The number of agents that are not offered, by reason.
    pub fates: BTreeMap<AgentFate, u64>,
    /// The number of agents that have not come back since the master began to lead.
    pub recovered: u64,
    /// The roles that use the most CPU, at most three.
    pub users: Vec<String>,
    /// Whether the master has more agents than were looked at.
    pub is_cut: bool,
    /// The quota that prevents offers, if there is one.
    pub quota: Option<QuotaFinding>,
    /// Whether offers come, but none is usable. If not, no offers come.
    pub offers_come: bool,
}

impl OfferOptions {
    /// What a framework with these settings asks for.
    pub fn of(settings: &Settings) -> Self {
        Self::new(&settings.template.role, &settings.placement)
    }

    /// What a framework with this role asks for.
    pub fn new(role: &str, placement: &Placement) -> Self {
        let Placement { gpu_agents, remote_regions, .. } = *placement;
        Self { role: role.to_owned(), gpu_agents, remote_regions }
    }
}

impl ClusterView {
    /// Sums up what the master has said. `region` is the master's.
    pub fn new(agents: &Agents, quotas: &[QuotaConfig], region: Option<&str>, question: &Question) -> Self {
        let Question { wanted, shortage } = question;
        let mut view = ClusterView {
            is_cut: agents.is_cut,
            recovered: agents.recovered,
            offers_come: shortage.is_some(),
            ..Self::default()
        };
        let mut free = Amounts::default();
        let mut used: BTreeMap<String, Amounts> = BTreeMap::new();
        for agent in &agents.agents {
            let (fate, left) = match shortage {
                Some(shortage) => shortage::fate(agent, region, wanted, shortage),
                None => fate(agent, region, wanted),
            };
            if fate == AgentFate::Free {
                free.add(left);
            }
            *view.fates.entry(fate).or_default() += 1;
            for piece in &agent.allocated_resources {
                let role = piece.allocation_info.as_ref().map(|info| info.role().to_owned());
                used.entry(role.unwrap_or_default()).or_default().add_piece(piece);
            }
        }
        view.users = users(&used);
        let is_free = view.fates.contains_key(&AgentFate::Free);
        // Without all agents, nobody knows what the roles use.
        let least =
            shortage.as_ref().map_or(LEAST.map(|(_, least)| least), |it| it.need().0.map(Quantity::value));
        view.quota = quota(quotas, &used, free, wanted, least).filter(|_| is_free && !view.is_cut);
        view
    }

    /// The number of agents that were looked at.
    pub fn agents(&self) -> u64 {
        self.fates.values().sum()
    }
}

/// The roles that use the most CPU.
fn users(used: &BTreeMap<String, Amounts>) -> Vec<String> {
    let mut roles: Vec<(&String, Quantity)> =
        used.iter().map(|(role, Amounts([cpus, _]))| (role, *cpus)).collect();
    roles.sort_by_key(|(_, cpus)| std::cmp::Reverse(*cpus));
    roles.into_iter().filter(|(role, _)| !role.is_empty()).take(USERS).map(|(role, _)| role.clone()).collect()
}

/// CPU and memory.
#[derive(Clone, Copy, Debug, Default)]
struct Amounts([Quantity; 2]);

impl Amounts {
    fn of<'a>(pieces: impl IntoIterator<Item = &'a Resource>) -> Self {
        let mut amounts = Amounts::default();
        pieces.into_iter().for_each(|piece| amounts.add_piece(piece));
        amounts
    }

    fn add_piece(&mut self, piece: &Resource) {
        let pieces = Resources::from(vec![piece.clone()]);
        self.add(Amounts(LEAST.map(|(name, _)| pieces.sum(name))));
    }

    fn add(&mut self, other: Amounts) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum = *sum + more;
        }
    }

    fn without(self, used: Amounts) -> Self {
        let mut rest = self;
        for (sum, used) in rest.0.iter_mut().zip(used.0) {
            *sum = *sum - used;
        }
        rest
    }

    fn covers(&self, need: &Amounts) -> bool {
        self.0.iter().zip(&need.0).all(|(amount, need)| amount >= need)
    }

    /// Whether this is too little for an offer.
    fn is_too_little(&self) -> bool {
        self.0.iter().zip(LEAST).all(|(amount, (_, least))| amount.value() < least)
    }
}

/// An agent's resources as far as a role is offered them.
struct Usable {
    total: Amounts,
    /// What no task uses.
    unused: Amounts,
    /// What no task uses, and nobody is offered now.
    left: Amounts,
}

impl Usable {
    fn of(agent: &Agent, role: &str) -> Self {
        let usable = |pieces: &[Resource]| Amounts::of(pieces.iter().filter(|piece| is_usable(piece, role)));
        let total = usable(&agent.total_resources);
        let unused = total.without(usable(&agent.allocated_resources));
        let left = unused.without(usable(&agent.offered_resources));
        Self { total, unused, left }
    }
}

/// Why an agent is not offered, and what is free on it.
fn fate(agent: &Agent, region: Option<&str>, wanted: &OfferOptions) -> (AgentFate, Amounts) {
    let Usable { total, unused, left } = Usable::of(agent, &wanted.role);
    let fate = inactive(agent)
        .or_else(|| not_asked_for_fate(agent, region, wanted))
        .or_else(|| {
            other_role(agent, &wanted.role).filter(|_| total.is_too_little()).map(AgentFate::Reserved)
        })
        .unwrap_or(match () {
            () if unused.is_too_little() => AgentFate::InUse,
            () if left.is_too_little() => AgentFate::Offered,
            () => AgentFate::Free,
        });
    (fate, left)
}

fn inactive(agent: &Agent) -> Option<AgentFate> {
    let drained = |info: &mesos::v1::master::DrainInfo| info.state() != drain_info::State::Unknown;
    if agent.drain_info.as_ref().is_some_and(drained) {
        return Some(AgentFate::Draining);
    }
    if agent.deactivated() {
        return Some(AgentFate::Deactivated);
    }
    (!agent.active).then_some(AgentFate::Disconnected)
}

fn not_asked_for_fate(agent: &Agent, region: Option<&str>, wanted: &OfferOptions) -> Option<AgentFate> {
    let theirs = region_of(&agent.agent_info).filter(|theirs| region.is_some_and(|ours| ours != *theirs));
    if let Some(theirs) = theirs.filter(|_| !wanted.remote_regions) {
        return Some(AgentFate::Remote(theirs.to_owned()));
    }
    let has_gpus = agent.total_resources.iter().any(|piece| piece.name == "gpus");
    (has_gpus && !wanted.gpu_agents).then_some(AgentFate::Gpu)
}

fn region_of(agent: &AgentInfo) -> Option<&str> {
    let domain = agent.domain.as_ref()?.fault_domain.as_ref()?;
    Some(&domain.region.name)
}

/// Whether a role is offered a piece: it is unreserved, or reserved for the role or for one above it.
fn is_usable(piece: &Resource, role: &str) -> bool {
    piece.revocable.is_none() && reserved_for(piece).is_none_or(|reserved| is_within(role, reserved))
}

/// The role that a piece is reserved for.
fn reserved_for(piece: &Resource) -> Option<&str> {
    let last = piece.reservations.last().map(|reservation| reservation.role());
    last.or_else(|| Some(piece.role())).filter(|role| *role != "*")
}

/// Whether `role` is `other`, or below it, as `a/b` is below `a`.
fn is_within(role: &str, other: &str) -> bool {
    role.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn other_role(agent: &Agent, role: &str) -> Option<String> {
    let reserved = agent.total_resources.iter().filter_map(reserved_for);
    reserved.filter(|reserved| !is_within(role, reserved)).map(str::to_owned).next()
}

/// The quota that prevents offers of at least this much CPU and memory. `used` is what each role uses, and `free` what is free on all
/// agents.
fn quota(
    quotas: &[QuotaConfig],
    used: &BTreeMap<String, Amounts>,
    free: Amounts,
    wanted: &OfferOptions,
    least: [f64; 2],
) -> Option<QuotaFinding> {
    let names = LEAST.map(|(name, _)| name);
    let used_by = |role: &str| {
        let mut sum = Amounts::default();
        used.iter().filter(|(user, _)| is_within(user, role)).for_each(|(_, amounts)| sum.add(*amounts));
        sum
    };
    let (ours, others): (Vec<_>, Vec<_>) =
        quotas.iter().partition(|quota| is_within(&wanted.role, &quota.role));
    for quota in ours {
        for ((resource, least), used) in names.into_iter().zip(least).zip(used_by(&quota.role).0) {
            let limit = quota.limits.get(resource).map(|limit| limit.value);
            if let Some(limit) = limit.filter(|limit| limit - used.value() < least) {
                return Some(QuotaFinding::Limit { role: quota.role.clone(), resource, limit });
            }
        }
    }
    let (mut kept, mut roles) = ([0.0; 2], Vec::new());
    for quota in others {
        let used = used_by(&quota.role).0.map(Quantity::value);
        let unmet: Vec<f64> = names
            .iter()
            .zip(used)
            .map(|(resource, used)| {
                let guaranteed = quota.guarantees.get(*resource).map_or(0.0, |it| it.value);
                (guaranteed - used).max(0.0)
            })
            .collect();
        if unmet.iter().any(|unmet| *unmet > 0.0) {
            roles.push(quota.role.clone());
        }
        kept.iter_mut().zip(unmet).for_each(|(kept, unmet)| *kept += unmet);
    }
    let keeps_all =
        free.0.iter().zip(kept).zip(least).any(|((free, kept), least)| free.value() - kept < least);
    (keeps_all && !roles.is_empty()).then_some(QuotaFinding::Guarantees(roles))
}
