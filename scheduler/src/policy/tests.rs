//! Tests of single policies with a fleet. The tests in `core` cover all policies together.

use std::time::{Duration, Instant};

use mesos::resources::{Quantity, scalar};
use mesos::v1::{Offer, TaskState, task_status};

use super::*;
use crate::core::tests::{settings, settings_where};
use crate::fleet::{Fleet, ServerState, Slot, StateChange, Task};
use crate::history::History;
use crate::journal::{Assignment, Origin, RecoveredState, SpecificationKey, TaskRecord};
use crate::offers::{DeclineReason, UnusedAgent, WorkerLimits};
use crate::options::OnServerLoss;
use crate::run_state::RunState;
use crate::specification::Fingerprints;
use crate::task_id::{TaskKind, task_id};
use crate::task_info::ExternalPool;

const SECOND: Duration = Duration::from_secs(1);
const SERVER: &str = "miner-server-1";

/// A fleet, and everything else that a policy can read.
struct Stage {
    settings: Settings,
    key: SpecificationKey,
    run: RunState,
    fleet: Fleet,
    history: History,
    now: Instant,
}

impl Stage {
    /// A fleet without tasks, and a subscription.
    fn new(settings: Settings) -> Self {
        let now = Instant::now();
        let mut run = RunState::new(now);
        run.connected = true;
        let fleet = Fleet::new(&settings.placement.workers);
        let history = History::new(RecoveredState::default(), Duration::ZERO, now);
        Self { settings, key: SpecificationKey::random(), run, fleet, history, now }
    }

    /// A fleet with a running server in service, and a subscription.
    fn with_server(settings: Settings) -> Self {
        let mut stage = Self::new(settings);
        let now = stage.now;
        let address = ::task::ServerAddress { host: "s".into(), stratum_port: 1, http_port: 2 };
        stage.insert(TaskRecord { address: Some(address), ..record(TaskKind::Server, 1) });
        stage.fleet.servers.insert(SERVER.into(), ServerState::Open);
        let live = ::task::Live::Pool(::task::PoolLive::default());
        stage.fleet.on_live_message(SERVER, live, now);
        stage
    }

    fn insert(&mut self, record: TaskRecord) {
        self.fleet.insert(Task::recovered(record, self.now));
    }

    fn worker(&mut self, number: u64) -> String {
        let record = record(TaskKind::Worker, number);
        let id = record.id.clone();
        self.insert(record);
        id
    }

    /// Changes the state of a task.
    fn set_state(&mut self, id: &str, state: TaskState) -> StateChange {
        let task = self.fleet.get(id).expect("it is there");
        let change = StateChange { before: task.state(), slot: task.slot };
        let record = TaskRecord { state: Some(state), ..task.record.clone() };
        self.fleet.set_record(record, self.now);
        change
    }

    /// Changes the state of a task, and returns the event for policies.
    fn alive(&mut self, id: &str, state: TaskState) -> PolicyEvent {
        let change = self.set_state(id, state);
        PolicyEvent::Alive { task: id.to_owned(), state, change }
    }

    /// Passes an event to a policy. Returns short forms of the policy's intents.
    fn on(&mut self, rule: &mut dyn Policy, event: &PolicyEvent) -> Vec<String> {
        self.run.hear_master(self.now);
        let view = View {
            settings: &self.settings,
            fingerprints: &Fingerprints::new(&self.settings, Some(&self.key)),
            run: &self.run,
            fleet: &self.fleet,
            history: &self.history,
            unpersisted: 0,
        };
        rule.on_event(&view, event, self.now).iter().map(short).collect()
    }

    /// Passes a tick to a policy after `time`. Returns short forms of the policy's intents.
    fn later(&mut self, rule: &mut dyn Policy, time: Duration) -> Vec<String> {
        self.now += time;
        self.on(rule, &PolicyEvent::Tick)
    }
}

fn record(kind: TaskKind, number: u64) -> TaskRecord {
    let (agent, host) = (format!("agent{number}"), format!("host{number}"));
    let origin = Origin::Launched { cpus_milli: 1000 };
    TaskRecord {
        assignment: (kind == TaskKind::Worker).then(|| Assignment::Server(SERVER.into())),
        state: Some(TaskState::TaskRunning),
        ..TaskRecord::new(task_id(kind, number), agent, host, origin)
    }
}

