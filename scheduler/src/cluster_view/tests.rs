use std::collections::BTreeMap;

use mesos::resources::scalar;
use mesos::v1::domain_info::{FaultDomain, fault_domain};
use mesos::v1::resource::{AllocationInfo, ReservationInfo};
use mesos::v1::value::Scalar;
use mesos::v1::{AgentInfo, DomainInfo, master};
use problem::ProblemKind;

use super::*;

pub(super) fn resources(cpus: f64, mem: f64) -> Vec<Resource> {
    vec![scalar("cpus", Quantity::new(cpus)), scalar("mem", Quantity::new(mem))]
}

pub(super) fn reserved(role: &str, pieces: Vec<Resource>) -> Vec<Resource> {
    let reservation = ReservationInfo { role: Some(role.into()), ..ReservationInfo::default() };
    let of_role = |piece| Resource { reservations: vec![reservation.clone()], ..piece };
    pieces.into_iter().map(of_role).collect()
}

pub(super) fn used_by(role: &str, pieces: Vec<Resource>) -> Vec<Resource> {
    let allocation_info = Some(AllocationInfo { role: Some(role.into()) });
    pieces.into_iter().map(|piece| Resource { allocation_info: allocation_info.clone(), ..piece }).collect()
}

pub(super) fn agent() -> Agent {
    Agent { active: true, total_resources: resources(4.0, 1024.0), ..Agent::default() }
}

fn in_region(name: &str) -> Agent {
    let region = fault_domain::RegionInfo { name: name.into() };
    let domain = FaultDomain { region, zone: fault_domain::ZoneInfo { name: "z".into() } };
    let domain = Some(DomainInfo { fault_domain: Some(domain) });
    Agent { agent_info: AgentInfo { domain, ..AgentInfo::default() }, ..agent() }
}

pub(super) fn with_gpu() -> Agent {
    let mut agent = agent();
    agent.total_resources.push(scalar("gpus", Quantity::new(1.0)));
    agent
}

pub(super) fn quota_of(role: &str, guarantee: f64, limit: Option<f64>) -> QuotaConfig {
    let cpus = |value| BTreeMap::from([("cpus".to_owned(), Scalar { value })]);
    QuotaConfig {
        role: role.into(),
        guarantees: cpus(guarantee),
        limits: limit.map(cpus).unwrap_or_default(),
    }
}

pub(super) fn wanted(role: &str) -> OfferOptions {
    OfferOptions { role: role.into(), gpu_agents: false, remote_regions: false }
}

fn viewed(
    agents: &Agents,
    quotas: &[QuotaConfig],
    region: Option<&str>,
    wanted: &OfferOptions,
) -> ClusterView {
    ClusterView::new(agents, quotas, region, &Question { wanted: wanted.clone(), shortage: None })
}

fn told(agents: &[Agent], quotas: &[QuotaConfig], wanted: &OfferOptions) -> (ProblemKind, String) {
    let agents = Agents { agents: agents.to_vec(), ..Agents::default() };
    let view = viewed(&agents, quotas, Some("east"), wanted);
    let told = problem(Some(&view), wanted, false).expect("a problem");
    (told.kind, told.text)
}

#[test]
fn each_cause_has_its_kind_and_its_words() {
    let busy = || Agent { allocated_resources: used_by("x", resources(4.0, 1024.0)), ..agent() };
    let offered = Agent { offered_resources: resources(4.0, 1024.0), ..agent() };
    let others = Agent { total_resources: reserved("gold", resources(4.0, 1024.0)), ..agent() };
    let draining = master::DrainInfo { state: Some(drain_info::State::Draining.into()) };
    let draining = Agent { drain_info: Some(draining), deactivated: Some(true), ..agent() };
    for (agents, kind, words) in [
        (vec![], ProblemKind::NoAgents, "the master has no agents"),
        (vec![with_gpu()], ProblemKind::GpuAgents, "1 agent: 1 with GPUs, offered only with --gpu-agents"),
        (
            vec![in_region("west")],
            ProblemKind::RemoteAgents,
            "region (west), offered only with --remote-regions",
        ),
        (vec![others], ProblemKind::ReservedForOthers, "1 reserved for other roles, such as gold (--role)"),
        (
            // The operator can do more about the GPUs than about the tasks of others.
            vec![busy(), busy(), with_gpu()],
            ProblemKind::GpuAgents,
            "3 agents: 1 with GPUs, offered only with --gpu-agents, 2 with all resources in use by tasks (role x)",
        ),
        (vec![offered], ProblemKind::AgentsInUse, "1 offered to other frameworks now"),
        (vec![Agent { active: false, ..agent() }], ProblemKind::AgentsInactive, "1 not connected"),
        (
            vec![Agent { active: false, deactivated: Some(true), ..agent() }],
            ProblemKind::AgentsInactive,
            "1 deactivated by an operator",
        ),
        (vec![draining], ProblemKind::AgentsInactive, "1 drained for maintenance"),
        (vec![agent()], ProblemKind::NoOffers, "1 with free resources that the master does not offer"),
        (vec![in_region("east")], ProblemKind::NoOffers, "1 with free resources"),
    ] {
        let (found, text) = told(&agents, &[], &wanted("*"));
        assert!(text.starts_with("no offers yet for role *: ") && text.contains(words), "{text}");
        assert_eq!(found, kind, "{text}");
    }
}

