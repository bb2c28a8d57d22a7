use super::*;

fn explicit(script: &Script) -> Vec<Vec<&str>> {
    let tasks = |call: &'_ Call| match call {
        Call::Reconcile(tasks) if !tasks.is_empty() => Some(tasks.clone()),
        _ => None,
    };
    let calls = script.calls.iter().filter(|call| tasks(call).is_some());
    calls
        .map(|call| match call {
            Call::Reconcile(tasks) => tasks.iter().map(|(task, _)| task.as_str()).collect(),
            _ => Vec::new(),
        })
        .collect()
}

#[test]
fn reconciliation_asks_for_each_task_until_there_is_an_answer() {
    let mut script = Script::with_workers();
    script.event(Event::Disconnected);
    script.wait(Duration::from_secs(30));
    assert!(script.calls.is_empty(), "without a subscription nothing is called: {:?}", script.calls);
    script.subscribe();
    assert_eq!(explicit(&script), [["miner-server-1", "miner-worker-2", "miner-worker-3"]]);
    assert!(script.calls.contains(&Call::Reconcile(Vec::new())), "and for those we do not know of");
    script.clear();
    for task in ["miner-server-1", "miner-worker-3"] {
        script.update(TaskStatus { uuid: None, ..status(task, TaskState::TaskRunning, 9) });
    }
    assert!(script.queue.is_empty(), "nothing new");
    script.wait(Duration::from_secs(300));
    let asked = explicit(&script);
    assert!((5..15).contains(&asked.len()), "with pauses that grow: {}", asked.len());
    assert!(asked.iter().all(|tasks| tasks == &["miner-worker-2"]));
    script.update(TaskStatus { uuid: None, ..status("miner-worker-2", TaskState::TaskRunning, 9) });
    script.clear();
    script.wait(Duration::from_secs(300));
    assert_eq!(explicit(&script), Vec::<Vec<&str>>::new());
    script.wait(Duration::from_secs(20 * 60));
    assert!(script.calls.contains(&Call::Reconcile(Vec::new())));
}

#[test]
fn live_and_unreachable_tasks_are_reconciled_periodically() {
    let mut script = Script::with_workers();
    let unreachable = TaskStatus { uuid: None, ..status("miner-worker-3", TaskState::TaskUnreachable, 9) };
    script.update(unreachable.clone());
    script.write();
    script.wait(Duration::from_secs(60));
    script.clear();
    script.wait(Duration::from_secs(20 * 60));
    assert_eq!(explicit(&script)[0], ["miner-server-1", "miner-worker-2", "miner-worker-3"]);
    script.update(unreachable);
    for task in ["miner-server-1", "miner-worker-2"] {
        script.update(TaskStatus { uuid: None, ..status(task, TaskState::TaskRunning, 9) });
    }
    script.clear();
    script.wait(Duration::from_secs(300));
    assert_eq!(explicit(&script), Vec::<Vec<&str>>::new(), "it has answered");
    script.update(TaskStatus { uuid: None, ..status("miner-worker-3", TaskState::TaskUnknown, 9) });
    script.write();
    script.clear();
    script.wait(Duration::from_secs(40 * 60));
    assert!(explicit(&script).iter().all(|tasks| tasks == &["miner-server-1", "miner-worker-2"]));
}

#[test]
fn lost_tasks_are_reconciled_after_a_subscription() {
    let mut script = Script::with_workers();
    for (task, state) in [("miner-worker-2", TaskState::TaskLost), ("miner-worker-3", TaskState::TaskKilled)]
    {
        script.update(status(task, state, 2));
    }
    script.write();
    script.clear();
    script.subscribe();
    assert_eq!(explicit(&script), [["miner-server-1", "miner-worker-2"]]);
}