fn short(intent: &Intent) -> String {
    match intent {
        Intent::Call(call) => format!("{call:?}").split([' ', '(']).next().unwrap_or_default().to_owned(),
        Intent::Notify(notice) => notice.to_string(),
        Intent::PersistLaunches(tasks) => format!("launch on {}", tasks[0].agent),
        Intent::End(task) => format!("end {task}"),
        Intent::EndReturned(task) => format!("end anew {task}"),
        Intent::EndExecutor(task) => format!("end the executor of {task}"),
        Intent::GiveUpServer(server) => format!("give up {server}"),
        Intent::PauseAgent { task, why, .. } => format!("pause the agent of {task}: {why}"),
        Intent::GiveUpLaunch(end) => format!("give up the launch of {}", end.task),
        Intent::PresumeLost(task) => format!("presume {task} lost"),
        Intent::ReleaseSlot(task) => format!("release the slot of {task}"),
        Intent::HoldSlot(task) => format!("hold the slot of {task}"),
        other => format!("{other:?}"),
    }
}

fn ended(task: &str, state: TaskState, reason: Option<task_status::Reason>) -> PolicyEvent {
    PolicyEvent::Ended(TaskEnd {
        task: task.into(),
        state,
        reason,
        status: None,
        message: Some("why".into()),
        problem: None,
    })
}

#[test]
fn a_server_that_ends_is_given_up_and_its_workers_end_with_it_or_stay() {
    for (on_server_loss, kept) in [(OnServerLoss::Kill, false), (OnServerLoss::Repoint, true)] {
        let mut stage = Stage::with_server(settings_where(|options| options.on_server_loss = on_server_loss));
        stage.worker(2);
        let mut rule = server_loss::ServerLoss;
        let end = ended(SERVER, TaskState::TaskFailed, None);
        assert_eq!(stage.on(&mut rule, &end), ["give up miner-server-1"]);
        stage.fleet.servers.remove(SERVER);
        assert!(stage.on(&mut rule, &end).is_empty(), "once");
        let wanted = stage.on(&mut rule, &PolicyEvent::ServerLost(SERVER.into()));
        assert_eq!(wanted.contains(&"end miner-worker-2".to_owned()), !kept, "{wanted:?}");
        assert!(wanted[0].starts_with("miner-server-1 is gone"), "{wanted:?}");
    }
}

#[test]
fn an_agent_is_paused_for_its_own_failures_alone() {
    use TaskState::*;
    let mut stage = Stage::with_server(settings());
    let worker = stage.worker(2);
    let mut rule = agent_pause::AgentPause;
    let mut wanted = |state, reason| stage.on(&mut rule, &ended(&worker, state, reason)).len();
    let preempted = Some(task_status::Reason::ContainerPreempted);
    let race = Some(task_status::Reason::InvalidOffers);
    let counts = [
        (TaskFailed, None),
        (TaskFailed, preempted),
        (TaskDropped, None),
        (TaskDropped, race),
        (TaskLost, None),
    ];
    assert_eq!(counts.map(|(state, reason)| wanted(state, reason)), [1, 0, 1, 0, 0]);
    assert_eq!(wanted(TaskFinished, None), 0, "it made all its updates");
    stage.fleet.want_end(&worker, stage.now);
    assert!(stage.on(&mut rule, &ended(&worker, TaskKilled, None)).is_empty(), "it was to end");
}

#[test]
fn a_launch_without_an_answer_is_lost_after_two_minutes() {
    let mut stage = Stage::with_server(settings());
    stage.insert(TaskRecord { state: None, ..record(TaskKind::Worker, 2) });
    let mut rule = unanswered_launch::UnansweredLaunches::default();
    stage.on(&mut rule, &PolicyEvent::Started);
    assert!(stage.later(&mut rule, 119 * SECOND).is_empty());
    stage.fleet.restart_timers(false, stage.now);
    assert!(stage.later(&mut rule, 119 * SECOND).is_empty(), "its time began anew");
    let wanted = stage.later(&mut rule, SECOND);
    assert_eq!(wanted[1], "presume miner-worker-2 lost");
    assert!(stage.later(&mut rule, 500 * SECOND).is_empty(), "once");
}

