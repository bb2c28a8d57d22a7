//! Operators pause mining.

use super::*;

#[test]
fn paused_workers_are_told_until_they_confirm_and_keep_their_tasks() {
    let mut script = Script::with_workers();
    WORKERS.iter().for_each(|worker| script.worker_says(worker, Some(false)));
    script.obey(Order::Pause { release: false });
    assert!(script.calls.contains(&Call::Suppress));
    script.wait(SECOND);
    assert_eq!(script.told_to_pause(), all(&WORKERS, true));
    script.worker_says(WORKERS[0], Some(true));
    script.worker_says(WORKERS[1], Some(false));
    script.wait(60 * SECOND);
    assert_eq!(script.told_to_pause(), all(&WORKERS[1..], true), "the message may be lost");
    script.worker_says(WORKERS[1], Some(true));
    script.offers("o4", "b");
    script.wait(10 * SECOND);
    assert!(script.launched().is_empty() && script.killed().is_empty());
    let problems = script.state.overview(script.now).problems;
    let paused = problems.first.iter().find(|problem| problem.kind == ProblemKind::MiningPaused).unwrap();
    assert!(paused.text.starts_with("paused by alice (127.0.0.1) since Thu, 01 Jan 1970"), "{paused}");

    script.obey(Order::Resume);
    assert!(script.calls.contains(&Call::Revive));
    script.wait(SECOND);
    assert_eq!(script.told_to_pause(), all(&WORKERS, false));
    script.worker_says(WORKERS[0], Some(true));
    assert_eq!(script.told_to_pause(), all(&WORKERS[..1], false));
    WORKERS.iter().for_each(|worker| script.worker_says(worker, Some(false)));
    script.wait(10 * SECOND);
    assert_eq!(script.told_to_pause(), []);
    assert!(script.state.overview(script.now).steering.pause.is_none());
}

#[test]
fn workers_on_their_way_are_told_and_those_that_are_not_sent_are_not_launched() {
    let mut script = Script::with_workers();
    script.offers("o4", "c");
    assert_eq!(script.launched(), ["miner-worker-4"]);
    script.clear();
    script.event(Event::Offers(vec![offer("o5", "d", 2.0, 700)]));
    script.give(Order::Pause { release: false });
    // The launch is on disk before the pause, so it is sent before the pause is known.
    script.write_some(1);
    assert_eq!(script.launched(), ["miner-worker-5"]);
    script.event(Event::Offers(vec![offer("o6", "e", 2.0, 700)]));
    script.write();
    assert_eq!(script.declined(), ["o6"], "it was not sent yet");
    script.wait(SECOND);
    script.told_to_pause();
    for task in ["miner-worker-4", "miner-worker-5"] {
        script.update(status(task, TaskState::TaskStarting, 1));
        script.write();
        assert_eq!(script.told_to_pause(), all(&[task], true));
        script.worker_says(task, Some(false));
        assert_eq!(script.told_to_pause(), all(&[task], true));
    }
}

#[test]
fn workers_that_cannot_be_told_end() {
    let mut script = Script::with_workers();
    script.worker_says(WORKERS[0], Some(false));
    script.worker_says(WORKERS[1], None);
    script.obey(Order::Pause { release: false });
    script.wait(SECOND);
    assert_eq!(script.killed(), ["miner-worker-3"]);
    let told = script.all_said();
    assert!(
        told.contains("1 worker cannot be told to pause") && told.contains("end: miner-worker-3"),
        "{told}"
    );
    assert_eq!(script.told_to_pause(), all(&WORKERS[..1], true));
}

#[test]
fn the_pause_survives_restarts_and_failovers() {
    let mut script = Script::with_workers();
    script.obey(Order::Pause { release: false });
    for restart in [Script::restart as fn(&mut Script), |script| script.hand_over(true)] {
        restart(&mut script);
        script.subscribe();
        assert!(script.all_said().contains("paused by alice"), "{}", script.all_said());
        script.server_speaks(None);
        script.wait(2 * SECOND);
        assert_eq!(script.told_to_pause(), all(&WORKERS, true));
        WORKERS.iter().for_each(|worker| script.worker_says(worker, Some(true)));
        script.offers("o5", "b");
        assert!(script.launched().is_empty() && script.told_to_pause().is_empty());
    }
}

#[test]
fn released_workers_end_and_offers_are_suppressed_until_resume() {
    let mut script = Script::with_workers();
    script.obey(Order::Pause { release: false });
    let answer = script.order(Order::Pause { release: true }).unwrap();
    assert_eq!(answer.tasks, 2);
    script.wait(SECOND);
    assert_eq!(script.killed(), WORKERS);
    assert!(script.calls.contains(&Call::Suppress));
    script.all_killed(&WORKERS);
    script.clear();
    script.restart();
    script.subscribe();
    script.server_speaks(None);
    script.wait(5 * SECOND);
    assert_eq!(script.calls.iter().filter(|call| **call == Call::Suppress).count(), 1, "{:?}", script.calls);
    script.offers("o5", "b");
    assert!(script.launched().is_empty());
    script.obey(Order::Resume);
    assert!(script.calls.contains(&Call::Revive));
    script.offers("o6", "b");
    assert_eq!(script.launched().len(), 1);
}
