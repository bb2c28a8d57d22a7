use mesos::v1::{Attribute, value};

use super::*;
use crate::offers::WorkerLimits;

fn script(placement: Placement) -> Script {
    let mut script = Script::with(Settings { placement, ..settings() });
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 1.0, 1024)]));
    script.write();
    script.update(status("miner-server-1", TaskState::TaskRunning, 1));
    script.write();
    script.clear();
    script
}

fn on_rack(offer: Offer, rack: &str) -> Offer {
    let text = Some(value::Text { value: rack.into() });
    let mut attribute = Attribute { name: "rack".into(), text, ..Attribute::default() };
    attribute.set_type(value::Type::Text);
    Offer { attributes: vec![attribute], ..offer }
}

fn constrained(constraint: &str) -> Placement {
    Placement { workers: vec![constraint.parse().unwrap()], ..Placement::default() }
}

/// The CPU of the workers launched so far, in thousandths.
fn cpus(script: &Script) -> Vec<u64> {
    let cpus = |notice: &UserNotice| match notice {
        UserNotice::Launched { cpus_milli, .. } => Some(*cpus_milli),
        _ => None,
    };
    script.notices.iter().filter_map(cpus).collect()
}

#[test]
fn when_there_are_enough_workers_no_offers_are_wanted_until_one_ends() {
    let limits = WorkerLimits { max_workers: Some(2), ..WorkerLimits::default() };
    let mut script = script(Placement { limits, ..Placement::default() });
    let offers = ["b", "c", "d"].map(|agent| offer(agent, agent, 1.0, 512));
    script.event(Event::Offers(offers.into()));
    script.write();
    assert_eq!(script.launched(), ["miner-worker-2", "miner-worker-3"]);
    assert_eq!(script.declined(), ["d"]);
    assert!(script.calls.contains(&Call::Suppress));
    assert!(script.notices.iter().all(|notice| !matches!(notice, UserNotice::Unused(_))));
    script.clear();
    script.event(Event::Offers(vec![offer("late", "d", 1.0, 512)]));
    script.write();
    assert!(script.launched().is_empty());
    script.update(status("miner-worker-2", TaskState::TaskFailed, 1));
    script.write();
    assert_eq!(script.calls.iter().filter(|call| **call == Call::Revive).count(), 1);
    script.event(Event::Offers(vec![offer("o9", "d", 1.0, 512)]));
    script.write();
    assert_eq!(script.launched(), ["miner-worker-4"]);
}

#[test]
fn all_tasks_together_take_no_more_cpu_than_allowed() {
    let limits = WorkerLimits { max_cpus_milli: Some(4000), ..WorkerLimits::default() };
    let mut script = script(Placement { limits, ..Placement::default() });
    script.event(Event::Offers(vec![offer("b", "b", 2.0, 512), offer("c", "c", 2.0, 512)]));
    script.write();
    assert_eq!(cpus(&script), [2000, 1000], "the server has the fourth");
    assert!(script.calls.contains(&Call::Suppress));
}

#[test]
fn an_agent_is_filled_with_workers_by_one_call() {
    let limits =
        WorkerLimits { worker_cpus_milli: Some(1000), min_worker_cpus_milli: 500, ..WorkerLimits::default() };
    let mut script = script(Placement { limits, ..Placement::default() });
    script.event(Event::Offers(vec![offer("b", "b", 2.7, 512), offer("b2", "b", 0.4, 512)]));
    script.write_some(2);
    assert!(script.launched().is_empty(), "the last one is not on disk yet");
    script.write();
    let Some(Call::Accept { offers, tasks, refuse }) = script.calls.last() else {
        panic!("{:?}", script.calls)
    };
    assert_eq!((offers.len(), tasks.len()), (2, 3));
    assert!(!refuse.is_zero(), "what is left is of no use");
    assert_eq!(cpus(&script), [1000, 1000, 1000]);
}

