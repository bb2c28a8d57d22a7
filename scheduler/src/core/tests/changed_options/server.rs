//! The options of the server change. The server is replaced, and its workers go on.

use problem::ProblemKind;

use super::*;

/// The next server runs on `a`, and the workers that run have switched to it.
fn next_server(script: &mut Script, server: &str) {
    script.clear();
    script.event(Event::Offers(vec![offer("o", "a", 1.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), [server]);
    run(script, server, "a");
    script.wait(MINUTE / 60);
    let address = script.task(server).record.address.clone().unwrap();
    let pool = stratum_url(&address.host, address.stratum_port);
    let told = |call: &Call| match call {
        Call::Message { executor, .. } => Some(executor.clone()),
        _ => None,
    };
    for executor in script.calls.iter().filter_map(told).collect::<Vec<_>>() {
        let live = Live::Worker(WorkerLive { pool: pool.clone(), ..WorkerLive::default() });
        script.event(Event::Message { executor, data: live.encode() });
    }
    script.write();
}

/// Whatever becomes of the workers of a server that fails, those of a server that is replaced go on.
#[test]
fn workers_outlive_a_server_that_is_replaced_and_are_then_replaced_themselves() {
    for on_server_loss in [OnServerLoss::Kill, OnServerLoss::Repoint] {
        let mut script = fleet_of(settings_where(|options| options.on_server_loss = on_server_loss), 3);
        restart_with(&mut script, |settings| {
            settings.template.options.share_interval = Duration::from_millis(1500);
            settings.template.options.backend = Some("portable".into());
        });
        assert_eq!(killed_within(&mut script, MINUTE / 6), ["miner-server-1"], "the server first");
        let replaced = "miner-server-1 was launched with other options: replacing it: its 3 workers will mine at the next server";
        assert!(told(&script).contains(replaced), "{}", told(&script));
        next_server(&mut script, "miner-server-5");
        assert_eq!(killed_within(&mut script, 3 * MINUTE / 2), workers([2]), "{on_server_loss:?}");
        assert!(script.workers_at("miner-server-5") == 3 - 1, "the other workers mine");
    }
}

impl Script {
    fn workers_at(&self, server: &str) -> usize {
        self.state.fleet.workers_of(server).filter(|worker| worker.is_running()).count()
    }
}

/// The scheduler ends the server, because the user has changed an option. Before the next server runs, the user changes the
/// option back and restarts the scheduler.
#[test]
fn workers_wait_for_the_next_server_through_restarts_and_hours() {
    for hours in [0, 3] {
        let mut script = fleet_of(settings(), 2);
        let other = |settings: &mut Settings| settings.template.options.share_interval = MINUTE;
        restart_with(&mut script, other);
        assert_eq!(killed_within(&mut script, MINUTE / 6), ["miner-server-1"]);
        script.wait(hours * 60 * MINUTE);
        script.clear();
        restart_with(&mut script, |settings| {
            settings.template.options.share_interval = TaskOptions::default().share_interval;
        });
        // Only after a longer time without a sufficient offer does the scheduler end a worker to make room for the next server.
        assert_eq!(killed_within(&mut script, MINUTE / 12), workers([]), "after {hours} hours");
        next_server(&mut script, "miner-server-4");
        assert_eq!(script.workers_at("miner-server-4"), 2);
    }
}

/// When a server fails, its workers end, because `--on-server-loss=kill` is set.
#[test]
fn the_workers_of_a_server_that_fails_end_before_it_can_be_replaced() {
    let mut script = fleet_of(settings(), 2);
    restart_with(&mut script, |settings| settings.template.options.share_interval = MINUTE);
    let fails = |script: &mut Script| script.update(status("miner-server-1", TaskState::TaskFailed, 9));
    assert_eq!(killed_by(&mut script, fails, MINUTE / 20), workers([2, 3]));
}

#[test]
fn workers_that_cannot_be_redirected_end_with_their_server_and_the_user_is_told_before() {
    let mut settings = settings();
    settings.template.programs.worker = Some(somebody_elses_worker());
    let mut script = fleet_of(settings, 3);
    restart_with(&mut script, |settings| settings.template.options.share_interval = MINUTE);
    assert_eq!(killed_within(&mut script, MINUTE / 3), workers([]));
    let warning =
        "miner-server-1 was launched with other options: replacing it in 30 s, and its 3 workers with it";
    assert!(told(&script).contains(warning), "{}", told(&script));
    let killed = killed_within(&mut script, MINUTE);
    assert_eq!(
        killed,
        [workers([2, 3, 4]), vec!["miner-server-1".into()]].concat(),
        "it counts their shares"
    );
    assert_eq!(told(&script).matches("miner-server-1 was launched").count(), 2, "{}", told(&script));
}

/// No agent has room for a server with the new options. So the old server goes on, and no worker is ended.
#[test]
fn a_server_without_a_successor_goes_on() {
    type Change = fn(&mut Settings);
    let cases: [(Change, &str); 3] = [
        (|settings| settings.template.options.server_cpus = 64.0, "64 CPU (--server-cpus)"),
        (|settings| settings.template.options.server_mem = 65_536, "65536 MB (--server-mem)"),
        (
            |settings| settings.placement.server = vec!["hostname:CLUSTER:nowhere".parse().unwrap()],
            "--server-constraint hostname:CLUSTER:nowhere",
        ),
    ];
    for (change, why) in cases {
        let mut script = fleet_of(settings(), 3);
        restart_with(&mut script, change);
        script.server_speaks(Some(16_777));
        assert_eq!(killed_within(&mut script, 60 * MINUTE), workers([]), "{why}");
        let told = told(&script);
        let goes_on = "miner-server-1 goes on with the options of its launch";
        assert!(told.contains(goes_on) && told.contains(why), "{told}");
        assert_eq!(told.matches(goes_on).count(), 1, "told once");
        assert!(script.remarks().iter().any(|text| text.contains(why)), "{:?}", script.remarks());
        assert!(script.kinds().contains(&ProblemKind::NoRoomForNewServer), "{:?}", script.kinds());
        assert!(!script.calls.contains(&Call::Suppress), "offers are wanted");
        script.event(Event::Offers(vec![offer("o", "c", 2.0, 1024)]));
        script.write();
        assert_eq!(script.launched(), ["miner-worker-5"], "{why}: other offers are for workers");
    }
}

#[test]
fn a_server_is_replaced_when_an_offer_has_room_for_the_next_one() {
    let mut script = fleet_of(settings(), 3);
    restart_with(&mut script, |settings| {
        settings.template.options.server_cpus = 8.0;
        settings.placement.limits.max_workers = Some(3);
    });
    assert_eq!(killed_within(&mut script, 5 * MINUTE), workers([]));
    assert!(script.calls.contains(&Call::Revive), "no worker is wanted, but offers are");
    assert!(!script.calls.contains(&Call::Suppress));
    script.clear();
    let offers = Event::Offers(vec![offer("o1", "c", 8.0, 100), offer("o2", "d", 8.0, 1024)]);
    let killed = killed_by(&mut script, |script| script.event(offers), MINUTE / 60);
    assert_eq!(killed, ["miner-server-1"]);
    assert_eq!(script.declined(), ["o1", "o2"]);
    script.clear();
    script.event(Event::Offers(vec![offer("o3", "d", 8.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-server-5"]);
    assert_eq!(script.remarks(), Vec::<String>::new());
}

/// The next server fits on the old server's agent if the agent's offer and the old server's resources together are enough.
#[test]
fn a_server_is_replaced_when_its_own_agent_has_room() {
    let mut script = fleet_of(settings(), 1);
    restart_with(&mut script, |settings| {
        settings.template.options.server_cpus = 1.5;
        settings.template.options.server_mem = 512;
    });
    script.server_speaks(Some(16_777));
    assert_eq!(killed_within(&mut script, MINUTE / 2), workers([]));
    for (id, cpus, mem, fits) in [("o1", 0.4, 1024, false), ("o2", 0.5, 200, false), ("o3", 0.5, 300, true)] {
        let offers = Event::Offers(vec![offer(id, "a", cpus, mem)]);
        let killed = killed_by(&mut script, |script| script.event(offers), MINUTE / 60);
        assert_eq!(killed, if fits { vec!["miner-server-1".to_owned()] } else { vec![] }, "{id}");
        // If the offer was too small for the server, a worker was launched on it. This worker ends.
        for task in script.launched() {
            script.update(status(&task, TaskState::TaskFinished, 9));
            script.write();
        }
        script.clear();
    }
}

/// No agent has room for the next server, so the scheduler ends workers, on one agent after the other. A worker goes on if its
/// end would not make enough room.
#[test]
fn workers_make_room_for_the_next_server() {
    let mut script = fleet_of(settings(), 2);
    script.event(Event::Offers(vec![offer("o8", "a", 0.5, 300), offer("o9", "c", 3.0, 300)]));
    script.write();
    for (worker, agent) in [("miner-worker-4", "a"), ("miner-worker-5", "c")] {
        run(&mut script, worker, agent);
    }
    restart_with(&mut script, |settings| settings.template.options.server_cpus = 1.5);
    assert_eq!(killed_within(&mut script, MINUTE / 2), workers([]), "an offer may come");
    assert_eq!(killed_within(&mut script, MINUTE), workers([4]), "the server's neighbour");
    assert!(told(&script).contains("no offer is enough for a server: ending miner-worker-4 to make room"));
    // Another framework takes the resources of worker 4. The memory that agent `c` offers and the CPU of worker 5 are enough for
    // the next server.
    let mut spare = offer("o10", "c", 0.01, 600);
    spare.resources.retain(|resource| resource.name != "cpus");
    script.event(Event::Offers(vec![spare]));
    script.write();
    assert_eq!(killed_within(&mut script, 2 * MINUTE), workers([5]), "it has 3 CPU");
    let offers = Event::Offers(vec![offer("o11", "c", 3.0, 900)]);
    assert_eq!(killed_by(&mut script, |script| script.event(offers), MINUTE / 60), ["miner-server-1"]);
    assert_eq!(script.state.fleet.workers_without_server().count(), 2, "all others go on");
}

#[test]
fn a_server_that_its_constraint_forbids_is_replaced() {
    let mut script = fleet_of(settings(), 1);
    restart_with(&mut script, |settings| {
        settings.placement.server = vec!["hostname:UNLIKE:a.host".parse().unwrap()];
    });
    assert_eq!(killed_within(&mut script, MINUTE / 12), workers([]), "it has no other place yet");
    let offers = Event::Offers(vec![offer("p", "c", 1.0, 1024)]);
    assert_eq!(killed_by(&mut script, |script| script.event(offers), MINUTE / 12), ["miner-server-1"]);
}

#[test]
fn another_user_is_for_all_tasks() {
    let mut script = fleet_of(settings(), 1);
    restart_with(&mut script, |settings| settings.template.user = "nobody".into());
    assert_eq!(killed_within(&mut script, MINUTE / 6), ["miner-server-1"]);
    next_server(&mut script, "miner-server-3");
    let server = task_infos(&script);
    assert_eq!(killed_within(&mut script, MINUTE), ["miner-worker-2"]);
    script.clear();
    launch(&mut script, 4);
    let tasks = [server, task_infos(&script)].concat();
    assert_eq!(tasks.iter().map(user).collect::<Vec<_>>(), [Some("nobody"), Some("nobody")]);
}
