//! Failures that agents have in common, on a small cluster.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::task_info::ExternalPool;
use task_status::Reason;

const MINUTE: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(500);

/// The outcome of a launch on an agent.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Runs,
    Ends(TaskState, Option<Reason>),
    /// The task runs, and crashes immediately.
    Crashes,
    /// The launch has the given outcome only after the given time.
    After(Duration, &'static Fate),
}

const CRASH: Fate = Fate::Ends(TaskState::TaskFailed, Some(Reason::ExecutorTerminated));

/// Agents whose resources are offered again when their filters have expired, and the tasks that run on them.
struct Agents {
    script: Script,
    fates: Vec<Fate>,
    refused: BTreeMap<String, Instant>,
    running: BTreeMap<String, String>,
    /// Outcomes that are still to come, each with its time, its task and the task's agent. Until its outcome, a task occupies
    /// its agent.
    later: Vec<(Instant, String, String, Fate)>,
    suppressed: bool,
    launches: usize,
    revivals: usize,
    told: Vec<UserNotice>,
    offered: usize,
}

impl Agents {
    fn new(settings: Settings, fates: Vec<Fate>) -> Self {
        let mut script = Script::with(settings);
        script.subscribe();
        let (refused, running, later, told) = Default::default();
        let (suppressed, launches, revivals, offered) = (false, 0, 0, 0);
        Self { script, fates, refused, running, later, suppressed, launches, revivals, told, offered }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.script.now + time;
        while self.script.now < end {
            self.script.wait(STEP);
            let due = self.later.extract_if(.., |(at, ..)| *at <= self.script.now);
            for (_, task, agent, fate) in due.collect::<Vec<_>>() {
                self.running.remove(&agent);
                self.come_to(fate, task, agent);
            }
            self.settle();
            self.offer();
            self.settle();
        }
    }

    /// Offers the resources of free agents. The unused resources of the server's agent are not offered.
    fn offer(&mut self) {
        let now = self.script.now;
        let free = (0..self.fates.len()).map(|n| format!("agent{n}")).filter(|agent| {
            !self.running.contains_key(agent) && self.refused.get(agent).is_none_or(|until| *until <= now)
        });
        let offers: Vec<Offer> =
            free.map(|agent| offer(&format!("{agent}/{}", self.offered), &agent, 1.0, 1024)).collect();
        self.offered += 1;
        if !self.suppressed && !offers.is_empty() {
            self.script.event(Event::Offers(offers));
        }
    }

    /// Persists all changes, carries out calls, and delivers the outcomes of launches.
    fn settle(&mut self) {
        loop {
            self.script.write();
            self.told.append(&mut self.script.notices);
            let calls = std::mem::take(&mut self.script.calls);
            if calls.is_empty() {
                return;
            }
            for call in calls {
                self.carry_out(call);
            }
        }
    }

