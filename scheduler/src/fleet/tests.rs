//! Checks that counts and indexes agree with the tasks after any sequence of changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ::task::{Live, WorkerLive};
use mesos::v1::TaskState;
use proptest::prelude::*;

use super::*;
use crate::attributes::Attributes;
use crate::constraints::{Place, TentativeOccupancy, all_allow};
use crate::journal::{Assignment, Origin, TaskRecord};
use crate::offers::PlannedTask;
use crate::task_id::task_id;

const STATES: [TaskState; 8] = [
    TaskState::TaskStaging,
    TaskState::TaskStarting,
    TaskState::TaskRunning,
    TaskState::TaskRunning,
    TaskState::TaskUnreachable,
    TaskState::TaskLost,
    TaskState::TaskFailed,
    TaskState::TaskKilled,
];

fn constraints() -> Vec<Constraint> {
    vec!["hostname:MAX_PER:2".parse().unwrap()]
}

fn record(kind: TaskKind, number: u64) -> TaskRecord {
    let (agent, host) = (format!("agent{}", number % 3), format!("host{}", number % 3));
    let origin = Origin::Launched { cpus_milli: 100 * (number % 7) + 1 };
    TaskRecord {
        assignment: (kind == TaskKind::Worker).then(|| Assignment::Server("miner-server-1".into())),
        ..TaskRecord::new(task_id(kind, number), agent, host, origin)
    }
}

fn planned(record: TaskRecord) -> Task {
    let planned = PlannedTask {
        offers: vec![format!("offer of {}", record.id)],
        agent: record.agent.clone(),
        place: Place { host: record.host.clone(), attributes: Attributes::default() },
        agent_url: None,
        cpus_milli: record.cpus_milli(),
        executor: Vec::new(),
        task: Vec::new(),
        ports: None,
    };
    Task::planned(record, PlannedLaunch { planned, with: Some(Vec::new()) })
}

fn live(hashrate: f64) -> Live {
    Live::Worker(WorkerLive { hashrate, ..WorkerLive::default() })
}

/// Changes a task: `action` selects the kind of change, and `which` selects its details.
fn act(fleet: &mut Fleet, action: u8, id: &str, which: u64, now: Instant) {
    match action {
        0 => drop(fleet.launch_sent(id, now)),
        1..=4 => {
            let Some(record) = fleet.get(id).map(|task| task.record.clone()) else { return };
            let state = Some(STATES[which as usize % STATES.len()]);
            fleet.set_record(TaskRecord { state, closed: which.is_multiple_of(3), ..record }, now);
        }
        5 => fleet.want_end(id, now),
        6 => fleet.want_end_of_executor(id, now),
        7 => fleet.kill_sent(id, now),
        8 => fleet.set_slot(id, Slot::Released),
        9 => fleet.set_slot(id, Slot::Held),
        10 => drop(fleet.on_live_message(id, live(which as f64 * 1e6), now)),
        11 => drop(fleet.remove(id)),
        12 => drop(fleet.cancel_launch(id)),
        13 => drop(fleet.servers.insert(id.to_owned(), ServerState::Open)),
        14 => drop(fleet.servers.remove(id)),
        15 => {
            let Some(record) = fleet.get(id).map(|task| task.record.clone()) else { return };
            let server = format!("miner-server-{}", which % 3);
            fleet.set_record(TaskRecord { assignment: Some(Assignment::Server(server)), ..record }, now);
        }
        16 => fleet.restart_timers(which.is_multiple_of(2), now),
        _ => fleet.expire_hashrates(now),
    }
}

fn ids<'a>(tasks: impl Iterator<Item = &'a Task>) -> BTreeSet<&'a str> {
    tasks.map(Task::id).collect()
}

