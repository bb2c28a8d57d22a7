use super::*;

#[test]
fn workers_end_first_then_the_server_then_the_framework() {
    let mut script = Script::with_workers();
    script.event(Event::Stop);
    assert_eq!(script.killed(), ["miner-worker-2", "miner-worker-3"]);
    assert!(script.calls.contains(&Call::Suppress));
    script.event(Event::Offers(vec![offer("o9", "c", 2.0, 1024)]));
    assert_eq!(script.declined(), ["o9"]);
    for (task, accepted) in [("miner-worker-2", 5), ("miner-worker-3", 6)] {
        script.update(TaskStatus {
            data: Some(report(task, 2, accepted)),
            ..status(task, TaskState::TaskKilled, 2)
        });
    }
    assert!(!script.killed().contains(&"miner-server-1"), "their last reports are not on disk yet");
    script.clear();
    script.write();
    assert_eq!(script.acknowledged(), ["miner-worker-2", "miner-worker-3"]);
    assert_eq!(script.killed(), ["miner-server-1"]);
    assert!(!script.calls.contains(&Call::Teardown));
    script.update(status("miner-server-1", TaskState::TaskKilled, 2));
    script.write();
    assert_eq!(script.calls.last(), Some(&Call::Teardown));
    assert!(script.finished);
    let summary = script.state.summary(script.now);
    assert_eq!((summary.shares.accepted, summary.workers, summary.tasks["TASK_KILLED"]), (11, 2, 3));
}

#[test]
fn each_step_has_a_deadline() {
    let mut script = Script::with_workers();
    script.event(Event::Stop);
    script.wait(Duration::from_secs(20));
    assert!(
        script.notices.iter().any(|notice| matches!(notice, UserNotice::Overdue(tasks) if tasks.len() == 2))
    );
    assert!(script.killed().contains(&"miner-server-1"));
    script.wait(Duration::from_secs(20));
    assert!(script.finished);
    assert_eq!(script.calls.last(), Some(&Call::Teardown));
    assert_eq!(script.state.torn_down(script.now).len(), 3, "TEARDOWN killed what did not answer");
    assert_eq!(script.state.summary(script.now).tasks, [("TASK_KILLED".to_owned(), 3)].into());
    assert!(script.state.torn_down(script.now).is_empty());
}

#[test]
fn a_stuck_disk_does_not_delay_the_shutdown_for_ever() {
    let mut script = Script::with_workers();
    script.event(Event::Stop);
    script.update(status("miner-worker-2", TaskState::TaskKilled, 2));
    script.wait(Duration::from_secs(60));
    assert!(script.finished);
    assert!(script.acknowledged().is_empty());
}

/// While the disk is full, the workers' step does not wait for it. The user is told every few seconds what is waited for.
#[test]
fn a_full_disk_is_waited_for_once_and_named() {
    let mut script = Script::with_workers();
    let full = Problem::new(ProblemKind::StateFolderFull, "the disk is full");
    script.event(Event::Problem { topic: Topic::Store, problem: Some(full) });
    script.event(Event::Stop);
    script.wait(Duration::from_secs(4));
    let waits =
        |notice: &UserNotice| matches!(notice, UserNotice::WaitingForTasks { tasks, .. } if tasks.len() == 2);
    assert_eq!(script.notices.iter().filter(|notice| waits(notice)).count(), 1, "{:?}", script.notices);
    for task in ["miner-worker-2", "miner-worker-3"] {
        script.update(status(task, TaskState::TaskKilled, 2));
    }
    assert!(script.killed().contains(&"miner-server-1"), "their ends are known, though not on disk");
    script.update(status("miner-server-1", TaskState::TaskKilled, 2));
    script.notices.clear();
    script.wait(Duration::from_secs(10));
    assert!(!script.finished);
    let named = |notice: &UserNotice| matches!(notice, UserNotice::WaitingForRecords { records: 3, why: Some(why), .. } if why == "the disk is full");
    assert!(script.notices.len() >= 3 && script.notices.iter().all(named), "{:?}", script.notices);
    script.wait(Duration::from_secs(6));
    assert!(!script.finished, "the record of TEARDOWN gets its own time");
    script.wait(Duration::from_secs(4));
    assert!(script.finished);
    assert_eq!(script.calls.last(), Some(&Call::Teardown));
}

/// If the disk has room again before TEARDOWN, the next scheduler learns from it who tore the framework down.
#[test]
fn the_record_of_teardown_is_waited_for_even_if_the_disk_fails() {
    let mut script = Script::with_workers();
    let full = Problem::new(ProblemKind::StateFolderFull, "the disk is full");
    script.event(Event::Problem { topic: Topic::Store, problem: Some(full) });
    script.event(Event::Stop);
    for task in ["miner-worker-2", "miner-worker-3", "miner-server-1"] {
        script.update(status(task, TaskState::TaskKilled, 2));
    }
    script.wait(Duration::from_secs(16));
    assert!(!script.calls.contains(&Call::Teardown));
    script.write();
    assert!(script.finished);
    assert_eq!(script.calls.last(), Some(&Call::Teardown));
    assert!(script.disk.recover().framework.is_some_and(|framework| framework.tearing_down));
}

