use super::*;

/// Every way in which a server can end has the same consequence.
#[test]
fn when_the_server_ends_all_workers_are_killed_and_it_starts_over() {
    use TaskState::*;
    for end in [TaskFailed, TaskFinished, TaskKilled, TaskError, TaskLost, TaskGone, TaskGoneByOperator] {
        let mut script = Script::with_workers();
        script.update(status("miner-server-1", end, 2));
        assert!(script.killed().is_empty(), "{end:?} is not on disk yet");
        script.write();
        assert_eq!(script.killed(), ["miner-worker-2", "miner-worker-3"], "{end:?}");
        assert!(script.calls.contains(&Call::Revive));
        script.clear();
        for task in ["miner-worker-2", "miner-worker-3"] {
            script.update(status(task, TaskKilled, 2));
        }
        script.write();
        script.wait(Duration::from_secs(2));
        script.event(Event::Offers(vec![offer("o5", "b", 2.0, 1024)]));
        script.write();
        assert_eq!(script.launched(), ["miner-server-4"], "{end:?}");
        script.update(status("miner-server-4", TaskRunning, 1));
        script.write();
        script.event(Event::Offers(vec![offer("o6", "a", 2.0, 1024)]));
        script.write();
        assert_eq!(script.launched(), ["miner-server-4", "miner-worker-5"], "{end:?}");
    }
}

#[test]
fn a_kill_is_repeated_until_the_task_ended() {
    let mut script = Script::with_workers();
    script.update(status("miner-server-1", TaskState::TaskFailed, 2));
    script.write();
    script.update(status("miner-worker-2", TaskState::TaskKilled, 2));
    script.write();
    script.clear();
    script.wait(Duration::from_secs(40));
    assert_eq!(script.killed(), ["miner-worker-3"; 3]);
    script.update(status("miner-worker-3", TaskState::TaskKilled, 2));
    script.write();
    script.clear();
    script.wait(Duration::from_secs(200));
    assert!(script.killed().is_empty());
}

#[test]
fn a_worker_that_ends_is_replaced_by_the_next_offer_after_a_pause_that_grows() {
    let mut script = Script::with_server();
    let mut pauses = Vec::new();
    for n in 2..6u8 {
        let task = format!("miner-worker-{n}");
        script.clear();
        let mut waited = 0;
        while script.launched().is_empty() {
            script.event(Event::Offers(vec![offer("o", "b", 2.0, 1024)]));
            script.write();
            script.now += Duration::from_millis(500);
            waited += 1;
        }
        pauses.push(waited);
        assert_eq!(script.launched(), [task.as_str()]);
        script.clear();
        let failed = TaskStatus {
            message: Some("no luck".into()),
            reason: Some(task_status::Reason::ExecutorTerminated.into()),
            ..status(&task, TaskState::TaskFailed, 1)
        };
        script.update(failed);
        script.write();
        let said: Vec<String> = script.notices.iter().map(ToString::to_string).collect();
        assert!(said[0].contains("TASK_FAILED (REASON_EXECUTOR_TERMINATED): no luck"), "{said:?}");
        assert!(said[1].starts_with("nothing is launched on b.host for"), "{said:?}");
    }
    assert!(pauses.is_sorted() && pauses[3] > pauses[1], "{pauses:?}");
}

#[test]
fn a_worker_that_made_all_its_updates_is_replaced_at_once() {
    let mut script = Script::with_workers();
    for n in 4..20u64 {
        let last = format!("miner-worker-{}", n - 1);
        let data = Some(report(&last, 100, n));
        script.update(TaskStatus { data, ..status(&last, TaskState::TaskFinished, 2) });
        script.write();
        script.event(Event::Offers(vec![offer("o", "b", 2.0, 1024)]));
        script.write();
        let fresh = format!("miner-worker-{n}");
        assert_eq!(script.launched(), [fresh.as_str()], "no pause");
        script.clear();
        script.update(TaskStatus {
            data: Some(report(&fresh, 1, 0)),
            ..status(&fresh, TaskState::TaskRunning, 1)
        });
        script.write();
    }
    assert_eq!(script.state.ledger.sum().0.worker.accepted, (4..20).sum::<u64>(), "no report is lost");
}

