//! Slow launches: the user is told what a launch waits for. After `--launch-timeout`, the launch is given up.

use problem::ProblemKind;

use super::*;
use crate::artifact::DownloadStats;
use crate::offers::WorkerLimits;
use crate::task_info::ServerProgram;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
/// The default of `--launch-timeout`.
const LIMIT: Duration = Duration::from_secs(15 * 60);
/// The states before TASK_RUNNING that Mesos reports.
const EARLY: [TaskState; 2] = [TaskState::TaskStaging, TaskState::TaskStarting];

fn one_worker() -> Settings {
    let limits = WorkerLimits { max_workers: Some(1), ..WorkerLimits::default() };
    Settings { placement: Placement { limits, ..Placement::default() }, ..settings() }
}

fn served_here() -> Settings {
    let delivery = Delivery::Fetch { uri: "http://h:1/x/mesos-miner".into(), cache: true };
    Settings { template: crate::task_info::TaskTemplate { delivery, ..settings().template }, ..settings() }
}

impl Script {
    /// An answer to RECONCILE.
    fn answer(&mut self, task: &str, state: TaskState) {
        self.update(TaskStatus { uuid: None, ..status(task, state, 0) });
        self.write();
    }

    fn offered(&mut self, agent: &str) {
        self.event(Event::Offers(vec![offer(&format!("o-{agent}"), agent, 2.0, 1024)]));
        self.write();
    }

    pub(super) fn said(&self) -> Vec<String> {
        self.notices.iter().map(ToString::to_string).collect()
    }

    pub(super) fn kinds(&self) -> Vec<ProblemKind> {
        self.state.overview(self.now).problems.first.iter().map(|problem| problem.kind).collect()
    }

    pub(super) fn remarks(&self) -> Vec<String> {
        self.state.overview(self.now).problems.texts().map(str::to_owned).collect::<Vec<_>>()
    }
}

/// A script in which the server's launch was just sent to agent `a`.
fn launching(settings: Settings) -> Script {
    let mut script = Script::with(settings);
    script.subscribe();
    script.offered("a");
    assert_eq!(script.launched(), ["miner-server-1"]);
    script.clear();
    script
}

#[test]
fn a_server_that_does_not_start_is_replaced_on_another_agent() {
    for state in EARLY {
        let mut script = launching(settings());
        script.answer("miner-server-1", state);
        script.wait(LIMIT - SECOND);
        assert!(script.killed().is_empty(), "{:?}", script.said());
        script.wait(3 * SECOND);
        assert!(script.killed().contains(&"miner-server-1"), "{:?}", script.said());
        let gave_up = format!(
            "giving up on miner-server-1: it was still in {} after 15 min (--launch-timeout)",
            state.as_str_name()
        );
        assert!(script.said().contains(&gave_up), "{:?}", script.said());
        let paused = "nothing is launched on a.host for 5 min (failures in a row: 1";
        assert!(script.said().iter().any(|text| text.starts_with(paused)), "{:?}", script.said());
        assert_eq!(script.state.overview(script.now).failures.len(), 1, "counted once");
        script.wait(2 * MINUTE);
        script.offered("a");
        assert!(script.launched().is_empty(), "{state:?}: not on the same agent again");
        script.offered("b");
        assert_eq!(script.launched(), ["miner-server-2"]);
        script.update(status("miner-server-1", TaskState::TaskKilled, 2));
        script.write();
        assert_eq!(script.state.overview(script.now).failures.len(), 1, "its end is no further failure");
    }
}

/// An agent may drop a launch without a word. The master says TASK_STAGING forever.
#[test]
fn a_worker_that_stays_in_task_staging_is_given_up_and_its_slot_is_free() {
    for state in EARLY {
        let mut script = Script::server_of(one_worker());
        script.offered("b");
        script.wait(15 * SECOND);
        script.answer("miner-worker-2", state);
        script.wait(LIMIT - 16 * SECOND);
        assert!(script.killed().is_empty(), "{:?}", script.said());
        script.wait(3 * SECOND);
        assert_eq!(script.killed(), ["miner-worker-2"]);
        assert!(
            script.calls.contains(&Call::Shutdown { executor: "miner-worker-2".into(), agent: "b".into() })
        );
        script.clear();
        script.offered("c");
        assert_eq!(script.launched(), ["miner-worker-3"], "although the first one has not ended");
        script.wait(MINUTE);
        assert!(script.killed().contains(&"miner-worker-2"), "it is killed until it has ended");
        script.answer("miner-worker-2", TaskState::TaskRunning);
        assert!(!script.state.overview(script.now).servers.is_empty());
        script.wait(MINUTE);
        assert!(!script.killed().contains(&"miner-worker-3"), "the late one does not take its place back");
    }
}

