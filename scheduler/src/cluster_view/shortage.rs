//! Why no offer is usable, although offers come: agents may have enough for the wanted task, but reservations, tasks of others or
//! quotas leave too little of it.

use std::collections::BTreeMap;

use mesos::resources::Quantity;
use mesos::v1::Resource;
use mesos::v1::master::response::get_agents::Agent;

use super::{AgentFate, Amounts, OfferOptions, Usable, inactive, not_asked_for_fate, other_role};

/// What the wanted task needs, and what the scheduler knows of agents. CPU is in thousandths, memory in MB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shortage {
    /// The CPU that the task needs.
    pub cpus_milli: u64,
    /// The memory that the task needs.
    pub mem: u64,
    /// The ids of the agents whose offers were declined, each with whether the reason was that the offer was too small.
    pub declined: BTreeMap<String, bool>,
    /// The ids of the agents with tasks of this framework, each with the CPU and the memory of these tasks.
    pub own: BTreeMap<String, (u64, u64)>,
}

/// A question to the master's operator API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What the framework asks the master for.
    pub wanted: OfferOptions,
    /// What is lacking, if offers come but none is usable; `None` if no offers come.
    pub shortage: Option<Shortage>,
}

impl Shortage {
    pub(super) fn need(&self) -> Amounts {
        Amounts([Quantity::from_milli(self.cpus_milli), Quantity::whole(self.mem)])
    }

    fn own(&self, agent: &str) -> Amounts {
        let (cpus_milli, mem) = self.own.get(agent).copied().unwrap_or_default();
        Amounts([Quantity::from_milli(cpus_milli), Quantity::whole(mem)])
    }
}

/// Why the task finds no place on an agent, and what is free there.
pub(super) fn fate(
    agent: &Agent,
    region: Option<&str>,
    wanted: &OfferOptions,
    shortage: &Shortage,
) -> (AgentFate, Amounts) {
    let state = Usable::of(agent, &wanted.role);
    let id = agent.agent_info.id.as_ref().map(|id| id.value.as_str()).unwrap_or_default();
    let declined = shortage.declined.get(id);
    let need = shortage.need();
    let is_enough = |amounts: &Amounts| amounts.covers(&need);
    let is_firm = |piece: &&Resource| piece.revocable.is_none();
    let all = Amounts::of(agent.total_resources.iter().filter(is_firm));
    if !is_enough(&all) || declined == Some(&false) {
        return (AgentFate::KnownReason, state.left);
    }
    let not_asked_for = || not_asked_for_fate(agent, region, wanted).filter(|_| declined.is_none());
    if let Some(fate) = inactive(agent).or_else(not_asked_for) {
        return (fate, state.left);
    }
    let mut without_us = state.unused;
    without_us.add(shortage.own(id));
    let fate = if !is_enough(&state.total) {
        other_role(agent, &wanted.role).map_or(AgentFate::KnownReason, AgentFate::Reserved)
    } else if !is_enough(&without_us) {
        AgentFate::InUse
    } else if !is_enough(&state.unused) {
        AgentFate::KnownReason
    } else if declined.is_none() && !is_enough(&state.left) {
        // What is offered to this framework now is of an agent that was declined.
        AgentFate::Offered
    } else {
        AgentFate::Free
    };
    // An offer of this agent that is on its way to this framework does not make less of it free.
    (fate, if declined.is_some() { state.unused } else { state.left })
}

#[cfg(test)]
mod tests;
