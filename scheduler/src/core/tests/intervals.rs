//! The intervals of workers depend on the number of workers.

use std::collections::BTreeSet;

use ::task::{Instruction, Intervals, Live, PoolLive, WorkerLive};
use mesos::v1::TaskInfo;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn intervals(live: f64, report: f64) -> Intervals {
    Intervals::new(Duration::from_secs_f64(live), Duration::from_secs_f64(report))
}

/// All workers together send one live message and one report each second.
fn slow() -> Settings {
    let mut settings = settings();
    settings.options.live_messages_per_second = NonZeroU32::MIN;
    settings.options.reports_per_second = NonZeroU32::MIN;
    settings.template.options.live_interval = SECOND;
    settings
}

impl Script {
    /// Delivers a live message of a worker with these intervals; `None` for an executor of an earlier version.
    fn say(&mut self, task: &str, intervals: Option<Intervals>) {
        let live = Live::Worker(WorkerLive { intervals, hashrate: 1.0, ..WorkerLive::default() });
        self.event(Event::Message { executor: task.into(), data: live.encode() });
    }

    /// The instructions to workers since the last call of this function.
    fn told_intervals(&mut self) -> Vec<(String, Intervals)> {
        let told = |call: &Call| match call {
            Call::Message { executor, data, .. } => match Instruction::decode(data).ok()? {
                Instruction::SetIntervals(intervals) => Some((executor.clone(), intervals)),
                _ => None,
            },
            _ => None,
        };
        let all = self.calls.iter().filter_map(told).collect();
        self.calls.clear();
        all
    }

    /// The intervals in the specifications of the workers launched since the last call of this function.
    fn specified(&mut self) -> Vec<Intervals> {
        let tasks = self.calls.iter().flat_map(|call| match call {
            Call::Accept { tasks, .. } => &tasks[..],
            _ => &[],
        });
        let spec = |task: &TaskInfo| TaskSpec::decode(task.data.as_deref()?).ok();
        let specs: Vec<TaskSpec> = tasks.filter_map(spec).collect();
        self.calls.clear();
        specs.iter().map(|spec| spec.intervals).collect()
    }

    fn offer_on(&mut self, agents: &[String]) {
        let offers = agents.iter().map(|agent| offer(&format!("of-{agent}"), agent, 2.0, 700)).collect();
        self.event(Event::Offers(offers));
        self.write();
    }

    fn run(&mut self, task: &str) {
        let data = Some(report(task, 1, 0));
        self.update(TaskStatus { data, ..status(task, TaskState::TaskRunning, 1) });
        self.write();
    }
}

/// Two workers whose specifications contain intervals of 2 s, which the workers use.
fn two_workers() -> Script {
    let mut script = Script::workers_of(slow());
    for worker in ["miner-worker-2", "miner-worker-3"] {
        script.say(worker, Some(intervals(2.0, 2.0)));
    }
    script.wait(10 * SECOND);
    assert_eq!(script.told_intervals(), [], "they know it from their specification");
    script
}

/// Like [`two_workers`], plus a third worker that was just launched.
fn three_workers() -> Script {
    let mut script = two_workers();
    script.offer_on(&["c".into()]);
    assert_eq!(script.specified(), [intervals(3.15, 3.15)]);
    script.run("miner-worker-4");
    script
}

#[test]
fn all_workers_of_a_burst_have_the_same_intervals_in_their_specifications() {
    let mut script = Script::with_server();
    let agents: Vec<String> = (0..3000).map(|n| format!("agent{n}")).collect();
    script.offer_on(&agents);
    let specified = script.specified();
    assert_eq!(specified.len(), 3000);
    assert!(specified.iter().all(|told| *told == intervals(6.3, 16.0)), "{:?}", specified.last());
    let said: Vec<String> = script.notices.iter().map(ToString::to_string).collect();
    let text = "3000 workers: each sends a live message every 6.3 s and a report every 16 s";
    assert!(said.iter().any(|notice| notice == text), "{said:?}");
}

#[test]
fn the_server_keeps_its_intervals() {
    let mut script = Script::with(slow());
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 1.5, 1024)]));
    script.write();
    assert_eq!(script.specified(), [intervals(1.0, 1.0)]);
    let mut script = three_workers();
    let live = Live::Pool(PoolLive { intervals: Some(intervals(1.0, 1.0)), ..PoolLive::default() });
    script.event(Event::Message { executor: "miner-server-1".into(), data: live.encode() });
    script.wait(10 * SECOND);
    assert!(script.told_intervals().iter().all(|(task, _)| task != "miner-server-1"));
}