#[test]
fn what_is_asked_for_or_reserved_for_the_role_is_no_cause() {
    let all = OfferOptions { gpu_agents: true, remote_regions: true, ..wanted("gold/miners") };
    for pieces in [resources(4.0, 1024.0), reserved("gold", resources(4.0, 1024.0))] {
        let mut agent = in_region("west");
        agent.total_resources = pieces;
        agent.total_resources.push(scalar("gpus", Quantity::new(1.0)));
        assert_eq!(told(&[agent], &[], &all).0, ProblemKind::NoOffers);
    }
    let other = Agent { total_resources: reserved("golden", resources(4.0, 1024.0)), ..agent() };
    assert_eq!(told(&[other], &[], &all).0, ProblemKind::ReservedForOthers);
}

#[test]
fn quotas_are_told_only_if_they_keep_all_that_is_free() {
    let gold = |guarantee| told(&[agent()], &[quota_of("gold", guarantee, None)], &wanted("*"));
    assert_eq!(gold(4.0).0, ProblemKind::QuotaReached);
    assert!(gold(4.0).1.contains("that the master keeps for the quota of role gold"), "{}", gold(4.0).1);
    assert_eq!(gold(3.0).0, ProblemKind::NoOffers);
    // What the role uses counts towards its guarantee.
    let mut half = agent();
    half.allocated_resources = used_by("gold/a", resources(2.0, 100.0));
    let (kind, text) = told(&[half.clone()], &[quota_of("gold", 4.0, None)], &wanted("*"));
    assert_eq!(kind, ProblemKind::QuotaReached, "{text}");
    assert_eq!(told(&[half], &[quota_of("gold", 3.0, None)], &wanted("*")).0, ProblemKind::NoOffers);

    let (kind, text) = told(&[agent()], &[quota_of("miner", 0.0, Some(0.0))], &wanted("miner"));
    assert_eq!(kind, ProblemKind::QuotaReached);
    assert!(text.contains("but the quota of role miner limits it to 0 CPU"), "{text}");
}

#[test]
fn a_part_of_the_agents_is_told_as_such() {
    let agents = Agents { agents: vec![with_gpu(), with_gpu()], is_cut: true, ..Agents::default() };
    let view = viewed(&agents, &[quota_of("gold", 9.0, None)], None, &wanted("*"));
    let text = problem(Some(&view), &wanted("a\u{1b}[2J"), true).expect("a problem").text;
    assert!(
        text.starts_with("no more offers for role a\u{fffd}[2J: the master has more than 2 agents"),
        "{text}"
    );
}

#[test]
fn agents_that_have_not_come_back_are_counted() {
    let agents = Agents { recovered: 2, ..Agents::default() };
    let view = viewed(&agents, &[], None, &wanted("*"));
    let told = problem(Some(&view), &wanted("*"), false).expect("a problem");
    assert!(
        told.text.ends_with("no agents, and 2 have not come back since it began to lead"),
        "{}",
        told.text
    );
}

#[test]
fn without_an_answer_the_common_causes_and_the_options_are_named() {
    let told = problem(None, &wanted("*"), false).expect("a problem");
    assert_eq!(told.kind, ProblemKind::NoOffers);
    for part in ["held by other frameworks", "(--role)", "--gpu-agents", "--remote-regions"] {
        assert!(told.text.contains(part), "{part}: {}", told.text);
    }
    let all = OfferOptions { gpu_agents: true, remote_regions: true, ..wanted("*") };
    assert!(problem(None, &all, false).expect("a problem").text.ends_with("without resources"));
}
