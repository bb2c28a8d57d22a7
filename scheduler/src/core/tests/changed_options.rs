//! The scheduler is restarted with other options. Then running tasks are replaced or ended.

use ::task::WorkerLive;
use mesos::v1::TaskInfo;

use problem::ProblemKind;

use super::*;
use crate::offers::WorkerLimits;
use crate::server_address::stratum_url;
use crate::store::memory::folder_of_format_1;

mod limits;
mod no_room;
mod pool;
mod server;

const MINUTE: Duration = Duration::from_secs(60);

/// A script with a server on `a`, and this many workers on agents of their own: miner-worker-2 on `b2` and so on.
fn fleet_of(mut settings: Settings, workers: u64) -> Script {
    // The workers of this script send no live messages.
    settings.options.silence_timeout = 1000 * MINUTE;
    let mut script = Script::server_of(settings);
    for number in 2..workers + 2 {
        launch(&mut script, number);
    }
    script.clear();
    script
}

/// Launches the worker with this number on an agent of its own. It mines.
fn launch(script: &mut Script, number: u64) {
    offer_to(script, number);
    run(script, &format!("miner-worker-{number}"), &format!("b{number}"));
}

/// Offers what the worker with this number needs, on an agent of its own.
fn offer_to(script: &mut Script, number: u64) {
    script.event(Event::Offers(vec![offer(&format!("o{number}"), &format!("b{number}"), 1.0, 512)]));
    script.write();
}

/// A task runs. If it is a worker, it has mined.
fn run(script: &mut Script, task: &str, agent: &str) {
    run_with(script, task, agent, Some(report(task, 1, 1)));
}

fn run_with(script: &mut Script, task: &str, agent: &str, data: Option<Vec<u8>>) {
    let update = status(task, TaskState::TaskRunning, 1);
    script.update(TaskStatus { agent_id: Some(agent.into()), data, ..update });
    script.write();
}

/// The master answers RECONCILE about this worker, whose agent was unreachable or has returned.
fn reachable(script: &mut Script, number: u64, state: TaskState) {
    let agent_id = Some(format!("b{number}").as_str().into());
    let update = status(&format!("miner-worker-{number}"), state, 0);
    script.update(TaskStatus { uuid: None, agent_id, ..update });
    script.write();
}

/// The scheduler is started again with changed options.
fn restart_with(script: &mut Script, change: impl FnOnce(&mut Settings)) {
    change(&mut script.settings);
    script.restart();
    script.subscribe();
    script.server_speaks(None);
    answer_all(script);
    script.clear();
}

/// Like [`restart_with`]. The minute in which no worker is replaced is over in one second.
fn restart_a_minute_ago_with(script: &mut Script, change: impl FnOnce(&mut Settings)) {
    restart_with(script, change);
    script.wait(MINUTE - Duration::from_secs(1));
}

/// The master answers RECONCILE for all tasks: nothing has changed.
fn answer_all(script: &mut Script) {
    let asked = |call: &Call| match call {
        Call::Reconcile(tasks) => tasks.clone(),
        _ => Vec::new(),
    };
    for (task, agent) in script.calls.iter().flat_map(asked).collect::<Vec<_>>() {
        let state = script.task(&task).state().unwrap_or(TaskState::TaskStaging);
        let agent_id = Some(agent.as_str().into());
        script.update(TaskStatus { uuid: None, agent_id, ..status(&task, state, 0) });
    }
    script.write();
}

/// Lets `time` pass. Returns the tasks that are told to end meanwhile, each once, in the order of their first KILL. They end
/// immediately.
fn killed_within(script: &mut Script, time: Duration) -> Vec<String> {
    killed_by(script, |_| {}, time)
}

/// Calls `happens` and lets `time` pass. Returns the tasks that are told to end meanwhile.
fn killed_by(script: &mut Script, happens: impl FnOnce(&mut Script), time: Duration) -> Vec<String> {
    let end = script.now + time;
    script.calls.retain(|call| !matches!(call, Call::Kill { .. }));
    happens(script);
    script.write();
    let mut killed: Vec<String> = Vec::new();
    while script.now < end {
        script.wait(Duration::from_millis(500));
        for task in script.killed().into_iter().map(str::to_owned).collect::<Vec<_>>() {
            if !killed.contains(&task) {
                script.update(status(&task, TaskState::TaskKilled, 9));
                killed.push(task);
            }
        }
        script.write();
    }
    killed
}

fn workers(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("miner-worker-{number}")).collect()
}

fn told(script: &Script) -> String {
    script.notices.iter().map(|notice| format!("{notice}\n")).collect()
}

