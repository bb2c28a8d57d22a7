//! Launches on agents that have to fetch the executor from this scheduler.

use problem::{Problem, ProblemKind};

use super::*;
use crate::artifact::DownloadStats;

fn serving() -> Settings {
    let delivery = Delivery::Fetch { uri: "http://h:1/x/mesos-miner.tar.gz".into(), cache: true };
    let template = crate::task_info::TaskTemplate { delivery, ..settings().template };
    Settings { template, ..settings() }
}

fn offers(agents: std::ops::Range<u32>) -> Event {
    Event::Offers(agents.map(|n| offer(&format!("o{n}"), &format!("agent{n:04}"), 1.0, 512)).collect())
}

/// How long offers were declined, in seconds.
fn refused(script: &Script) -> Vec<u64> {
    let times = |call: &Call| match call {
        Call::Decline { refuse, .. } => Some(refuse.as_secs()),
        _ => None,
    };
    script.calls.iter().filter_map(times).collect()
}

fn tell(script: &mut Script, per_second: f64) {
    script.event(Event::Fetching(DownloadStats { per_second, ..DownloadStats::default() }));
}

fn start(script: &mut Script, tasks: &[String]) {
    for task in tasks {
        script.update(status(task, TaskState::TaskStarting, 1));
    }
    script.write();
}

#[test]
fn waiting_agents_fetch_when_others_have_the_executor() {
    let mut script = Script::server_of(serving());
    script.event(offers(0..1000));
    script.write();
    let first = script.launched();
    assert_eq!(first.len(), 64, "the server's agent has it");
    assert_eq!(script.declined().len(), 936);
    let times = refused(&script);
    assert!(times.len() <= 120 && times.iter().all(|time| (1..=120).contains(time)), "{times:?}");
    assert!(times.iter().any(|time| *time <= 2) && times.iter().any(|time| *time >= 5), "no wave: {times:?}");
    script.clear();
    script.wait(Duration::from_secs(1));
    let said = script.state.overview(script.now).problems.texts().map(str::to_owned).collect::<Vec<_>>();
    assert!(said[0].contains("936 wait"), "{said:?}");
    assert!(script.notices.contains(&UserNotice::Problem(Problem::new(ProblemKind::Fetching, &*said[0]))));
    // These 64 agents fetch the executor in ten seconds, so the rate is 6.4 agents per second.
    (0..9).for_each(|_| tell(&mut script, 6.4));
    script.now += Duration::from_secs(9);
    start(&mut script, &first);
    script.clear();
    script.event(offers(100..400));
    script.write();
    let next = script.launched();
    assert!((100..=150).contains(&next.len()), "{}", next.len());
    script.clear();
    start(&mut script, &next);
    // Further tasks are launched immediately on agents that have the executor.
    script.event(offers(0..10));
    script.write();
    assert_eq!(script.launched().len(), 10);
    assert!(!script.calls.contains(&Call::Revive));
}

#[test]
fn faster_fetches_revive_offers_but_not_in_a_loop() {
    let mut script = Script::server_of(serving());
    script.event(offers(0..1000));
    script.write();
    let first = script.launched();
    start(&mut script, &first);
    script.clear();
    script.wait(Duration::from_secs(60));
    let revives = script.calls.iter().filter(|call| **call == Call::Revive).count();
    assert!((1..=4).contains(&revives), "{revives}");
}

#[test]
fn an_agent_that_is_replaced_or_whose_fetch_failed_fetches_anew() {
    let mut script = Script::server_of(serving());
    script.event(offers(0..64));
    script.write();
    let first = script.launched();
    assert_eq!(first.len(), 64);
    script.clear();
    script.event(offers(64..65));
    script.write();
    assert!(script.launched().is_empty(), "as many fetch as may");
    script.update(status(&first[0], TaskState::TaskFailed, 1));
    script.write();
    script.clear();
    script.event(offers(64..65));
    script.write();
    assert_eq!(script.launched().len(), 1, "one failed, and another has its turn");
}

#[test]
fn launches_that_are_not_sent_after_all_do_not_count() {
    for (worker_cpus_milli, launched) in [(None, 64), (Some(500), 128)] {
        let mut settings = serving();
        settings.placement.limits.worker_cpus_milli = worker_cpus_milli;
        let mut script = Script::server_of(settings);
        script.event(offers(0..64));
        script.event(Event::Disconnected);
        script.write();
        assert!(script.launched().is_empty());
        script.subscribe();
        script.clear();
        script.event(offers(100..164));
        script.write();
        assert_eq!(script.launched().len(), launched);
    }
}

#[test]
fn an_agent_fetches_until_none_of_its_tasks_waits_for_the_executor() {
    let mut settings = serving();
    settings.placement.limits.worker_cpus_milli = Some(500);
    let mut script = Script::server_of(settings);
    script.event(offers(0..64));
    script.write();
    let first = script.launched();
    assert_eq!(first.len(), 128);
    let on_one_agent: Vec<_> = (0..2).map(|n| first[n].clone()).collect();
    let agents = on_one_agent.iter().map(|id| script.task(id).agent().to_owned());
    assert_eq!(agents.collect::<std::collections::BTreeSet<_>>().len(), 1);
    for (failed, launched) in on_one_agent.iter().zip([0, 2]) {
        script.update(status(failed, TaskState::TaskFailed, 1));
        script.write();
        script.clear();
        script.event(offers(64..65));
        script.write();
        assert_eq!(script.launched().len(), launched, "{failed}");
    }
}

#[test]
fn fetches_from_elsewhere_are_not_paced() {
    let mut elsewhere = serving();
    elsewhere.template.delivery = Delivery::Fetch { uri: "http://mirror/mesos-miner".into(), cache: false };
    let mut theirs = serving();
    theirs.template.programs.worker = Some(somebody_elses_worker());
    for settings in [settings(), elsewhere, theirs] {
        let mut script = Script::server_of(settings);
        script.event(offers(0..1000));
        script.write();
        assert_eq!(script.launched().len(), 1000);
        assert!(script.declined().is_empty());
    }
}