#[test]
fn a_users_image_has_the_same_limit() {
    let mut settings = settings();
    settings.template.programs.worker = Some(somebody_elses_worker());
    let mut script = Script::server_of(settings);
    script.offered("b");
    script.answer("miner-worker-2", TaskState::TaskStarting);
    script.wait(LIMIT - SECOND);
    assert!(script.killed().is_empty(), "{:?}", script.said());
    script.wait(3 * SECOND);
    assert_eq!(script.killed(), ["miner-worker-2"]);
}

#[test]
fn a_task_that_runs_in_time_is_not_given_up() {
    let mut script = launching(settings());
    script.answer("miner-server-1", TaskState::TaskStaging);
    script.wait(LIMIT - 5 * SECOND);
    script.update(status("miner-server-1", TaskState::TaskRunning, 1));
    script.write();
    script.wait(MINUTE);
    assert!(script.killed().is_empty(), "{:?}", script.said());
    // There are no offers for workers in this minute, and nothing else is to be told.
    let is_of_launches = |remark: &&String| !remark.contains("offers for role");
    assert_eq!(script.remarks().iter().find(is_of_launches), None);
}

/// Normally, the master has two minutes to answer a launch. A shorter `--launch-timeout` still applies.
#[test]
fn a_limit_below_the_two_minutes_for_an_answer_holds_too() {
    let limit = 30 * SECOND;
    let mut script = launching(settings_where(|options| options.launch_timeout = limit));
    script.wait(limit - SECOND);
    assert!(script.killed().is_empty(), "{:?}", script.said());
    script.wait(3 * SECOND);
    assert!(script.killed().contains(&"miner-server-1"));
    script.wait(2 * MINUTE);
    let given_up = script.notices.iter().filter(|notice| matches!(notice, UserNotice::GivenUp { .. }));
    assert_eq!(given_up.count(), 1, "{:?}", script.said());
}

/// Only the wall clock says how long ago an earlier run of the scheduler launched a task. That clock may have jumped, so the
/// restarted scheduler waits for the whole timeout again.
#[test]
fn a_restarted_scheduler_waits_for_the_whole_timeout_whatever_the_wall_clock_says() {
    for (state, ago) in [
        (None, Duration::ZERO),
        (Some(TaskState::TaskStaging), Duration::ZERO),
        (Some(TaskState::TaskStaging), 10 * LIMIT),
        (None, 10 * LIMIT),
    ] {
        let mut script = launching(settings());
        if let Some(state) = state {
            script.answer("miner-server-1", state);
        }
        script.wait(5 * MINUTE);
        let jumped = script.now.checked_sub(ago).unwrap_or(script.now);
        script.created.values_mut().for_each(|created| *created = jumped.min(*created));
        script.restart();
        script.subscribe();
        script.answer("miner-server-1", TaskState::TaskStaging);
        script.wait(LIMIT - SECOND);
        assert!(script.killed().is_empty(), "{state:?} {ago:?} {:?}", script.said());
        script.wait(3 * SECOND);
        assert!(script.killed().contains(&"miner-server-1"), "{state:?} {ago:?} {:?}", script.said());
    }
}

/// A task that could not be reached had no chance to start.
#[test]
fn the_timeout_begins_again_when_a_task_returns() {
    for away in [TaskState::TaskUnreachable, TaskState::TaskLost] {
        let mut script = Script::server_of(one_worker());
        script.offered("b");
        script.answer("miner-worker-2", TaskState::TaskStaging);
        script.wait(10 * MINUTE);
        script.answer("miner-worker-2", away);
        script.wait(20 * MINUTE);
        script.clear();
        script.answer("miner-worker-2", TaskState::TaskStaging);
        script.wait(LIMIT - 2 * SECOND);
        assert!(script.killed().is_empty(), "{away:?} {:?}", script.said());
        script.wait(4 * SECOND);
        assert_eq!(script.killed(), ["miner-worker-2"], "{away:?}");
    }
}