/// The tasks launched so far.
fn task_infos(script: &Script) -> Vec<TaskInfo> {
    let tasks = |call: &Call| match call {
        Call::Accept { tasks, .. } => tasks.clone(),
        _ => Vec::new(),
    };
    script.calls.iter().flat_map(tasks).collect()
}

fn user(task: &TaskInfo) -> Option<&str> {
    let command =
        task.executor.as_ref().and_then(|executor| executor.command.as_ref()).or(task.command.as_ref());
    command.and_then(|command| command.user.as_deref())
}

#[test]
fn the_same_options_replace_nothing() {
    let mut script = fleet_of(settings(), 6);
    restart_with(&mut script, |_| {});
    assert_eq!(killed_within(&mut script, 60 * MINUTE), workers([]));
    script.hand_over(true);
    script.subscribe();
    script.server_speaks(None);
    assert_eq!(
        killed_within(&mut script, 60 * MINUTE),
        workers([]),
        "another scheduler leads, with the same options"
    );
}

#[test]
fn workers_with_other_options_are_replaced_one_by_one() {
    let mut script = fleet_of(settings(), 3);
    restart_a_minute_ago_with(&mut script, |settings| {
        settings.template.options.backend = Some("portable".into())
    });
    for (old, new) in [(2, 5), (3, 6), (4, 7)] {
        assert_eq!(killed_within(&mut script, MINUTE), workers([old]));
        let told = told(&script);
        assert!(
            told.contains(&format!("replacing miner-worker-{old} (launched with other options)")),
            "{told}"
        );
        assert_eq!(killed_within(&mut script, 5 * MINUTE), workers([]), "its successor does not mine yet");
        script.clear();
        launch(&mut script, new);
        let TaskSpec { kind: ProgramSpec::Worker(spec), .. } =
            TaskSpec::decode(task_infos(&script)[0].data()).unwrap()
        else {
            panic!("no worker")
        };
        assert_eq!(spec.backend.as_deref(), Some("portable"));
        script.clear();
    }
    assert_eq!(killed_within(&mut script, 60 * MINUTE), workers([]));
    restart_a_minute_ago_with(&mut script, |_| {});
    assert_eq!(killed_within(&mut script, 60 * MINUTE), workers([]));
}

/// The pace is not in the records, so a scheduler that starts cannot know that the one before has just replaced a worker.
#[test]
fn a_scheduler_that_restarts_again_and_again_replaces_no_more_than_one_a_minute() {
    let mut script = fleet_of(settings(), 6);
    script.settings.template.options.backend = Some("none such".into());
    for _ in 0..5 {
        script.restart();
        script.subscribe();
        script.server_speaks(None);
        answer_all(&mut script);
        assert_eq!(killed_within(&mut script, MINUTE * 58 / 60), workers([]));
    }
    assert_eq!(killed_within(&mut script, MINUTE / 20), workers([2]));
}

#[test]
fn replacing_is_paused_while_it_fails_and_goes_on() {
    let mut script = fleet_of(settings(), 4);
    restart_a_minute_ago_with(&mut script, |settings| {
        settings.template.options.backend = Some("none such".into())
    });
    assert_eq!(killed_within(&mut script, 19 * MINUTE), workers([2]));
    assert!(told(&script).contains("replacing workers is paused"), "{}", told(&script));
    let overview = script.state.overview(script.now);
    assert!(overview.problems.texts().any(|text| text.contains("paused")), "{:?}", overview.problems);
    assert!(script.kinds().contains(&ProblemKind::ReplacementPaused), "{:?}", script.kinds());
    assert_eq!(killed_within(&mut script, 2 * MINUTE), workers([3]), "one is tried");
    assert_eq!(killed_within(&mut script, 25 * MINUTE), workers([]));
    script.clear();
    launch(&mut script, 6);
    assert_eq!(killed_within(&mut script, MINUTE), workers([4]));
    assert!(told(&script).contains("replacing 1 worker that"), "{}", told(&script));
}

