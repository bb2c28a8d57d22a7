//! What holds for any offers, limits and constraints.

use proptest::prelude::*;

use super::*;

fn placements() -> impl Strategy<Value = Placement> {
    let constraint =
        prop::sample::select(vec!["hostname:UNIQUE", "hostname:GROUP_BY:2", "hostname:UNLIKE:a.*"]);
    let limits = (prop::option::of(0..5000u64), prop::option::of(0..3u64), prop::option::of(500..2000u64));
    let constraints = prop::collection::vec(constraint, 0..2);
    (limits, 20..500u64, 0..1000u64, constraints).prop_map(
        |((cpus, workers, each), min, reserve, constraints)| {
            let constraints: Vec<Constraint> =
                constraints.into_iter().map(|text| text.parse().unwrap()).collect();
            let limits = WorkerLimits {
                max_cpus_milli: cpus,
                max_workers: workers,
                worker_cpus_milli: each,
                min_worker_cpus_milli: min,
                reserve_cpus_milli: reserve,
            };
            Placement { limits, workers: constraints.clone(), server: constraints, ..Placement::default() }
        },
    )
}

fn offers() -> impl Strategy<Value = Vec<Offer>> {
    let one = (0..3usize, 0..4000u32, 0..600u64, 0..4u64);
    prop::collection::vec(one, 0..8).prop_map(|offers| {
        let offer = |(i, (agent, cpus, mem, ports)): (usize, (usize, u32, u64, u64))| {
            simple(&format!("o{i}"), ["a", "b", "c"][agent], f64::from(cpus) / 1000.0, mem, ports)
        };
        offers.into_iter().enumerate().map(offer).collect()
    })
}

/// The planned tasks of each agent.
fn groups(plan: &Plan) -> impl Iterator<Item = &[PlannedTask]> {
    plan.tasks.chunk_by(|before, _| before.offers.is_empty())
}

/// The resources of the offers that these tasks use.
fn offered_to(tasks: &[PlannedTask], offers: &[Offer]) -> Vec<Resource> {
    let last = tasks.last().expect("no group is empty");
    assert!(tasks.iter().all(|task| task.agent == last.agent));
    let own = offers.iter().filter(|offer| last.offers.contains(&offer.id.value));
    own.flat_map(|offer| offer.resources.clone()).collect()
}

proptest! {
    #[test]
    fn limits_hold_and_every_offer_is_answered_once(offers in offers(), placement in placements(), placed in 0..3usize) {
        let limits = placement.limits;
        let (cpus, workers) = (limits.max_cpus_milli.unwrap_or(u64::MAX), limits.max_workers.unwrap_or(u64::MAX));
        let placed = (0..placed).map(|i| Place { host: format!("{}.host", ["a", "b"][i]), ..Place::default() });
        let context = beside(&placed.collect::<Vec<_>>(), demand_with(Demand::Workers, placement));
        let context = PlanContext { cpus_left_milli: cpus, workers_left: workers, ..context };
        let plan = plan(&offers, &context);
        let accepted = plan.tasks.iter().flat_map(|planned| &planned.offers);
        let answered = accepted.chain(plan.declines.iter().flat_map(|decline| &decline.offers)).count();
        prop_assert_eq!(answered, offers.len());
        prop_assert!(plan.tasks.len() as u64 <= workers);
        prop_assert!(plan.tasks.iter().map(|planned| planned.cpus_milli).sum::<u64>() <= cpus);
        for tasks in groups(&plan) {
            let offered = total(&offered_to(tasks, &offers), "cpus");
            let used = |planned: &PlannedTask| total(&planned.task, "cpus") + total(&planned.executor, "cpus");
            for planned in tasks {
                prop_assert_eq!(used(planned), planned.cpus_milli);
                prop_assert!(used(planned) >= limits.min_worker_cpus_milli);
                let most = limits.worker_cpus_milli.map(|most| most.max(limits.min_worker_cpus_milli));
                prop_assert!(most.is_none_or(|most| used(planned) <= most));
            }
            prop_assert!(tasks.iter().map(used).sum::<u64>() + limits.reserve_cpus_milli <= offered);
        }
    }

    #[test]
    fn every_offer_is_answered_once_and_nothing_is_taken_that_was_not_offered(
        offers in offers(),
        wanted in prop_oneof![Just(SERVER), Just(Demand::Workers), Just(Demand::Nothing)],
    ) {
        let plan = plan(&offers, &context(wanted));
        let accepted = plan.tasks.iter().flat_map(|planned| &planned.offers);
        let declined = plan.declines.iter().flat_map(|decline| &decline.offers);
        let mut answered: Vec<_> = accepted.chain(declined).cloned().collect();
        answered.sort();
        let mut given: Vec<_> = offers.iter().map(|offer| offer.id.value.clone()).collect();
        given.sort();
        prop_assert_eq!(answered, given);
        for tasks in groups(&plan) {
            let offered = offered_to(tasks, &offers);
            let used = tasks.iter().flat_map(|planned| planned.task.iter().chain(&planned.executor));
            let used: Vec<Resource> = used.cloned().collect();
            for name in ["cpus", "mem"] {
                prop_assert!(total(&used, name) <= total(&offered, name));
            }
            if wanted == Demand::Workers {
                prop_assert_eq!(total(&used, "cpus"), total(&offered, "cpus"));
            }
        }
        prop_assert!(wanted != SERVER || plan.tasks.len() <= 1);
        prop_assert!(wanted != Demand::Nothing || plan.tasks.is_empty() && plan.unused.is_empty());
    }
}