#[test]
fn running_workers_get_instructions_until_they_confirm() {
    let mut script = three_workers();
    let wanted = intervals(3.15, 3.15);
    script.wait(SECOND);
    let both = ["miner-worker-2", "miner-worker-3"].map(|task| (task.to_owned(), wanted));
    assert_eq!(script.told_intervals(), both, "the third one knows it from its specification");
    script.say("miner-worker-2", Some(wanted));
    // The worker still uses its old intervals, so the instruction is repeated after 10 s, again 20 s later, and again 40 s later.
    // The test looks for it shortly before and shortly after each of these times.
    for (pause, long) in [(12, 7), (21, 17), (42, 35)] {
        script.say("miner-worker-3", Some(intervals(2.0, 2.0)));
        script.wait(long * SECOND);
        assert_eq!(script.told_intervals(), [], "after {long} s");
        script.wait((pause - long) * SECOND);
        assert_eq!(script.told_intervals(), [both[1].clone()], "after {pause} s");
    }
    script.say("miner-worker-3", Some(wanted));
    for _ in 0..5 {
        script.wait(60 * SECOND);
        ["miner-worker-2", "miner-worker-3", "miner-worker-4"]
            .iter()
            .for_each(|task| script.say(task, Some(wanted)));
    }
    assert_eq!(script.told_intervals(), []);
}

#[test]
fn executors_of_an_earlier_version_get_no_instructions() {
    let mut script = Script::workers_of(slow());
    script.offer_on(&["c".into()]);
    script.told_intervals();
    for _ in 0..120 {
        script.say("miner-worker-2", None);
        script.say("miner-worker-3", None);
        script.wait(5 * SECOND);
    }
    assert_eq!(script.told_intervals(), []);
    assert_eq!(script.killed(), [] as [&str; 0], "{:?}", script.notices);
}

/// Executors of earlier versions cannot change their intervals. A user who changes an interval is told this.
#[test]
fn the_user_is_told_once_of_executors_that_keep_their_intervals() {
    let mut script = Script::workers_of(slow());
    script.settings.template.options.live_interval = 7 * SECOND;
    script.restart();
    script.subscribe();
    for _ in 0..20 {
        script.say("miner-worker-2", None);
        script.say("miner-worker-3", Some(intervals(7.0, 2.0)));
        script.wait(5 * SECOND);
    }
    let said: String = script.notices.iter().map(|notice| format!("{notice}\n")).collect();
    let kept = "1 worker of earlier versions cannot be told other intervals: until it ends, each keeps";
    assert_eq!(said.matches(kept).count(), 1, "{said}");
    let mut script = three_workers();
    script.wait(100 * SECOND);
    let notices = script.notices.iter().filter(|notice| matches!(notice, UserNotice::FixedIntervals(_)));
    assert_eq!(notices.count(), 0, "these executors can be told");
}

#[test]
fn intervals_become_shorter_when_there_are_fewer_workers_for_a_while() {
    let mut script = three_workers();
    let wanted = intervals(3.15, 3.15);
    let all = ["miner-worker-2", "miner-worker-3", "miner-worker-4"];
    all.iter().for_each(|task| script.say(task, Some(wanted)));
    script.wait(SECOND);
    script.told_intervals();
    let end = |script: &mut Script, task| {
        script.update(status(task, TaskState::TaskFinished, 9));
        script.write();
        script.told_intervals();
    };
    end(&mut script, "miner-worker-4");
    script.wait(50 * SECOND);
    assert_eq!(script.told_intervals(), [], "another one may soon be there");
    script.offer_on(&["d".into()]);
    assert_eq!(script.specified(), [wanted]);
    script.run("miner-worker-5");
    script.wait(50 * SECOND);
    assert_eq!(script.told_intervals(), []);
    end(&mut script, "miner-worker-5");
    script.say("miner-worker-2", Some(wanted));
    script.say("miner-worker-3", Some(wanted));
    script.wait(62 * SECOND);
    let both = ["miner-worker-2", "miner-worker-3"].map(|task| (task.to_owned(), intervals(2.0, 2.0)));
    assert_eq!(script.told_intervals(), both);
}

#[test]
fn a_restarted_scheduler_learns_intervals_from_live_messages() {
    let mut script = two_workers();
    script.restart();
    script.subscribe();
    for task in ["miner-server-1", "miner-worker-2", "miner-worker-3"] {
        script.update(TaskStatus { uuid: None, ..status(task, TaskState::TaskRunning, 5) });
    }
    script.write();
    script.wait(5 * SECOND);
    script.say("miner-worker-2", Some(intervals(2.0, 2.0)));
    script.wait(4 * SECOND);
    assert_eq!(script.told_intervals(), [], "one uses what it is to use, the other has said nothing yet");
    script.say("miner-worker-3", Some(intervals(100.0, 2.0)));
    script.wait(2 * SECOND);
    assert_eq!(script.told_intervals(), [("miner-worker-3".to_owned(), intervals(2.0, 2.0))]);
}