/// Only a few workers are launched until one of them runs. Then the scheduler asks once for the rest of the agent's resources.
#[test]
fn the_rest_of_an_agent_is_used_when_one_of_the_first_workers_runs() {
    let limits = WorkerLimits { worker_cpus_milli: Some(1000), ..WorkerLimits::default() };
    let mut script = script(Placement { limits, ..Placement::default() });
    script.restart();
    script.subscribe();
    script.update(TaskStatus { uuid: None, ..status("miner-server-1", TaskState::TaskRunning, 1) });
    script.server_speaks(None);
    script.clear();
    script.event(Event::Offers(vec![offer("b", "b", 24.0, 64_000)]));
    script.write();
    let first = script.launched();
    assert_eq!(first.len(), 4);
    let revived = |script: &Script| script.calls.iter().filter(|call| **call == Call::Revive).count();
    script.wait(Duration::from_secs(5));
    assert_eq!(revived(&script), 0, "no more is allowed");
    first.iter().for_each(|task| script.update(status(task, TaskState::TaskRunning, 1)));
    script.write();
    script.event(Event::Offers(vec![offer("b2", "b", 20.0, 60_000)]));
    script.write();
    script.wait(Duration::from_secs(60));
    assert_eq!((script.launched().len(), revived(&script)), (24, 1));
}

#[test]
fn one_call_launches_only_the_workers_that_are_still_wanted() {
    let limits = WorkerLimits { worker_cpus_milli: Some(1000), ..WorkerLimits::default() };
    let mut script = script(Placement { limits, ..Placement::default() });
    script.event(Event::Offers(vec![offer("b", "b", 3.0, 512)]));
    script.clear();
    // The launch for which the offers are reserved, and another launch, are no longer wanted.
    for unwanted in ["miner-worker-2", "miner-worker-4"] {
        script.state.fleet.want_end(unwanted, script.now);
    }
    script.write();
    assert_eq!(script.launched(), ["miner-worker-3"]);
    assert!(script.declined().is_empty(), "the offer is used");
    assert_eq!(script.state.fleet.count_unsent(), 0);
}

#[test]
fn a_rescinded_offer_cancels_all_launches_on_it() {
    let limits = WorkerLimits { worker_cpus_milli: Some(1000), ..WorkerLimits::default() };
    let mut script = script(Placement { limits, ..Placement::default() });
    script.event(Event::Offers(vec![offer("b", "b", 3.0, 512), offer("b2", "b", 0.1, 512)]));
    script.write_some(1);
    script.clear();
    script.event(Event::Rescinded("b".into()));
    assert_eq!(script.declined(), ["b2"], "the agent's other offer is given back");
    script.write();
    assert!(script.launched().is_empty());
    assert_eq!(script.state.fleet.count_unsent(), 0);
}

#[test]
fn a_constraint_holds_over_a_restart_and_is_tried_again_when_workers_end() {
    let mut script = script(constrained("rack:UNIQUE"));
    script.event(Event::Offers(vec![on_rack(offer("o2", "b", 1.0, 512), "r1")]));
    script.write();
    script.restart();
    script.subscribe();
    script.server_speaks(None);
    script.clear();
    let second = on_rack(offer("o3", "c", 1.0, 512), "r1");
    script.event(Event::Offers(vec![second.clone(), on_rack(offer("o4", "d", 1.0, 512), "r2")]));
    script.write();
    assert_eq!(script.launched(), ["miner-worker-3"]);
    assert_eq!(script.declined(), ["o3"]);
    let said: Vec<_> = script.notices.iter().map(ToString::to_string).collect();
    assert!(
        said.contains(&"no worker on c.host: --constraint rack:UNIQUE is not met".to_owned()),
        "{said:?}"
    );
    assert!(!script.calls.contains(&Call::Revive));
    script.update(status("miner-worker-2", TaskState::TaskKilled, 1));
    script.write();
    assert!(script.calls.contains(&Call::Revive), "what was declined may fit now");
    script.event(Event::Offers(vec![second]));
    script.write();
    assert_eq!(script.launched(), ["miner-worker-3", "miner-worker-4"]);
}

