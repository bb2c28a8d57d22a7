mod properties;

use mesos::resources::{Quantity, Resources, ranges, scalar};
use mesos::v1::resource::{AllocationInfo, ReservationInfo, RevocableInfo};
use mesos::v1::value::Range;

use super::*;

fn offer(id: &str, agent: &str, resources: Vec<Resource>) -> Offer {
    Offer {
        id: id.into(),
        framework_id: "f".into(),
        agent_id: agent.into(),
        hostname: format!("{agent}.host"),
        resources,
        ..Offer::default()
    }
}

fn simple(id: &str, agent: &str, cpus: f64, mem: u64, ports: u64) -> Offer {
    let mut resources = vec![scalar("cpus", Quantity::new(cpus)), scalar("mem", Quantity::whole(mem))];
    if ports > 0 {
        resources.push(ranges("ports", [31000..=31000 + ports - 1]));
    }
    offer(id, agent, resources)
}

fn context(wanted: Demand) -> PlanContext<'static> {
    demand_with(wanted, Placement::default())
}

fn demand_with(wanted: Demand, placement: Placement) -> PlanContext<'static> {
    PlanContext {
        demand: wanted,
        placement: Box::leak(Box::new(placement)),
        cpus_left_milli: u64::MAX,
        workers_left: u64::MAX,
        fetches_left: u64::MAX,
        placed: Box::leak(Box::default()),
        marks: &|_, _| AgentMarks::default(),
        refuse: Duration::from_secs(60),
        fewest_failures_first: false,
    }
}

