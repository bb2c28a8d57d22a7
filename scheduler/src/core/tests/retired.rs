use super::*;

const LONG: Duration = Duration::from_secs(700);

/// A script in which miner-worker-3 has found shares and has ended.
fn ended() -> Script {
    let mut script = Script::with_workers();
    let data = Some(report("miner-worker-3", 2, 9));
    script.update(TaskStatus { data, ..status("miner-worker-3", TaskState::TaskKilled, 2) });
    script.write();
    script
}

#[test]
fn tasks_that_ended_long_ago_become_a_number_and_a_sum() {
    let mut script = ended();
    let (before, now) = (script.state.summary(script.now), script.now);
    assert!(script.state.fleet.get("miner-worker-3").is_some());
    script.wait(LONG);
    script.write();
    assert!(script.state.fleet.get("miner-worker-3").is_none());
    assert!(script.state.fleet.get("miner-worker-2").is_some(), "it lives");
    let after = script.state.summary(now);
    assert_eq!((&after.tasks, after.shares, after.hashes), (&before.tasks, before.shares, before.hashes));
    script.restart();
    let restarted = script.state.summary(now);
    assert_eq!((&restarted.tasks, restarted.shares), (&before.tasks, before.shares));
    assert!(script.state.fleet.get("miner-worker-3").is_none(), "and so after a restart");
}

#[test]
fn the_last_update_repeated_after_a_long_time_is_acknowledged_and_counts_once() {
    let mut script = ended();
    script.wait(LONG);
    script.write();
    script.clear();
    let before = script.state.overview(script.now);
    let data = Some(report("miner-worker-3", 2, 9));
    let mut again = TaskStatus { data, ..status("miner-worker-3", TaskState::TaskKilled, 2) };
    script.update(again.clone());
    again.uuid = None;
    script.update(again);
    assert_eq!(script.acknowledged(), ["miner-worker-3"]);
    script.write();
    assert_eq!(script.state.overview(script.now), before);
    assert_eq!(script.disk.recover().ledger.sum().0.worker.accepted, 9);
    assert!(script.killed().is_empty() && script.notices.is_empty());
}

#[test]
fn a_retired_lost_task_that_returns_is_recorded_and_killed() {
    let mut script = Script::with_workers();
    script.update(TaskStatus { uuid: None, ..status("miner-worker-3", TaskState::TaskGone, 0) });
    script.write();
    script.wait(LONG);
    assert!(script.state.fleet.get("miner-worker-3").is_some(), "it may come back");
    script.now += Duration::from_secs(31 * 24 * 3600);
    script.event(Event::Tick);
    script.write();
    assert!(script.state.fleet.get("miner-worker-3").is_none());
    script.clear();
    let data = Some(report("miner-worker-3", 5, 70));
    script.update(TaskStatus { data, ..status("miner-worker-3", TaskState::TaskRunning, 7) });
    assert!(script.acknowledged().is_empty(), "not on disk yet");
    script.write();
    assert_eq!(script.acknowledged(), ["miner-worker-3"]);
    assert_eq!(script.killed(), ["miner-worker-3"]);
    assert_eq!(script.disk.recover().ledger.sum().0.worker.accepted, 70);
}

#[test]
fn a_thousand_short_lives_leave_nothing_behind() {
    let mut script = Script::with_server();
    let mut accepted = 0;
    for n in 2..1000u64 {
        let task = format!("miner-worker-{n}");
        script.event(Event::Offers(vec![offer("o", "b", 2.0, 700)]));
        script.write();
        let mut update = status(&task, TaskState::TaskFinished, 1);
        update.data = Some(report(&task, 1, n));
        accepted += n;
        script.update(update);
        script.write();
        script.now += Duration::from_secs(301);
        script.event(Event::Tick);
    }
    script.wait(LONG);
    script.write();
    assert_eq!(script.state.fleet.all().map(Task::id).collect::<Vec<_>>(), ["miner-server-1"]);
    assert_eq!(script.state.history.ledger.iter().count(), 0);
    assert_eq!(script.state.summary(script.now).shares.accepted, accepted);
    assert_eq!(script.state.summary(script.now).tasks["TASK_FINISHED"], 998);
}