#[test]
fn offers_are_not_revived_in_a_loop_while_a_constraint_is_not_met() {
    let mut script = script(constrained("rack:GROUP_BY:2"));
    let first = on_rack(offer("o2", "b", 1.0, 512), "r1");
    script.event(Event::Offers(vec![first, on_rack(offer("o3", "c", 1.0, 512), "r1")]));
    script.write();
    assert_eq!((script.launched().len(), script.declined()), (1, vec!["o3"]));
    script.wait(Duration::from_secs(5));
    assert!(!script.calls.contains(&Call::Revive));
    script.event(Event::Offers(vec![on_rack(offer("o4", "d", 1.0, 512), "r2")]));
    script.write();
    let revived = |script: &Script| script.calls.iter().filter(|call| **call == Call::Revive).count();
    assert_eq!(revived(&script), 1, "both racks have one now, so the first may have another");
    script.event(Event::Offers(vec![on_rack(offer("o5", "c", 1.0, 512), "r1")]));
    script.write();
    script.wait(Duration::from_secs(5));
    assert_eq!((script.launched().len(), revived(&script)), (3, 1));
}

#[test]
fn others_take_the_slots_of_unreachable_workers() {
    let limits = WorkerLimits { max_workers: Some(1), ..WorkerLimits::default() };
    let unique = constrained("rack:UNIQUE");
    let limited = Placement { limits, ..Placement::default() };
    for (placement, missed, restarted) in [
        (limited.clone(), "d", false),
        (unique.clone(), "o3", false),
        (limited, "d", true),
        (unique, "o3", true),
    ] {
        let mut script = script(placement);
        script.event(Event::Offers(vec![on_rack(offer("o2", "b", 1.0, 512), "r1")]));
        script.write();
        let state = |state, n| TaskStatus { uuid: None, ..status("miner-worker-2", state, n) };
        script.update(status("miner-worker-2", TaskState::TaskRunning, 1));
        script.update(state(TaskState::TaskUnreachable, 2));
        script.write();
        script.clear();
        let another = || on_rack(offer(missed, "c", 1.0, 512), "r1");
        script.event(Event::Offers(vec![another()]));
        assert_eq!(script.declined(), [missed], "it may be back in a moment");
        script.wait(Duration::from_secs(61));
        assert!(script.calls.contains(&Call::Revive), "{:?}", script.calls);
        script.event(Event::Offers(vec![another()]));
        script.write();
        assert_eq!(script.launched(), ["miner-worker-3"]);
        script.update(status("miner-worker-3", TaskState::TaskRunning, 1));
        script.write();
        if restarted {
            script.restart();
            script.subscribe();
        }
        script.clear();
        script.update(state(TaskState::TaskRunning, 3));
        script.write();
        assert_eq!(script.killed(), ["miner-worker-2"], "its place is taken");
        let said = script.notices.iter().map(ToString::to_string);
        let why = "giving up on miner-worker-2: others have taken its place";
        assert!(said.clone().any(|text| text == why), "{:?}", said.collect::<Vec<_>>());
    }
}

#[test]
fn a_returned_worker_is_ended_if_its_slot_is_taken() {
    for lost in [TaskState::TaskLost, TaskState::TaskGone, TaskState::TaskUnknown] {
        for (max_workers, max_cpus, ended) in
            [(Some(1), None, true), (None, Some(2999), true), (None, Some(3000), false)]
        {
            let limits = WorkerLimits { max_workers, max_cpus_milli: max_cpus, ..WorkerLimits::default() };
            let mut script = script(Placement { limits, ..Placement::default() });
            script.event(Event::Offers(vec![offer("o2", "b", 1.0, 512)]));
            script.write();
            for state in [TaskState::TaskRunning, lost] {
                script.update(TaskStatus { uuid: None, ..status("miner-worker-2", state, 1) });
                script.write();
            }
            script.event(Event::Offers(vec![offer("o3", "c", 1.0, 512)]));
            script.write();
            assert_eq!(script.launched(), ["miner-worker-2", "miner-worker-3"], "{lost:?}");
            script.update(TaskStatus { uuid: None, ..status("miner-worker-2", TaskState::TaskRunning, 2) });
            script.write();
            assert_eq!(script.killed().contains(&"miner-worker-2"), ended, "{lost:?} {limits:?}");
        }
    }
}