/// Compares the counts and indexes with values computed from all tasks.
fn check(fleet: &Fleet, now: Instant) {
    let all = || fleet.all();
    assert!(all().all(|task| fleet.get(task.id()).is_some_and(|it| it.id() == task.id())));
    let present = || all().filter(|task| !task.has_ended());
    assert_eq!(ids(fleet.active()), ids(present()));
    assert_eq!(ids(fleet.active_servers()), ids(present().filter(|task| !task.is_worker())));
    assert_eq!(ids(fleet.unsent()), ids(all().filter(|task| task.is_unsent())));
    assert_eq!(ids(fleet.in_launch_order(None)), ids(present()));
    for task in all() {
        let offer = format!("offer of {}", task.id());
        let holder = task.held_offers().contains(&offer).then_some(task.id());
        assert_eq!(fleet.holder_of(&offer).map(Task::id), holder);
    }
    for agent in ["agent0", "agent1", "agent2"] {
        let here = || present().filter(|task| task.agent() == agent);
        assert_eq!(ids(fleet.on_agent(agent)), ids(here()));
        assert_eq!(fleet.count_workers_on(agent), here().filter(|task| task.is_worker()).count());
    }
    for server in ["miner-server-0", "miner-server-1", "miner-server-2"] {
        let of_it = || present().filter(|task| task.record.server() == Some(server));
        assert_eq!(ids(fleet.workers_of(server)), ids(of_it()));
        assert_eq!(fleet.count_workers_of(server), of_it().count());
    }
    let lost = |task: &&Task| fleet.has_lost_its_server(task);
    assert_eq!(ids(fleet.workers_without_server()), ids(present().filter(lost)));
    for settled in [true, false] {
        let ended = all().filter(|task| task.has_ended() && task.is_final() == settled);
        assert_eq!(ids(fleet.ended(settled)), ids(ended));
        assert!(fleet.ended(settled).map(Task::since).is_sorted());
    }
    let deadline_queue = |task: &&Task| task.may_live() && task.kill.is_some_and(|kill| kill.again <= now);
    assert_eq!(ids(fleet.kills_due(now)), ids(all().filter(deadline_queue)));
    check_counts(fleet);
    let told = |task: &&Task| task.rate.is_some();
    assert_eq!(ids(fleet.slowest()), ids(all().filter(told)));
    let sum: f64 = all().filter_map(|task| task.rate).map(|rate| rate.millihashes as f64 / 1e3).sum();
    assert_eq!(fleet.hashrate(), (sum, all().filter(told).count()));
}

fn check_counts(fleet: &Fleet) {
    let all = || fleet.all();
    let mut states: BTreeMap<TaskState, u64> = BTreeMap::new();
    all().filter_map(Task::state).for_each(|state| *states.entry(state).or_default() += 1);
    assert_eq!(fleet.states(), &states);
    let mut present: BTreeMap<Option<TaskState>, u64> = BTreeMap::new();
    all().filter(|task| !task.has_ended()).for_each(|task| *present.entry(task.state()).or_default() += 1);
    assert_eq!(fleet.active_states(), &present);
    assert_eq!(fleet.count_live(), all().filter(|task| task.may_live()).count());
    let running = all().filter(|task| task.is_worker() && task.is_running());
    assert_eq!(fleet.count_running_workers(), running.count());
    for kind in [TaskKind::Server, TaskKind::Worker] {
        let of_kind = || all().filter(|task| task.record.kind == kind && !task.has_ended());
        let unreachable = of_kind().filter(|task| task.state() == Some(TaskState::TaskUnreachable)).count();
        let cpus_milli = of_kind().map(|task| task.record.cpus_milli()).sum();
        assert_eq!(fleet.count(kind), TaskCounts { tasks: of_kind().count(), unreachable, cpus_milli });
    }
    let placed = || all().filter(|task| task.occupies_slot());
    let cpus = placed().map(|task| task.record.cpus_milli()).sum();
    assert_eq!(fleet.placed(), (cpus, placed().count() as u64));
    for host in ["host0", "host1", "host2"] {
        let here = Place { host: host.into(), attributes: Attributes::default() };
        let free = placed().filter(|task| task.host() == host).count() < 2;
        assert_eq!(all_allow(&constraints(), &here, &TentativeOccupancy::of(fleet.occupancy())), free);
    }
}

