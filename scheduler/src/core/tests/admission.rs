//! No more workers are launched than the server admits.

use mesos::resources::Resources;
use problem::ProblemKind;

use super::*;
use crate::offers::WorkerLimits;
use crate::task_info::{ExternalPool, ServerProgram};

/// The server reports how many connections it admits.
fn admits(script: &mut Script, max_connections: Option<u32>) {
    script.server_speaks(max_connections);
}

fn offers(script: &mut Script, agents: std::ops::Range<u32>) {
    let offers = agents.map(|n| offer(&format!("o{n}"), &format!("agent{n}"), 1.0, 512)).collect();
    script.event(Event::Offers(offers));
    script.write();
}

fn remarks(script: &Script) -> Vec<String> {
    script.state.overview(script.now).problems.texts().map(str::to_owned).collect::<Vec<_>>()
}

#[test]
fn no_more_workers_are_launched_than_the_server_admits() {
    let mut script = Script::with_server();
    admits(&mut script, Some(17));
    offers(&mut script, 0..20);
    assert_eq!(script.launched().len(), 15, "two places are left free");
    assert_eq!(script.declined().len(), 5);
    assert!(script.calls.contains(&Call::Suppress));
    for worker in script.launched() {
        script.update(status(&worker, TaskState::TaskRunning, 1));
    }
    script.write();
    script.wait(Duration::from_secs(1));
    let said = remarks(&script);
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("the server is full, with 15 workers"), "{said:?}");
    assert!(said[0].contains("ulimit -n") && said[0].contains("--server-mem"), "{said:?}");
    script.wait(Duration::from_secs(100));
    let notices = script.notices.iter().filter(|notice| matches!(notice, UserNotice::Problem(_)));
    assert_eq!(notices.count(), 1, "it is said once");
    script.clear();

    // A worker ends, and another takes its place.
    script.update(status("miner-worker-2", TaskState::TaskFinished, 2));
    script.write();
    assert!(script.calls.contains(&Call::Revive));
    script.wait(Duration::from_secs(1));
    assert!(remarks(&script).is_empty());
    offers(&mut script, 20..22);
    assert_eq!(script.launched().len(), 1);
    script.clear();

    // The server admits more workers, as a new server might.
    admits(&mut script, Some(34));
    script.wait(Duration::from_secs(1));
    assert!(script.calls.contains(&Call::Revive));
    offers(&mut script, 30..60);
    assert_eq!(script.launched().len(), 31 - 15);
}

#[test]
fn the_servers_memory_decides_its_limit_of_connections() {
    let mut settings = settings();
    settings.template.options.server_mem = 64;
    let mut script = Script::with(settings);
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 1.5, 1024)]));
    script.write();
    let Some(Call::Accept { tasks, .. }) = script.calls.last() else { panic!("{:?}", script.calls) };
    let task = &tasks[0];
    let executor = task.executor.as_ref().unwrap();
    let resources: Vec<_> = task.resources.iter().chain(&executor.resources).cloned().collect();
    assert_eq!(Resources::from(resources).sum("mem").milli(), 64_000);
    let spec = TaskSpec::decode(task.data.as_deref().unwrap()).unwrap();
    let ProgramSpec::Server(server) = spec.kind else { panic!("{spec:?}") };
    assert_eq!(server.max_connections, Some(2396));
}

#[test]
fn without_a_limit_in_live_messages_the_servers_memory_decides() {
    let mut script = Script::server_of(settings());
    admits(&mut script, None);
    offers(&mut script, 0..100);
    assert_eq!(script.launched().len(), 100);
    let mut small = settings();
    small.template.options.server_mem = 33; // Less memory than the option allows, to keep the test short.
    let mut script = Script::server_of(small);
    admits(&mut script, None);
    offers(&mut script, 0..100);
    assert_eq!(script.launched().len(), 69);
    script.wait(Duration::from_secs(1));
    assert_eq!(
        remarks(&script),
        ["the server is full, with 69 workers: for more, give it more memory than 33 MB (--server-mem)"]
    );
    assert_eq!(script.kinds(), [ProblemKind::ServerFull]);
}

#[test]
fn a_lower_limit_of_the_user_needs_no_remark() {
    let limits = WorkerLimits { max_workers: Some(15), ..WorkerLimits::default() };
    let placement = Placement { limits, ..Placement::default() };
    let mut script = Script::server_of(Settings { placement, ..settings() });
    admits(&mut script, Some(17));
    offers(&mut script, 0..20);
    script.wait(Duration::from_secs(1));
    assert_eq!((script.launched().len(), remarks(&script)), (15, vec![]));
}

#[test]
fn external_pools_and_users_servers_have_no_known_limit() {
    let mut pool = settings();
    pool.template.pool = Some(ExternalPool {
        url: "stratum+tcp://pool:1".into(),
        user: None,
        password: "x".into(),
        access: ::task::PoolAccess::default(),
    });
    pool.template.options.server_mem = 33;
    let mut script = Script::with(pool);
    script.subscribe();
    // A new run of the scheduler allows only a few launches until one task runs.
    offers(&mut script, 0..1);
    script.update(status("miner-worker-1", TaskState::TaskRunning, 1));
    script.write();
    offers(&mut script, 1..100);
    assert_eq!(script.launched().len(), 100);
    let mut image = settings();
    image.template.programs.server = ServerProgram::Image(somebody_elses_worker());
    image.template.options.server_mem = 33;
    let mut script = Script::server_of(image);
    offers(&mut script, 0..100);
    assert_eq!(script.launched().len(), 100);
}

#[test]
fn a_recovered_server_gets_no_more_workers_before_its_first_live_message() {
    let mut script = Script::with_server();
    admits(&mut script, Some(17));
    offers(&mut script, 0..5);
    (2..7).for_each(|n| {
        script.update(status(&format!("miner-worker-{n}"), TaskState::TaskRunning, 1));
    });
    script.write();
    script.restart();
    script.subscribe();
    offers(&mut script, 5..20);
    script.wait(Duration::from_secs(1));
    assert_eq!(script.launched().len(), 0);
    assert_eq!(remarks(&script), Vec::<String>::new());
    script.clear();
    admits(&mut script, Some(17));
    script.wait(Duration::from_secs(1));
    assert!(script.calls.contains(&Call::Revive), "{:?}", script.calls);
    // A new run of the scheduler allows only a few launches until one task runs.
    offers(&mut script, 20..21);
    script.update(status("miner-worker-7", TaskState::TaskRunning, 1));
    script.write();
    offers(&mut script, 21..40);
    assert_eq!(script.launched().len(), 10);
}

#[test]
fn a_recovered_server_that_sends_no_live_messages_is_not_waited_for() {
    let mut image = settings();
    image.template.programs.server = ServerProgram::Image(somebody_elses_worker());
    let mut script = Script::server_of(image);
    script.restart();
    // Time without a subscription does not count towards the time limit for the server's first live message.
    script.wait(Duration::from_secs(60));
    script.subscribe();
    offers(&mut script, 0..1);
    assert_eq!(script.launched().len(), 0);
    script.wait(Duration::from_secs(20));
    assert_eq!(script.calls.last(), Some(&Call::Revive));
    offers(&mut script, 1..2);
    assert_eq!(script.launched().len(), 1);
}
