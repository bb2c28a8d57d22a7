//! The master has removed the framework: an operator tore it down, or its failover timeout was over.

use super::*;

const REMOVED: Event = Event::Removed { now_ms: 1000 };

fn where_new_framework(new_framework: bool) -> Settings {
    settings_where(|options| (options.new_framework, options.teardown_on_exit) = (new_framework, false))
}

fn gone(script: &Script) -> Vec<&str> {
    let gone = |change: &'_ Change| match change {
        Change::Status(status) => status.state == Some(TaskState::TaskGone),
        _ => false,
    };
    let changes = script.queue.iter().map(|(_, change)| change).filter(|change| gone(change));
    changes
        .filter_map(|change| if let Change::Status(it) = change { Some(&*it.task) } else { None })
        .collect()
}

/// The framework's removal as it is recorded on disk and in ZooKeeper; `None` if no removal is recorded.
fn marks(script: &Script) -> [Option<Removal>; 2] {
    [script.disk.recover(), script.disk.shared()].map(|records| records.framework.unwrap().removal)
}

#[test]
fn a_removal_is_marked_and_ends_the_scheduler() {
    let mut script = Script::workers_of(where_new_framework(false));
    let totals = script.state.summary(script.now).shares;
    script.event(Event::Disconnected);
    script.wait(Duration::from_millis(2500));
    script.clear();
    script.event(REMOVED);
    assert!(script.finished);
    assert!(script.calls.is_empty() && script.notices.is_empty(), "{:?}", script.notices);
    assert_eq!(gone(&script), ["miner-server-1", "miner-worker-2", "miner-worker-3"]);
    assert!(matches!(script.queue.last(), Some((_, Change::FrameworkRemoved(_)))), "the mark comes last");
    let summary = script.state.summary(script.now);
    assert_eq!((summary.tasks, summary.shares), ([("TASK_GONE".to_owned(), 3)].into(), totals));
    script.write();
    let removal = Removal { removed_ms: 1000, silent_ms: Some(2500) };
    assert_eq!(script.state.removal(), Some(removal));
    assert_eq!(marks(&script), [Some(removal), Some(removal)]);
    assert_eq!(script.disk.recover().live_tasks(), 0);
    let framework = script.disk.recover().framework.unwrap();
    assert_eq!((&*framework.id, framework.failover_ms), ("f", Some(604_800_000)), "its ledger is kept");
}

/// The next scheduler that leads finds the record that the framework was removed, even if it runs on another machine.
#[test]
fn the_next_leader_finds_the_mark() {
    for empty_disk in [false, true] {
        let mut script = Script::workers_of(where_new_framework(false));
        script.event(REMOVED);
        script.write();
        let recovered = script.disk.hand_over(empty_disk);
        assert!(recovered.framework.unwrap().removal.is_some());
        assert!(script.disk.recover().framework.unwrap().removal.is_some());
    }
}

#[test]
fn a_marked_framework_is_followed_by_a_new_one_when_the_master_has_accepted_it() {
    let mut script = Script::workers_of(where_new_framework(false));
    script.event(REMOVED);
    script.write();
    script.finished = false;
    script.settings = where_new_framework(true);
    script.restart();
    assert_eq!((script.state.framework(), script.state.live_tasks()), (None, 0));
    script.event(Event::Tick);
    assert!(matches!(&script.notices[..], [UserNotice::Removed(framework)] if framework == "f"));
    assert!(script.disk.recover().framework.unwrap().removal.is_some(), "nothing is written before that");
    script.event(Event::Subscribed("g".into()));
    script.write();
    script.event(Event::Offers(vec![offer("o1", "a", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-server-4"], "no number is used twice");
    let framework = script.disk.recover().framework.unwrap();
    assert_eq!((&*framework.id, framework.removal), ("g", None));
    assert_eq!(marks(&script), [None, None]);
}

/// Even with --new-framework, the scheduler continues a framework that the master has not removed.
#[test]
fn a_living_framework_is_never_left() {
    let mut script = Script::workers_of(where_new_framework(true));
    script.restart();
    assert_eq!((script.state.framework(), script.state.live_tasks()), (Some("f"), 3));
    script.subscribe();
    assert!(script.queue.is_empty(), "{:?}", script.queue);
}

#[test]
fn the_silence_includes_the_time_before_this_run() {
    for (before, silent_ms) in [(None, None), (Some(Duration::from_secs(60)), Some(62_000))] {
        let mut script = Script::workers_of(where_new_framework(false));
        script.restart();
        if let Some(before) = before {
            script.state.heard_before(before);
        }
        script.wait(Duration::from_secs(2));
        script.event(REMOVED);
        assert_eq!(script.state.removal().unwrap().silent_ms, silent_ms);
    }
}

#[test]
fn launches_that_were_not_sent_are_forgotten() {
    for disconnected in [false, true] {
        let mut script = Script::server_of(where_new_framework(false));
        script.event(Event::Offers(vec![offer("o2", "b", 2.0, 1024)]));
        assert_eq!(script.state.unsent_launches(), 1);
        if disconnected {
            script.event(Event::Disconnected);
        }
        script.event(REMOVED);
        script.write();
        assert!(script.launched().is_empty());
        let tasks: Vec<String> = script.disk.recover().tasks.into_iter().map(|task| task.id).collect();
        assert_eq!(tasks, ["miner-server-1"]);
    }
}

/// The removal is not recorded, because the scheduler itself is ending the framework.
#[test]
fn a_removal_while_the_framework_is_torn_down_leaves_no_mark() {
    for new_framework in [false, true] {
        let mut script = Script::workers_of(settings_where(|options| options.new_framework = new_framework));
        script.event(Event::Stop);
        script.clear();
        script.event(REMOVED);
        assert!(script.finished && script.calls.is_empty());
        assert_eq!((script.state.removal(), script.state.framework()), (None, Some("f")));
        assert_eq!(script.state.summary(script.now).tasks, [("TASK_GONE".to_owned(), 3)].into());
        script.write();
        assert_eq!(marks(&script), [None, None]);
    }
}

/// The scheduler is stopping without TEARDOWN when the master removes the framework.
#[test]
fn a_removal_while_the_scheduler_ends_is_marked() {
    for new_framework in [false, true] {
        let mut script = Script::workers_of(where_new_framework(new_framework));
        script.update(status("miner-worker-2", TaskState::TaskFailed, 2));
        script.event(Event::Stop);
        assert!(!script.finished, "an update is not on disk yet");
        script.event(REMOVED);
        assert!(script.finished);
        script.write();
        assert!(script.acknowledged().is_empty());
        assert!(marks(&script).iter().all(Option::is_some));
        let states: Vec<_> = script.disk.recover().tasks.iter().filter_map(|task| task.state).collect();
        assert_eq!(states, [TaskState::TaskGone, TaskState::TaskFailed, TaskState::TaskGone]);
    }
}
