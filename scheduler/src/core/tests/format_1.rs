//! Resumes with a state folder of format 1.

use std::collections::BTreeSet;

use super::*;
use crate::store::memory::{folder_of_format_1, tree_of_format_1};

/// Starts with the recovered state, subscribes, and gets the master's answers.
fn go_on(recovered: RecoveredState) -> Script {
    let mut script = Script::new();
    script.state = State::new(settings(), recovered, &Ages::default(), script.now);
    script.clear();
    script.subscribe();
    let live = |id: &str| match id {
        "miner-worker-14" => TaskState::TaskUnreachable,
        "miner-worker-15" | "miner-worker-779" => TaskState::TaskGone,
        _ => TaskState::TaskRunning,
    };
    let mut answered = 0;
    for _ in 0..5 {
        for call in script.calls.clone().split_off(answered) {
            answered += 1;
            let Call::Reconcile(tasks) = call else { continue };
            for (task, agent) in tasks {
                let agent_id = Some(agent.as_str().into());
                script.update(TaskStatus { uuid: None, agent_id, ..status(&task, live(&task), 0) });
            }
        }
        script.write();
        script.wait(Duration::from_secs(10));
    }
    script
}

#[test]
fn tasks_sums_and_counts_are_recovered_and_no_task_is_killed() {
    for recovered in [folder_of_format_1(), tree_of_format_1()] {
        let next_number = recovered.next_number;
        let script = go_on(recovered);
        // The earlier program had found these two tasks running without a record, and was ending them.
        let killed: BTreeSet<&str> = script.killed().into_iter().collect();
        assert_eq!(killed, ["miner-server-778", "miner-worker-777"].into());
        assert_eq!(next_number, 780);
        let summary = script.state.summary(script.now);
        let shares = (summary.shares.accepted, summary.shares.rejected, summary.shares.stale);
        assert_eq!((shares, summary.shares.unanswered), ((2600, 862, 646), 516));
        assert_eq!((summary.hashes, summary.blocks), (3_069_538_213_865_269_388_902_400, Some(1163)));
        assert_eq!(summary.workers, 6, "the most that mined at once");
        let count = |state: &str| summary.tasks.get(state).copied().unwrap_or_default();
        assert_eq!([count("TASK_FAILED"), count("TASK_FINISHED"), count("TASK_KILLED")], [5, 2, 4]);
        assert_eq!((count("TASK_GONE"), count("TASK_UNREACHABLE")), (3, 1), "one was never launched");
        assert_eq!(count("TASK_RUNNING"), 5);
        assert!(script.launched().is_empty());
    }
}
