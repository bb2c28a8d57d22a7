use ::task::{Instruction, Live, WorkerLive};

use super::*;

fn with_workers() -> Script {
    Script::workers_of(settings_where(|options| options.on_server_loss = OnServerLoss::Repoint))
}

impl Script {
    /// Ends the first server and starts another one on agent `c`.
    fn change_server(&mut self) {
        self.update(status("miner-server-1", TaskState::TaskFailed, 2));
        self.write();
        assert!(self.killed().is_empty(), "workers stay");
        assert!(self.calls.contains(&Call::Revive));
        self.event(Event::Offers(vec![offer("o9", "c", 1.0, 1024)]));
        self.write();
        self.update(status("miner-server-4", TaskState::TaskRunning, 1));
        self.write();
        assert_eq!(self.launched(), ["miner-server-4"]);
        self.wait(Duration::from_secs(1));
    }

    /// The workers that were redirected since the last call of this function, each with the pool at which it is to mine now.
    fn told(&mut self) -> Vec<(String, String)> {
        let told = self.calls.iter().filter_map(|call| match call {
            Call::Message { executor, data, .. } => match Instruction::decode(data).unwrap() {
                Instruction::MineAt { pool, .. } => Some((executor.clone(), pool)),
                other => panic!("{other:?}"),
            },
            _ => None,
        });
        let told = told.collect();
        self.clear();
        told
    }

    fn says(&mut self, worker: &str, pool: &str) {
        let live = Live::Worker(WorkerLive { pool: pool.into(), ..WorkerLive::default() });
        self.event(Event::Message { executor: worker.into(), data: live.encode() });
    }
}

const NEW: &str = "stratum+tcp://c.host:31010";

fn both(pool: &str) -> Vec<(String, String)> {
    ["miner-worker-2", "miner-worker-3"].map(|worker| (worker.to_owned(), pool.to_owned())).into()
}

#[test]
fn a_redirect_names_the_new_servers_address_too() {
    let mut script = with_workers();
    script.update(status("miner-server-1", TaskState::TaskFailed, 2));
    script.write();
    script.event(Event::Offers(vec![launch::at("10.0.0.3", offer("o9", "c", 1.0, 1024))]));
    script.write();
    script.update(status("miner-server-4", TaskState::TaskRunning, 1));
    script.write();
    script.wait(Duration::from_secs(1));
    let told = script.calls.iter().find_map(|call| match call {
        Call::Message { data, .. } => Some(Instruction::decode(data).unwrap()),
        _ => None,
    });
    let alternatives = vec!["stratum+tcp://10.0.0.3:31010".to_owned()];
    assert_eq!(told, Some(Instruction::MineAt { pool: NEW.into(), alternatives }));
    // The worker reports the server's first URL, even if it is connected to another URL of the server.
    script.says("miner-worker-2", NEW);
    script.write();
    assert_eq!(script.task("miner-worker-2").record.server(), Some("miner-server-4"));
}

#[test]
fn workers_are_redirected_until_they_confirm_the_new_server() {
    let mut script = with_workers();
    script.change_server();
    assert_eq!(script.told(), both(NEW));
    script.says("miner-worker-2", "stratum+tcp://a.host:31010");
    script.says("miner-worker-3", NEW);
    script.wait(Duration::from_secs(6));
    assert_eq!(script.told(), both(NEW)[..1], "again, since the message may be lost");
    script.says("miner-worker-2", NEW);
    script.wait(Duration::from_secs(60));
    assert_eq!(script.told(), []);
    assert!(script.killed().is_empty());
    assert_eq!(script.state.overview(script.now).states["TASK_RUNNING"], 3);
}

#[test]
fn a_restarted_scheduler_redirects_workers_again() {
    let mut script = with_workers();
    script.change_server();
    script.says("miner-worker-2", NEW);
    script.write();
    script.restart();
    script.subscribe();
    script.wait(Duration::from_secs(2));
    assert_eq!(script.told(), both(NEW)[1..], "what the first one confirmed is on disk");
    assert!(script.killed().is_empty());
}

