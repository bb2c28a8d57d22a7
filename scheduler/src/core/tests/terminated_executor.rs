//! FAILURE events: an executor terminates or an agent is removed, and no status update of its tasks follows.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn failure(agent: &str, executor: &str) -> Event {
    Event::ExecutorTerminated { agent: Some(agent.into()), executor: executor.into(), status: Some(9) }
}

impl Script {
    /// How often the master was asked about this task.
    fn asked(&self, task: &str) -> usize {
        let names =
            |call: &&Call| matches!(call, Call::Reconcile(tasks) if tasks.iter().any(|(id, _)| id == task));
        self.calls.iter().filter(names).count()
    }

    fn is_in_service(&self, server: &str) -> bool {
        self.state.fleet.servers.contains_key(server)
    }
}

/// A framework with a server and two workers, after the master has answered RECONCILE for all of them.
fn mining() -> Script {
    let mut script = Script::with_workers();
    for task in ["miner-server-1", "miner-worker-2", "miner-worker-3"] {
        script.update(TaskStatus { uuid: None, ..status(task, TaskState::TaskRunning, 0) });
    }
    script.wait(SECOND);
    script.clear();
    script
}

#[test]
fn the_master_is_asked_about_a_task_whose_executor_has_terminated() {
    let mut script = mining();
    script.event(failure("b", "miner-worker-3"));
    script.wait(SECOND);
    assert_eq!(script.asked("miner-worker-3"), 0, "usually the update follows at once");
    script.wait(2 * SECOND);
    assert_eq!((script.asked("miner-worker-3"), script.asked("miner-worker-2")), (1, 0));
    script.update(TaskStatus { uuid: None, ..status("miner-worker-3", TaskState::TaskGone, 2) });
    script.write();
    assert_eq!(script.task("miner-worker-3").state(), Some(TaskState::TaskGone));
    script.wait(60 * SECOND);
    assert!(script.killed().is_empty(), "{:?}", script.said());
}

#[test]
fn the_update_that_follows_is_counted_once_and_the_master_is_not_asked() {
    for server in [false, true] {
        let mut script = mining();
        let (agent, task) = if server { ("a", "miner-server-1") } else { ("b", "miner-worker-3") };
        script.event(failure(agent, task));
        let update = TaskStatus {
            reason: Some(task_status::Reason::ExecutorTerminated.into()),
            ..status(task, TaskState::TaskFailed, 2)
        };
        script.update(update);
        script.wait(5 * SECOND);
        assert_eq!(script.asked(task), 0, "the update is only not on disk yet");
        script.write();
        script.wait(60 * SECOND);
        assert_eq!(script.asked(task), 0);
        assert_eq!(script.state.overview(script.now).failures.len(), 1, "{:?}", script.said());
        let lost = script.notices.iter().filter(|notice| matches!(notice, UserNotice::ServerLost { .. }));
        assert_eq!(lost.count(), usize::from(server), "{:?}", script.said());
    }
}

#[test]
fn a_server_whose_executor_has_terminated_is_replaced_without_its_update() {
    let mut script = mining();
    script.event(failure("a", "miner-server-1"));
    script.event(Event::Offers(vec![offer("o5", "c", 2.0, 1024)]));
    script.write();
    assert!(script.launched().is_empty(), "no worker for this server");
    script.wait(3 * SECOND);
    assert!(!script.is_in_service("miner-server-1"));
    assert_eq!(script.killed(), ["miner-worker-2", "miner-worker-3"]);
    assert_eq!(script.asked("miner-server-1"), 1);
    script.event(Event::Offers(vec![offer("o6", "c", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-server-4"]);
    // The master still says that the old server runs. The scheduler ends it, because the new server has replaced it.
    script.update(TaskStatus { uuid: None, ..status("miner-server-1", TaskState::TaskRunning, 0) });
    script.wait(30 * SECOND);
    assert!(script.killed().contains(&"miner-server-1"), "{:?}", script.said());
    assert!(script.is_in_service("miner-server-4"));
}

/// An agent that has dropped a launch sends FAILURE with status -1, while the master says TASK_STAGING forever.
#[test]
fn a_task_whose_executor_has_terminated_before_it_ran_is_given_up() {
    let mut script = mining();
    script.event(Event::Offers(vec![offer("o5", "c", 2.0, 1024)]));
    script.write();
    let stays = TaskStatus { uuid: None, ..status("miner-worker-4", TaskState::TaskStaging, 0) };
    script.update(stays.clone());
    script.write();
    script.event(failure("c", "miner-worker-4"));
    for _ in 0..28 {
        script.wait(SECOND);
        script.update(stays.clone());
        script.write();
    }
    assert!(script.killed().is_empty(), "{:?}", script.said());
    script.wait(3 * SECOND);
    assert_eq!(script.killed(), ["miner-worker-4"]);
    let gave_up =
        "giving up on miner-worker-4: its executor has terminated, but Mesos reports no end of the task";
    assert!(script.said().contains(&gave_up.into()), "{:?}", script.said());
    assert_eq!(script.task("miner-worker-4").slot, Slot::Released);
}

/// The worker's executor has terminated according to FAILURE, but the master says that the worker still runs.
#[test]
fn a_worker_that_runs_according_to_the_master_is_left_alone() {
    let mut script = mining();
    script.event(failure("b", "miner-worker-3"));
    script.wait(3 * SECOND);
    script.update(TaskStatus { uuid: None, ..status("miner-worker-3", TaskState::TaskRunning, 0) });
    script.write();
    script.wait(60 * SECOND);
    assert!(script.killed().is_empty(), "{:?}", script.said());
}

#[test]
fn the_end_of_another_executor_of_that_name_is_ignored() {
    let mut script = mining();
    script.event(failure("elsewhere", "miner-server-1"));
    script.event(failure("elsewhere", "unknown"));
    script.wait(60 * SECOND);
    assert!(script.is_in_service("miner-server-1"));
    assert_eq!(script.asked("miner-server-1"), 0);
    assert_eq!(script.said(), [""; 0]);
}

#[test]
fn the_master_is_asked_about_the_tasks_of_a_removed_agent() {
    let mut script = mining();
    script.event(Event::AgentRemoved("a".into()));
    script.update(TaskStatus { uuid: None, ..status("miner-worker-2", TaskState::TaskUnreachable, 2) });
    script.write();
    script.wait(3 * SECOND);
    let asked = ["miner-server-1", "miner-worker-2", "miner-worker-3"].map(|task| script.asked(task));
    assert_eq!(asked, [1, 0, 0], "an update of the worker has followed");
}
