//! The option `--pool` changes: workers mine at another external pool, or at a server instead, or no longer at a server.

use super::super::pool::at;
use super::*;

const A: &str = "stratum+tcp://a.example:1";
const B: &str = "stratum+tcp://b.example:1";

/// The scheduler is started again with other settings.
fn restart_as(script: &mut Script, settings: Settings) {
    let silence_timeout = 1000 * MINUTE;
    script.settings = settings;
    script.settings.options.silence_timeout = silence_timeout;
    script.restart();
    script.subscribe();
    script.server_speaks(None);
    answer_all(script);
    script.clear();
}

/// Workers that mine at pool `A`: miner-worker-1 on `b1` and so on.
fn fleet_at_a(workers: u64) -> Script {
    let mut script = Script::with(at(A));
    script.settings.options.silence_timeout = 1000 * MINUTE;
    script.subscribe();
    for number in 1..=workers {
        launch(&mut script, number);
    }
    script.clear();
    script
}

/// The pools of the workers that have not ended.
fn pools(script: &Script) -> Vec<String> {
    let workers = script.state.fleet.active().filter(|task| task.is_worker());
    workers.filter_map(|task| task.record.assignment.as_ref()).map(|it| format!("{it:?}")).collect()
}

#[test]
fn workers_move_to_another_pool_one_by_one() {
    let mut script = fleet_at_a(3);
    restart_as(&mut script, at(B));
    assert_eq!(killed_within(&mut script, MINUTE * 58 / 60), workers([]), "they mine at the old pool");
    for (old, new) in [(1, 4), (2, 5), (3, 6)] {
        assert_eq!(killed_within(&mut script, MINUTE), workers([old]));
        let why =
            format!("replacing miner-worker-{old} (mines at another pool than with the options of today)");
        assert!(told(&script).contains(&why), "{}", told(&script));
        assert_eq!(killed_within(&mut script, 5 * MINUTE), workers([]), "its successor does not mine yet");
        script.clear();
        launch(&mut script, new);
        assert_eq!(script.launched(), workers([new]));
    }
    assert_eq!(killed_within(&mut script, 60 * MINUTE), workers([]));
    assert_eq!(pools(&script), vec![format!("Pool({B:?})"); 3]);
}

#[test]
fn nothing_more_ends_if_the_other_pool_gives_no_work() {
    let mut script = fleet_at_a(5);
    restart_as(&mut script, at(B));
    assert_eq!(killed_within(&mut script, 19 * MINUTE), workers([1]));
    assert!(told(&script).contains("replacing workers is paused"), "{}", told(&script));
}

/// The server counts the shares of its workers until the last one has gone.
#[test]
fn a_server_ends_after_its_last_worker_if_a_pool_is_wanted_instead() {
    let mut script = fleet_of(settings(), 2);
    restart_as(&mut script, at(A));
    assert_eq!(killed_within(&mut script, MINUTE + MINUTE / 30), workers([2]));
    script.clear();
    launch(&mut script, 4);
    assert_eq!(script.launched(), workers([4]));
    script.clear();
    assert_eq!(killed_within(&mut script, MINUTE + MINUTE / 30), ["miner-worker-3", "miner-server-1"]);
    let told = told(&script);
    assert!(told.contains("miner-server-1 is no longer needed"), "{told}");
    assert!(!told.contains("starting over"), "{told}");
    launch(&mut script, 5);
    assert_eq!(killed_within(&mut script, 60 * MINUTE), workers([]));
    assert_eq!(pools(&script), vec![format!("Pool({A:?})"); 2]);
}

/// While a server from before runs, its CPU counts, so `--max-cpus` holds.
#[test]
fn the_cpu_of_a_server_from_before_counts() {
    let limited = |mut settings: Settings| {
        settings.placement.limits.max_cpus_milli = Some(3000);
        settings
    };
    let mut script = fleet_of(limited(settings()), 2);
    restart_as(&mut script, limited(at(A)));
    script.event(Event::Offers(vec![offer("o", "c", 4.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), workers([]));
}

#[test]
fn a_server_is_launched_before_the_workers_of_a_pool_are_replaced() {
    let mut script = fleet_at_a(3);
    restart_as(&mut script, settings());
    assert_eq!(killed_within(&mut script, MINUTE / 12), workers([]));
    script.event(Event::Offers(vec![offer("o", "a", 1.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-server-4"]);
    assert_eq!(killed_within(&mut script, MINUTE / 12), workers([]), "the server does not run yet");
    run(&mut script, "miner-server-4", "a");
    for (old, new) in [(1, 5), (2, 6), (3, 7)] {
        assert_eq!(killed_within(&mut script, MINUTE), workers([old]));
        script.clear();
        launch(&mut script, new);
        assert_eq!(script.launched(), workers([new]));
        script.wait(MINUTE / 2);
    }
    assert_eq!(pools(&script), vec!["Server(\"miner-server-4\")"; 3]);
}

/// If workers at the pool hold everything, one of them makes room for the server.
#[test]
fn a_worker_of_a_pool_makes_room_for_the_server() {
    let mut script = fleet_at_a(3);
    restart_as(&mut script, settings());
    let killed = killed_within(&mut script, MINUTE / 5);
    assert_eq!(killed.len(), 1, "{killed:?}");
    assert!(told(&script).contains("no offer is enough for a server: ending miner-worker-"));
    script.event(Event::Offers(vec![offer("o", "b1", 1.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-server-4"]);
}
