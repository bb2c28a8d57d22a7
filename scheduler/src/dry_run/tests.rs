use std::collections::HashMap;
use std::time::{Duration, Instant};

use mesos::resources::{Quantity, ranges, scalar};
use mesos::v1::{Attribute, Offer, value};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::forecast::{Forecast, Limit, TaskForecast, WhyNot, forecast};
use super::{HeldOffers, answer_to_teardown, framework_info, output};
use crate::cli::Args;
use crate::config::Config;
use crate::event::{Event, Unavailability};
use crate::offers::DeclineReason;
use crate::task_id::TaskKind;

fn config(options: &str) -> Config {
    use clap::Parser;
    let args = Args::try_parse_from(["scheduler", "plan"].into_iter().chain(options.split_whitespace()));
    args.unwrap().into_config(|| Ok("/x".into())).unwrap()
}

fn offer(agent: &str, cpus: f64, mem: u64) -> Offer {
    let rack = Attribute {
        name: "rack".into(),
        text: Some(value::Text { value: agent[..1].into() }),
        ..Attribute::default()
    };
    Offer {
        id: format!("o-{agent}").into(),
        agent_id: agent.into(),
        hostname: format!("{agent}.host"),
        attributes: vec![rack],
        resources: vec![
            scalar("cpus", Quantity::new(cpus)),
            scalar("mem", Quantity::whole(mem)),
            ranges("ports", [31000..=31009]),
        ],
        ..Offer::default()
    }
}

fn planned(options: &str, offers: &[Offer]) -> Forecast {
    forecast(&config(options), offers, &HashMap::new(), Instant::now())
}

/// The tasks of each agent: kind, and thousandths of a CPU.
fn tasks(forecast: &Forecast) -> Vec<(&str, Vec<(TaskKind, u64)>)> {
    let task = |task: &TaskForecast| (task.kind, task.cpus_milli);
    let agent = |agent: &super::forecast::AgentForecast| agent.tasks.iter().map(task).collect();
    forecast.agents.iter().map(|it| (it.agent.as_str(), agent(it))).collect()
}

const SERVER: (TaskKind, u64) = (TaskKind::Server, 1000);

fn worker(cpus_milli: u64) -> (TaskKind, u64) {
    (TaskKind::Worker, cpus_milli)
}

#[test]
fn workers_are_planned_as_if_the_server_ran() {
    let forecast = planned("", &[offer("a", 4.0, 1024), offer("b", 2.0, 1024), offer("c", 0.05, 1024)]);
    assert_eq!(
        tasks(&forecast),
        [("a", vec![SERVER, worker(3000)]), ("b", vec![worker(2000)]), ("c", vec![])]
    );
    let server = forecast.agents[0].tasks[0];
    assert_eq!((server.mem, server.ports), (256, Some((31000, 31001))));
    assert_eq!(forecast.agents[0].offered.mem, 1024);
    assert!(matches!(forecast.agents[2].why_not, Some(WhyNot::Declined(DeclineReason::NoWorker { .. }))));
    assert_eq!((forecast.limit, forecast.server_missing, forecast.is_empty()), (None, false, false));
    assert_eq!((forecast.cpus_milli(), forecast.used_agents()), (6000, 2));
}

#[test]
fn the_rest_of_the_server_s_agent_is_all_its_offers_without_the_server() {
    let mut pieces = [offer("a", 1.0, 300), offer("a", 0.5, 100)];
    pieces[1].id = "o2".into();
    pieces[1].resources.pop();
    let forecast = planned("", &pieces);
    assert_eq!(tasks(&forecast), [("a", vec![SERVER, worker(500)])]);
    let forecast = planned("", &[offer("a", 1.0, 256)]);
    assert_eq!(tasks(&forecast), [("a", vec![SERVER])]);
    assert!(forecast.agents[0].why_not.is_some(), "why there is no worker beside the server");
}