#[test]
fn the_time_until_the_master_takes_a_launch_does_not_count() {
    let mut stage = Stage::with_server(settings());
    stage.insert(TaskRecord { state: None, ..record(TaskKind::Worker, 2) });
    let mut rule = unanswered_launch::UnansweredLaunches::default();
    let decided = stage.now;
    stage.on(&mut rule, &PolicyEvent::Launched("miner-worker-2".into()));
    stage.on(&mut rule, &PolicyEvent::CallsAnswered { decided_before: decided });
    assert!(stage.later(&mut rule, 500 * SECOND).is_empty(), "the call waits");
    stage.on(&mut rule, &PolicyEvent::CallsAnswered { decided_before: stage.now });
    assert!(stage.later(&mut rule, 119 * SECOND).is_empty());
    assert_eq!(stage.later(&mut rule, SECOND)[1], "presume miner-worker-2 lost");
    // The timeout of a launch begins when the master answers the call. The master never answers calls of an earlier subscription,
    // so the timeouts of such launches begin with the new subscription.
    stage.insert(TaskRecord { state: None, ..record(TaskKind::Worker, 3) });
    stage.on(&mut rule, &PolicyEvent::Launched("miner-worker-3".into()));
    stage.on(&mut rule, &PolicyEvent::Subscribed);
    assert_eq!(stage.later(&mut rule, 120 * SECOND)[1], "presume miner-worker-3 lost");
}

#[test]
fn a_worker_loses_its_slot_when_it_is_unreachable_for_a_minute() {
    let mut stage = Stage::with_server(settings());
    let worker = stage.worker(2);
    let mut rule = unreachable::Unreachable::default();
    let gone = stage.alive(&worker, TaskState::TaskUnreachable);
    stage.on(&mut rule, &gone);
    assert!(stage.later(&mut rule, 59 * SECOND).is_empty());
    stage.set_state(&worker, TaskState::TaskRunning);
    assert!(stage.later(&mut rule, 2 * SECOND).is_empty(), "it is back");
    let gone = stage.alive(&worker, TaskState::TaskUnreachable);
    stage.on(&mut rule, &gone);
    assert_eq!(stage.later(&mut rule, 60 * SECOND), ["release the slot of miner-worker-2"]);
}

#[test]
fn a_worker_that_returns_goes_on_only_if_its_slot_is_free() {
    let limits = WorkerLimits { max_workers: Some(1), ..WorkerLimits::default() };
    let mut settings = settings();
    settings.placement.limits = limits;
    for others in [false, true] {
        let mut stage = Stage::with_server(settings.clone());
        let worker = stage.worker(2);
        stage.set_state(&worker, TaskState::TaskUnreachable);
        stage.fleet.set_slot(&worker, Slot::Released);
        if others {
            stage.worker(3);
        }
        let back = stage.alive(&worker, TaskState::TaskRunning);
        let wanted = stage.on(&mut surplus::SurplusTasks, &back);
        assert_eq!(wanted.contains(&"end anew miner-worker-2".to_owned()), others, "{wanted:?}");
        assert_eq!(
            stage.fleet.get(&worker).map(|task| task.slot),
            Some(Slot::Released),
            "a rule changes nothing"
        );
    }
}

#[test]
fn a_task_without_a_server_is_ended() {
    let mut stage = Stage::new(settings());
    let worker = stage.worker(2);
    stage.insert(record(TaskKind::Server, 9));
    let wanted = stage.on(&mut surplus::SurplusTasks, &PolicyEvent::Started);
    assert_eq!(wanted, ["end miner-worker-2", "end miner-server-9"]);
    stage.fleet.servers.insert(SERVER.into(), ServerState::Open);
    let alive = stage.alive(&worker, TaskState::TaskRunning);
    assert!(stage.on(&mut surplus::SurplusTasks, &alive).is_empty(), "its server is in service");
    let access = ::task::PoolAccess::default();
    let pool = ExternalPool { url: "stratum+tcp://p:1".into(), user: None, password: "x".into(), access };
    stage.settings.template.pool = Some(pool);
    assert!(stage.on(&mut surplus::SurplusTasks, &alive).is_empty(), "it goes on until it is replaced");
}

#[test]
fn a_task_is_killed_again_after_a_pause() {
    let mut stage = Stage::with_server(settings());
    let worker = stage.worker(2);
    stage.fleet.want_end(&worker, stage.now);
    let kill = |stage: &mut Stage| stage.on(&mut kill::Kill, &PolicyEvent::Settled).len();
    assert_eq!(kill(&mut stage), 1);
    stage.fleet.kill_sent(&worker, stage.now);
    assert_eq!(kill(&mut stage), 0);
    stage.now += 5 * SECOND;
    assert_eq!(kill(&mut stage), 1);
    stage.run.connected = false;
    assert_eq!(kill(&mut stage), 0, "nobody would hear it");
}