#[test]
fn a_restart_resumes_the_tasks() {
    let mut script = Script::with_workers();
    script.update(TaskStatus {
        data: Some(report("miner-worker-2", 2, 5)),
        ..status("miner-worker-2", TaskState::TaskRunning, 2)
    });
    script.write();
    script.restart();
    assert_eq!(script.state.framework(), Some("f"));
    script.subscribe();
    assert!(!script.queue.iter().any(|(_, change)| matches!(change, Change::Framework(_))));
    script.server_speaks(None);
    script.event(Event::Offers(vec![offer("o9", "c", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-worker-4"], "the server is known to run; no number is used twice");
    assert!(script.killed().is_empty());
    let overview = script.state.overview(script.now);
    assert_eq!((overview.totals.worker.accepted, overview.peak), (5, 2));
}

#[test]
fn a_persisted_launch_that_was_not_sent_is_reconciled_after_a_restart() {
    let mut script = Script::new();
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 2.0, 1024)]));
    let waiting = script.queue.clone();
    script.disk.write(&waiting);
    script.restart();
    script.subscribe();
    script.event(Event::Offers(vec![offer("o2", "a", 2.0, 1024)]));
    script.write();
    assert!(script.launched().is_empty(), "it may be running");
    assert_eq!(explicit(&script), [["miner-server-1"]]);
    script.update(TaskStatus { uuid: None, ..status("miner-server-1", TaskState::TaskGone, 1) });
    script.write();
    script.event(Event::Offers(vec![offer("o3", "a", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-server-2"]);
}

#[test]
fn a_server_lost_during_a_restart_takes_its_workers_with_it() {
    let mut script = Script::with_workers();
    script.restart();
    script.subscribe();
    script.clear();
    script.update(status("miner-server-1", TaskState::TaskFailed, 2));
    script.write();
    assert_eq!(script.killed(), ["miner-worker-2", "miner-worker-3"]);
    script.restart();
    script.subscribe();
    assert_eq!(script.killed(), ["miner-worker-2", "miner-worker-3"], "another restart does not forget it");
}

#[test]
fn offers_are_void_after_a_disconnection() {
    let mut script = Script::new();
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 2.0, 1024)]));
    script.event(Event::Disconnected);
    script.subscribe();
    script.write();
    assert!(script.launched().is_empty());
    script.event(Event::Offers(vec![offer("o2", "a", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-server-2"]);
}

#[test]
fn a_new_framework_follows_a_removed_one_if_the_user_wants_it() {
    let mut script = Script::workers_of(settings_where(|options| options.new_framework = true));
    script.event(Event::Removed { now_ms: 1 });
    assert!(!script.finished);
    assert_eq!(script.state.framework(), None);
    script.event(Event::Subscribed("g".into()));
    script.write();
    script.event(Event::Offers(vec![offer("o1", "a", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-server-4"]);
    let recovered = script.disk.recover();
    assert_eq!(recovered.framework.unwrap().id, "g");
    assert_eq!(recovered.tasks.len(), 1);
}

#[test]
fn nothing_of_a_removed_framework_counts_for_the_next_one() {
    let mut script = Script::workers_of(settings_where(|options| options.new_framework = true));
    script.wait(Duration::from_secs(100));
    let last = |task: &str, n, accepted| TaskStatus {
        data: Some(report(task, n, accepted)),
        ..status(task, TaskState::TaskRunning, n as u8)
    };
    script.update(last("miner-worker-2", 2, 5));
    script.write();
    script.update(last("miner-worker-2", 3, 9));
    script.clear();
    script.event(Event::Removed { now_ms: 1 });
    assert!(matches!(&script.notices[..], [UserNotice::Removed(framework)] if framework == "f"));
    let gone = |change: &Change| match change {
        Change::Status(status) if status.state == Some(TaskState::TaskGone) => Some(status.task.clone()),
        _ => None,
    };
    let gone: Vec<_> = script.queue.iter().filter_map(|(_, change)| gone(change)).collect();
    assert_eq!(gone, ["miner-server-1", "miner-worker-2", "miner-worker-3"], "as the ledger of before says");
    script.write();
    assert!(script.disk.recover().framework.is_none(), "its id is not used again, not even after a restart");
    assert!(script.calls.is_empty(), "there is nobody to acknowledge to: {:?}", script.calls);
    script.event(Event::Subscribed("g".into()));
    let summary = script.state.summary(script.now);
    assert_eq!((summary.seconds, summary.shares.accepted, summary.workers), (0.0, 0, 0));
    assert!(summary.tasks.is_empty(), "{summary:?}");
    script.wait(Duration::from_secs(60));
    assert!(script.killed().is_empty() && explicit(&script).is_empty());
}

#[test]
fn offers_are_suppressed_again_after_a_new_subscription() {
    let mut script = Script::new();
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 2.0, 1024)]));
    script.write();
    script.event(Event::Disconnected);
    script.clear();
    script.subscribe();
    assert!(script.calls.contains(&Call::Suppress));
}
