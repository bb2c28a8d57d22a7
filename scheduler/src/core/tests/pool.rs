use super::*;
use crate::offers::WorkerLimits;
use crate::task_info::ExternalPool;

pub(super) fn at(url: &str) -> Settings {
    let mut settings = settings();
    settings.template.pool = Some(ExternalPool {
        url: url.into(),
        user: None,
        password: "x".into(),
        access: ::task::PoolAccess::default(),
    });
    settings
}

fn mining() -> Script {
    let mut script = Script::with(at("stratum+tcp://pool:1"));
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 2.0, 1024), offer("o2", "b", 2.0, 1024)]));
    script.write();
    script
}

#[test]
fn with_an_external_pool_workers_are_launched_without_a_server() {
    let mut script = mining();
    assert_eq!(script.launched(), ["miner-worker-1", "miner-worker-2"]);
    assert_eq!(script.launched_worker().pool, "stratum+tcp://pool:1");
    script.update(status("miner-worker-1", TaskState::TaskRunning, 1));
    script.update(status("miner-worker-2", TaskState::TaskFailed, 1));
    script.write();
    script.clear();
    script.wait(Duration::from_secs(5));
    script.event(Event::Offers(vec![offer("o3", "b", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-worker-3"]);
    assert!(script.killed().is_empty());
}

#[test]
fn a_restart_adopts_the_workers_of_the_same_pool() {
    let mut script = mining();
    for task in ["miner-worker-1", "miner-worker-2"] {
        script.update(status(task, TaskState::TaskRunning, 1));
    }
    script.write();
    script.restart();
    script.subscribe();
    script.wait(Duration::from_secs(5));
    assert!(script.killed().is_empty());
}

#[test]
fn with_an_external_pool_limits_and_shutdown_ignore_the_server() {
    let mut settings = at("stratum+tcp://pool:1");
    settings.placement.limits = WorkerLimits { max_cpus_milli: Some(3000), ..WorkerLimits::default() };
    let mut script = Script::with(settings);
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 2.0, 1024), offer("o2", "b", 2.0, 1024)]));
    script.write();
    let cpus: Vec<_> = script.state.fleet.all().map(|task| task.record.cpus_milli()).collect();
    assert_eq!(cpus, [2000, 1000]);
    script.event(Event::Stop);
    for task in ["miner-worker-1", "miner-worker-2"] {
        assert!(script.killed().contains(&task));
        script.update(status(task, TaskState::TaskKilled, 1));
    }
    script.write();
    assert!(script.finished && script.calls.contains(&Call::Teardown));
}