#[test]
fn instructions_are_sent_in_batches_and_once_each() {
    let mut script = Script::server_of(slow());
    let agents: Vec<String> = (0..250).map(|n| format!("agent{n}")).collect();
    script.offer_on(&agents);
    let workers = script.launched();
    assert_eq!((workers.len(), script.specified()[0]), (250, intervals(250.0, 250.0)));
    for worker in &workers {
        script.run(worker);
        script.say(worker, Some(intervals(5.0, 5.0)));
    }
    script.told_intervals();
    let mut told = Vec::new();
    for _ in 0..3 {
        script.wait(SECOND / 2);
        told.push(script.told_intervals());
    }
    assert_eq!(told.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);
    let ids: BTreeSet<String> = told.into_iter().flatten().map(|(task, _)| task).collect();
    assert_eq!(ids.len(), 250);
    script.event(Event::Disconnected);
    script.wait(100 * SECOND);
    assert_eq!(script.told_intervals(), [], "there is no subscription");
}

#[test]
fn a_worker_is_silent_after_three_of_its_intervals() {
    for (said, limit) in
        [(Some(intervals(100.0, 250.0)), 300), (Some(intervals(5.0, 60.0)), 120), (None, 120)]
    {
        let mut script = Script::with_workers();
        script.say("miner-worker-2", said);
        script.wait(Duration::from_secs(limit - 2));
        let given_up = |script: &Script| script.killed().contains(&"miner-worker-2");
        assert!(!given_up(&script), "{said:?}: {:?}", script.notices);
        script.wait(4 * SECOND);
        assert!(given_up(&script), "{said:?}");
    }
}

/// The scheduler has sent new intervals, but the worker has not confirmed them. Perhaps the worker uses them, and only its
/// confirmation was lost.
#[test]
fn a_worker_may_use_a_longer_interval_before_it_confirms() {
    let mut settings = slow();
    settings.template.options.live_interval = 100 * SECOND;
    let mut script = Script::workers_of(settings);
    script.say("miner-worker-2", Some(intervals(5.0, 2.0)));
    script.wait(298 * SECOND);
    assert_eq!(script.killed(), [] as [&str; 0]);
    script.wait(4 * SECOND);
    assert_eq!(script.killed(), ["miner-worker-2"]);
}

#[test]
fn a_live_message_is_shown_for_three_intervals() {
    for (said, limit) in [(Some(intervals(100.0, 250.0)), 300), (Some(intervals(1.0, 1.0)), 20), (None, 20)] {
        let mut script = Script::with_workers();
        script.say("miner-worker-2", said);
        let shown = |script: &Script| {
            let overview = script.state.overview(script.now);
            let page = script.state.tasks(None, 10, script.now);
            let live = page.tasks.iter().filter(|task| task.live.is_some()).count() as u64;
            assert_eq!(overview.reporting_workers, live);
            (overview.reporting_workers, overview.hashrate)
        };
        script.wait(Duration::from_secs(limit - 1));
        assert_eq!(shown(&script), (1, 1.0), "{said:?}");
        script.wait(SECOND);
        assert_eq!(shown(&script), (0, 0.0), "{said:?}");
    }
    // When a worker confirms a shorter interval, its live messages count as recent for a shorter time.
    let mut script = Script::with_workers();
    script.say("miner-worker-2", Some(intervals(100.0, 250.0)));
    script.wait(SECOND);
    script.say("miner-worker-2", Some(intervals(5.0, 60.0)));
    script.wait(20 * SECOND);
    assert_eq!(script.state.overview(script.now).reporting_workers, 0);
}

#[test]
fn recovered_workers_get_instructions_before_their_silence_counts() {
    let mut script = Script::with_workers();
    let slow = intervals(600.0, 600.0);
    for worker in ["miner-worker-2", "miner-worker-3"] {
        script.say(worker, Some(slow));
    }
    script.restart();
    script.subscribe();
    for task in ["miner-server-1", "miner-worker-2", "miner-worker-3"] {
        script.update(TaskStatus { uuid: None, ..status(task, TaskState::TaskRunning, 5) });
    }
    script.write();
    script.wait(12 * SECOND);
    let told = script.told_intervals();
    assert_eq!(told, ["miner-worker-2", "miner-worker-3"].map(|task| (task.to_owned(), intervals(5.0, 1.0))));
    // The workers confirm within 5 s, and use the intervals from then on.
    for _ in 0..40 {
        ["miner-worker-2", "miner-worker-3"]
            .iter()
            .for_each(|task| script.say(task, Some(intervals(5.0, 1.0))));
        script.wait(5 * SECOND);
    }
    assert_eq!(script.told_intervals(), []);
    assert_eq!(script.killed(), [] as [&str; 0], "{:?}", script.notices);
}
