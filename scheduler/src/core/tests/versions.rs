use super::*;

/// A report of an executor with the given version.
fn report_of(version: u8, worker: &str, sequence: u64) -> Vec<u8> {
    let mut data = report(worker, sequence, 1);
    data[1] = version;
    data
}

/// Workers of an earlier version on two agents, and their server.
fn outdated(on_server_loss: OnServerLoss) -> Script {
    let mut script = Script::workers_of(settings_where(|options| options.on_server_loss = on_server_loss));
    let server = TaskStatus {
        data: Some(report_of(1, "x", 2)),
        ..status("miner-server-1", TaskState::TaskRunning, 3)
    };
    script.update(server);
    for task in ["miner-worker-2", "miner-worker-3"] {
        let data = Some(report_of(1, task, 2));
        script.update(TaskStatus { data, ..status(task, TaskState::TaskRunning, 3) });
    }
    script.write();
    assert_eq!(script.state.history.ledger.sum().0.worker.accepted, 2, "the version before is worked with");
    script.clear();
    script
}

fn replace(script: &mut Script, old: &str, new: &str, agent: &str) {
    script.update(TaskStatus { data: Some(report_of(1, old, 3)), ..status(old, TaskState::TaskKilled, 4) });
    script.write();
    script.event(Event::Offers(vec![offer("o", agent, 2.0, 700)]));
    script.write();
    assert_eq!(script.launched(), [new]);
    script.clear();
}

#[test]
fn a_working_task_of_an_earlier_version_goes_on() {
    let mut script = outdated(OnServerLoss::Kill);
    script.wait(Duration::from_secs(3600));
    assert!(script.killed().is_empty(), "{:?}", script.notices);
}

#[test]
fn workers_that_cannot_be_redirected_are_replaced_one_by_one() {
    let mut script = outdated(OnServerLoss::Repoint);
    script.wait(Duration::from_secs(62));
    assert_eq!(script.killed(), ["miner-worker-2"], "one at a time");
    script.clear();
    replace(&mut script, "miner-worker-2", "miner-worker-4", "a");
    script.wait(Duration::from_secs(100));
    assert!(script.killed().is_empty(), "its successor does not mine yet");
    let data = Some(report("miner-worker-4", 1, 1));
    script.update(TaskStatus { data, ..status("miner-worker-4", TaskState::TaskRunning, 1) });
    script.write();
    script.wait(Duration::from_secs(12));
    assert_eq!(script.killed(), ["miner-worker-3"]);
    script.clear();
    replace(&mut script, "miner-worker-3", "miner-worker-5", "b");
    let data = Some(report("miner-worker-5", 1, 0));
    script.update(TaskStatus { data, ..status("miner-worker-5", TaskState::TaskRunning, 1) });
    script.write();
    script.wait(Duration::from_secs(300));
    assert!(script.killed().is_empty(), "the server does its work");
}