    fn carry_out(&mut self, call: Call) {
        let agent = |offer: &String| offer.split('/').next().unwrap().to_owned();
        match call {
            Call::Decline { offers, refuse } => {
                self.refused.extend(offers.iter().map(|offer| (agent(offer), self.script.now + refuse)));
            }
            Call::Revive => {
                self.refused.clear();
                (self.suppressed, self.revivals) = (false, self.revivals + 1);
            }
            Call::Suppress => self.suppressed = true,
            Call::Accept { offers, tasks, .. } => {
                self.launches += tasks.len();
                for task in tasks {
                    self.begin(task.task_id.value.clone(), agent(&offers[0]));
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, task: String, agent: String) {
        let number: usize = agent.trim_start_matches("agent").parse().unwrap();
        self.come_to(self.fates[number], task, agent);
    }

    fn come_to(&mut self, fate: Fate, task: String, agent: String) {
        match fate {
            Fate::After(time, fate) => {
                self.running.insert(agent.clone(), task.clone());
                self.update(&task, &agent, TaskState::TaskStaging, None, 9);
                self.later.push((self.script.now + time, task, agent, *fate));
            }
            Fate::Runs => {
                self.running.insert(agent.clone(), task.clone());
                self.update(&task, &agent, TaskState::TaskRunning, None, 1);
            }
            Fate::Crashes => {
                self.update(&task, &agent, TaskState::TaskRunning, None, 1);
                self.update(&task, &agent, TaskState::TaskFailed, Some(Reason::ExecutorTerminated), 2);
            }
            Fate::Ends(state, reason) => {
                let failure =
                    Event::ExecutorTerminated { agent: None, executor: task.clone(), status: Some(256) };
                self.script.event(failure);
                self.update(&task, &agent, state, reason, 1);
            }
        }
    }

    fn update(&mut self, task: &str, agent: &str, state: TaskState, reason: Option<Reason>, n: u8) {
        let mut update = status(task, state, n);
        update.agent_id = Some(agent.into());
        update.reason = reason.map(Into::into);
        update.message = Some("as it is said".into());
        self.script.update(update);
    }

    /// How often the user was told of a common failure, and of its end.
    fn told(&self) -> (usize, usize) {
        let common = self.told.iter().filter(|notice| matches!(notice, UserNotice::CommonFailure(_)));
        let over = self.told.iter().filter(|notice| matches!(notice, UserNotice::CommonFailureOver(_)));
        (common.count(), over.count())
    }
}

fn at_a_pool() -> Settings {
    let mut settings = settings();
    let access = ::task::PoolAccess::default();
    settings.template.pool =
        Some(ExternalPool { url: "stratum+tcp://pool:1".into(), user: None, password: "x".into(), access });
    settings
}

#[test]
fn a_common_failure_is_tried_on_few_agents_until_it_is_over() {
    for settings in [settings(), at_a_pool()] {
        let mut agents = Agents::new(settings, vec![CRASH; 50]);
        agents.pass(MINUTE);
        assert!((5..=12).contains(&agents.launches), "{} launches", agents.launches);
        agents.pass(MINUTE * 20);
        assert!((11..=25).contains(&agents.launches), "{} launches", agents.launches);
        assert!(agents.revivals <= agents.launches, "{} revivals", agents.revivals);
        assert_eq!(agents.told(), (1, 0));
        assert!(agents.told.len() < 30, "{:#?}", agents.told);
        let told = agents.script.state.overview(agents.script.now).problems;
        assert!(
            told.first[0].text.contains("one agent at a time")
                && told.first[0].text.contains("exit status 1"),
            "{told:?}"
        );
        let failed = agents.launches as u64;

        agents.fates = vec![Fate::Runs; 50];
        agents.pass(MINUTE * 5);
        assert_eq!(agents.running.len(), 50);
        assert_eq!(agents.told(), (1, 1), "{:#?}", agents.told);
        assert!(agents.script.state.overview(agents.script.now).problems.first.is_empty());

        // By now, only a sum of the failed launches is kept, in memory and on disk. No task number is used again.
        agents.pass(MINUTE * 15);
        assert_eq!(agents.script.state.fleet.all().count(), 50);
        assert_eq!(agents.script.state.summary(agents.script.now).tasks["TASK_FAILED"], failed);
        assert_eq!(agents.script.disk.recover().tasks.len(), 50);
        let next = agents.script.disk.recover().next_number;
        agents.script.restart();
        assert_eq!(agents.script.state.summary(agents.script.now).tasks["TASK_FAILED"], failed);
        assert_eq!(next, failed + 51);
    }
}

#[test]
fn slow_successful_launches_are_soon_made_on_all_agents() {
    for settings in [settings(), at_a_pool()] {
        let mut agents = Agents::new(settings, vec![CRASH; 60]);
        agents.pass(MINUTE);
        agents.fates = vec![Fate::After(MINUTE * 2, &Fate::Runs); 60];
        agents.pass(MINUTE * 20);
        assert_eq!((agents.running.len(), agents.later.len(), agents.told()), (60, 0, (1, 1)));
        assert_eq!(agents.script.state.fleet.launch_limit, None);
    }
}

/// The scheduler waits at most 90 s for the outcome of a launch. In the three cases, the launches fail after 80, 100 or 200 s.
#[test]
fn the_failures_of_one_burst_make_one_pause() {
    for seconds in [80, 100, 200] {
        let mut agents = Agents::new(at_a_pool(), vec![Fate::Runs]);
        agents.pass(MINUTE);
        agents.fates.resize(101, Fate::After(Duration::from_secs(seconds), &CRASH));
        agents.pass(Duration::from_secs(seconds) + STEP);
        assert_eq!((agents.launches, agents.later.len()), (101, 0));
        let limit = agents.script.state.fleet.launch_limit.as_ref().expect("all have failed alike");
        assert!(limit.wait(agents.script.now) < Duration::from_secs(2), "after {seconds} s: {limit:?}");
    }
}

#[test]
fn agents_are_tried_in_turn() {
    let mut agents = Agents::new(at_a_pool(), vec![CRASH; 50]);
    agents.pass(MINUTE * 30);
    let hosts: BTreeSet<_> = agents.script.state.fleet.all().map(|task| task.agent().to_owned()).collect();
    let tasks = agents.script.state.fleet.all().count();
    assert_eq!(hosts.len(), tasks, "no agent was tried twice");
}

#[test]
fn crashes_right_after_task_running_are_a_common_failure() {
    let mut agents = Agents::new(settings(), vec![Fate::Crashes; 50]);
    agents.pass(MINUTE * 10);
    assert_eq!(agents.told(), (1, 0));
    assert!(agents.launches < 25, "{} launches", agents.launches);
}

#[test]
fn refusals_and_lost_races_everywhere_are_common_failures() {
    for (state, reason, most) in [
        (TaskState::TaskError, Reason::TaskUnauthorized, 20),
        (TaskState::TaskDropped, Reason::ExecutorTerminated, 20),
        (TaskState::TaskDropped, Reason::InvalidOffers, 40),
    ] {
        let mut agents = Agents::new(settings(), vec![Fate::Ends(state, Some(reason)); 50]);
        agents.pass(MINUTE * 10);
        assert_eq!(agents.told(), (1, 0), "{reason:?}");
        assert!(agents.launches < most, "{reason:?}: {} launches", agents.launches);
        assert!(agents.script.state.fleet.all().count() <= agents.launches);
    }
}

#[test]
fn one_race_that_is_lost_for_all_workers_of_a_big_agent_limits_nothing() {
    let mut settings = at_a_pool();
    settings.placement.limits.worker_cpus_milli = Some(1000);
    let mut script = Script::with(settings);
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 1.0, 1024)]));
    script.write();
    script.update(status("miner-worker-1", TaskState::TaskRunning, 1));
    script.write();
    script.wait(MINUTE);
    script.clear();
    script.event(Event::Offers(vec![offer("o2", "big", 24.0, 64_000)]));
    script.write();
    let launched = script.launched();
    assert_eq!(launched.len(), 24);
    for task in launched {
        let mut update = status(&task, TaskState::TaskDropped, 1);
        update.set_reason(Reason::InvalidOffers);
        script.update(update);
    }
    script.write();
    assert_eq!(script.state.fleet.launch_limit, None);
}