/// The options change while a worker is unreachable. When the worker returns, it still has the old options.
#[test]
fn a_worker_that_returns_later_is_replaced_too() {
    for (before, after) in [
        (TaskState::TaskUnreachable, TaskState::TaskRunning),
        (TaskState::TaskUnreachable, TaskState::TaskStarting),
        (TaskState::TaskLost, TaskState::TaskRunning),
    ] {
        let mut script = fleet_of(settings(), 1);
        reachable(&mut script, 2, before);
        restart_with(&mut script, |settings| settings.template.options.backend = Some("portable".into()));
        assert_eq!(killed_within(&mut script, 5 * MINUTE), workers([]), "it cannot be reached");
        reachable(&mut script, 2, after);
        reachable(&mut script, 2, TaskState::TaskRunning);
        assert_eq!(killed_within(&mut script, MINUTE), workers([2]), "{before:?}, {after:?}");
        assert!(told(&script).contains("replacing miner-worker-2 (launched with other options)"));
    }
    let mut script = fleet_of(settings(), 1);
    reachable(&mut script, 2, TaskState::TaskUnreachable);
    restart_with(&mut script, |_| {});
    killed_within(&mut script, 5 * MINUTE);
    reachable(&mut script, 2, TaskState::TaskRunning);
    assert_eq!(killed_within(&mut script, 60 * MINUTE), workers([]), "its options are those of today");
}

/// With the changed option, new workers fail, or run without mining. The scheduler ends one old worker, and then no more.
#[test]
fn successors_that_run_without_mining_do_not_count() {
    for (fails, mined) in [(true, 0), (true, 1), (false, 0)] {
        let mut script = fleet_of(settings(), 20);
        restart_a_minute_ago_with(&mut script, |settings| {
            settings.template.options.backend = Some("avx512".into())
        });
        assert_eq!(killed_within(&mut script, MINUTE), workers([2]));
        // This test launches only two new workers, because the scheduler limits all launches after a third failure.
        for number in 22..24 {
            let (task, agent) = (format!("miner-worker-{number}"), format!("b{number}"));
            offer_to(&mut script, number);
            run_with(&mut script, &task, &agent, Some(report(&task, 1, mined)));
            script.wait(MINUTE / 60);
            if fails {
                let agent_id = Some(agent.as_str().into());
                let failed = status(&task, TaskState::TaskFailed, 2);
                script.update(TaskStatus { agent_id, ..failed });
                script.write();
            }
            assert_eq!(killed_within(&mut script, 4 * MINUTE), workers([]), "{fails} {mined} {number}");
        }
        assert_eq!(killed_within(&mut script, 3 * MINUTE), workers([]));
        assert!(told(&script).contains("replacing workers is paused"), "{}", told(&script));
    }
}

/// A live message comes earlier than a report, and also shows that the worker mines, or is paused. A user's own image sends neither.
#[test]
fn a_live_message_or_a_users_image_that_runs_for_a_while_counts() {
    for live in [
        WorkerLive { hashrate: 1e6, ..WorkerLive::default() },
        WorkerLive { paused: Some(true), ..WorkerLive::default() },
    ] {
        let mut script = fleet_of(settings(), 2);
        restart_a_minute_ago_with(&mut script, |settings| {
            settings.template.options.backend = Some("portable".into())
        });
        assert_eq!(killed_within(&mut script, 2 * MINUTE), workers([2]));
        offer_to(&mut script, 4);
        run_with(&mut script, "miner-worker-4", "b4", None);
        script.wait(MINUTE);
        let data = Live::Worker(live).encode();
        script.event(Event::Message { executor: "miner-worker-4".into(), data });
        assert_eq!(killed_within(&mut script, MINUTE / 20), workers([3]));
    }

    let mut script = fleet_of(settings(), 2);
    restart_a_minute_ago_with(&mut script, |settings| {
        settings.template.programs.worker = Some(somebody_elses_worker())
    });
    assert_eq!(killed_within(&mut script, 2 * MINUTE), workers([2]));
    offer_to(&mut script, 4);
    run_with(&mut script, "miner-worker-4", "b4", None);
    assert_eq!(killed_within(&mut script, 58 * MINUTE / 60), workers([]));
    assert_eq!(killed_within(&mut script, MINUTE / 10), workers([3]));
}

#[test]
fn the_tasks_of_earlier_versions_are_not_replaced() {
    let outcome = |change: fn(&mut Settings)| {
        let recovered = folder_of_format_1();
        assert!(
            recovered.live_tasks() > 0 && recovered.tasks.iter().all(|task| task.specification.is_none())
        );
        let mut script = Script::new();
        change(&mut script.settings);
        script.state = State::new(script.settings.clone(), recovered, &Ages::default(), script.now);
        script.subscribe();
        script.wait(MINUTE / 2);
        (script.killed().into_iter().map(str::to_owned).collect::<Vec<_>>(), told(&script))
    };
    let changed = outcome(|settings| {
        settings.template.options.backend = Some("portable".into());
        settings.template.options.share_interval = Duration::from_secs(2);
        settings.template.user = "nobody".into();
    });
    assert_eq!(changed, outcome(|_| {}));
}
