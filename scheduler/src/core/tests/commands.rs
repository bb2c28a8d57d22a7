//! What operators tell the scheduler while it runs.

mod pause;

use ::task::{Instruction, WorkerLive};

use super::*;
use crate::control::{Order, OrderRequest, ScaleOrder};
use crate::journal::{Command, Operator, Said, ScaleLimits};

const SECOND: Duration = Duration::from_secs(1);
const WORKERS: [&str; 2] = ["miner-worker-2", "miner-worker-3"];

fn scale(max_workers: Option<u64>) -> Order {
    Order::Scale(ScaleOrder { max_workers: Some(max_workers), max_cpus_milli: None })
}

impl Script {
    /// A framework with a server and two workers, of which the master has told what runs.
    fn with_known_workers(settings: Settings) -> Self {
        let mut script = Script::workers_of(settings);
        script.wait(SECOND);
        script.clear();
        script
    }

    /// Gives an order, and returns the answer when the order is on disk.
    fn order(&mut self, order: Order) -> Result<Obeyed, Refusal> {
        self.give(order);
        self.write();
        assert_eq!(self.answers.len(), 1);
        self.answers.remove(0)
    }

    fn give(&mut self, order: Order) {
        let by = Operator { name: "alice".into(), address: Some("127.0.0.1".into()) };
        let request = OrderRequest { order, said: Said { by, at_ms: 1000 } };
        self.event(Event::Order(Box::new(request)));
    }

    fn obey(&mut self, order: Order) {
        self.clear();
        let answer = self.order(order.clone());
        assert!(answer.is_ok(), "{order:?}: {answer:?}");
    }

    fn worker_says(&mut self, worker: &str, paused: Option<bool>) {
        let live = Live::Worker(WorkerLive { paused, ..WorkerLive::default() });
        self.event(Event::Message { executor: worker.into(), data: live.encode() });
    }

    /// The workers that were told to pause, or to go on, since the last call of this function.
    fn told_to_pause(&mut self) -> Vec<(String, bool)> {
        let told = self.calls.drain(..).filter_map(|call| match call {
            Call::Message { executor, data, .. } => match Instruction::decode(&data).ok()? {
                Instruction::Pause(pauses) => Some((executor, pauses)),
                _ => None,
            },
            _ => None,
        });
        told.collect()
    }

    fn all_killed(&mut self, tasks: &[&str]) {
        for task in tasks {
            self.update(status(task, TaskState::TaskKilled, 9));
        }
        self.write();
    }

    fn offers(&mut self, id: &str, agent: &str) {
        self.event(Event::Offers(vec![offer(id, agent, 2.0, 700)]));
        self.write();
    }

    fn all_said(&self) -> String {
        self.notices.iter().map(|notice| format!("{notice}\n")).collect()
    }
}

fn all(workers: &[&str], pauses: bool) -> Vec<(String, bool)> {
    workers.iter().map(|&worker| (worker.to_owned(), pauses)).collect()
}

#[test]
fn an_order_is_carried_out_when_it_is_on_disk() {
    let mut script = Script::with_known_workers(settings());
    script.give(scale(Some(1)));
    script.give(Order::Kill("miner-worker-2".into()));
    script.wait(SECOND);
    assert!(script.answers.is_empty() && script.killed().is_empty(), "{:?}", script.calls);
    script.write();
    assert_eq!(script.answers.len(), 2);
    assert_eq!(script.killed(), ["miner-worker-2", "miner-worker-3"]);
    assert!(script.all_said().contains("alice (127.0.0.1) tells the scheduler: scale to max_workers 1"));
    let (commands, _) = script.state.commands();
    let what: Vec<&Command> = commands.iter().map(|command| &command.what).collect();
    let limits = ScaleLimits { max_workers: Some(1), max_cpus_milli: None };
    let kill = Command::Kill { task: "miner-worker-2".into() };
    assert_eq!(what, [&Command::Scale { limits, options: ScaleLimits::default() }, &kill]);
    assert_eq!(script.disk.recover().controls.commands, commands);
    assert_eq!(script.disk.shared().controls.commands, commands);
}

