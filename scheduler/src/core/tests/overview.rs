//! The overview has a bounded size and exact figures.

use std::time::Duration;

use ::task::{Live, WorkerLive};
use problem::{Problem, ProblemKind};

use super::*;
use crate::core::{MAX_PAGE, Overview, TaskPage};
use crate::history::Topic;

const WORKERS: u64 = 25;

/// A server, and a running worker on each of 25 agents. Workers with an even number have sent their hashrate.
fn many() -> Script {
    let mut script = Script::with_server();
    for n in 2..2 + WORKERS {
        script.event(Event::Offers(vec![offer(&format!("o{n}"), &format!("agent{n}"), 2.0, 700)]));
        script.write();
        let id = worker(n);
        assert_eq!(script.launched().last(), Some(&id));
        script.update(status(&id, TaskState::TaskRunning, 1));
        script.write();
    }
    for n in (2..2 + WORKERS).filter(|n| n % 2 == 0) {
        // Later workers are slower.
        tell(&mut script, n, 1e6 / n as f64);
    }
    script
}

fn worker(n: u64) -> String {
    format!("miner-worker-{n}")
}

fn tell(script: &mut Script, n: u64, hashrate: f64) {
    let data = Live::Worker(WorkerLive { hashrate, ..WorkerLive::default() }).encode();
    script.event(Event::Message { executor: worker(n), data });
}

fn overview(script: &Script) -> Overview {
    script.state.overview(script.now)
}

fn ids(page: &TaskPage) -> Vec<&str> {
    page.tasks.iter().map(|task| task.id.as_str()).collect()
}

#[test]
fn the_figures_are_sums_over_all_tasks_and_the_lists_are_short() {
    let script = many();
    let overview = overview(&script);
    assert_eq!(overview.live_states["TASK_RUNNING"], WORKERS + 1);
    assert_eq!((overview.running_workers, overview.reporting_workers), (WORKERS, 13));
    let cpus: u64 = script.state.tasks(None, MAX_PAGE, script.now).tasks.iter().map(|it| it.cpus_milli).sum();
    assert_eq!(overview.cpus_milli, cpus);
    let hashrate: f64 = (1..=13).map(|n| 1e6 / (2 * n) as f64).sum();
    assert!((overview.hashrate - hashrate).abs() < 1.0, "{}", overview.hashrate);
    assert_eq!(overview.servers.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["miner-server-1"]);
    let slowest: Vec<&str> = overview.slowest.iter().map(|task| task.id.as_str()).collect();
    let expected: Vec<String> = (0..10).map(|n| worker(26 - 2 * n)).collect();
    assert_eq!(slowest, expected);
}

#[test]
fn workers_without_a_recent_hashrate_come_last() {
    let mut script = many();
    script.now += Duration::from_secs(21);
    tell(&mut script, 8, 5.0);
    tell(&mut script, 7, 4.0);
    let overview = overview(&script);
    assert_eq!((overview.reporting_workers, overview.hashrate), (2, 9.0));
    let slowest: Vec<&str> = overview.slowest.iter().map(|task| task.id.as_str()).collect();
    let expected = [7, 8, 2, 3, 4, 5, 6, 9, 10, 11].map(worker);
    assert_eq!(slowest, expected);
}

/// A fleet that an operator has paused is not one in which no worker mines.
#[test]
fn paused_workers_have_no_hashrate_and_are_not_slow() {
    let mut script = many();
    let live = WorkerLive { paused: Some(true), ..WorkerLive::default() };
    let pause = |script: &mut Script, n| {
        let data = Live::Worker(live.clone()).encode();
        script.event(Event::Message { executor: worker(n), data });
    };
    pause(&mut script, 8);
    let some = overview(&script);
    assert_eq!((some.reporting_workers, some.slowest[0].id == worker(8)), (12, false));
    (2..WORKERS + 2).for_each(|n| pause(&mut script, n));
    let all = overview(&script);
    assert_eq!((all.reporting_workers, all.hashrate, all.mines()), (0, 0.0, true));
    tell(&mut script, 8, 5.0);
    let again = overview(&script);
    assert_eq!((again.reporting_workers, again.hashrate), (1, 5.0));
    assert_eq!(again.slowest[0].id, worker(8));
}

#[test]
fn only_the_newest_failures_are_shown_with_their_messages() {
    let mut script = many();
    for n in 2..15 {
        let message = Some(format!("it crashed {n}"));
        script.update(TaskStatus { message, ..status(&worker(n), TaskState::TaskFailed, 2) });
        script.write();
        script.now += Duration::from_secs(1);
    }
    // This worker ends in TASK_FINISHED, which is not a failure.
    script.update(status(&worker(20), TaskState::TaskFinished, 2));
    script.write();
    let overview = overview(&script);
    let tasks: Vec<&str> = overview.failures.iter().map(|failure| failure.task.as_str()).collect();
    assert_eq!(tasks, (5..15).rev().map(worker).collect::<Vec<_>>());
    let newest = &overview.failures[0];
    assert_eq!((newest.ago, newest.host.as_str()), (Duration::from_secs(1), "agent14.host"));
    assert!(newest.text.contains("TASK_FAILED") && newest.text.contains("it crashed 14"), "{newest:?}");
    assert_eq!(overview.ended_states().collect::<Vec<_>>(), [("TASK_FAILED", 13), ("TASK_FINISHED", 1)]);
}