/// A context in which agent `a` has these marks (for example that it is paused). All other agents have none.
fn marked(marks: AgentMarks, context: PlanContext<'static>) -> PlanContext<'static> {
    let marks = move |agent: &str, _host: &str| if agent == "a" { marks } else { AgentMarks::default() };
    PlanContext { marks: Box::leak(Box::new(marks)), ..context }
}

/// A context with workers at these places.
fn beside(placed: &[Place], context: PlanContext<'static>) -> PlanContext<'static> {
    let constraints = &context.placement.workers;
    let mut occupancy = Occupancy::new(constraints);
    placed.iter().for_each(|place| occupancy.add(constraints, place));
    PlanContext { placed: Box::leak(Box::new(occupancy)), ..context }
}

const SERVER: Demand = Demand::Server { cpus_milli: 1000, mem: 256 };

/// `piece` with two reservations: the agent reserves it for the role `a`, and an operator then for the role `a/b` below it.
fn refined(piece: Resource) -> Resource {
    let by = |role: &str, principal: Option<&str>| ReservationInfo {
        role: Some(role.to_owned()),
        principal: principal.map(str::to_owned),
        ..ReservationInfo::default()
    };
    let allocation_info = Some(AllocationInfo { role: Some("a/b".to_owned()) });
    Resource { reservations: vec![by("a", None), by("a/b", Some("operator"))], allocation_info, ..piece }
}

#[test]
fn tasks_return_refined_reservations_as_they_were_offered_and_leave_gpus() {
    let free = |piece: Resource| Resource { reservations: Vec::new(), ..refined(piece) };
    let gpus = scalar("gpus", Quantity::whole(2));
    let mut resources = vec![free(gpus.clone()), free(scalar("cpus", Quantity::new(1.0)))];
    let [mem, cpus] = [scalar("mem", Quantity::whole(2048)), scalar("cpus", Quantity::new(3.0))];
    resources.extend([refined(mem), refined(cpus), refined(ranges("ports", [31000..=31009]))]);
    let offered = Resources::from(resources.clone());
    for demand in [SERVER, Demand::Workers] {
        let plan = plan(&[offer("o", "a", resources.clone())], &context(demand));
        let [planned] = &plan.tasks[..] else { panic!("{plan:?}") };
        let taken = Resources::from([planned.task.clone(), planned.executor.clone()].concat());
        assert!(offered.contains(&taken), "{taken:?}");
        assert_eq!(taken.sum("gpus"), Quantity::ZERO);
    }
}

fn total(resources: &[Resource], name: &str) -> u64 {
    Resources::from(resources.to_vec()).sum(name).milli()
}

#[test]
fn agents_wait_when_no_more_may_fetch() {
    let offers = ["a", "b", "c"].map(|agent| simple(&format!("of-{agent}"), agent, 4.0, 4096, 9));
    let marks = |agent: &str, _host: &str| AgentMarks { fetches: agent != "c", ..AgentMarks::default() };
    let context = |wanted, fetches_left| PlanContext { marks: &marks, fetches_left, ..context(wanted) };
    let launched = |plan: &Plan| plan.tasks.iter().map(|planned| planned.agent.clone()).collect::<Vec<_>>();
    let one = plan(&offers, &context(Demand::Workers, 1));
    assert_eq!(launched(&one), ["a", "c"]);
    assert_eq!(one.waiting, [Waiting { agent: "b".into(), offers: vec!["of-b".into()] }]);
    assert!(one.declines.is_empty() && one.unused.is_empty(), "{one:?}");
    assert_eq!(launched(&plan(&offers, &context(Demand::Workers, 2))), ["a", "b", "c"]);
    // The agent of a server does not wait for its turn to fetch the executor, since nothing can be mined without a server.
    assert_eq!(launched(&plan(&offers[..1], &context(SERVER, 0))), ["a"]);
    // The offers of an agent that is too small for a worker are declined: the agent does not wait for its turn to fetch the
    // executor.
    let small = plan(&[simple("o", "a", 0.01, 4096, 0)], &context(Demand::Workers, 0));
    assert_eq!((small.waiting.len(), small.declines.len()), (0, 1));
}

#[test]
fn the_server_takes_what_it_needs_and_two_ports_as_resources() {
    let plan = plan(&[simple("o", "a", 4.0, 4096, 9)], &context(SERVER));
    let [planned] = &plan.tasks[..] else { panic!("{plan:?}") };
    assert_eq!(planned.ports, Some((31000, 31001)));
    assert_eq!(total(&planned.task, "cpus") + total(&planned.executor, "cpus"), 1000);
    assert_eq!(total(&planned.task, "mem") + total(&planned.executor, "mem"), 256_000);
    assert_eq!(Resources::from(planned.task.clone()).count("ports"), 2);
    assert!(plan.declines.is_empty() && plan.unused.is_empty());
}

#[test]
fn ports_may_come_from_several_ranges() {
    let mut split = simple("o", "a", 4.0, 4096, 0);
    split.resources.push(ranges("ports", [31000..=31000, 31005..=31009]));
    assert_eq!(plan(&[split], &context(SERVER)).tasks[0].ports, Some((31000, 31005)));
}

#[test]
fn no_server_gets_port_0_or_a_number_that_is_no_port() {
    let mut odd = simple("o", "a", 4.0, 4096, 0);
    let mut offered = ranges("ports", [0..=0, 70_000..=u64::MAX, 31_000..=31_000, 65_535..=65_536]);
    offered.ranges.as_mut().unwrap().range.push(Range { begin: 9, end: 3 });
    odd.resources.push(offered);
    for failures in 0..9 {
        let context = marked(AgentMarks { failures, ..AgentMarks::default() }, context(SERVER));
        let plan = plan(std::slice::from_ref(&odd), &context);
        assert_eq!(plan.tasks[0].ports, Some((31_000, 65_535)), "after {failures} failures");
        assert_eq!(Resources::from(plan.tasks[0].task.clone()).count("ports"), 2);
    }
    let mut twice = simple("o", "a", 4.0, 4096, 0);
    twice.resources.push(ranges("ports", [0..=0, 31_000..=31_000, 31_000..=31_000]));
    let plan = plan(&[twice], &context(SERVER));
    assert!(plan.tasks.is_empty(), "one port is not two: {plan:?}");
    assert!(matches!(plan.unused[0].reason, DeclineReason::NoServer { ports: 1, .. }), "{plan:?}");
}

#[test]
fn a_server_that_failed_tries_other_ports() {
    let offer = |ports| [simple("o", "a", 4.0, 4096, ports)];
    let chosen = |ports, failures| {
        let context = marked(AgentMarks { failures, ..AgentMarks::default() }, context(SERVER));
        let plan = plan(&offer(ports), &context);
        assert_eq!(Resources::from(plan.tasks[0].task.clone()).count("ports"), 2);
        plan.tasks[0].ports
    };
    assert_eq!(chosen(10, 1), Some((31002, 31003)));
    assert_eq!(chosen(10, 4), Some((31008, 31009)));
    assert_eq!(chosen(10, 5), Some((31001, 31002)), "round and round");
    assert_eq!(chosen(2, 7), Some((31000, 31001)), "there are no others");
}

#[test]
fn one_server_is_enough_and_its_absence_is_explained() {
    let offers = [simple("o1", "a", 1.0, 256, 2), simple("o2", "b", 1.0, 256, 2)];
    let both = plan(&offers, &context(SERVER));
    assert_eq!((both.tasks.len(), both.declines.len(), both.unused.len()), (1, 1, 0));
    for lacking in
        [simple("o", "a", 0.999, 256, 2), simple("o", "a", 1.0, 255, 2), simple("o", "a", 1.0, 256, 1)]
    {
        let plan = plan(&[lacking], &context(SERVER));
        assert!(plan.tasks.is_empty());
        let text = plan.unused[0].to_string();
        assert!(text.starts_with("no server on a.host: ") && text.contains("--server-cpus"), "{text}");
    }
}

#[test]
fn a_worker_takes_all_the_cpu_of_all_offers_of_its_agent() {
    let offers =
        [simple("o1", "a", 0.7, 64, 0), simple("o2", "b", 1.0, 512, 3), simple("o3", "a", 0.4, 64, 0)];
    let plan = plan(&offers, &context(Demand::Workers));
    let cpus: Vec<_> =
        plan.tasks.iter().map(|it| (it.agent.as_str(), it.cpus_milli, it.offers.len(), it.ports)).collect();
    assert_eq!(cpus, [("a", 1100, 2, None), ("b", 1000, 1, None)]);
    let planned = &plan.tasks[0];
    assert_eq!(total(&planned.task, "mem") + total(&planned.executor, "mem"), 128_000);
    assert_eq!(total(&planned.task, "cpus") + total(&planned.executor, "cpus"), 1100);
}

#[test]
fn a_tenth_of_a_cpu_is_worth_a_worker_and_less_is_not() {
    assert_eq!(plan(&[simple("o", "a", 0.1, 128, 0)], &context(Demand::Workers)).tasks.len(), 1);
    for lacking in [simple("o", "a", 0.099, 128, 0), simple("o", "a", 1.0, 127, 0)] {
        let plan = plan(&[lacking], &context(Demand::Workers));
        assert_eq!((plan.tasks.len(), plan.declines.len()), (0, 1));
        assert!(plan.unused[0].to_string().starts_with("no worker on a.host: "));
    }
}

#[test]
fn a_paused_agent_is_left_alone_for_the_rest_of_its_pause() {
    let marks = AgentMarks { paused: Some(Duration::from_secs(7)), ..AgentMarks::default() };
    let context = marked(marks, context(Demand::Workers));
    let plan = plan(&[simple("o1", "a", 2.0, 512, 0), simple("o2", "b", 2.0, 512, 0)], &context);
    assert_eq!(plan.tasks[0].agent, "b");
    assert_eq!(plan.declines, [Decline { offers: vec!["o1".into()], refuse: Duration::from_secs(7) }]);
    assert!(plan.unused[0].to_string().contains("for 7 s"));
}

#[test]
fn roles_and_allocations_stay_and_revocable_resources_are_left() {
    let mut offer = simple("o", "a", 1.0, 512, 0);
    for resource in &mut offer.resources {
        resource.allocation_info = Some(AllocationInfo { role: Some("miners".into()) });
    }
    let revocable = Resource { revocable: Some(RevocableInfo {}), ..scalar("cpus", Quantity::new(8.0)) };
    offer.resources.push(revocable);
    let plan = plan(&[offer], &context(Demand::Workers));
    let planned = &plan.tasks[0];
    assert_eq!(planned.cpus_milli, 1000);
    for resource in planned.task.iter().chain(&planned.executor) {
        assert_eq!(resource.allocation_info.as_ref().unwrap().role.as_deref(), Some("miners"));
        assert!(resource.revocable.is_none());
    }
}

#[test]
fn workers_on_revocable_cpu_take_nothing_else_and_the_server_none_of_it() {
    let mut offer = simple("o", "a", 1.0, 512, 2);
    let revocable =
        |cpus: f64| Resource { revocable: Some(RevocableInfo {}), ..scalar("cpus", Quantity::new(cpus)) };
    offer.resources.push(revocable(3.5));
    let placement = Placement { revocable: true, ..Placement::default() };
    let server = plan(&[offer.clone()], &demand_with(SERVER, placement.clone()));
    let worker = plan(&[offer], &demand_with(Demand::Workers, placement.clone()));
    for (plan, cpus, expected) in [(server, 1000, false), (worker, 3500, true)] {
        let planned = &plan.tasks[0];
        assert_eq!(planned.cpus_milli, cpus);
        for resource in planned.task.iter().chain(&planned.executor) {
            assert_eq!(resource.revocable.is_some(), expected && resource.name == "cpus", "{resource:?}");
        }
    }
    let none = plan(&[simple("o", "a", 4.0, 512, 0)], &demand_with(Demand::Workers, placement));
    let text = none.unused[0].to_string();
    assert!(text.contains(": 0 revocable CPU and") && text.contains("needs 0.1 revocable CPU"), "{text}");
}

#[test]
fn offers_without_anything_do_no_harm() {
    let mut odd = ranges("ports", [u64::MAX..=u64::MAX]);
    odd.ranges.as_mut().unwrap().range.push(Range { begin: 5, end: 2 });
    for wanted in [SERVER, Demand::Workers, Demand::Nothing] {
        let offers = [offer("o1", "a", vec![]), offer("o2", "b", vec![odd.clone()])];
        let plan = plan(&offers, &context(wanted));
        assert_eq!((plan.tasks.len(), plan.declines.len()), (0, 2));
    }
}

#[test]
fn what_is_reserved_on_an_agent_stays_free() {
    let limits =
        WorkerLimits { reserve_cpus_milli: 500, min_worker_cpus_milli: 1000, ..WorkerLimits::default() };
    let context = demand_with(Demand::Workers, Placement { limits, ..Placement::default() });
    let plan = plan(&[simple("o1", "a", 2.0, 512, 0), simple("o2", "b", 1.4, 512, 0)], &context);
    assert_eq!((plan.tasks.len(), plan.tasks[0].cpus_milli), (1, 1500));
    assert_eq!(
        plan.unused[0].to_string(),
        "no worker on b.host: 1.4 CPU and 512 MB are left, of which 0.5 CPU is reserved (--reserve-cpus); a \
         worker needs 1 CPU and 128 MB"
    );
}

#[test]
fn a_constraint_is_tried_again_when_something_is_launched_elsewhere() {
    let workers = vec!["hostname:GROUP_BY:3".parse().unwrap()];
    let placed = ["a.host", "b.host"].map(|host| Place { host: host.into(), ..Place::default() });
    let context =
        beside(&placed, demand_with(Demand::Workers, Placement { workers, ..Placement::default() }));
    let offers = ["a", "b", "c"].map(|agent| simple(agent, agent, 1.0, 512, 0));
    let both = plan(&offers[..2], &context);
    assert!(both.tasks.is_empty() && both.held_back && both.unused.len() == 2);
    let all = plan(&offers, &context);
    assert!(all.tasks.len() == 3 && !all.held_back && all.unused.is_empty());
}

/// The offers of all agents of one rack come before the offers of the other rack. The constraint demands nearly equal numbers
/// of workers on both racks, so the launches must alternate between the racks.
#[test]
fn a_thousand_agents_that_have_to_wait_for_each_other_are_all_used() {
    let offers = (0..1000).map(|n| {
        let mut offer = simple(&format!("o{n}"), &format!("a{n:04}"), 4.0, 4096, 0);
        let text = Some(mesos::v1::value::Text { value: format!("r{}", n / 500) });
        offer.attributes = vec![mesos::v1::Attribute { name: "rack".into(), text, ..Default::default() }];
        offer
    });
    let workers = vec!["rack:GROUP_BY:2".parse().unwrap()];
    let placement = Placement { workers, ..Placement::default() };
    let plan = plan(&offers.collect::<Vec<_>>(), &demand_with(Demand::Workers, placement));
    assert_eq!((plan.tasks.len(), plan.declines.len(), plan.held_back), (1000, 0, false));
}