#[test]
fn silence_counts_from_the_last_live_message_of_tasks_that_send_them() {
    let mut stage = Stage::with_server(settings());
    let (speaks, never_spoke) = (stage.worker(2), stage.worker(3));
    let mut rule = silence::Silence::default();
    let live = || ::task::Live::Worker(::task::WorkerLive::default());
    stage.fleet.on_live_message(&speaks, live(), stage.now);
    stage.on(&mut rule, &PolicyEvent::LiveMessage { task: speaks.clone(), first: true });
    stage.now += 100 * SECOND;
    stage.fleet.on_live_message(&speaks, live(), stage.now);
    assert!(stage.later(&mut rule, 119 * SECOND).is_empty());
    let wanted = stage.later(&mut rule, SECOND);
    assert_eq!(wanted.last().map(String::as_str), Some("end the executor of miner-worker-2"));
    assert!(wanted.iter().all(|intent| !intent.contains(&never_spoke)), "{wanted:?}");
}

#[test]
fn an_offer_becomes_a_server_first_and_then_workers() {
    let offer = |agent: &str, mem| Offer {
        id: format!("offer of {agent}").as_str().into(),
        agent_id: agent.into(),
        hostname: agent.into(),
        resources: vec![
            scalar("cpus", Quantity::whole(2)),
            scalar("mem", Quantity::whole(mem)),
            mesos::resources::ranges("ports", [31000..=31010]),
        ],
        ..Offer::default()
    };
    let offers = PolicyEvent::Offers(vec![offer("a", 1024), offer("b", 1024), offer("c", 1)]);
    let mut empty = Stage::new(settings());
    let mut rule = launch::Launch::new(&settings());
    assert_eq!(empty.on(&mut rule, &PolicyEvent::Settled), ["Revive"], "a server is wanted");
    assert_eq!(empty.on(&mut rule, &offers), ["launch on a", "Decline"]);
    let mut served = Stage::with_server(settings());
    let wanted = served.on(&mut rule, &offers);
    assert_eq!(wanted[..3], ["launch on a", "launch on b", "Decline"]);
    assert!(wanted[3].contains("NoteUnused"), "{wanted:?}");
    served.fleet.drain_server(SERVER);
    assert_eq!(served.on(&mut rule, &offers), ["Decline"], "its workers would have to end with it");
    assert_eq!(served.on(&mut rule, &PolicyEvent::Settled), ["Suppress"]);
    served.fleet.agents.note_unused(
        &UnusedAgent { agent: "c".into(), host: "c".into(), reason: DeclineReason::Leaving(SECOND) },
        served.now,
    );
    assert_eq!(served.fleet.agents.reasons().len(), 1);
}

/// Forty workers run on eleven agents. Three failed launches are few for forty workers, but many for eleven agents.
#[test]
fn common_failures_are_counted_by_agents() {
    let mut stage = Stage::with_server(settings());
    let mut rule = common_failure::CommonFailures::new(1);
    let on_agent = |number: u64, agent: u64| TaskRecord {
        agent: format!("agent{agent}"),
        state: None,
        ..record(TaskKind::Worker, number)
    };
    for number in 2..42 {
        stage.insert(on_agent(number, number / 4));
        let task = format!("miner-worker-{number}");
        stage.on(&mut rule, &PolicyEvent::Launched(task.clone()));
        let running = stage.alive(&task, TaskState::TaskRunning);
        stage.on(&mut rule, &running);
    }
    stage.later(&mut rule, 10 * SECOND);
    for (failures, number) in (42..45).enumerate() {
        stage.insert(on_agent(number, number));
        let task = format!("miner-worker-{number}");
        stage.on(&mut rule, &PolicyEvent::Launched(task.clone()));
        stage.set_state(&task, TaskState::TaskFailed);
        let end = ended(&task, TaskState::TaskFailed, Some(task_status::Reason::ExecutorTerminated));
        let wanted = stage.on(&mut rule, &end);
        assert_eq!(
            wanted.iter().any(|intent| intent.contains("one agent at a time")),
            failures == 2,
            "{wanted:?}"
        );
    }
}
