//! The option `--reserve-cpus` changes: an agent keeps the CPU of its first ended worker free, so nothing is launched there.

use super::*;

/// Launches a worker with one CPU on this agent.
fn launch_on(script: &mut Script, number: u64, agent: &str) {
    script.event(Event::Offers(vec![offer(&format!("o{number}"), agent, 1.0, 512)]));
    script.write();
    run(script, &format!("miner-worker-{number}"), agent);
}

/// Workers with one CPU each: 2 and 4 on `c`, 3 and 5 on `d`. Each agent is to keep one CPU free from now on.
fn reserving() -> Script {
    let mut script = fleet_of(settings(), 0);
    for (number, agent) in [(2, "c"), (3, "d"), (4, "c"), (5, "d")] {
        launch_on(&mut script, number, agent);
    }
    restart_a_minute_ago_with(&mut script, |settings| {
        settings.placement.limits.reserve_cpus_milli = 1000;
        settings.placement.limits.worker_cpus_milli = Some(1000);
        settings.template.options.backend = Some("portable".into());
    });
    script
}

#[test]
fn a_worker_that_leaves_only_reserved_cpu_needs_no_successor() {
    let mut script = reserving();
    assert_eq!(killed_within(&mut script, MINUTE), workers([2]));
    script.clear();
    script.event(Event::Offers(vec![offer("p1", "c", 1.0, 512)]));
    script.write();
    assert_eq!(script.launched(), workers([]), "it is reserved");
    assert_eq!(
        killed_within(&mut script, MINUTE),
        workers([4]),
        "on the same agent, where a successor has room"
    );
    assert_eq!(killed_within(&mut script, 5 * MINUTE), workers([]), "its successor does not mine yet");
    script.clear();
    script.event(Event::Offers(vec![offer("p2", "c", 2.0, 512)]));
    script.write();
    assert_eq!(script.launched(), workers([6]));
    run_with(&mut script, "miner-worker-6", "c", None);
    // What the new worker left free is offered again. This does not mean that there is no successor.
    script.event(Event::Offers(vec![offer("p4", "c", 1.0, 512)]));
    assert_eq!(
        killed_within(&mut script, 3 * MINUTE),
        workers([]),
        "its successor runs, but does not mine yet"
    );
    let live = Live::Worker(WorkerLive { hashrate: 1e6, ..WorkerLive::default() });
    script.event(Event::Message { executor: "miner-worker-6".into(), data: live.encode() });
    assert_eq!(killed_within(&mut script, MINUTE / 2), workers([3]));
    script.event(Event::Offers(vec![offer("p3", "d", 1.0, 512)]));
    script.write();
    assert_eq!(killed_within(&mut script, MINUTE + MINUTE / 30), workers([5]));
    assert!(!told(&script).contains("paused"), "{}", told(&script));
}

/// An offer from before the worker's end, or of other resources, says nothing about its successor.
#[test]
fn a_small_offer_without_the_cpu_of_the_ended_worker_says_nothing() {
    let mut script = reserving();
    assert_eq!(killed_within(&mut script, MINUTE), workers([2]));
    script.event(Event::Offers(vec![offer("p1", "c", 0.3, 512), offer("p2", "d", 1.0, 512)]));
    script.write();
    assert_eq!(killed_within(&mut script, 11 * MINUTE), workers([]));
    assert!(told(&script).contains("replacing workers is paused"), "{}", told(&script));
}