#[test]
fn what_cannot_be_done_is_refused_and_not_recorded() {
    let mut script = Script::with_workers();
    script.update(status("miner-worker-3", TaskState::TaskFailed, 2));
    script.write();
    let refused = [
        (Order::Resume, "mining is not paused", false),
        (Order::Allow("a".into()), "agent a is not avoided", true),
        (Order::Kill("miner-worker-9".into()), "there is no task miner-worker-9", true),
        (Order::Kill("miner-worker-3".into()), "has ended already", false),
    ];
    for (order, why, is_unknown) in refused {
        let refusal = script.order(order).unwrap_err();
        assert!(refusal.why().contains(why), "{refusal:?}");
        assert_eq!(matches!(refusal, Refusal::Unknown(_)), is_unknown);
    }
    assert!(script.state.commands().0.is_empty());
    for (order, why) in [
        (Order::Pause { release: false }, "paused already, by alice (127.0.0.1) on Thu, 01 Jan 1970"),
        (Order::Avoid("a".into()), "agent a is avoided already: alice (127.0.0.1) has said so"),
        (Order::Kill("miner-worker-2".into()), "is being ended already"),
        (Order::Teardown, "being torn down"),
        (scale(None), "being torn down"),
    ] {
        let _ = script.order(order.clone());
        let refusal = script.order(order).unwrap_err();
        assert!(matches!(&refusal, Refusal::Conflict(text) if text.contains(why)), "{refusal:?}");
    }
}

#[test]
fn a_lower_scale_ends_the_youngest_and_a_higher_one_asks_for_offers() {
    let mut script = Script::with_known_workers(settings());
    script.obey(scale(Some(1)));
    assert_eq!(script.killed(), ["miner-worker-3"]);
    assert!(script.all_said().contains("more workers run than max_workers 1 allows: ending miner-worker-3"));
    script.all_killed(&["miner-worker-3"]);
    assert!(script.calls.contains(&Call::Suppress));
    script.offers("o4", "b");
    assert!(script.launched().is_empty());
    let overview = script.state.overview(script.now);
    assert_eq!(overview.steering.limits, ScaleLimits { max_workers: Some(1), max_cpus_milli: None });
    script.obey(scale(Some(5)));
    assert!(script.calls.contains(&Call::Revive));
    script.offers("o5", "b");
    assert_eq!(script.launched(), ["miner-worker-4"]);
}

#[test]
fn the_options_are_the_bound() {
    let mut settings = settings();
    settings.placement.limits.max_workers = Some(2);
    let mut script = Script::with_known_workers(settings);
    script.obey(scale(Some(5)));
    script.offers("o4", "b");
    assert!(script.launched().is_empty() && script.killed().is_empty());
    let cpus = |most| Order::Scale(ScaleOrder { max_workers: None, max_cpus_milli: Some(most) });
    script.obey(cpus(Some(1600)));
    assert_eq!(script.killed(), ["miner-worker-3"], "1 CPU is the server's");
    let scale = script.state.overview(script.now).steering.scale.unwrap();
    assert_eq!(scale.limits, ScaleLimits { max_workers: Some(5), max_cpus_milli: Some(1600) });
    script.obey(cpus(None));
    script.obey(self::scale(None));
    assert_eq!(script.state.overview(script.now).steering.scale, None);
}

#[test]
fn the_scale_survives_restarts_and_failovers_until_the_options_change() {
    let mut script = Script::with_workers();
    script.obey(scale(Some(1)));
    script.all_killed(&["miner-worker-3"]);
    for restart in [Script::restart as fn(&mut Script), |script| script.hand_over(true)] {
        restart(&mut script);
        script.subscribe();
        assert!(script.all_said().contains("max_workers 1 holds, as alice (127.0.0.1) on Thu, 01 Jan 1970"));
        script.server_speaks(None);
        script.write();
        script.offers("o5", "b");
        assert!(script.launched().is_empty());
    }
    script.settings.placement.limits.max_workers = Some(9);
    script.restart();
    script.subscribe();
    let told = script.all_said();
    assert!(told.contains("--max-workers or --max-cpus has changed, so max_workers 1, as alice"), "{told}");
    script.server_speaks(None);
    script.write();
    script.offers("o6", "b");
    assert_eq!(script.launched().len(), 1);
    let commands = script.disk.recover().controls.commands;
    assert_eq!(commands.last().unwrap().said, Said { by: Operator::options(), at_ms: 5000 });
    script.restart();
    script.subscribe();
    assert!(!script.all_said().contains("max_workers"), "once");
}