#[test]
fn outsiders_are_aggregated_when_their_server_has_ended() {
    let mut script = Script::with_server();
    let account = |n: usize| Account { worker: format!("outsider {n}"), ..Account::default() };
    let accounts = (0..crate::journal::UNTRACKED_MINERS + 5).map(account).collect();
    let data = Some(Report { sequence: 2, accounts, server: None }.encode());
    script.update(TaskStatus { data, ..status("miner-server-1", TaskState::TaskFailed, 2) });
    script.write();
    script.wait(LONG);
    script.write();
    assert_eq!(
        script.disk.recover().ledger.workers_of("miner-server-1").count(),
        crate::journal::UNTRACKED_MINERS + 1
    );
    assert_eq!(script.state.history.ledger.iter().count(), 0);
}

/// If the master reports the end of a task, the final update from the task's agent may still follow and bring a report.
#[test]
fn the_last_report_counts_however_long_after_the_end_it_comes() {
    for restarted in [false, true] {
        let mut script = Script::with_workers();
        script.update(TaskStatus { uuid: None, ..status("miner-worker-3", TaskState::TaskFailed, 0) });
        script.write();
        script.wait(LONG);
        script.write();
        if restarted {
            script.restart();
            script.subscribe();
        }
        script.clear();
        let data = Some(report("miner-worker-3", 2, 9));
        script.update(TaskStatus { data, ..status("miner-worker-3", TaskState::TaskFailed, 2) });
        assert!(script.acknowledged().is_empty());
        script.write();
        assert_eq!(script.acknowledged(), ["miner-worker-3"]);
        assert_eq!(script.disk.recover().ledger.sum().0.worker.accepted, 9);
        assert_eq!(script.state.history.ledger.sum().0.worker.accepted, 9);
    }
}

#[test]
fn a_late_report_of_a_retired_server_counts_for_the_pool() {
    let mut script = Script::with_workers();
    script.update(TaskStatus { uuid: None, ..status("miner-server-1", TaskState::TaskGone, 0) });
    script.write();
    script.now += Duration::from_secs(31 * 24 * 3600);
    script.event(Event::Tick);
    script.write();
    assert!(script.state.fleet.get("miner-server-1").is_none());
    let data = Some(report("miner-worker-2", 7, 9));
    script.update(TaskStatus { data, ..status("miner-server-1", TaskState::TaskRunning, 2) });
    script.write();
    assert_eq!(script.killed().last(), Some(&"miner-server-1"));
    let sum = script.disk.recover().ledger.sum().0;
    assert_eq!((sum.pool.accepted, sum.worker.accepted), (9, 0));
}

#[test]
fn outsiders_of_a_server_that_ended_become_one_if_there_are_many() {
    for (outsiders, aggregated) in
        [(crate::journal::UNTRACKED_MINERS, 0), (crate::journal::UNTRACKED_MINERS + 1, 1)]
    {
        let mut script = Script::with_workers();
        let names = (0..outsiders).map(|n| format!("outsider {n}")).chain(["miner-worker-2".to_owned()]);
        let accounts = names.map(|worker| Account { worker, ..Account::default() }).collect();
        let data = Some(Report { sequence: 3, accounts, server: None }.encode());
        script.update(TaskStatus { data, ..status("miner-server-1", TaskState::TaskFailed, 2) });
        script.write();
        script.wait(LONG);
        let folds = |(_, change): &&(ChangeId, Change)| matches!(change, Change::AggregateUntrackedMiners(server) if server == "miner-server-1");
        assert_eq!(script.queue.iter().filter(folds).count(), aggregated, "{outsiders}");
    }
}