#[test]
fn some_bad_agents_among_many_good_ones_limit_nothing() {
    for settings in [settings(), at_a_pool()] {
        let fates = (0..120).map(|n| if n % 30 == 7 { CRASH } else { Fate::Runs }).collect();
        let mut agents = Agents::new(settings, fates);
        agents.pass(Duration::from_secs(20));
        assert_eq!(agents.running.len(), 116);
        agents.pass(MINUTE * 8);
        assert_eq!(agents.told(), (0, 0));
        // The failures on a few agents do not prevent a launch on a new agent.
        agents.fates.push(Fate::Runs);
        agents.pass(Duration::from_secs(1));
        assert!(agents.running.contains_key("agent120"));
    }
}

#[test]
fn half_of_the_agents_may_be_bad_and_the_other_half_mines_soon() {
    let fates = (0..60).map(|n| if n % 2 == 0 { CRASH } else { Fate::Runs }).collect();
    let mut agents = Agents::new(at_a_pool(), fates);
    agents.pass(MINUTE * 10);
    assert_eq!(agents.running.len(), 30);
}

#[test]
fn lost_agents_and_wanted_ends_are_not_failures_of_launches() {
    for (state, reason) in [
        (TaskState::TaskFailed, Some(Reason::ContainerPreempted)),
        (TaskState::TaskKilled, Some(Reason::AgentDraining)),
        (TaskState::TaskDropped, Some(Reason::AgentDisconnected)),
        (TaskState::TaskLost, Some(Reason::AgentRemoved)),
        (TaskState::TaskGone, None),
    ] {
        let mut agents = Agents::new(settings(), vec![Fate::Ends(state, reason); 20]);
        agents.pass(MINUTE);
        assert_eq!(agents.told(), (0, 0), "{state:?} {reason:?}");
        assert!(agents.launches >= 20, "{state:?} {reason:?}: {}", agents.launches);
    }
}

