use super::*;

#[test]
fn an_update_is_acknowledged_when_its_record_is_on_disk() {
    let mut script = Script::with_workers();
    let update = TaskStatus {
        data: Some(report("miner-worker-2", 2, 5)),
        ..status("miner-worker-2", TaskState::TaskRunning, 2)
    };
    script.update(update);
    script.wait(Duration::from_secs(30));
    assert!(script.acknowledged().is_empty());
    assert_eq!(
        script.state.overview(script.now).totals.worker.accepted,
        0,
        "not counted before it is written"
    );
    script.write();
    assert_eq!(script.acknowledged(), ["miner-worker-2"]);
    assert_eq!(script.disk.recover().ledger.sum().0.worker.accepted, 5);
    assert_eq!(script.state.overview(script.now).totals.worker.accepted, 5);
}

#[test]
fn a_repeated_update_is_persisted_once_and_acknowledged_again() {
    let mut script = Script::with_workers();
    let update = || TaskStatus {
        data: Some(report("miner-worker-2", 2, 5)),
        ..status("miner-worker-2", TaskState::TaskRunning, 2)
    };
    for _ in 0..3 {
        script.update(update());
    }
    assert_eq!(script.queue.len(), 1);
    script.write();
    assert_eq!(script.acknowledged().len(), 1);
    script.update(update());
    script.write();
    assert_eq!(script.acknowledged().len(), 2);
    assert_eq!(script.disk.recover().ledger.sum().0.worker.accepted, 5);
}

#[test]
fn an_old_update_after_the_last_one_changes_nothing() {
    let mut script = Script::with_workers();
    script.update(status("miner-worker-2", TaskState::TaskFinished, 3));
    script.update(status("miner-worker-2", TaskState::TaskRunning, 2));
    script.write();
    let ended = |record: &crate::journal::TaskRecord| record.id == "miner-worker-2";
    let recovered = script.disk.recover();
    let state = recovered.tasks.iter().find(|record| ended(record)).unwrap().state;
    assert_eq!(state, Some(TaskState::TaskFinished));
    assert_eq!(script.state.overview(script.now).states["TASK_FINISHED"], 1);
    assert_eq!(script.acknowledged().len(), 2);
}

#[test]
fn an_unreadable_report_is_told_and_acknowledged() {
    let mut script = Script::with_workers();
    let data = Some(vec![0xff; 9]);
    script.update(TaskStatus { data, ..status("miner-worker-2", TaskState::TaskRunning, 2) });
    script.write();
    assert!(matches!(script.notices[..], [UserNotice::BadReport { .. }]));
    assert_eq!(script.acknowledged(), ["miner-worker-2"]);
}

#[test]
fn a_state_of_a_later_mesos_is_acknowledged_and_changes_nothing() {
    let mut script = Script::with_workers();
    script.update(TaskStatus { state: 99, ..status("miner-server-1", TaskState::TaskRunning, 2) });
    script.write();
    assert_eq!(script.acknowledged(), ["miner-server-1"]);
    assert!(script.killed().is_empty());
}

#[test]
fn unknown_tasks_are_accounted_and_killed() {
    let mut script = Script::with_workers();
    script.update(TaskStatus {
        data: Some(report("miner-worker-77", 4, 9)),
        ..status("miner-worker-77", TaskState::TaskRunning, 1)
    });
    script.write();
    assert_eq!(script.killed(), ["miner-worker-77"]);
    assert_eq!(script.acknowledged(), ["miner-worker-77"]);
    assert_eq!(script.disk.recover().ledger.sum().0.worker.accepted, 9);
    script.clear();
    script.update(status("miner-worker-77", TaskState::TaskKilled, 2));
    script.write();
    assert_eq!(script.acknowledged(), ["miner-worker-77"]);
    script.event(Event::Offers(vec![offer("o5", "c", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-worker-78"], "its number is not used again");
}

#[test]
fn an_unknown_server_is_killed_even_after_a_restart() {
    let mut script = Script::with_workers();
    let server = Some(ServerAddress { host: "x".into(), stratum_port: 1, http_port: 2 });
    let data = Some(Report { sequence: 1, accounts: vec![], server }.encode());
    script.update(TaskStatus { data, ..status("miner-server-77", TaskState::TaskRunning, 1) });
    script.write();
    assert_eq!(script.killed(), ["miner-server-77"]);
    script.restart();
    script.subscribe();
    assert_eq!(script.killed(), ["miner-server-77"], "the known server goes on, with its workers");
}

#[test]
fn answers_about_unknown_tasks_need_no_action() {
    let mut script = Script::with_workers();
    script.update(TaskStatus { uuid: None, ..status("miner-worker-77", TaskState::TaskGone, 1) });
    assert!(script.queue.is_empty() && script.calls.is_empty());
}

#[test]
fn unexpected_messages_and_tickets_do_no_harm() {
    let mut script = Script::with_workers();
    script.event(Event::Message { executor: "nobody".into(), data: vec![1, 2, 3] });
    script.event(Event::Message { executor: "miner-worker-2".into(), data: vec![1, 2, 3] });
    script.event(Event::Persisted(vec![999]));
    script.event(Event::Rescinded("none".into()));
    assert!(script.queue.is_empty() && script.calls.is_empty());
}

#[test]
fn updates_of_the_master_itself_are_not_acknowledged() {
    for uuid in [None, Some(Vec::new())] {
        let mut script = Script::with_workers();
        script.update(TaskStatus { uuid, ..status("miner-worker-2", TaskState::TaskUnreachable, 2) });
        script.write();
        assert_eq!(script.task("miner-worker-2").state(), Some(TaskState::TaskUnreachable));
        assert!(script.acknowledged().is_empty());
    }
}

#[test]
fn an_update_without_a_report_is_no_bad_report() {
    let mut script = Script::with_workers();
    let data = Some(Vec::new());
    script.update(TaskStatus { data, ..status("miner-worker-2", TaskState::TaskRunning, 2) });
    script.write();
    assert!(script.notices.is_empty(), "{:?}", script.notices);
}

/// An answer to RECONCILE reveals tasks without a record.
#[test]
fn unknown_tasks_in_answers_to_reconcile_are_killed() {
    let mut script = Script::with_workers();
    script.update(TaskStatus { uuid: None, ..status("miner-worker-77", TaskState::TaskRunning, 1) });
    script.write();
    assert_eq!(script.killed(), ["miner-worker-77"]);
    assert!(matches!(&script.notices[..], [UserNotice::UnknownTask(task)] if task == "miner-worker-77"));
}

#[test]
fn the_last_update_of_an_unknown_task_counts() {
    for (task, pool, worker) in [("miner-server-77", 9, 0), ("miner-worker-77", 0, 9)] {
        let mut script = Script::with_workers();
        let data = Some(report(task, 4, 9));
        script.update(TaskStatus { data, ..status(task, TaskState::TaskFinished, 1) });
        script.write();
        assert_eq!(script.acknowledged(), [task]);
        assert!(script.killed().is_empty());
        let sum = script.disk.recover().ledger.sum().0;
        assert_eq!((sum.pool.accepted, sum.worker.accepted), (pool, worker), "{task}");
    }
}