#[test]
fn each_reason_is_shown_once_and_their_number_is_bounded() {
    let mut script = Script::new();
    script.subscribe();
    for n in 0..23 {
        for agent in ["a", "b"] {
            let mut offer = offer(&format!("o{agent}{n}"), &format!("{agent}{n}"), 0.01, 700);
            offer.hostname = format!("host{n}");
            script.event(Event::Offers(vec![offer]));
        }
    }
    let problems = overview(&script).problems;
    assert_eq!((problems.first.len(), problems.more), (20, 3), "{problems:?}");
}

#[test]
fn what_an_operator_can_act_on_comes_first() {
    let mut settings = settings();
    settings.placement.workers = vec!["hostname:UNLIKE:c.host".parse().unwrap()];
    // The server takes all of agent a but 0 CPU and 768 MB.
    let mut script = Script::server_of(settings);
    for (agent, cpus) in [("a", 0.0), ("b", 0.05), ("c", 2.0)] {
        script.event(Event::Offers(vec![offer(&format!("o-{agent}"), agent, cpus, 768)]));
        script.write();
    }
    let problem = Some(Problem::new(ProblemKind::PoolRefusesUser, "the pool refuses user"));
    script.event(Event::Problem { topic: Topic::Subscription, problem });
    let kinds = |script: &Script| -> Vec<ProblemKind> {
        overview(script).problems.first.iter().map(|problem| problem.kind).collect()
    };
    use ProblemKind::{AgentTooSmall, ConstraintNotMet, PoolRefusesUser};
    // No agent has a worker, so even the agent that the server fills is a problem.
    assert_eq!(kinds(&script), [PoolRefusesUser, ConstraintNotMet, AgentTooSmall, AgentTooSmall]);
    let text = &overview(&script).problems.first[2].text;
    assert!(text.contains("0 CPU and 768 MB are left"), "{text}");
    assert!(text.ends_with("miner-server-1 takes 1 CPU there"), "{text}");
    script.event(Event::Offers(vec![offer("o-d", "d", 1.0, 768)]));
    script.write();
    assert_eq!(kinds(&script), [PoolRefusesUser, ConstraintNotMet, AgentTooSmall, ProblemKind::AgentFull]);
    script.event(Event::Problem { topic: Topic::Subscription, problem: None });
    assert_eq!(kinds(&script), [ConstraintNotMet, AgentTooSmall, ProblemKind::AgentFull]);
}

#[test]
fn a_paused_agent_is_named_with_its_last_failure() {
    let mut script = Script::with_server();
    script.event(Event::Offers(vec![offer("o2", "b", 1.0, 768)]));
    script.write();
    let failed = TaskStatus {
        message: Some("cannot open its eyes".to_owned()),
        ..status("miner-worker-2", TaskState::TaskFailed, 2)
    };
    script.update(failed);
    script.write();
    script.event(Event::Offers(vec![offer("o3", "b", 1.0, 768)]));
    let problems = overview(&script).problems;
    let paused = problems.first.iter().find(|problem| problem.kind == ProblemKind::AgentPaused);
    let text = &paused.expect("it is listed").text;
    assert!(text.starts_with("nothing is launched on b.host for "), "{text}");
    assert!(text.contains("the last: ") && text.contains("cannot open its eyes"), "{text}");
}

#[test]
fn pages_go_through_all_live_tasks_once_in_the_order_of_their_launch() {
    let mut script = many();
    script.update(status(&worker(9), TaskState::TaskFinished, 2));
    script.write();
    let all = script.state.tasks(None, MAX_PAGE, script.now);
    assert_eq!((all.tasks.len() as u64, &all.next), (WORKERS, &None));
    let mut expected = vec!["miner-server-1".to_owned()];
    expected.extend((2..2 + WORKERS).filter(|n| *n != 9).map(worker));
    assert_eq!(ids(&all), expected);
    for limit in 1..=30 {
        let (mut after, mut seen) = (None::<String>, Vec::new());
        loop {
            let page = script.state.tasks(after.as_deref(), limit, script.now);
            assert!(page.tasks.len() <= limit);
            seen.extend(ids(&page).into_iter().map(str::to_owned));
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        assert_eq!(seen, expected, "{limit} at a time");
    }
}

#[test]
fn a_page_after_a_task_that_is_gone_begins_where_it_stood() {
    let mut script = many();
    script.update(status(&worker(9), TaskState::TaskFinished, 2));
    script.write();
    let after = |id: &str| script.state.tasks(Some(id), 1, script.now).tasks.first().map(|it| it.id.clone());
    assert_eq!(after("miner-worker-9"), Some(worker(10)));
    assert_eq!(after("miner-server-1"), Some(worker(2)));
    assert_eq!(after("miner-worker-26"), None);
    assert_eq!(after("miner-worker-999"), None);
    assert_eq!(script.state.tasks(None, 0, script.now).tasks.len(), 1);
}
