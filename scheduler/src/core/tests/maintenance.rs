use problem::ProblemKind;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn away(begins_in: Duration) -> Unavailability {
    Unavailability { begins_in, lasts: Some(10 * MINUTE) }
}

/// An inverse offer whose id is derived from the agent's id.
fn wanted_back(agent: &str, begins_in: Duration) -> Event {
    let agent = agent.to_owned();
    Event::InverseOffers(vec![InverseOffer {
        id: format!("i-{agent}"),
        agent: Some(agent),
        unavailability: away(begins_in),
    }])
}

fn planned(agent: &str, away: Option<Unavailability>) -> Event {
    Event::Unavailabilities(vec![(agent.to_owned(), away)])
}

fn killed_end(script: &mut Script, tasks: &[&str]) {
    for task in tasks {
        script.update(status(task, TaskState::TaskKilled, 2));
    }
    script.write();
}

#[test]
fn an_agent_is_drained_before_maintenance_and_used_again_afterwards() {
    let mut script = Script::with_workers();
    script.event(wanted_back("b", 5 * MINUTE));
    assert!(script.calls.contains(&Call::AcceptInverse(vec!["i-b".into()])));
    let said: Vec<_> = script.notices.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["maintenance of b.host begins in 5 min: its 1 task will be ended before that"]);
    script.wait(3 * MINUTE);
    assert!(script.killed().is_empty(), "it can mine for a while yet");
    script.event(wanted_back("b", 2 * MINUTE));
    assert_eq!(script.notices.len(), 1, "said once");
    script.wait(MINUTE + Duration::from_secs(1));
    assert_eq!(script.killed(), ["miner-worker-3"]);
    killed_end(&mut script, &["miner-worker-3"]);
    assert!(script.notices.iter().all(|notice| !matches!(notice, UserNotice::Paused { .. })), "no failure");
    script.clear();
    script.event(planned("b", Some(away(MINUTE))));
    script.event(Event::Offers(vec![offer("o4", "b", 2.0, 700)]));
    script.write();
    assert_eq!((script.launched().len(), script.declined()), (0, vec!["o4"]));
    let said = script.notices.iter().map(ToString::to_string).next().unwrap();
    assert_eq!(said, "nothing is launched on b.host, which goes down for maintenance in 1 min");
    script.event(planned("b", None));
    script.event(Event::Offers(vec![offer("o5", "b", 2.0, 700)]));
    script.write();
    assert_eq!(script.launched(), ["miner-worker-4"]);
}

/// While a maintenance plan is in force, which may be for weeks, Mesos repeats its inverse offers. Mesos does not rescind
/// those that the scheduler has answered, so the scheduler itself must forget all but the last one of each agent.
#[test]
fn repeated_inverse_offers_leave_nothing_behind() {
    let mut script = Script::with_workers();
    let asked = |id: &str| {
        let (agent, away) = (Some("b".to_owned()), away(30 * MINUTE));
        Event::InverseOffers(vec![InverseOffer { id: id.to_owned(), agent, unavailability: away }])
    };
    for id in ["i1", "i2", "i3"] {
        script.event(asked(id));
        assert_eq!(script.calls.last(), Some(&Call::AcceptInverse(vec![id.into()])));
    }
    script.event(Event::InverseRescinded("i2".into()));
    let leaves =
        |script: &Script| script.state.fleet.agents.get("b").is_some_and(|agent| agent.window.is_some());
    assert!(leaves(&script), "of an old one");
    script.event(Event::InverseRescinded("i3".into()));
    assert!(!leaves(&script));
}