/// The limit is reached by workers on other agents than the server's.
#[test]
fn the_server_s_agent_has_a_reason_if_it_gets_no_worker() {
    let offers = [offer("a", 2.0, 1024), offer("b", 2.0, 1024)];
    for (limit, reached) in [("--max-workers 1", Limit::Workers(1)), ("--max-cpus 3", Limit::Cpus(3000))] {
        let forecast = planned(&format!("{limit} --server-constraint rack:LIKE:b"), &offers);
        assert_eq!(tasks(&forecast), [("a", vec![worker(2000)]), ("b", vec![SERVER])]);
        assert_eq!(forecast.agents[1].why_not, Some(WhyNot::Limit(reached)));
        let reason = format!(
            "server with 1 CPU, 256 MB, ports 31000 (HTTP) and 31001 (Stratum); no worker on b.host: {reached}"
        );
        assert!(forecast.to_string().contains(&reason), "{forecast}");
    }
}

proptest! {
    /// The forecast gives a reason for each agent that gets no worker, and for no other agent.
    #[test]
    fn every_agent_without_a_worker_has_its_reason(
        agents in prop::collection::vec((0..40u32, 0..600u64), 1..8),
        options in prop::sample::select(vec![
            "", "--max-workers 1", "--max-workers 2", "--max-cpus 2.5", "--max-cpus 3 --cpus-per-worker 1", "--pool pool:3333",
            "--constraint rack:UNIQUE", "--constraint rack:GROUP_BY:2 --max-workers 3", "--reserve-cpus 0.5", "--revocable",
            "--server-constraint rack:LIKE:b", "--server-cpus 3",
        ]),
    ) {
        let offer = |(n, (cpus, mem)): (usize, &(u32, u64))| {
            offer(&format!("{}{n}", ["a", "b", "c"][n % 3]), f64::from(*cpus) / 10.0, *mem)
        };
        let offers: Vec<_> = agents.iter().enumerate().map(offer).collect();
        let forecast = planned(options, &offers);
        for agent in &forecast.agents {
            let works = agent.tasks.iter().any(|task| task.kind == TaskKind::Worker);
            prop_assert_eq!(works, agent.why_not.is_none(), "{:?} {:?}", agent, forecast.limit);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn teardown_is_waited_for_only_briefly_and_after_a_signal_even_less() {
    let (stop, begun) = (CancellationToken::new(), tokio::time::Instant::now());
    assert_eq!(answer_to_teardown(async { 1 }, &stop).await, Some(1));
    assert_eq!(answer_to_teardown(std::future::pending::<()>(), &stop).await, None);
    let waited = begun.elapsed();
    assert!(waited <= Duration::from_secs(2), "{waited:?}");
    stop.cancel();
    assert_eq!(answer_to_teardown(async { 1 }, &stop).await, Some(1), "it is tried all the same");
    assert_eq!(answer_to_teardown(std::future::pending::<()>(), &stop).await, None);
    assert!(begun.elapsed() - waited < Duration::from_secs(1));
}

#[test]
fn without_a_server_nothing_would_be_launched() {
    let offers = [offer("a", 0.9, 1024), offer("b", 0.5, 1024)];
    let forecast = planned("", &offers);
    assert!(forecast.is_empty() && forecast.server_missing);
    assert_eq!(forecast.workers_with_server, 2);
    for agent in &forecast.agents {
        assert!(matches!(agent.why_not, Some(WhyNot::Declined(DeclineReason::NoServer { .. }))), "{agent:?}");
    }
    assert!(
        forecast.to_string().contains("none of 2 agents can run the server; with one, 2 workers"),
        "{forecast}"
    );
    // Workers of an external pool need no server.
    let forecast = planned("--pool pool:3333", &offers);
    assert_eq!(tasks(&forecast), [("a", vec![worker(900)]), ("b", vec![worker(500)])]);
}

#[test]
fn constraints_are_those_of_the_scheduler() {
    let offers = [offer("a1", 1.5, 1024), offer("a2", 1.5, 1024), offer("b1", 1.5, 1024)];
    let forecast = planned("--constraint rack:UNIQUE --server-constraint rack:CLUSTER:b", &offers);
    assert_eq!(
        tasks(&forecast),
        [("a1", vec![worker(1500)]), ("a2", vec![]), ("b1", vec![SERVER, worker(500)])]
    );
    let text = forecast.to_string();
    assert!(text.contains("no worker on a2.host: --constraint rack:UNIQUE is not met"), "{text}");
    let forecast = planned("--server-constraint rack:LIKE:x", &offers);
    assert!(forecast.is_empty());
    let text = forecast.to_string();
    let all = "no server on a1.host, a2.host, b1.host: --server-constraint rack:LIKE:x is not met";
    assert!(text.contains(all), "{text}");
}

#[test]
fn limits_are_those_of_the_scheduler_and_named() {
    let offers = [offer("a", 4.0, 1024), offer("b", 2.0, 1024)];
    let forecast = planned("--max-workers 1", &offers);
    assert_eq!(tasks(&forecast), [("a", vec![SERVER, worker(3000)]), ("b", vec![])]);
    assert_eq!(forecast.limit, Some(Limit::Workers(1)));
    assert_eq!(forecast.agents[1].why_not, Some(WhyNot::Limit(Limit::Workers(1))));
    let forecast = planned("--max-cpus 2.5", &offers);
    assert_eq!(tasks(&forecast), [("a", vec![SERVER, worker(1500)]), ("b", vec![])]);
    assert_eq!(forecast.limit, Some(Limit::Cpus(2500)));
    let forecast = planned("--max-workers 2", &offers);
    assert_eq!(forecast.count(TaskKind::Worker), 2);
    // A server with 64 MB admits 2246 workers.
    let many: Vec<_> = (0..2300).map(|n| offer(&format!("a{n}"), 2.0, 512)).collect();
    let forecast = planned("--server-mem 64", &many);
    assert_eq!(forecast.limit, Some(Limit::Server(2246)));
    assert_eq!(forecast.count(TaskKind::Worker), 2246);
    let text = forecast.to_string();
    assert!(text.contains("the server admits 2246 workers (--server-mem)"), "{text}");
}

#[test]
fn machines_that_leave_are_left_out() {
    let offers = [offer("a", 4.0, 1024), offer("b", 4.0, 1024), offer("c", 4.0, 1024)];
    let begins = |minutes: u64| Unavailability { begins_in: Duration::from_secs(60 * minutes), lasts: None };
    let away = HashMap::from([("a".to_owned(), begins(2)), ("b".to_owned(), begins(30))]);
    let forecast = forecast(&config(""), &offers, &away, Instant::now());
    assert_eq!(
        tasks(&forecast),
        [("a", vec![]), ("b", vec![worker(4000)]), ("c", vec![SERVER, worker(3000)])]
    );
    assert_eq!(
        forecast.agents[0].why_not,
        Some(WhyNot::Declined(DeclineReason::Leaving(Duration::from_secs(120))))
    );
}

#[test]
fn equal_agents_are_one_row_and_json_has_all() {
    let mut offers: Vec<_> = (0..5_000).map(|n| offer(&format!("a{n:04}"), 2.0, 1024)).collect();
    offers.push(offer("b", 0.05, 512));
    let forecast = planned("--server-mem 1024", &offers);
    let text = forecast.to_string();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines.len() <= 8, "{text}");
    assert!(
        lines[1].contains("a0000.host") && lines[1].contains("server with 1 CPU, 1024 MB, ports 31000"),
        "{text}"
    );
    assert!(lines[2].contains("a0001.host, a0002.host, a0003.host and 4996 more"), "{text}");
    assert!(
        lines[2].contains("each 2 CPU, 1024 MB, 10 ports") && lines[2].ends_with("worker with 2 CPU, 128 MB"),
        "{text}"
    );
    assert!(
        text.contains("would launch 1 server and 4999 workers with 9999 CPU on 5000 of 5001 agents"),
        "{text}"
    );
    assert!(text.contains("unused agents: 1 (too small for a worker)"), "{text}");
    let all: Value = serde_json::from_str(&output::json_line(&forecast).unwrap()).unwrap();
    assert_eq!(all["agents"].as_array().unwrap().len(), 5_001);

    let different: Vec<_> = (0..300).map(|n| offer(&format!("a{n:04}"), 2.0, 1024 + n)).collect();
    let text = planned("", &different).to_string();
    assert!(text.lines().count() < 60 && text.contains("and 250 agents, which --json lists"), "{text}");
}

#[test]
fn agents_of_one_machine_are_counted_under_its_name() {
    let mut offers = ["a", "b", "c", "d"].map(|agent| offer(agent, 2.0, 1024));
    offers[..3].iter_mut().for_each(|offer| offer.hostname = "machine".into());
    let text = planned("--server-cpus 4", &offers).to_string();
    assert!(text.contains("no server on machine (3 agents), d.host: 2 CPU"), "{text}");
}

#[test]
fn json_says_the_same() {
    let forecast = planned("--max-workers 1", &[offer("a", 4.0, 1024), offer("b", 2.0, 1024)]);
    let line = output::json_line(&forecast).unwrap();
    assert!(!line.contains('\n'));
    let limit = "--max-workers 1 is reached";
    let expected = json!({
        "servers": 1, "workers": 1, "cpus": 4.0, "agents_used": 1, "agents_offered": 2,
        "server_missing": false, "workers_with_server": 0, "limit": limit, "no_offers": null,
        "unused": [{ "reason": "a limit is reached", "agents": 1 }],
        "agents": [
            {
                "agent_id": "a", "host": "a.host",
                "offered": { "cpus": 4.0, "revocable_cpus": 0.0, "mem": 1024, "ports": 10 },
                "tasks": [
                    { "kind": "server", "cpus": 1.0, "mem": 256, "http_port": 31000, "stratum_port": 31001 },
                    { "kind": "worker", "cpus": 3.0, "mem": 128 },
                ],
                "why_not": null,
            },
            {
                "agent_id": "b", "host": "b.host",
                "offered": { "cpus": 2.0, "revocable_cpus": 0.0, "mem": 1024, "ports": 10 },
                "tasks": [],
                "why_not": format!("no worker on b.host: {limit}"),
            },
        ],
    });
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
}

#[test]
fn no_offers_are_explained() {
    let forecast = planned("", &[]);
    assert!(forecast.is_empty());
    assert!(forecast.to_string().contains("no offers came within 5 s"), "{forecast}");
}

#[test]
fn agents_that_are_not_asked_for_are_named_with_their_options() {
    let (gpus, regions) = ("agents with GPUs only with --gpu-agents", "only with --remote-regions");
    for (options, named) in [
        ("", &[gpus, regions][..]),
        ("--gpu-agents", &[regions]),
        ("--remote-regions", &[gpus]),
        ("--gpu-agents --remote-regions", &[]),
    ] {
        for offers in [&[][..], &[offer("a", 4.0, 1024)]] {
            let text = planned(options, offers).to_string();
            for option in [gpus, regions] {
                assert_eq!(text.contains(option), named.contains(&option), "{options}: {text}");
            }
        }
    }
}

#[test]
fn port_0_is_not_counted() {
    let mut offer = offer("a", 4.0, 1024);
    offer.resources[2] = ranges("ports", [0..=0, 23310..=23312]);
    let forecast = planned("", &[offer]);
    assert_eq!(forecast.agents[0].offered.ports, 3);
    assert_eq!(forecast.agents[0].tasks[0].ports, Some((23310, 23311)));
}

#[test]
fn host_names_cannot_move_the_cursor() {
    let mut offer = offer("a", 4.0, 1024);
    offer.hostname = "a\u{1b}[2Jb".into();
    assert!(!planned("", &[offer]).to_string().contains('\u{1b}'));
}

#[test]
fn rescinded_offers_are_not_planned_with() {
    let mut held = HeldOffers::default();
    assert!(held.apply(Event::Offers(vec![offer("a", 1.0, 512), offer("b", 1.0, 512)])));
    assert!(!held.apply(Event::Rescinded("o-a".into())));
    let left: Vec<_> = held.offers.iter().map(|offer| offer.id.value.as_str()).collect();
    assert_eq!(left, ["o-b"]);
}

#[test]
fn the_framework_ends_with_the_process_and_asks_for_the_scheduler_s_offers() {
    let config = config("--name miner --role r --revocable --user u");
    let (plan, scheduler) = (framework_info(&config), crate::mesos_api::framework_info(&config, None));
    assert_eq!((plan.name.as_str(), plan.failover_timeout), ("miner (plan)", Some(0.0)));
    assert_eq!(
        (&plan.id, &plan.roles, &plan.user, &plan.principal, &plan.capabilities),
        (&None, &scheduler.roles, &scheduler.user, &scheduler.principal, &scheduler.capabilities)
    );
}