#[test]
fn a_returned_worker_goes_on_if_its_slot_is_free() {
    let limits = WorkerLimits { max_workers: Some(1), ..WorkerLimits::default() };
    let mut script = script(Placement { limits, ..constrained("rack:UNIQUE") });
    script.event(Event::Offers(vec![on_rack(offer("o2", "b", 1.0, 512), "r1")]));
    script.write();
    for state in [TaskState::TaskUnreachable, TaskState::TaskRunning] {
        script.update(TaskStatus { uuid: None, ..status("miner-worker-2", state, 1) });
        script.write();
        script.wait(Duration::from_secs(100));
    }
    assert!(script.killed().is_empty());
    assert!(script.calls.ends_with(&[Call::Suppress]), "there are enough again: {:?}", script.calls);
}

#[test]
fn the_server_has_constraints_of_its_own() {
    let server = vec!["hostname:LIKE:b.*".parse().unwrap()];
    let mut script = Script::with(Settings {
        placement: Placement { server, ..constrained("hostname:UNLIKE:b.*") },
        ..settings()
    });
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 2.0, 1024)]));
    let said: Vec<_> = script.notices.iter().map(ToString::to_string).collect();
    assert!(
        said.contains(&"no server on a.host: --server-constraint hostname:LIKE:b.* is not met".to_owned())
    );
    script.event(Event::Offers(vec![offer("o2", "a", 2.0, 1024), offer("o3", "b", 2.0, 1024)]));
    script.write();
    assert_eq!(script.task("miner-server-1").record.host, "b.host");
    script.update(status("miner-server-1", TaskState::TaskRunning, 1));
    script.write();
    script.event(Event::Offers(vec![offer("o4", "a", 2.0, 1024), offer("o5", "b", 2.0, 1024)]));
    script.write();
    assert_eq!(script.task("miner-worker-2").record.host, "a.host");
    assert_eq!(script.launched().len(), 2);
}

#[test]
fn revocation_is_no_failure_of_the_agent() {
    let mut script = Script::with_workers();
    for (task, state) in [("miner-worker-2", TaskState::TaskGone), ("miner-worker-3", TaskState::TaskFailed)]
    {
        let mut status = status(task, state, 2);
        status.set_reason(task_status::Reason::ContainerPreempted);
        script.update(status);
    }
    script.write();
    assert!(script.notices.iter().all(|notice| !matches!(notice, UserNotice::Paused { .. })));
    script.event(Event::Offers(vec![offer("o9", "b", 2.0, 700)]));
    script.write();
    assert_eq!(script.launched(), ["miner-worker-4"], "the next offer is used at once");
}

#[test]
fn workers_of_one_call_that_fail_together_make_one_short_pause() {
    let limits = WorkerLimits { worker_cpus_milli: Some(1000), ..WorkerLimits::default() };
    let mut script = script(Placement { limits, ..Placement::default() });
    script.event(Event::Offers(vec![offer("b", "b", 9.0, 16_000)]));
    script.write();
    let launched = script.launched();
    assert_eq!(launched.len(), 9);
    for (state, n) in [(TaskState::TaskRunning, 1), (TaskState::TaskFailed, 2)] {
        launched.iter().for_each(|task| script.update(status(task, state, n)));
        script.write();
        script.wait(Duration::from_secs(20));
    }
    let paused = |notice: &&UserNotice| matches!(notice, UserNotice::Paused { .. });
    assert_eq!(script.notices.iter().filter(paused).count(), 1);
    assert_eq!(script.state.fleet.agents.get("b").unwrap().pause.unwrap().failures, 1);
}