#[test]
fn somebody_elses_worker_that_finishes_again_and_again_has_its_agent_paused() {
    let mut settings = settings();
    let arguments = crate::launch::Arguments::parse("", &[]).unwrap();
    settings.template.programs.worker =
        Some(crate::launch::ImageTask { image: "cpuminer".into(), arguments });
    let mut script = Script::workers_of(settings);
    script.update(status("miner-worker-3", TaskState::TaskFinished, 2));
    script.write();
    script.event(Event::Offers(vec![offer("o", "b", 2.0, 1024)]));
    script.write();
    assert!(script.launched().is_empty());
    let said: Vec<String> = script.notices.iter().map(ToString::to_string).collect();
    let paused = "nothing is launched on b.host for 1 s: 1 failed in a row, the last with TASK_FINISHED";
    assert!(said.contains(&paused.to_owned()), "{said:?}");
}

#[test]
fn an_unreachable_server_is_waited_for_then_replaced_and_killed_when_it_returns() {
    let mut script = Script::with_workers();
    let unreachable = TaskStatus { uuid: None, ..status("miner-server-1", TaskState::TaskUnreachable, 2) };
    script.update(unreachable);
    script.write();
    script.wait(Duration::from_secs(50));
    script.event(Event::Offers(vec![offer("o4", "c", 2.0, 1024)]));
    script.write();
    assert!(script.launched().is_empty() && script.killed().is_empty());
    script.wait(Duration::from_secs(20));
    assert!(script.killed().contains(&"miner-worker-2"));
    script.event(Event::Offers(vec![offer("o5", "c", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-server-4"], "it does not wait for workers to die");
    script.clear();
    script.update(TaskStatus { uuid: None, ..status("miner-server-1", TaskState::TaskRunning, 3) });
    script.write();
    assert!(script.killed().contains(&"miner-server-1"));
    assert!(!script.killed().contains(&"miner-server-4"));
}

fn live(task: &str) -> Event {
    let live = ::task::Live::Worker(::task::WorkerLive::default());
    Event::Message { executor: task.into(), data: live.encode() }
}

#[test]
fn a_server_that_says_nothing_any_more_is_replaced_and_its_executor_ended() {
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
    assert!(said.contains(&"miner-server-1 is given up: it says nothing any more".into()), "{said:?}");
    script.event(Event::Offers(vec![offer("o5", "c", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-server-4"]);
}

#[test]
fn nobody_can_be_heard_without_a_subscription() {
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

/// It is stuck, or the network is, and no connection breaks: what tasks say waits behind it.
#[test]
fn a_master_that_says_nothing_is_not_held_against_tasks() {
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

/// Its heartbeats tell that the others are quiet, not it.
#[test]
fn tasks_that_all_say_nothing_are_given_up_in_time() {
    for limit in [30, 120].map(Duration::from_secs) {
        let mut script = Script::workers_of(Settings { silence_timeout: limit, ..settings() });
        let tasks = ["miner-server-1", "miner-worker-2", "miner-worker-3"];
        tasks.iter().for_each(|task| script.event(live(task)));
        script.wait(limit - Duration::from_secs(1));
        assert!(script.killed().is_empty(), "{:?}", script.notices);
        script.wait(Duration::from_secs(2));
        assert_eq!(script.killed(), tasks);
    }
}

#[test]
fn what_fell_silent_before_this_life_of_the_scheduler_is_replaced_too() {
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

/// Its process was stopped, or its machine asleep: the first thing that it hears may be its own clock.
#[test]
fn a_scheduler_that_was_away_hears_what_has_waited_before_it_gives_anybody_up() {
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

/// Stopped, that is, with what the tasks said meanwhile still unread.
#[test]
fn a_scheduler_that_was_away_itself_blames_nobody_for_silence() {
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
    assert!(!script.state.tasks["miner-worker-3"].missed);
    script.update(TaskStatus { healthy: Some(true), ..status("miner-server-1", TaskState::TaskRunning, 3) });
    script.write();
    script.wait(Duration::from_secs(60));
    assert!(script.killed().is_empty());
    script.wait(Duration::from_secs(20));
    assert!(script.killed().contains(&"miner-server-1"), "{:?}", script.notices);
}

#[test]
fn an_executor_that_ignores_kills_is_ended_by_its_agent() {
    let mut script = Script::with_workers();
    script.update(status("miner-server-1", TaskState::TaskFailed, 2));
    script.write();
    let ends =
        |script: &Script| script.calls.iter().filter(|call| matches!(call, Call::Shutdown { .. })).count();
    script.wait(Duration::from_secs(10));
    assert_eq!(ends(&script), 0, "each worker was asked twice, and may still bring its last report");
    script.wait(Duration::from_secs(10));
    assert_eq!(ends(&script), 2);
}

#[test]
fn an_unreachable_server_that_returns_in_time_goes_on() {
    let mut script = Script::with_workers();
    script.update(TaskStatus { uuid: None, ..status("miner-server-1", TaskState::TaskUnreachable, 2) });
    script.write();
    script.wait(Duration::from_secs(30));
    script.update(TaskStatus { uuid: None, ..status("miner-server-1", TaskState::TaskRunning, 3) });
    script.write();
    script.wait(Duration::from_secs(100));
    assert!(script.killed().is_empty());
    script.event(Event::Offers(vec![offer("o5", "c", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-worker-4"]);
}

#[test]
fn a_lost_worker_that_returns_mines_on() {
    let mut script = Script::with_workers();
    for state in [TaskState::TaskLost, TaskState::TaskUnreachable, TaskState::TaskGone] {
        script.update(TaskStatus { uuid: None, ..status("miner-worker-3", state, 2) });
        script.write();
        script.update(TaskStatus { uuid: None, ..status("miner-worker-3", TaskState::TaskRunning, 3) });
        script.write();
    }
    assert!(script.killed().is_empty());
    assert_eq!(script.state.snapshot(script.now).states["TASK_RUNNING"], 3);
}

#[test]
fn a_lost_worker_that_returns_to_another_server_is_killed() {
    let mut script = Script::with_workers();
    script.update(TaskStatus { uuid: None, ..status("miner-worker-3", TaskState::TaskLost, 2) });
    script.update(status("miner-server-1", TaskState::TaskFailed, 2));
    script.write();
    assert_eq!(script.killed(), ["miner-worker-2"]);
    script.clear();
    script.update(TaskStatus { uuid: None, ..status("miner-worker-3", TaskState::TaskRunning, 3) });
    script.write();
    assert_eq!(script.killed(), ["miner-worker-3"]);
}

#[test]
fn failures_of_executors_and_agents_are_said() {
    let mut script = Script::with_workers();
    let failure = |executor: Option<&str>, status| Event::Failure {
        agent: Some("b".into()),
        executor: executor.map(Into::into),
        status,
    };
    for event in [
        failure(Some("miner-worker-3"), Some(256)),
        failure(Some("miner-worker-3"), Some(9)),
        failure(Some("miner-worker-3"), Some(0)),
        failure(None, None),
        Event::Failure { agent: Some("unknown".into()), executor: None, status: None },
    ] {
        script.event(event);
    }
    let said: Vec<String> = script.notices.iter().map(ToString::to_string).collect();
    let expected = [
        "the executor of miner-worker-3 ended with exit status 1",
        "the executor of miner-worker-3 ended by signal 9",
        "the agent on b.host is gone (b)",
        "agent unknown is gone",
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_server_that_gives_no_work_for_long_is_replaced() {
    let mut script = Script::with_workers();
    let health = |n, healthy| TaskStatus {
        healthy: Some(healthy),
        message: (!healthy).then(|| "no job within 5 s".to_owned()),
        ..status("miner-server-1", TaskState::TaskRunning, n)
    };
    for (n, healthy) in [(10, true), (11, false), (12, true)] {
        script.update(health(n, healthy));
        script.write();
        script.wait(Duration::from_secs(40));
    }
    let said: Vec<_> = script.notices.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["miner-server-1 is not well: no job within 5 s", "miner-server-1 is well again"]);
    script.update(health(13, false));
    script.write();
    script.wait(watch::ILL_SERVER / 2);
    script.update(health(14, false));
    script.write();
    assert!(script.killed().is_empty());
    assert_eq!(script.state.snapshot(script.now).tasks[0].healthy, Some(false));
    script.wait(watch::ILL_SERVER / 2);
    assert!(
        script
            .notices
            .iter()
            .any(|notice| { notice.to_string() == "miner-server-1 is given up: it gives no work" })
    );
    assert!(script.killed().contains(&"miner-server-1"));
    script.event(Event::Offers(vec![offer("o9", "c", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-server-4"]);
}