#[test]
fn a_draining_server_ends_after_its_workers() {
    let mut script = Script::with_workers();
    script.event(wanted_back("a", Duration::ZERO));
    assert_eq!(
        script.killed(),
        ["miner-worker-2", "miner-worker-3"],
        "all of its workers, wherever they are"
    );
    assert_eq!(script.calls.last(), Some(&Call::Suppress));
    script.event(Event::Offers(vec![offer("o4", "b", 2.0, 1024)]));
    script.write();
    assert!(script.launched().is_empty());
    killed_end(&mut script, &["miner-worker-2"]);
    assert_eq!(script.killed().len(), 2);
    killed_end(&mut script, &["miner-worker-3"]);
    assert_eq!(script.killed()[2..], ["miner-server-1"]);
    script.clear();
    killed_end(&mut script, &["miner-server-1"]);
    assert!(script.calls.contains(&Call::Revive));
    script.event(planned("a", Some(away(Duration::ZERO))));
    script.event(Event::Offers(vec![offer("o5", "a", 2.0, 1024), offer("o6", "b", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched(), ["miner-server-4"]);
    assert_eq!(script.task("miner-server-4").record.agent, "b");
    assert!(script.notices.iter().all(|notice| !matches!(notice, UserNotice::Paused { .. })));
}

#[test]
fn a_server_does_not_wait_for_ever_for_its_workers() {
    let mut script = Script::with_workers();
    script.event(wanted_back("a", Duration::ZERO));
    script.wait(Duration::from_secs(16));
    assert!(script.killed().contains(&"miner-server-1"));
}

#[test]
fn a_server_is_launched_where_it_can_stay() {
    let mut script = Script::new();
    script.subscribe();
    script.event(Event::Unavailabilities(vec![("a".into(), Some(away(30 * MINUTE))), ("b".into(), None)]));
    script.event(Event::Offers(vec![offer("o1", "a", 2.0, 1024), offer("o2", "b", 2.0, 1024)]));
    script.write();
    assert_eq!(script.task("miner-server-1").record.agent, "b");
    script.update(TaskStatus {
        agent_id: Some("b".into()),
        ..status("miner-server-1", TaskState::TaskRunning, 1)
    });
    script.write();
    script.event(planned("a", Some(away(30 * MINUTE))));
    script.event(Event::Offers(vec![offer("o3", "a", 2.0, 1024)]));
    script.write();
    assert_eq!(script.launched().last().unwrap(), "miner-worker-2", "half an hour is worth a worker");
}

#[test]
fn cancelled_or_past_maintenance_changes_nothing() {
    let mut script = Script::with_workers();
    script.event(wanted_back("b", 5 * MINUTE));
    script.event(Event::InverseRescinded("i-b".into()));
    script.wait(6 * MINUTE);
    assert!(script.killed().is_empty());
    script.event(wanted_back("b", 5 * MINUTE));
    script.subscribe();
    script.wait(6 * MINUTE);
    assert!(script.killed().is_empty(), "what an earlier subscription said is void");
    script.event(Event::InverseOffers(vec![InverseOffer {
        id: "any".into(),
        agent: None,
        unavailability: away(MINUTE),
    }]));
    assert!(script.calls.contains(&Call::DeclineInverse(vec!["any".into()])));
    script.event(planned("c", Some(Unavailability { begins_in: Duration::ZERO, lasts: Some(MINUTE) })));
    script.wait(2 * MINUTE);
    script.event(Event::Offers(vec![offer("o9", "c", 2.0, 700)]));
    script.write();
    assert_eq!(script.launched(), ["miner-worker-4"], "it is over");
}

#[test]
fn tasks_that_an_operator_drains_are_no_failures_of_their_agent() {
    let mut script = Script::with_workers();
    for (task, state) in
        [("miner-worker-2", TaskState::TaskKilled), ("miner-worker-3", TaskState::TaskGoneByOperator)]
    {
        let mut status = status(task, state, 2);
        status.set_reason(task_status::Reason::AgentDraining);
        script.update(status);
    }
    script.write();
    assert!(script.notices.iter().all(|notice| !matches!(notice, UserNotice::Paused { .. })));
    script.event(Event::Offers(vec![offer("o9", "b", 2.0, 700)]));
    script.write();
    assert_eq!(script.launched(), ["miner-worker-4"]);
}

#[test]
fn maintenance_without_an_end_is_not_waited_for() {
    let mut script = Script::with_workers();
    script.event(planned("c", Some(Unavailability { begins_in: Duration::ZERO, lasts: None })));
    script.now += 10_000 * MINUTE;
    script.event(Event::Tick);
    script.event(Event::Offers(vec![offer("o9", "c", 2.0, 700)]));
    script.write();
    assert_eq!((script.launched().len(), script.declined()), (0, vec!["o9"]));
}

#[test]
fn a_cancelled_plan_does_not_affect_the_next_one() {
    let mut script = Script::with_workers();
    script.event(wanted_back("b", 30 * MINUTE));
    script.event(planned("b", None));
    script.event(planned("b", Some(away(30 * MINUTE))));
    script.event(Event::InverseRescinded("i-b".into()));
    assert!(script.state.fleet.agents.get("b").is_some_and(|agent| agent.window.is_some()));
    script.wait(30 * MINUTE);
    assert!(script.killed().contains(&"miner-worker-3"));
}

#[test]
fn the_overview_says_when_maintenance_begins() {
    let mut script = Script::with_workers();
    for (agent, begins_in) in [("c", MINUTE), ("d", Duration::ZERO)] {
        script.event(planned(agent, Some(away(begins_in))));
        script.event(Event::Offers(vec![offer(agent, agent, 2.0, 700)]));
    }
    let said = [
        "nothing is launched on c.host, which goes down for maintenance in 1 min",
        "nothing is launched on d.host, which is down for maintenance",
    ];
    assert_eq!(script.state.overview(script.now).problems.texts().collect::<Vec<_>>(), said);
    assert_eq!(script.kinds(), [ProblemKind::Maintenance; 2]);
}