/// The task started while the scheduler was down or disconnected. The update about the task's start is still on its way.
#[test]
fn updates_are_read_before_an_old_launch_is_given_up() {
    for restarts in [false, true] {
        let mut script = launching(settings());
        script.answer("miner-server-1", TaskState::TaskStaging);
        script.wait(10 * SECOND);
        if restarts {
            script.now += 60 * MINUTE;
            script.restart();
        } else {
            script.event(Event::Disconnected);
            script.wait(60 * MINUTE);
        }
        script.subscribe();
        script.answer("miner-server-1", TaskState::TaskStaging);
        script.wait(100 * SECOND);
        script.update(status("miner-server-1", TaskState::TaskRunning, 1));
        script.write();
        script.wait(30 * SECOND);
        assert!(script.killed().is_empty(), "{restarts} {:?}", script.said());
    }
}

#[test]
fn a_launch_in_the_call_queue_does_not_wait_yet() {
    let mut script = Script::with(settings_where(|options| options.launch_timeout = 30 * SECOND));
    script.subscribe();
    script.offered("a");
    // The master answers no call, but sends heartbeats.
    for _ in 0..100 {
        script.now += SECOND;
        script.event(Event::Heartbeat);
        script.event(Event::Tick);
    }
    assert!(script.killed().is_empty() && script.remarks().is_empty(), "{:?}", script.said());
    script.wait(32 * SECOND);
    assert!(script.killed().contains(&"miner-server-1"), "{:?}", script.said());
}

#[test]
fn the_user_is_told_at_growing_intervals_what_the_server_waits_for() {
    let mut script = launching(settings());
    script.answer("miner-server-1", TaskState::TaskStaging);
    script.wait(8 * SECOND);
    assert!(script.said().is_empty() && script.remarks().is_empty(), "{:?}", script.said());
    // No worker mines, so the user is told within ten seconds.
    script.wait(2 * SECOND);
    assert_eq!((script.said().len(), script.remarks().len()), (1, 1), "{:?}", script.said());
    script.wait(LIMIT - 11 * SECOND);
    let launching = |time: &str| {
        format!(
            "miner-server-1 on a.host has been launching for {time}: its agent starts /opt/mesos-miner; it is given up \
             after 15 min (--launch-timeout)"
        )
    };
    assert_eq!(script.said(), ["9 s", "1 min", "4 min", "9 min"].map(launching));
    assert_eq!(script.remarks(), [launching("14 min")]);
    assert_eq!(script.kinds(), [ProblemKind::ServerLaunchSlow]);
    script.wait(3 * SECOND);
    assert!(script.remarks().is_empty(), "{:?}", script.remarks());
}

#[test]
fn what_is_not_known_is_not_said() {
    let mut script = launching(served_here());
    script.answer("miner-server-1", TaskState::TaskStaging);
    script.wait(61 * SECOND);
    let uri = "has been launching for 1 min: its agent fetches or starts http://h:1/x/mesos-miner";
    assert!(script.remarks()[0].contains(uri), "{:?}", script.remarks());
    let stats = |running| Event::Fetching(DownloadStats { running, ..DownloadStats::default() });
    script.event(stats(1));
    script.wait(SECOND);
    assert!(script.remarks()[0].starts_with("miner-server-1 on a.host is being fetched for 1 min"));
    script.wait(5 * SECOND);
    assert!(script.remarks()[0].contains(uri), "there is no download any more: {:?}", script.remarks());
    script.event(stats(0));
    script.wait(SECOND);
    assert!(script.remarks()[0].contains(uri), "{:?}", script.remarks());
    script.answer("miner-server-1", TaskState::TaskStarting);
    script.wait(SECOND);
    let starting = "has been starting for 1 min: its executor runs, the server does not yet";
    assert!(script.remarks()[0].contains(starting), "{:?}", script.remarks());

    let mut image = settings();
    image.template.programs.server = ServerProgram::Image(somebody_elses_worker());
    let mut script = launching(image);
    script.answer("miner-server-1", TaskState::TaskStaging);
    script.wait(61 * SECOND);
    assert!(script.remarks()[0].contains("its agent pulls or starts its image"), "{:?}", script.remarks());
}