#[test]
fn tasks_on_an_avoided_agent_end_and_none_is_launched_there_until_it_is_allowed() {
    for agent in ["b", "b.host"] {
        let mut script = Script::with_workers();
        let answer = script.order(Order::Avoid(agent.into())).unwrap();
        assert_eq!(answer.tasks, 1);
        assert_eq!(script.killed(), ["miner-worker-3"]);
        script.all_killed(&["miner-worker-3"]);
        script.clear();
        script.offers("o4", "b");
        assert_eq!((script.launched().len(), script.declined()), (0, vec!["o4"]));
        assert!(
            script.all_said().contains("nothing is launched on b.host, which is avoided"),
            "{}",
            script.all_said()
        );
        let overview = script.state.overview(script.now);
        assert!(overview.problems.first.iter().any(|problem| problem.kind == ProblemKind::AgentAvoided));
        script.hand_over(false);
        script.subscribe();
        script.server_speaks(None);
        script.offers("o5", "b");
        assert!(script.launched().is_empty());
        script.obey(Order::Allow(agent.into()));
        assert!(script.calls.contains(&Call::Revive));
        let overview = script.state.overview(script.now);
        assert!(!overview.problems.first.iter().any(|problem| problem.kind == ProblemKind::AgentAvoided));
        script.offers("o6", "b");
        assert_eq!(script.launched().len(), 1, "{agent}");
    }
}

#[test]
fn a_launch_on_an_agent_that_is_avoided_meanwhile_is_not_sent_and_what_returns_there_ends() {
    let mut script = Script::with_workers();
    script.update(TaskStatus { uuid: None, ..status("miner-worker-3", TaskState::TaskUnreachable, 2) });
    script.write();
    script.obey(Order::Avoid("c".into()));
    script.obey(Order::Allow("c".into()));
    script.give(Order::Avoid("c".into()));
    script.event(Event::Offers(vec![offer("o4", "c", 2.0, 700)]));
    script.write();
    assert_eq!((script.launched().len(), script.declined()), (0, vec!["o4"]));
    script.answers.clear();
    script.obey(Order::Avoid("b".into()));
    script.clear();
    script.update(status("miner-worker-3", TaskState::TaskRunning, 3));
    script.write();
    script.wait(60 * SECOND);
    assert!(script.killed().contains(&"miner-worker-3"));
}

#[test]
fn a_server_on_an_avoided_agent_ends_after_its_workers() {
    let mut script = Script::with_workers();
    script.obey(Order::Avoid("a".into()));
    assert_eq!(script.killed(), WORKERS);
    script.all_killed(&WORKERS);
    assert_eq!(script.killed(), ["miner-worker-2", "miner-worker-3", "miner-server-1"]);
    script.all_killed(&["miner-server-1"]);
    script.clear();
    script.event(Event::Offers(vec![offer("o4", "a", 1.5, 1024), offer("o5", "d", 1.5, 1024)]));
    script.write();
    assert_eq!((script.launched(), script.declined()), (vec!["miner-server-4".to_owned()], vec!["o4"]));
}

#[test]
fn a_killed_task_ends_also_after_a_restart_and_another_takes_its_place() {
    let mut script = Script::with_workers();
    let answer = script.order(Order::Kill("miner-worker-3".into())).unwrap();
    assert_eq!((answer.tasks, script.killed()), (1, vec!["miner-worker-3"]));
    script.restart();
    script.subscribe();
    assert_eq!(script.killed(), ["miner-worker-3"]);
    script.server_speaks(None);
    script.all_killed(&["miner-worker-3"]);
    script.offers("o4", "b");
    assert_eq!(script.launched(), ["miner-worker-4"]);
}

#[test]
fn teardown_ends_everything_whatever_the_options_say() {
    let mut script = Script::workers_of(settings_where(|options| options.teardown_on_exit = false));
    let answer = script.order(Order::Teardown).unwrap();
    assert_eq!((answer.tasks, script.killed()), (3, WORKERS.to_vec()));
    assert!(script.state.tears_down());
    script.all_killed(&WORKERS);
    script.all_killed(&["miner-server-1"]);
    assert_eq!(script.calls.last(), Some(&Call::Teardown));
    assert!(script.finished);
}

/// The scheduler dies while it tears the framework down, and another one goes on.
#[test]
fn the_next_scheduler_goes_on_with_a_teardown() {
    let mut script = Script::workers_of(settings_where(|options| options.teardown_on_exit = false));
    script.obey(Order::Teardown);
    script.hand_over(true);
    assert!(!script.state.is_ending(), "there is no subscription");
    script.subscribe();
    assert_eq!(script.killed(), WORKERS);
    script.all_killed(&WORKERS);
    script.all_killed(&["miner-server-1"]);
    assert_eq!(script.calls.last(), Some(&Call::Teardown));
    assert!(script.finished);

    // The answer to TEARDOWN was lost.
    script.finished = false;
    script.restart();
    script.event(Event::Removed { now_ms: 9 });
    script.write();
    assert!(script.finished && !script.all_said().contains("beginning a new one"));
    let recovered = script.disk.recover();
    assert_eq!((recovered.framework, recovered.controls.teardown), (None, None));
    assert_eq!(recovered.controls.commands.len(), 1);
}