#[test]
fn unreachable_tasks_are_not_waited_for() {
    let mut script = Script::with_workers();
    script.update(TaskStatus { uuid: None, ..status("miner-worker-3", TaskState::TaskUnreachable, 2) });
    script.write();
    script.event(Event::Stop);
    for task in ["miner-worker-2", "miner-server-1"] {
        script.update(status(task, TaskState::TaskKilled, 2));
        script.write();
    }
    assert!(script.finished);
}

#[test]
fn a_launch_that_is_not_persisted_is_cancelled() {
    let mut script = Script::with_server();
    script.event(Event::Offers(vec![offer("o2", "b", 2.0, 1024)]));
    script.event(Event::Stop);
    script.write();
    assert!(script.launched().is_empty());
    assert_eq!(script.declined(), ["o2"]);
    script.update(status("miner-server-1", TaskState::TaskKilled, 2));
    script.write();
    assert!(script.finished);
}

#[test]
fn the_shutdown_cancels_the_launch_of_a_server_too() {
    for teardown in [true, false] {
        let mut script = Script::with(settings_where(|options| options.teardown_on_exit = teardown));
        script.subscribe();
        script.event(Event::Offers(vec![offer("o1", "a", 2.0, 1024)]));
        script.event(Event::Stop);
        script.write();
        assert!(script.launched().is_empty());
        assert_eq!(script.declined(), ["o1"]);
        assert!(script.finished);
        assert_eq!(script.state.live_tasks(), 0);
        assert!(script.disk.recover().tasks.is_empty());
    }
}

#[test]
fn a_second_stop_does_not_extend_the_deadline() {
    let mut script = Script::with_workers();
    script.event(Event::Stop);
    let ending = |notice: &UserNotice| matches!(notice, UserNotice::Ending(3));
    assert!(script.notices.iter().any(ending), "{:?}", script.notices);
    script.wait(Duration::from_secs(10));
    script.event(Event::Stop);
    script.wait(Duration::from_secs(6));
    assert!(script.killed().contains(&"miner-server-1"));
    assert_eq!(script.notices.iter().filter(|notice| ending(notice)).count(), 1);
}

#[test]
fn without_teardown_a_stuck_disk_does_not_delay_the_end_for_ever_either() {
    let mut script = Script::workers_of(settings_where(|options| options.teardown_on_exit = false));
    script.update(status("miner-worker-2", TaskState::TaskFailed, 2));
    script.event(Event::Stop);
    script.wait(Duration::from_secs(3));
    assert!(!script.finished);
    script.wait(Duration::from_secs(5));
    assert!(script.finished);
    assert!(script.acknowledged().is_empty());
}

#[test]
fn without_teardown_the_tasks_go_on() {
    let mut script = Script::with(settings_where(|options| options.teardown_on_exit = false));
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 2.0, 1024)]));
    script.write();
    script.update(status("miner-server-1", TaskState::TaskRunning, 1));
    script.event(Event::Stop);
    assert!(!script.finished, "what is being written is waited for");
    script.write();
    assert!(script.finished);
    assert_eq!(script.acknowledged(), ["miner-server-1"]);
    assert!(script.killed().is_empty() && !script.calls.contains(&Call::Teardown));
    assert_eq!(script.state.live_tasks(), 1);
}

#[test]
fn duration_and_blocks_end_the_scheduler() {
    let mut script = Script::with(settings_where(|options| options.duration = Some(Duration::from_secs(30))));
    script.wait(Duration::from_secs(29));
    assert!(!script.finished);
    script.wait(Duration::from_secs(2));
    assert!(script.finished, "there is no framework to end");

    let mut script = Script::with_workers();
    script.state.settings.options.blocks = Some(2);
    for (n, blocks) in [(2u8, 1u64), (3, 2)] {
        script.wait(Duration::from_secs(1));
        assert!(script.killed().is_empty());
        let totals = Totals { blocks, ..Totals::default() };
        let account = Account { worker: "miner-worker-2".into(), totals, ..Account::default() };
        let data = Report { sequence: n.into(), accounts: vec![account], server: None }.encode();
        script.update(TaskStatus { data: Some(data), ..status("miner-server-1", TaskState::TaskRunning, n) });
        script.write();
    }
    script.wait(Duration::from_secs(1));
    assert_eq!(script.killed().len(), 2);
}

#[test]
fn the_shutdown_works_without_a_subscription() {
    let mut script = Script::with_workers();
    script.event(Event::Disconnected);
    script.event(Event::Stop);
    assert!(script.killed().is_empty());
    script.subscribe();
    assert_eq!(script.killed(), ["miner-worker-2", "miner-worker-3"]);
    script.event(Event::Disconnected);
    script.wait(Duration::from_secs(60));
    assert!(script.finished);
    assert!(!script.calls.contains(&Call::Teardown), "there is nobody to tell");
}

#[test]
fn the_next_tick_is_due_half_a_second_after_the_last_one() {
    let mut script = Script::new();
    assert_eq!(script.state.next_deadline(), script.now, "the first one is due immediately");
    script.event(Event::Tick);
    script.event(Event::Heartbeat);
    assert_eq!(script.state.next_deadline(), script.now + Duration::from_millis(500));
}