proptest! {
    #[test]
    fn counts_and_indexes_follow_every_change(
        actions in prop::collection::vec((0u8..20, 0u64..9, any::<u16>()), 0..120),
    ) {
        let mut fleet = Fleet::new(&constraints());
        let mut now = Instant::now();
        for (action, number, which) in actions {
            let kind = if number < 2 { TaskKind::Server } else { TaskKind::Worker };
            let id = record(kind, number).id;
            if fleet.get(&id).is_none() {
                match which % 3 {
                    0 => fleet.insert(planned(record(kind, number))),
                    1 => fleet.insert(Task::recovered(record(kind, number), now)),
                    _ => {}
                }
            }
            act(&mut fleet, action, &id, which.into(), now);
            now += Duration::from_millis(u64::from(which) % 4000);
            check(&fleet, now);
        }
        fleet.forget_tasks();
        check(&fleet, now);
        prop_assert_eq!(fleet.all().count(), 0);
    }
}

#[test]
fn a_silent_worker_adds_nothing_to_the_sum() {
    let (mut fleet, now) = (Fleet::default(), Instant::now());
    for number in [2, 3] {
        fleet.insert(Task::recovered(record(TaskKind::Worker, number), now));
    }
    fleet.on_live_message("miner-worker-2", live(5e6), now);
    fleet.on_live_message("miner-worker-3", live(1e6), now + Duration::from_secs(10));
    assert_eq!(fleet.hashrate(), (6e6, 2));
    fleet.expire_hashrates(now + LIVE);
    assert_eq!(fleet.hashrate(), (1e6, 1));
    fleet.on_live_message("miner-worker-3", live(2e6), now + Duration::from_secs(25));
    fleet.expire_hashrates(now + Duration::from_secs(30));
    assert_eq!(fleet.hashrate(), (2e6, 1), "it has spoken again");
    fleet.expire_hashrates(now + Duration::from_secs(45));
    assert_eq!(fleet.hashrate(), (0.0, 0));
}

#[test]
fn the_key_of_a_task_that_is_gone_finds_nothing() {
    let (mut fleet, now) = (Fleet::default(), Instant::now());
    fleet.insert(Task::recovered(record(TaskKind::Worker, 2), now));
    fleet.on_live_message("miner-worker-2", live(5e6), now);
    fleet.remove("miner-worker-2");
    fleet.insert(Task::recovered(record(TaskKind::Worker, 3), now));
    fleet.on_live_message("miner-worker-3", live(1e6), now + Duration::from_secs(5));
    fleet.expire_hashrates(now + LIVE);
    assert_eq!(fleet.hashrate(), (1e6, 1), "the other one is in its place");
}

#[test]
fn tasks_are_listed_in_the_order_of_their_launch_also_after_one_that_is_gone() {
    let (mut fleet, now) = (Fleet::default(), Instant::now());
    (2..12).for_each(|number| fleet.insert(Task::recovered(record(TaskKind::Worker, number), now)));
    fleet.remove("miner-worker-4");
    fleet.insert(Task::recovered(record(TaskKind::Worker, 12), now));
    let next =
        |fleet: &Fleet, id: &str| fleet.in_launch_order(Some(id)).map(|task| task.id().to_owned()).next();
    let after = |id: &str| next(&fleet, id);
    assert_eq!(after("miner-worker-3").as_deref(), Some("miner-worker-5"));
    assert_eq!(after("miner-worker-4").as_deref(), Some("miner-worker-5"));
    assert_eq!(after("miner-worker-11").as_deref(), Some("miner-worker-12"));
    assert_eq!(after("miner-worker-12"), None);
    // This task is added last, although it was launched first.
    fleet.insert(Task::recovered(record(TaskKind::Worker, 1), now));
    assert_eq!(fleet.in_launch_order(None).map(Task::id).next(), Some("miner-worker-1"));
    assert_eq!(next(&fleet, "miner-worker-1").as_deref(), Some("miner-worker-2"));
}
