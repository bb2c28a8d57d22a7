use mesos::operator::Agents;
use mesos::v1::AgentId;
use mesos::v1::quota::QuotaConfig;
use problem::ProblemKind;

use super::super::tests::{agent, quota_of, reserved, resources, used_by, wanted, with_gpu};
use super::super::{ClusterView, problem};
use super::*;

/// An agent with 4 CPUs and 1024 MB.
fn named(id: &str, agent: Agent) -> Agent {
    let mut agent = agent;
    agent.agent_info.id = Some(AgentId { value: id.into() });
    agent
}

/// A server needs 1 CPU and 512 MB. Agent `a` was declined because its offer was too small, and agent `c` because of a constraint.
fn shortage() -> Shortage {
    let declined = [("a".to_owned(), true), ("c".to_owned(), false)].into();
    Shortage { cpus_milli: 1000, mem: 512, declined, ..Shortage::default() }
}

fn told_of(agents: Vec<Agent>, quotas: &[QuotaConfig], shortage: Shortage) -> Option<(ProblemKind, String)> {
    let question = Question { wanted: wanted("miner"), shortage: Some(shortage) };
    let agents = Agents { agents, ..Agents::default() };
    let view = ClusterView::new(&agents, quotas, None, &question);
    let told = problem(Some(&view), &question.wanted, true)?;
    assert!(told.text.starts_with("no usable offers for role miner: the master has "), "{told}");
    Some((told.kind, told.text))
}

fn told(agents: Vec<Agent>, quotas: &[QuotaConfig]) -> Option<(ProblemKind, String)> {
    told_of(agents, quotas, shortage())
}

fn small() -> Agent {
    named("a", Agent { total_resources: resources(0.5, 1024.0), ..agent() })
}

#[test]
fn who_leaves_too_little_of_a_declined_agent_is_told() {
    let mut cpu_reserved = resources(0.0, 1024.0);
    cpu_reserved.extend(reserved("gold", resources(4.0, 0.0)));
    let cpu_reserved = named("a", Agent { total_resources: cpu_reserved, ..agent() });
    let in_use = named("a", Agent { allocated_resources: used_by("x", resources(4.0, 100.0)), ..agent() });
    let (kind, text) = told(vec![cpu_reserved], &[]).unwrap();
    assert_eq!(kind, ProblemKind::ReservedForOthers, "{text}");
    assert!(text.ends_with("1 with too little that is not reserved for other roles, such as gold (--role)"));
    let (kind, text) = told(vec![in_use], &[]).unwrap();
    assert_eq!(kind, ProblemKind::AgentsInUse, "{text}");
    assert!(text.ends_with("1 with too little that is not in use by tasks of others (role x)"), "{text}");

    let free = || vec![named("a", agent())];
    let (kind, text) = told(free(), &[quota_of("miner", 0.0, Some(0.5))]).unwrap();
    assert_eq!(kind, ProblemKind::QuotaReached, "{text}");
    assert!(text.contains("the quota of role miner limits it to 0.5 CPU"), "{text}");
    let (kind, text) = told(free(), &[quota_of("gold", 3.5, None)]).unwrap();
    assert_eq!(kind, ProblemKind::QuotaReached, "{text}");
    assert_eq!(told(free(), &[quota_of("gold", 3.0, None)]), None, "enough is left");
}

#[test]
fn agents_that_are_not_offered_are_told_of_beside_declined_ones() {
    let quiet = named("c", agent());
    let (kind, text) = told(vec![small(), quiet, named("g", with_gpu())], &[]).unwrap();
    assert_eq!(kind, ProblemKind::GpuAgents, "{text}");
    assert!(text.ends_with("the master has 3 agents: 1 with GPUs, offered only with --gpu-agents"), "{text}");
    // An agent with GPUs would not help either if it is too small.
    let mut tiny = with_gpu();
    tiny.total_resources[0] = mesos::resources::scalar("cpus", Quantity::new(0.5));
    assert_eq!(told(vec![small(), named("g", tiny)], &[]), None);
    let held = Agent { offered_resources: resources(4.0, 1024.0), ..agent() };
    assert_eq!(told(vec![small(), named("b", held.clone())], &[]).unwrap().0, ProblemKind::AgentsInUse);
    assert_eq!(told(vec![named("a", held)], &[]), None, "it is offered to this framework");
}

#[test]
fn small_agents_constraints_and_our_own_tasks_explain_themselves() {
    assert_eq!(told(vec![small()], &[]), None);
    let in_use = Agent { allocated_resources: used_by("miner", resources(3.5, 100.0)), ..agent() };
    assert_eq!(told(vec![named("c", in_use.clone())], &[]), None, "its constraint is the reason");
    let own = [("a".to_owned(), (3500, 100))].into();
    let ours = Shortage { own, ..shortage() };
    assert_eq!(told_of(vec![named("a", in_use.clone())], &[], ours), None);
    assert_eq!(told(vec![named("a", in_use)], &[]).unwrap().0, ProblemKind::AgentsInUse);
}