/// The end of workers that are killed with their server is not a failure.
#[test]
fn a_killed_worker_is_not_a_failure() {
    let mut agents = Agents::new(settings(), vec![Fate::Runs; 20]);
    agents.pass(Duration::from_secs(3));
    let running = std::mem::take(&mut agents.running);
    let server = running.iter().find(|(_, task)| task.contains("server")).expect("there is one");
    agents.update(server.1, server.0, TaskState::TaskFailed, None, 9);
    agents.script.write();
    for (agent, task) in running.iter().filter(|(_, task)| task.contains("worker")) {
        agents.update(task, agent, TaskState::TaskKilled, None, 9);
    }
    agents.pass(MINUTE);
    assert_eq!((agents.told(), agents.running.len()), ((0, 0), 20));
}

/// The record of a failed launch is deleted when its task retires. If Mesos repeats an update afterwards, the accounts in its
/// report are not recorded a second time.
#[test]
fn a_retired_failed_launch_counts_once() {
    for (state, reported) in [(TaskState::TaskFailed, false), (TaskState::TaskDropped, true)] {
        let mut script = Script::with_server();
        script.event(Event::Offers(vec![offer("o2", "b", 2.0, 700)]));
        script.write();
        script.update(status("miner-worker-2", state, 1));
        script.write();
        script.wait(MINUTE * 15);
        script.write();
        assert!(!script.disk.knows("miner-worker-2"));
        for restarted in [false, true, true] {
            if restarted {
                script.restart();
                script.subscribe();
            }
            script.clear();
            let before = script.state.summary(script.now).tasks;
            let data = reported.then(|| report("miner-worker-2", 5, 70));
            script.update(TaskStatus { data, ..status("miner-worker-2", state, 1) });
            script.write();
            assert_eq!(script.acknowledged(), ["miner-worker-2"]);
            assert_eq!(script.state.summary(script.now).tasks, before);
            let counted = if reported { 70 } else { 0 };
            assert_eq!(script.disk.recover().ledger.sum().0.worker.accepted, counted);
            assert!(script.killed().is_empty());
        }
    }
}

/// Several schedulers lead in turn, on machines with and without a state folder.
#[test]
fn failed_launches_count_once_when_another_scheduler_leads() {
    let mut agents = Agents::new(settings(), vec![CRASH; 20]);
    agents.pass(MINUTE * 30);
    let failed = agents.script.state.summary(agents.script.now).tasks["TASK_FAILED"];
    for empty_disk in [false, true, false] {
        agents.script.write();
        agents.script.hand_over(empty_disk);
        assert_eq!(
            agents.script.state.summary(agents.script.now).tasks["TASK_FAILED"],
            failed,
            "{empty_disk}"
        );
    }
}
