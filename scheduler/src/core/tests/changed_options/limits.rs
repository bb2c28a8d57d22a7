//! The limits and constraints for workers change: workers beyond them end, and workers of another size are replaced.

use super::*;

#[test]
fn workers_beyond_the_limit_end_the_youngest_first() {
    let mut script = fleet_of(settings(), 6);
    restart_with(&mut script, |settings| settings.placement.limits.max_workers = Some(1));
    assert_eq!(killed_within(&mut script, MINUTE / 20), workers(3..8));
    let told = told(&script);
    assert!(
        told.contains("more workers run than --max-workers 1 allows: ending miner-worker-7, miner-worker-6,"),
        "{told}"
    );
    assert_eq!(killed_within(&mut script, 60 * MINUTE), workers([]));
    assert_eq!(script.state.fleet.count_running_workers(), 1);
}

/// The scheduler ends no worker while it does not know which workers are still there. Otherwise it could end too many.
#[test]
fn the_limits_are_checked_when_the_master_has_answered_for_all_tasks() {
    let restarted = || {
        let mut script = fleet_of(settings(), 4);
        script.settings.placement.limits.max_workers = Some(1);
        script.restart();
        script.subscribe();
        script.server_speaks(None);
        reachable(&mut script, 3, TaskState::TaskRunning);
        reachable(&mut script, 4, TaskState::TaskRunning);
        reachable(&mut script, 5, TaskState::TaskRunning);
        script.update(TaskStatus { uuid: None, ..status("miner-server-1", TaskState::TaskRunning, 0) });
        script.write();
        script
    };
    let mut script = restarted();
    assert_eq!(killed_within(&mut script, MINUTE), workers([]), "one has no answer");
    reachable(&mut script, 2, TaskState::TaskGone);
    assert_eq!(killed_within(&mut script, MINUTE / 20), workers([4, 5]));

    let mut script = restarted();
    script.update(TaskStatus { uuid: None, ..status("miner-worker-2", TaskState::TaskGone, 0) });
    script.wait(MINUTE);
    assert!(script.killed().is_empty(), "an answer counts when it is on disk");
    assert_eq!(killed_within(&mut script, MINUTE / 20), workers([4, 5]));

    let mut script = restarted();
    assert_eq!(killed_within(&mut script, 119 * MINUTE / 60), workers([]), "its agent looks for the master");
    assert_eq!(
        killed_within(&mut script, MINUTE / 20),
        workers([3, 4, 5]),
        "it is not waited for any longer"
    );
}

#[test]
fn workers_beyond_the_cpu_end_the_youngest_first() {
    let mut script = fleet_of(settings(), 6);
    restart_with(&mut script, |settings| settings.placement.limits.max_cpus_milli = Some(4500));
    assert_eq!(killed_within(&mut script, MINUTE), workers(5..8), "the server has one CPU");
    let told = told(&script);
    assert!(told.contains("--max-cpus 4.5"), "{told}");
}

#[test]
fn workers_that_do_not_run_end_before_younger_ones_that_do() {
    let mut script = fleet_of(settings(), 3);
    script.update(TaskStatus { uuid: None, ..status("miner-worker-2", TaskState::TaskUnreachable, 0) });
    script.write();
    restart_with(&mut script, |settings| settings.placement.limits.max_workers = Some(2));
    assert_eq!(killed_within(&mut script, MINUTE / 20), workers([2]));
}

#[test]
fn workers_of_a_wrong_size_are_replaced() {
    for limits in [
        WorkerLimits { worker_cpus_milli: Some(500), ..WorkerLimits::default() },
        WorkerLimits { min_worker_cpus_milli: 2000, ..WorkerLimits::default() },
    ] {
        let mut script = fleet_of(settings(), 2);
        restart_a_minute_ago_with(&mut script, |settings| settings.placement.limits = limits);
        assert_eq!(killed_within(&mut script, MINUTE), workers([2]), "{limits:?}");
    }
}

#[test]
fn workers_that_constraints_forbid_end_although_nothing_replaces_them() {
    let mut script = fleet_of(settings(), 4);
    restart_a_minute_ago_with(&mut script, |settings| {
        settings.placement.workers = vec!["hostname:LIKE:b[45].host".parse().unwrap()];
    });
    assert_eq!(killed_within(&mut script, MINUTE), workers([2]));
    assert!(told(&script).contains("replacing miner-worker-2 (the constraints do not allow it there)"));
    assert_eq!(killed_within(&mut script, MINUTE), workers([3]));
    assert_eq!(killed_within(&mut script, 60 * MINUTE), workers([]));
}
