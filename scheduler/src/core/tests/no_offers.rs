//! A scheduler that gets no offers.

use problem::ProblemKind;

use super::*;
use crate::cluster_view::{AgentFate, ClusterView};

fn first_problem(script: &Script) -> Option<(ProblemKind, String)> {
    let problems = script.state.overview(script.now).problems;
    problems.first.first().map(|problem| (problem.kind, problem.text.clone()))
}

fn without_agents() -> Event {
    Event::ClusterViewed(Some(ClusterView::default()))
}

fn notices(script: &Script) -> usize {
    script.notices.iter().filter(|notice| matches!(notice, UserNotice::Problem(_))).count()
}

#[test]
fn after_ten_seconds_the_user_is_told_what_the_master_says() {
    let mut script = Script::new();
    script.subscribe();
    script.wait(Duration::from_secs(5));
    assert_eq!((first_problem(&script), script.questions.len()), (None, 0));
    script.wait(Duration::from_secs(3));
    assert_eq!((first_problem(&script), script.questions.len()), (None, 1));
    script.event(without_agents());
    script.wait(Duration::from_secs(3));
    let (kind, text) = first_problem(&script).unwrap();
    assert_eq!((kind, &*text), (ProblemKind::NoAgents, "no offers yet for role *: the master has no agents"));
    assert_eq!(notices(&script), 1);

    // The question is repeated. The user is told the same again after a minute, and then less often.
    script.wait(Duration::from_secs(120));
    assert_eq!((script.questions.len(), notices(&script)), (3, 2));
    let fates = [(AgentFate::Gpu, 1)];
    script.event(Event::ClusterViewed(Some(ClusterView { fates: fates.into(), ..ClusterView::default() })));
    script.wait(Duration::from_secs(1));
    assert_eq!(first_problem(&script).unwrap().0, ProblemKind::GpuAgents);
    assert_eq!(notices(&script), 3);

    script.event(Event::Offers(vec![offer("o1", "a", 4.0, 4096)]));
    script.wait(Duration::from_secs(1));
    assert_eq!(first_problem(&script), None);
}

#[test]
fn without_an_answer_of_the_master_the_options_are_named() {
    let mut script = Script::new();
    script.subscribe();
    script.wait(Duration::from_secs(8));
    script.event(Event::ClusterViewed(None));
    script.wait(Duration::from_secs(3));
    let (kind, text) = first_problem(&script).unwrap();
    assert!(kind == ProblemKind::NoOffers && text.contains("--gpu-agents"), "{text}");
}

#[test]
fn who_wants_nothing_misses_no_offers() {
    // Without a subscription, that is the problem.
    let mut script = Script::new();
    script.subscribe();
    script.event(Event::Disconnected);
    script.wait(Duration::from_secs(60));
    assert!(script.questions.is_empty() && first_problem(&script).is_none());

    // While workers run, missing offers are normal.
    let mut script = Script::with_workers();
    script.wait(Duration::from_secs(120));
    assert!(script.questions.is_empty(), "{:?}", first_problem(&script));
}

#[test]
fn what_the_master_says_stands_above_the_reasons_of_declined_offers_if_it_explains_them() {
    let mut script = Script::new();
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 0.01, 1024)]));
    script.wait(Duration::from_secs(5));
    assert_eq!((first_problem(&script).unwrap().0, script.questions.len()), (ProblemKind::AgentTooSmall, 0));
    // The offer comes again and again, so offers are not missing, but usable ones are.
    script.event(Event::Offers(vec![offer("o2", "a", 0.01, 1024)]));
    script.wait(Duration::from_secs(3));
    let asked = script.questions.pop().expect("asked").shortage.expect("the offer was declined");
    assert_eq!((asked.cpus_milli, &asked.declined), (1000, &[("a".to_owned(), true)].into()));
    let answer =
        |fate| ClusterView { fates: [(fate, 1)].into(), offers_come: true, ..ClusterView::default() };
    script.event(Event::ClusterViewed(Some(answer(AgentFate::InUse))));
    script.wait(Duration::from_secs(3));
    let kinds = |script: &Script| -> Vec<ProblemKind> {
        script.state.overview(script.now).problems.first.iter().map(|problem| problem.kind).collect()
    };
    assert_eq!(kinds(&script), [ProblemKind::AgentsInUse, ProblemKind::AgentTooSmall]);
    assert_eq!(notices(&script), 1);

    // What the master says later explains nothing: the agent is small.
    script.event(Event::ClusterViewed(Some(answer(AgentFate::KnownReason))));
    script.wait(Duration::from_secs(1));
    assert_eq!(kinds(&script), [ProblemKind::AgentTooSmall]);
    script.event(Event::ClusterViewed(None));
    script.wait(Duration::from_secs(1));
    assert_eq!(kinds(&script), [ProblemKind::AgentTooSmall]);

    // A usable offer ends it.
    script.event(Event::ClusterViewed(Some(answer(AgentFate::InUse))));
    script.wait(Duration::from_secs(1));
    script.event(Event::Offers(vec![offer("o3", "b", 4.0, 4096)]));
    script.wait(Duration::from_secs(1));
    assert_eq!(kinds(&script), [ProblemKind::AgentTooSmall]);
}