#[test]
fn a_scheduler_that_was_down_when_the_server_ended_keeps_the_workers() {
    let mut script = with_workers();
    script.restart();
    script.subscribe();
    script.change_server();
    assert_eq!(script.told(), both(NEW));
}

#[test]
fn a_worker_that_ignores_redirection_is_replaced() {
    let mut script = with_workers();
    script.change_server();
    script.says("miner-worker-3", NEW);
    script.wait(Duration::from_secs(50));
    assert!(script.killed().is_empty());
    script.wait(Duration::from_secs(20));
    assert_eq!(script.killed().first(), Some(&"miner-worker-2"));
    assert!(!script.killed().contains(&"miner-worker-3"));
}

#[test]
fn a_worker_that_cannot_be_redirected_is_replaced_at_once() {
    let mut script = with_workers();
    let mut data = report("miner-worker-2", 2, 1);
    data[1] = 1;
    script.update(TaskStatus { data: Some(data), ..status("miner-worker-2", TaskState::TaskRunning, 2) });
    script.write();
    script.change_server();
    assert_eq!(script.killed(), ["miner-worker-2"]);
    assert_eq!(script.told(), both(NEW)[1..]);
}

/// The resources of a server may be offered again before its end is on disk, so a worker may be launched on the resources that
/// the next server needs.
#[test]
fn a_worker_that_has_never_run_is_ended_with_its_server() {
    let mut script = with_workers();
    script.event(Event::Offers(vec![offer("o8", "a", 1.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-worker-4"]);
    script.clear();
    script.update(status("miner-server-1", TaskState::TaskFailed, 2));
    script.write();
    assert_eq!(script.killed(), ["miner-worker-4"]);
}

#[test]
fn an_unreachable_worker_is_redirected_when_it_returns() {
    let mut script = with_workers();
    script.update(TaskStatus { uuid: None, ..status("miner-worker-2", TaskState::TaskUnreachable, 2) });
    script.write();
    script.change_server();
    assert_eq!(script.told(), both(NEW)[1..]);
    script.says("miner-worker-3", NEW);
    script.wait(Duration::from_secs(300));
    assert_eq!(script.told(), []);
    script.update(TaskStatus { uuid: None, ..status("miner-worker-2", TaskState::TaskRunning, 3) });
    script.write();
    script.wait(Duration::from_secs(1));
    assert_eq!(script.told(), both(NEW)[..1]);
}

#[test]
fn one_worker_is_preempted_if_no_offer_is_enough_for_a_server() {
    let mut script = with_workers();
    script.update(status("miner-server-1", TaskState::TaskFailed, 2));
    script.write();
    script.event(Event::Offers(vec![offer("o9", "a", 0.9, 1024)]));
    script.write();
    script.wait(Duration::from_secs(9));
    assert!(script.killed().is_empty() && script.launched().is_empty());
    script.wait(Duration::from_secs(2));
    assert_eq!(script.killed(), ["miner-worker-3"], "the one that is large enough");
    script.update(status("miner-worker-3", TaskState::TaskKilled, 2));
    script.write();
    script.event(Event::Offers(vec![offer("o10", "b", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-server-4"]);
    script.clear();
    script.wait(Duration::from_secs(60));
    assert!(script.killed().is_empty(), "no other one");
}

#[test]
fn the_shutdown_ends_workers_without_a_server_too() {
    let mut script = with_workers();
    script.update(status("miner-server-1", TaskState::TaskFailed, 2));
    script.write();
    script.event(Event::Stop);
    assert_eq!(script.killed(), ["miner-worker-2", "miner-worker-3"]);
}

#[test]
fn workers_with_a_users_image_are_killed_with_their_server() {
    let mut settings = settings_where(|options| options.on_server_loss = OnServerLoss::Repoint);
    settings.template.programs.worker = Some(somebody_elses_worker());
    let mut script = Script::workers_of(settings);
    script.update(status("miner-server-1", TaskState::TaskFailed, 2));
    script.write();
    assert_eq!(script.killed(), ["miner-worker-2", "miner-worker-3"], "they obey nobody");
}

#[test]
fn the_new_server_of_a_worker_is_persisted_once() {
    let mut script = with_workers();
    script.change_server();
    script.says("miner-worker-3", NEW);
    script.says("miner-worker-3", NEW);
    assert_eq!(script.queue.len(), 1);
    assert_eq!(script.task("miner-worker-2").record.server(), Some("miner-server-1"));
}

/// The workers that are killed to make room for a server. With the default placement and a `prepare` that does nothing, the
/// scheduler kills only the larger worker, on agent `b`.
fn who_gives_way(placement: Placement, prepare: impl Fn(&mut Script)) -> Vec<String> {
    let on_server_loss = OnServerLoss::Repoint;
    let mut script = Script::workers_of(Settings {
        placement,
        ..settings_where(|options| options.on_server_loss = on_server_loss)
    });
    prepare(&mut script);
    script.update(status("miner-server-1", TaskState::TaskFailed, 2));
    script.write();
    script.wait(Duration::from_secs(12));
    script.killed().into_iter().map(str::to_owned).collect()
}

#[test]
fn only_a_worker_whose_resources_a_server_can_use_is_preempted() {
    assert_eq!(who_gives_way(Placement::default(), |_| {}), ["miner-worker-3"]);
    let server = vec!["hostname:LIKE:a.*".parse().unwrap()];
    assert_eq!(who_gives_way(Placement { server, ..Placement::default() }, |_| {}), ["miner-worker-2"]);
    let unreachable = |script: &mut Script| {
        let status = status("miner-worker-3", TaskState::TaskUnreachable, 2);
        script.update(TaskStatus { uuid: None, ..status });
    };
    assert_eq!(who_gives_way(Placement::default(), unreachable), ["miner-worker-2"]);
    let leaving = |script: &mut Script| {
        let away = Unavailability { begins_in: Duration::from_secs(600), lasts: None };
        script.event(Event::Unavailabilities(vec![("b".into(), Some(away))]));
    };
    assert_eq!(who_gives_way(Placement::default(), leaving), ["miner-worker-2"]);
}

#[test]
fn the_smallest_worker_that_is_large_enough_is_preempted() {
    let mut script = with_workers();
    script.event(Event::Offers(vec![offer("o4", "c", 1.0, 1024), offer("o5", "d", 1.5, 1024)]));
    script.write();
    for task in ["miner-worker-4", "miner-worker-5"] {
        script.update(status(task, TaskState::TaskRunning, 1));
    }
    script.update(status("miner-server-1", TaskState::TaskFailed, 2));
    script.write();
    script.wait(Duration::from_secs(12));
    assert_eq!(script.killed(), ["miner-worker-4"]);
}

#[test]
fn each_loss_of_a_server_restarts_the_wait_for_offers() {
    let mut script = with_workers();
    script.update(status("miner-server-1", TaskState::TaskFailed, 2));
    script.write();
    script.wait(Duration::from_secs(9));
    script.event(Event::Offers(vec![offer("o9", "c", 1.0, 1024)]));
    script.write();
    script.update(status("miner-server-4", TaskState::TaskRunning, 1));
    script.write();
    script.wait(Duration::from_secs(2));
    script.update(status("miner-server-4", TaskState::TaskFailed, 2));
    script.write();
    script.wait(Duration::from_secs(9));
    assert!(script.killed().is_empty());
}

#[test]
fn maintenance_ends_a_server_without_its_workers() {
    let mut script = with_workers();
    let away = Unavailability { begins_in: Duration::ZERO, lasts: None };
    script.event(Event::InverseOffers(vec![InverseOffer {
        id: "i".into(),
        agent: Some("a".into()),
        unavailability: away,
    }]));
    assert_eq!(script.killed(), ["miner-server-1", "miner-worker-2"], "what is there");
    let moves =
        |notice: &&UserNotice| matches!(notice, UserNotice::ServerDrained { keeps_workers: true, .. });
    script.wait(Duration::from_secs(3));
    assert_eq!(script.notices.iter().filter(moves).count(), 1);
}
