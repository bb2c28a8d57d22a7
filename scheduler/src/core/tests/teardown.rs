//! TEARDOWN at the end of a run, when the process dies or the answer is lost: the next run knows who tore the framework down.

use super::*;

/// Whether TEARDOWN was about to be sent, according to the disk and to ZooKeeper. `None` if there is no framework.
fn marks(script: &Script) -> [Option<bool>; 2] {
    [script.disk.recover(), script.disk.shared()].map(|records| Some(records.framework?.tearing_down))
}

/// A framework with `--teardown-on-exit` whose shutdown has begun. Its tasks have ended, and nothing of this is on disk.
fn ending() -> Script {
    let mut script = Script::with_workers();
    script.event(Event::Stop);
    for task in ["miner-worker-2", "miner-worker-3", "miner-server-1"] {
        script.update(status(task, TaskState::TaskKilled, 2));
    }
    script.clear();
    script
}

fn tore_down(script: &Script) -> bool {
    script.calls.contains(&Call::Teardown)
}

/// The process dies, and another one starts.
fn restart(script: &mut Script) {
    script.finished = false;
    script.restart();
}

#[test]
fn a_teardown_is_recorded_before_it_is_sent() {
    let mut script = ending();
    while !matches!(script.queue[..], [(_, Change::TearingDown(true))]) {
        assert!(!tore_down(&script) && !script.finished, "{:?}", script.queue);
        script.write_some(1);
    }
    assert!(!tore_down(&script) && !script.finished);
    script.write();
    assert!(tore_down(&script) && script.finished);
    assert_eq!(marks(&script), [Some(true), Some(true)]);
}

/// The process dies after each of its writes. If TEARDOWN was sent, the master has removed the framework, and the next run begins
/// a new one. If not, the next run continues the framework.
#[test]
fn whenever_the_process_dies_the_next_run_goes_on() {
    let mut after_teardown = false;
    for writes in 0..20 {
        let mut script = ending();
        for _ in 0..writes {
            let one = script.queue.len().min(1);
            script.write_some(one);
        }
        let sent = tore_down(&script);
        after_teardown |= sent;
        restart(&mut script);
        if sent {
            script.event(Event::Removed { now_ms: 5 });
            assert!(!script.finished, "the operator wants a scheduler again");
            let said = matches!(&script.notices[..], [UserNotice::TornDown(framework)] if framework == "f");
            assert!(said, "{:?}", script.notices);
            script.event(Event::Subscribed("g".into()));
            script.write();
            assert_eq!(script.disk.recover().framework.unwrap().id, "g");
        } else {
            script.subscribe();
            script.write();
            assert_eq!(script.state.framework(), Some("f"));
        }
        assert_eq!(marks(&script), [Some(false), Some(false)], "after {writes} writes");
    }
    assert!(after_teardown);
}

/// The master never got TEARDOWN, so the framework goes on. If an operator removes it later, the scheduler begins no new
/// framework.
#[test]
fn a_framework_that_goes_on_is_not_taken_for_torn_down_later() {
    let mut script = ending();
    script.write();
    script.settings.options.teardown_on_exit = false;
    restart(&mut script);
    script.subscribe();
    script.write();
    assert_eq!(marks(&script), [Some(false), Some(false)]);
    script.event(Event::Offers(vec![offer("o9", "a", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-server-4"]);
    script.event(Event::Removed { now_ms: 5 });
    assert!(script.finished && script.state.removal().is_some());
}

/// Without a subscription, the scheduler cannot send TEARDOWN. If the framework is torn down later, an operator has done it.
#[test]
fn without_a_subscription_no_teardown_is_recorded() {
    let mut script = ending();
    script.event(Event::Disconnected);
    script.write();
    script.wait(Duration::from_secs(60));
    assert!(script.finished && !tore_down(&script));
    assert_eq!(marks(&script), [Some(false), Some(false)]);
}

#[test]
fn a_disk_that_fails_delays_the_teardown_only_for_a_while() {
    let mut script = ending();
    while !matches!(script.queue[..], [(_, Change::TearingDown(true))]) {
        script.write_some(1);
    }
    script.wait(Duration::from_secs(4));
    assert!(!script.finished);
    script.wait(Duration::from_secs(2));
    assert!(tore_down(&script) && script.finished);
}

/// The next run is stopped before it has subscribed, and the master says that the framework is gone.
#[test]
fn the_end_of_a_framework_that_an_earlier_run_tore_down_is_recorded() {
    let mut script = ending();
    script.write();
    script.settings.options.teardown_on_exit = false;
    restart(&mut script);
    // A change is not on disk yet, so the run does not end at once.
    script.update(status("miner-worker-9", TaskState::TaskFailed, 1));
    script.event(Event::Stop);
    assert!(!script.finished);
    script.event(Event::Removed { now_ms: 5 });
    assert!(script.finished);
    script.write();
    assert_eq!(marks(&script), [None, None]);
}

/// A leader on another machine learns from ZooKeeper that the previous leader has torn the framework down.
#[test]
fn another_leader_begins_anew_after_our_own_teardown() {
    for empty_disk in [false, true] {
        let mut script = ending();
        script.write();
        script.finished = false;
        script.hand_over(empty_disk);
        script.event(Event::Removed { now_ms: 5 });
        assert!(!script.finished);
        script.write();
        assert_eq!(marks(&script), [None, None]);
    }
}
