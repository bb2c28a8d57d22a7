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
fn who_wants_nothing_or_knows_why_misses_no_offers() {
    // Agents whose offers were declined have reasons of their own.
    let mut script = Script::new();
    script.subscribe();
    script.event(Event::Offers(vec![offer("o1", "a", 0.01, 10)]));
    script.wait(Duration::from_secs(60));
    assert_eq!(first_problem(&script).unwrap().0, ProblemKind::AgentTooSmall);
    assert!(script.questions.is_empty());

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
