use super::*;

fn live(task: &str) -> Event {
    let live = ::task::Live::Worker(::task::WorkerLive::default());
    Event::Message { executor: task.into(), data: live.encode() }
}

#[test]
fn a_silent_server_is_replaced_and_its_executor_shut_down() {
    let mut script = Script::with_workers();
    for task in ["miner-server-1", "miner-worker-2"] {
        script.event(live(task));
    }
    script.wait(Duration::from_secs(60));
    script.event(live("miner-worker-2"));
    script.wait(Duration::from_secs(59));
    assert!(script.killed().is_empty(), "miner-worker-3 has never said anything");
    script.wait(Duration::from_secs(2));
    assert_eq!(script.killed(), ["miner-server-1", "miner-worker-2", "miner-worker-3"]);
    let ends = |call: &&Call| matches!(call, Call::Shutdown { .. });
    let ended: Vec<_> = script.calls.iter().filter(ends).collect();
    assert_eq!(ended, [&Call::Shutdown { executor: "miner-server-1".into(), agent: "a".into() }]);
    let said: Vec<String> = script.notices.iter().map(ToString::to_string).collect();
    assert!(
        said.contains(&"giving up on miner-server-1: it has stopped sending messages".into()),
        "{said:?}"
    );
    assert!(said.iter().any(|text| text.starts_with("nothing is launched on a.host for 1 s")), "{said:?}");
    script.event(Event::Offers(vec![offer("o5", "c", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-server-4"]);
}

#[test]
fn silence_does_not_count_without_a_subscription() {
    let mut script = Script::with_workers();
    script.event(live("miner-server-1"));
    script.event(Event::Disconnected);
    script.wait(Duration::from_secs(200));
    script.subscribe();
    script.wait(Duration::from_secs(100));
    assert!(script.killed().is_empty());
    script.wait(Duration::from_secs(30));
    assert!(script.killed().contains(&"miner-server-1"));
}

/// The master or the network is stuck, but no connection breaks. So messages from tasks are delayed, and the tasks seem
/// silent.
#[test]
fn silence_does_not_count_while_the_master_is_silent() {
    let mut script = Script::with_workers();
    for task in ["miner-server-1", "miner-worker-2", "miner-worker-3"] {
        script.event(live(task));
    }
    script.update(TaskStatus { healthy: Some(false), ..status("miner-server-1", TaskState::TaskRunning, 2) });
    script.write();
    script.wait_for_master(Duration::from_secs(3600));
    assert!(script.killed().is_empty(), "{:?}", script.notices);
    script.event(Event::Heartbeat);
    script.wait(Duration::from_secs(50));
    assert!(script.killed().is_empty(), "it may be well again");
    script.wait(Duration::from_secs(20));
    assert!(script.killed().contains(&"miner-server-1"), "{:?}", script.notices);
}

/// The master sends heartbeats, so only the tasks are silent.
#[test]
fn tasks_that_are_all_silent_are_given_up() {
    for limit in [30, 120].map(Duration::from_secs) {
        let mut script = Script::workers_of(settings_where(|options| options.silence_timeout = limit));
        let tasks = ["miner-server-1", "miner-worker-2", "miner-worker-3"];
        tasks.iter().for_each(|task| script.event(live(task)));
        script.wait(limit - Duration::from_secs(1));
        assert!(script.killed().is_empty(), "{:?}", script.notices);
        script.wait(Duration::from_secs(2));
        assert_eq!(script.killed(), tasks);
    }
}

#[test]
fn a_task_that_fell_silent_before_a_restart_is_replaced_too() {
    let mut script = Script::with_workers();
    script.restart();
    script.subscribe();
    for _ in 0..3 {
        script.wait(Duration::from_secs(50));
        script.event(live("miner-worker-2"));
    }
    assert_eq!(script.killed()[0], "miner-worker-3", "it has reported, but says nothing");
    assert!(!script.killed().contains(&"miner-worker-2"));
    assert!(!script.killed().contains(&"miner-server-1"), "it never reported: who knows what it is");
}

/// The scheduler's process was stopped, or its machine suspended. The first event afterwards may be a tick, although messages
/// from tasks wait to be read.
#[test]
fn a_stopped_scheduler_reads_waiting_messages_before_it_gives_tasks_up() {
    let mut script = Script::with_workers();
    let tasks = ["miner-server-1", "miner-worker-2", "miner-worker-3"];
    let all_live = |script: &mut Script| tasks.iter().for_each(|task| script.event(live(task)));
    all_live(&mut script);
    script.wait(Duration::from_secs(5));
    script.now += Duration::from_secs(3600);
    script.event(Event::Tick);
    script.wait(Duration::from_secs(5));
    all_live(&mut script);
    script.wait(Duration::from_secs(100));
    assert!(script.killed().is_empty());

    all_live(&mut script);
    script.update(TaskStatus { uuid: None, ..status("miner-server-1", TaskState::TaskUnreachable, 2) });
    script.write();
    script.now += Duration::from_secs(3600);
    script.event(Event::Tick);
    script.update(TaskStatus { uuid: None, ..status("miner-server-1", TaskState::TaskRunning, 3) });
    script.write();
    all_live(&mut script);
    script.wait(Duration::from_secs(100));
    assert!(script.killed().is_empty());
}

#[test]
fn the_silence_of_a_task_counts_anew_after_the_master_was_silent() {
    let mut script = Script::with_workers();
    script.event(live("miner-worker-3"));
    script.update(TaskStatus { uuid: None, ..status("miner-worker-3", TaskState::TaskUnreachable, 2) });
    script.write();
    script.wait(Duration::from_secs(300));
    assert!(script.killed().is_empty(), "it is unreachable, not silent");
    script.update(TaskStatus { uuid: None, ..status("miner-worker-3", TaskState::TaskRunning, 3) });
    script.write();
    script.wait(Duration::from_secs(100));
    assert!(script.killed().is_empty(), "{:?}", script.notices);
    script.wait(Duration::from_secs(30));
    assert_eq!(script.killed().first(), Some(&"miner-worker-3"));
}

#[test]
fn a_stopped_scheduler_does_not_give_a_launch_up() {
    for answered in [false, true] {
        let mut script = Script::new();
        script.subscribe();
        script.event(Event::Offers(vec![offer("o1", "a", 2.0, 1024)]));
        script.write();
        if answered {
            script.update(status("miner-server-1", TaskState::TaskStarting, 1));
            script.write();
        }
        script.wait(Duration::from_secs(100));
        script.now += Duration::from_secs(3600);
        script.event(Event::Tick);
        script.event(Event::Heartbeat);
        script.wait(Duration::from_secs(100));
        assert!(!script.notices.iter().any(|notice| matches!(notice, UserNotice::GivenUp { .. })));
    }
}

/// The scheduler's process is stopped for 12 s. After such a short time, the scheduler does not take the master for silent.
#[test]
fn a_scheduler_that_was_stopped_for_seconds_reads_waiting_messages_too() {
    let mut script = Script::with_workers();
    script.update(TaskStatus { uuid: None, ..status("miner-server-1", TaskState::TaskUnreachable, 2) });
    script.write();
    script.wait(Duration::from_secs(50));
    script.event(Event::Heartbeat);
    script.now += Duration::from_secs(12);
    script.event(Event::Tick);
    script.update(TaskStatus { uuid: None, ..status("miner-server-1", TaskState::TaskRunning, 3) });
    script.write();
    assert!(script.killed().is_empty(), "{:?}", script.notices);
}

/// The scheduler's process was stopped, and messages from tasks are still unread.
#[test]
fn silence_does_not_count_while_the_scheduler_was_stopped() {
    let mut script = Script::with_workers();
    script.event(live("miner-server-1"));
    let unreachable = TaskStatus { uuid: None, ..status("miner-worker-3", TaskState::TaskUnreachable, 2) };
    script.update(unreachable);
    script.update(TaskStatus { healthy: Some(false), ..status("miner-server-1", TaskState::TaskRunning, 2) });
    script.write();
    script.now += Duration::from_secs(3600);
    script.event(Event::Tick);
    script.wait(Duration::from_secs(50));
    assert!(script.killed().is_empty(), "{:?}", script.notices);
    assert!(script.task("miner-worker-3").slot != Slot::Released);
    script.update(TaskStatus { healthy: Some(true), ..status("miner-server-1", TaskState::TaskRunning, 3) });
    script.write();
    script.wait(Duration::from_secs(60));
    assert!(script.killed().is_empty());
    script.wait(Duration::from_secs(20));
    assert!(script.killed().contains(&"miner-server-1"), "{:?}", script.notices);
}

/// The task has no record, and its state is a number that this program does not know.
#[test]
fn an_unrecorded_task_in_an_unknown_state_is_given_up() {
    let mut script = Script::with_workers();
    script.update(TaskStatus { state: 9999, ..status("miner-worker-77", TaskState::TaskRunning, 1) });
    script.write();
    assert_eq!(script.state.live_tasks(), 4);
    script.wait(Duration::from_secs(150));
    assert_eq!(script.task("miner-worker-77").state(), Some(TaskState::TaskLost));
    assert_eq!(script.state.live_tasks(), 3);
}
