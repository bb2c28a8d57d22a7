use super::*;

/// However a server ends, its workers are killed and another server is launched.
#[test]
fn when_the_server_ends_all_workers_are_killed_and_it_starts_over() {
    use TaskState::*;
    for end in [TaskFailed, TaskFinished, TaskKilled, TaskError, TaskLost, TaskGone, TaskGoneByOperator] {
        let mut script = Script::with_workers();
        script.update(status("miner-server-1", end, 2));
        assert!(script.killed().is_empty(), "{end:?} is not on disk yet");
        script.write();
        assert_eq!(script.killed(), ["miner-worker-2", "miner-worker-3"], "{end:?}");
        let lost =
            |notice: &UserNotice| matches!(notice, UserNotice::ServerLost { workers: 2, kept: false, .. });
        assert!(script.notices.iter().any(lost), "{:?}", script.notices);
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
fn a_worker_that_has_sent_all_its_updates_is_replaced_at_once() {
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
    assert_eq!(
        script.state.history.ledger.sum().0.worker.accepted,
        (4..20).sum::<u64>(),
        "no report is lost"
    );
}

#[test]
fn a_users_image_that_finishes_again_and_again_pauses_its_agent() {
    let mut settings = settings();
    settings.template.programs.worker = Some(somebody_elses_worker());
    let mut script = Script::workers_of(settings);
    script.update(status("miner-worker-3", TaskState::TaskFinished, 2));
    script.write();
    script.event(Event::Offers(vec![offer("o", "b", 2.0, 1024)]));
    script.write();
    assert!(script.launched().is_empty());
    let said: Vec<String> = script.notices.iter().map(ToString::to_string).collect();
    let paused = "nothing is launched on b.host for 1 s (failures in a row: 1)";
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
fn the_time_of_unreachability_counts_from_the_first_such_update() {
    let mut script = Script::with_workers();
    script.wait(Duration::from_secs(100));
    for task in ["miner-server-1", "miner-worker-3"] {
        script.update(TaskStatus { uuid: None, ..status(task, TaskState::TaskUnreachable, 2) });
    }
    script.write();
    let said: Vec<_> = script.notices.iter().map(ToString::to_string).collect();
    assert!(said[0].starts_with("miner-server-1 cannot be reached"), "{said:?}");
    script.wait(Duration::from_secs(50));
    assert!(script.killed().is_empty() && script.task("miner-worker-3").slot != Slot::Released);
    script.wait(Duration::from_secs(11));
    assert!(script.killed().contains(&"miner-server-1"));
    assert_eq!(script.task("miner-worker-3").slot, Slot::Released);
}

#[test]
fn a_task_ends_once_whatever_later_updates_say() {
    let mut script = Script::with_workers();
    script.update(TaskStatus { uuid: None, ..status("miner-worker-3", TaskState::TaskLost, 0) });
    script.update(status("miner-worker-3", TaskState::TaskFailed, 2));
    script.write();
    let ends = script.notices.iter().filter(|notice| matches!(notice, UserNotice::Ended { .. }));
    assert_eq!(ends.count(), 1);
    assert_eq!(script.task("miner-worker-3").state(), Some(TaskState::TaskFailed));
}

#[test]
fn a_worker_that_finishes_before_it_has_run_is_a_failure() {
    let mut script = Script::with_server();
    script.event(Event::Offers(vec![offer("o2", "b", 2.0, 1024)]));
    script.write();
    script.update(status("miner-worker-2", TaskState::TaskFinished, 1));
    script.write();
    assert!(script.notices.iter().any(|notice| matches!(notice, UserNotice::Paused { failures: 1, .. })));
}

#[test]
fn the_peak_of_workers_stays_when_there_are_fewer() {
    let mut script = Script::with_workers();
    for task in ["miner-worker-2", "miner-worker-3"] {
        script.update(status(task, TaskState::TaskFinished, 2));
    }
    script.write();
    script.event(Event::Offers(vec![offer("o4", "b", 2.0, 1024)]));
    script.write();
    script.update(status("miner-worker-4", TaskState::TaskRunning, 1));
    script.write();
    assert_eq!(script.state.overview(script.now).peak, 2);
    assert_eq!(script.disk.recover().peak_workers, 2);
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
    assert_eq!(script.state.overview(script.now).states["TASK_RUNNING"], 3);
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
fn the_user_is_told_of_removed_agents() {
    let mut script = Script::with_workers();
    script.event(Event::AgentRemoved("b".into()));
    script.event(Event::AgentRemoved("unknown".into()));
    let said: Vec<String> = script.notices.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["the agent on b.host is gone (b)", "agent unknown is gone"]);
}

/// FAILURE has the exit status, and the update that follows has the reason. The user gets one line with both, and the pause of the
/// agent does not repeat them.
#[test]
fn the_end_of_an_executor_is_told_once_with_its_status() {
    for (number, sent, text) in [
        (256, "Executor terminated", ", exit status 1: the executor ended by itself"),
        (
            256_256,
            "Executor terminated",
            ", exit status 233: the executor could not be executed: most likely it is not there",
        ),
        (9, "Executor terminated", ", signal 9: the executor was killed (by the kernel"),
        (-1, "Abnormal executor termination: unknown container", ": no container could be started"),
    ] {
        let mut script = Script::with_workers();
        let executor = "miner-worker-3".to_owned();
        script.event(Event::ExecutorTerminated { agent: None, executor, status: Some(number) });
        assert_eq!(script.notices, [], "the update is awaited");
        let mut update = status("miner-worker-3", TaskState::TaskFailed, 2);
        update.reason = Some(task_status::Reason::ExecutorTerminated.into());
        update.message = Some(sent.into());
        script.update(update);
        script.write();
        let said: Vec<String> = script.notices.iter().map(ToString::to_string).collect();
        let begins = format!("miner-worker-3 on b.host: TASK_FAILED (REASON_EXECUTOR_TERMINATED){text}");
        assert!(said[0].starts_with(&begins), "{said:?}");
        assert!(said[1].ends_with("(failures in a row: 1)") && said.len() == 2, "{said:?}");
    }
}

/// While the launch of a worker is being written to disk, the update arrives that the worker's server has ended. So the launch
/// must not be sent.
#[test]
fn no_worker_is_launched_for_a_server_whose_end_was_received() {
    for (restarts, image) in [(true, true), (true, false), (false, false), (false, true)] {
        let mut settings = settings();
        if image {
            settings.template.programs.server =
                crate::task_info::ServerProgram::Image(somebody_elses_worker());
        }
        let mut script = Script::server_of(settings);
        if restarts {
            script.restart();
            script.subscribe();
            // Launches wait for a live message of the server, but not longer than this. A server from a user's own image sends
            // none.
            script.wait(Duration::from_secs(25));
        }
        script.event(Event::Offers(vec![offer("o2", "b", 2.0, 1024)]));
        let gone = TaskStatus { uuid: None, ..status("miner-server-1", TaskState::TaskGone, 2) };
        script.update(gone);
        // The launch is written first, and the server's end in the next transaction.
        script.write_some(1);
        assert!(script.launched().is_empty(), "{restarts} {image}");
        script.event(Event::Offers(vec![offer("o3", "c", 2.0, 1024)]));
        script.write();
        assert!(script.launched().iter().all(|task| task.starts_with("miner-server")), "{restarts} {image}");
        script.wait(Duration::from_secs(1));
        assert!(script.calls.contains(&Call::Revive), "a server is wanted");
        assert_eq!(script.state.unsent_launches(), 0);
    }
}

/// A restarted scheduler learns the server's health from an answer to RECONCILE, not from an update.
#[test]
fn a_server_that_is_unhealthy_by_the_masters_account_is_replaced() {
    let mut script = Script::with_workers();
    let answer = |healthy| TaskStatus {
        uuid: None,
        healthy: Some(healthy),
        ..status("miner-server-1", TaskState::TaskRunning, 2)
    };
    script.restart();
    script.subscribe();
    script.update(answer(false));
    script.write();
    script.update(answer(false));
    assert!(script.queue.is_empty(), "the same once more");
    script.wait(ILL_SERVER + Duration::from_secs(1));
    assert!(script.killed().contains(&"miner-server-1"));
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
    assert_eq!(said, ["miner-server-1 is not healthy: no job within 5 s", "miner-server-1 is healthy again"]);
    script.update(health(13, false));
    script.write();
    script.wait(ILL_SERVER / 2);
    script.update(health(14, false));
    script.write();
    assert!(script.killed().is_empty());
    assert_eq!(script.state.overview(script.now).servers[0].healthy, Some(false));
    script.wait(ILL_SERVER / 2);
    assert!(
        script
            .notices
            .iter()
            .any(|notice| { notice.to_string() == "giving up on miner-server-1: it sends no work" })
    );
    assert!(script.killed().contains(&"miner-server-1"));
    script.event(Event::Offers(vec![offer("o9", "c", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-server-4"]);
}