#[test]
fn slow_workers_are_told_of_in_one_line_with_what_they_wait_for() {
    let mut script = Script::with_workers();
    for agent in ["c", "d"] {
        script.offered(agent);
    }
    for task in ["miner-worker-4", "miner-worker-5"] {
        script.answer(task, TaskState::TaskStaging);
    }
    script.clear();
    script.wait(3 * MINUTE + 2 * SECOND);
    let limit = "is given up after 15 min (--launch-timeout)";
    let text = format!(
        "2 workers have been launching for up to 3 min (miner-worker-5 on d.host): their agents start /opt/mesos-miner; \
         each {limit}"
    );
    assert_eq!(script.remarks(), [&*text]);
    assert_eq!(script.kinds(), [ProblemKind::WorkerLaunchesSlow]);
    assert_eq!(script.said(), [text.replace("3 min", "1 min"), text.replace("3 min", "2 min")]);
    script.answer("miner-worker-5", TaskState::TaskStarting);
    script.wait(SECOND);
    let waiting = "miner-worker-4 on c.host has been launching for 3 min: its agent starts /opt/mesos-miner";
    let registered =
        "miner-worker-5 on d.host has been starting for 3 min: its executor runs, the worker does not yet";
    assert_eq!(script.remarks(), [format!("{waiting}; {registered}; each {limit}")]);
    script.answer("miner-worker-4", TaskState::TaskStarting);
    script.wait(SECOND);
    let registered = "2 workers have been starting for up to 3 min (miner-worker-5 on d.host): their executors run, the \
                      workers do not yet";
    assert_eq!(script.remarks(), [format!("{registered}; each {limit}")]);
    script.update(status("miner-worker-5", TaskState::TaskRunning, 1));
    script.write();
    script.wait(SECOND);
    let registered =
        "miner-worker-4 on c.host has been starting for 3 min: its executor runs, the worker does not yet";
    assert_eq!(script.remarks(), [format!("{registered}; it {limit}")]);
    script.update(status("miner-worker-4", TaskState::TaskFailed, 1));
    script.write();
    script.wait(SECOND);
    assert!(script.remarks().is_empty(), "{:?}", script.remarks());
}

#[test]
fn workers_that_agents_fetch_are_named_with_the_uri_and_as_being_fetched_once_that_is_known() {
    let mut script = Script::workers_of(served_here());
    for agent in ["c", "d"] {
        script.offered(agent);
    }
    script.wait(MINUTE + SECOND);
    let limit = "each is given up after 15 min (--launch-timeout)";
    let unanswered =
        "the launches of 2 workers have not been answered for up to 1 min (miner-worker-5 on d.host)";
    let may = "their agents may still fetch or start http://h:1/x/mesos-miner";
    assert_eq!(script.remarks(), [format!("{unanswered}: {may}; {limit}")]);
    for task in ["miner-worker-4", "miner-worker-5"] {
        script.answer(task, TaskState::TaskStaging);
    }
    script.wait(SECOND);
    let launching = "2 workers have been launching for up to 1 min (miner-worker-5 on d.host)";
    let fetched = "their agents fetch or start http://h:1/x/mesos-miner";
    assert_eq!(script.remarks(), [format!("{launching}: {fetched}; {limit}")]);
    script.event(Event::Fetching(DownloadStats { running: 2, ..DownloadStats::default() }));
    script.wait(SECOND);
    let fetched = "2 workers are being fetched for up to 1 min (miner-worker-5 on d.host)";
    assert_eq!(script.remarks(), [format!("{fetched}; {limit}")]);
}

/// When no agent can start the executor, one launch at a time is tried, as after every failure that agents have in common.
#[test]
fn launches_that_never_start_are_a_failure_that_agents_can_have_in_common() {
    let mut script = launching(settings_where(|options| options.launch_timeout = MINUTE));
    for agent in ["b", "c", "d"] {
        let server = script.state.fleet.servers.keys().next().expect("there is one").clone();
        script.answer(&server, TaskState::TaskStaging);
        script.wait(MINUTE + 2 * SECOND);
        script.update(status(&server, TaskState::TaskKilled, 1));
        script.write();
        script.wait(5 * SECOND);
        script.offered(agent);
    }
    let common = "3 launches failed in the same way on 3 agents: TASK_STAGING: it was still in TASK_STAGING after 1 min";
    assert!(script.said().iter().any(|text| text.starts_with(common)), "{:?}", script.said());
}
