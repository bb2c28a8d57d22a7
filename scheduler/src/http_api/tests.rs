use std::time::Duration;

use api::PageQuery;
use problem::ProblemKind;
use serde_json::{Value, json};
use task::{Intervals, Live, Totals, WorkerLive};
use tokio::time::Instant;

use super::*;
use crate::control;
use crate::core::{Slice, TaskOverview, WorkerSum};
use crate::history::TaskFailure;
use crate::journal::{Operator, Said, ScaleLimits};
use crate::query::{Query, Standby, channel};
use crate::ranked_problems::Problems;
use crate::task_id::TaskKind;

fn worker(n: u64, state: &'static str, hashrate: Option<f64>) -> TaskOverview {
    let intervals = Some(Intervals::new(Duration::from_millis(6300), Duration::from_secs(60)));
    let live = |hashrate| Live::Worker(WorkerLive { hashrate, intervals, ..WorkerLive::default() });
    TaskOverview {
        id: format!("miner-worker-{n}"),
        kind: TaskKind::Worker,
        agent: "a".into(),
        host: "h".into(),
        attributes: Default::default(),
        state,
        launched: None,
        healthy: None,
        cpus_milli: 1500,
        live: hashrate.map(live),
        totals: Totals { accepted: 3, ..Totals::default() },
    }
}

fn api(phase: SchedulerPhase) -> HttpApi {
    // The receiver still has the last value after its sender is gone.
    HttpApi::new(
        watch::Sender::new(phase).subscribe(),
        series::SeriesHandle::default(),
        MetricsInputs::default(),
    )
}

/// The API of a leader whose driver answers with this overview.
fn leading(overview: Overview) -> HttpApi {
    let (client, mut queries) = channel();
    tokio::spawn(async move {
        loop {
            match queries.next().await {
                Query::Overview(answer) => drop(answer.send(overview.clone())),
                Query::Tasks { after, limit, answer } => {
                    let first = if after.is_some() { 4 } else { 2 };
                    let tasks = vec![
                        worker(first, "TASK_RUNNING", Some(4e6)),
                        worker(first + 1, "TASK_STAGING", None),
                    ];
                    let next = (limit == 2).then(|| format!("miner-worker-{}", first + 1));
                    drop(answer.send(TaskPage { tasks, next, total: 7 }));
                }
                Query::Commands(answer) => drop(answer.send((Vec::new(), Vec::new()))),
                Query::WorkerSums(part) => {
                    let sum = WorkerSum { hashrate: 4e6, cpus_milli: 1500, accepted: 3, rejected: 0 };
                    let mut sums = part.sums;
                    sums.hosts.insert("h".into(), sum);
                    drop(part.answer.send((sums, None)));
                }
                Query::TaskSlice(query) => {
                    let rows =
                        [2, 3, 4, 5].map(|n| worker(n, "TASK_RUNNING", (n % 2 == 0).then_some(n as f64)));
                    drop(query.answer.send(Slice { rows: rows.into(), next: None }));
                }
                other => panic!("{other:?}"),
            }
        }
    });
    api(SchedulerPhase::Leading(client, control::channel().0))
}

fn mining() -> Overview {
    let mut overview = Overview {
        connected: true,
        states: [("TASK_RUNNING".into(), 1), ("TASK_STAGING".into(), 1), ("TASK_FAILED".into(), 7)].into(),
        live_states: [("TASK_RUNNING".into(), 1), ("TASK_STAGING".into(), 1)].into(),
        cpus_milli: 3000,
        running_workers: 1,
        reporting_workers: 1,
        hashrate: 4e6,
        blocks: 2,
        peak: 5,
        problems: Problems {
            first: vec![Problem::new(ProblemKind::AgentTooSmall, "too little memory")],
            more: 3,
        },
        failures: vec![TaskFailure {
            number: 3,
            ago: Duration::from_secs(9),
            task: "miner-worker-1".into(),
            host: "h".into(),
            text: "TASK_FAILED".into(),
            stderr: Some("it is not there".into()),
            sandbox: Some("http://m:5050/#/agents/a".into()),
        }],
        ..Overview::default()
    };
    overview.totals.worker = Totals { hashes: 1 << 70, accepted: 9, stale: 1, ..Totals::default() };
    overview.totals.pool = Totals { accepted: 8, ..Totals::default() };
    overview
}

async fn tasks_of(api: &HttpApi, query: &str) -> Result<Value, RequestError> {
    let query = PageQuery::read(QueryParameters::parse(query)?)?;
    let json = lists::get_tasks(State(api.clone()), query).await?;
    Ok(json.parse().unwrap())
}

async fn summary_of(api: &HttpApi) -> Result<Value, RequestError> {
    Ok(api.summary().await?.parse().unwrap())
}

#[tokio::test]
async fn a_pause_is_a_warning_and_no_problem() {
    let mut overview = Overview { connected: true, ..Overview::default() };
    overview.problems.first = vec![Problem::new(ProblemKind::MiningPaused, "paused by alice since then")];
    let pause = crate::journal::MiningPause {
        release: false,
        said: Said { by: Operator { name: "alice".into(), address: None }, at_ms: 1 },
    };
    overview.steering.pause = Some(pause);
    let paused = leading(overview.clone());
    assert_eq!(paused.problem().await, None);
    assert_eq!(paused.warning().await.as_deref(), Some("paused by alice since then"));
    overview.connected = false;
    assert!(leading(overview).problem().await.unwrap().contains("not subscribed"));
    assert_eq!(leading(mining()).warning().await, None);
}

#[tokio::test]
async fn there_is_no_problem_if_a_worker_mines_or_another_scheduler_leads() {
    assert_eq!(api(SchedulerPhase::Standby(Standby::default())).problem().await, None);
    assert_eq!(leading(mining()).problem().await, None);
    assert!(api(SchedulerPhase::Starting(None)).problem().await.unwrap().contains("not subscribed"));
    assert!(api(SchedulerPhase::Ending).problem().await.unwrap().contains("ending"));
    let trouble = async |overview| leading(overview).problem().await.unwrap_or_default();
    assert!(trouble(Overview::default()).await.contains("not subscribed"));
    let idle = Overview { running_workers: 0, ..mining() };
    let remedy = ProblemKind::AgentTooSmall.remedy().trim_end_matches('.');
    assert_eq!(trouble(idle).await, format!("no worker mines: too little memory. {remedy}"));
}

#[tokio::test]
async fn workers_that_run_without_work_do_not_mine() {
    let trouble = async |overview| leading(overview).problem().await.unwrap_or_default();
    let idle = Overview { hashrate: 0.0, ..mining() };
    assert!(trouble(idle).await.starts_with("no worker mines: too little memory"));
    let silent = Overview { hashrate: 0.0, reporting_workers: 0, ..mining() };
    assert_eq!(trouble(silent).await, "", "images do not tell their hashrate");
    let server =
        |healthy| TaskOverview { kind: TaskKind::Server, healthy, ..worker(1, "TASK_RUNNING", None) };
    let with = |healthy| Overview { servers: vec![server(healthy)], ..mining() };
    assert_eq!(trouble(with(Some(true))).await, "");
    assert_eq!(trouble(with(None)).await, "");
    assert!(trouble(with(Some(false))).await.starts_with("the server has no work for its workers"));
}

#[tokio::test]
async fn a_scheduler_that_cannot_work_is_unhealthy_while_workers_mine_or_another_one_leads() {
    let full = Problem::new(ProblemKind::StateFolderFull, "the disk of /state is full");
    let unmet = Problem::new(ProblemKind::ConstraintNotMet, "no worker on h");
    let with = |first| leading(Overview { problems: Problems { first, more: 0 }, ..mining() });
    let problem = async |api: HttpApi| api.problem().await;
    let told = full.with_remedy();
    assert_eq!(problem(with(vec![unmet.clone()])).await, None);
    assert_eq!(problem(with(vec![full.clone(), unmet])).await, Some(told.clone()));
    let standby = api(SchedulerPhase::Standby(Standby { problem: Some(full.clone()), leader: None }));
    let reason = json!({
        "rank": 1,
        "code": "state-folder-full",
        "text": full.text,
        "remedy": ProblemKind::StateFolderFull.remedy(),
    });
    assert_eq!(
        summary_of(&standby).await,
        Ok(json!({"leads": false, "reasons": [reason], "remarks": [full.text]}))
    );
    assert_eq!(problem(standby).await, Some(told.clone()));
    let starting = api(SchedulerPhase::Starting(Some(full)));
    let summary = summary_of(&starting).await.unwrap();
    assert_eq!(
        (&summary["leads"], &summary["reasons"][0]["code"]),
        (&json!(true), &json!("state-folder-full"))
    );
    assert!(tasks_of(&starting, "").await.is_err());
    assert_eq!(problem(starting).await, Some(told.clone()));
}

#[tokio::test]
async fn the_summary_has_both_accounts_and_the_first_tasks() {
    assert_eq!(
        summary_of(&api(SchedulerPhase::Standby(Standby::default()))).await,
        Ok(json!({"leads": false, "reasons": [], "remarks": []}))
    );
    let summary = summary_of(&leading(mining())).await.unwrap();
    assert_eq!(summary["accounts"]["workers"]["shares"]["accepted"], 9);
    assert_eq!(summary["accounts"]["pool"]["shares"]["accepted"], 8);
    assert_eq!(summary["hashes"], "1180591620717411303424");
    assert_eq!((&summary["blocks"], &summary["workers"]), (&json!(2), &json!(5)));
    assert_eq!(summary["tasks"][0]["live"]["hashrate"], 4e6);
    let live = &summary["tasks"][0]["live"];
    assert_eq!((&live["live_interval"], &live["report_interval"]), (&json!(6.3), &json!(60.0)));
    assert_eq!(summary["tasks"][1]["live"], Value::Null);
    assert_eq!(summary["tasks_next"], Value::Null);
    assert_eq!((&summary["remarks"], &summary["remarks_more"]), (&json!(["too little memory"]), &json!(3)));
    let reason = &summary["reasons"][0];
    assert_eq!((&reason["code"], &reason["text"]), (&json!("agent-too-small"), &json!("too little memory")));
    assert_eq!(reason["rank"], ProblemKind::AgentTooSmall.rank());
    assert_eq!(summary["failures"][0]["seconds_ago"], 9);
}

#[tokio::test(start_paused = true)]
async fn json_is_made_once_for_many_clients() {
    let api = leading(mining());
    let text = async |api: HttpApi| api.summary().await.unwrap().into_bytes();
    let first = text(api.clone()).await;
    assert_eq!(text(api.clone()).await.as_ptr(), first.as_ptr());
    tokio::time::advance(Duration::from_secs(1)).await;
    let later = text(api).await;
    assert!(later == first && later.as_ptr() != first.as_ptr(), "it is asked for anew");
}

#[tokio::test]
async fn tasks_come_in_pages() {
    let api = leading(mining());
    let first = tasks_of(&api, "limit=2").await.unwrap();
    assert_eq!(
        (&first["tasks"][1]["id"], &first["next"]),
        (&json!("miner-worker-3"), &json!("miner-worker-3"))
    );
    let next = tasks_of(&api, "after=miner-worker-3").await.unwrap();
    assert_eq!((&next["tasks"][0]["id"], &next["next"]), (&json!("miner-worker-4"), &Value::Null));
}

#[tokio::test]
async fn a_sorted_or_searched_page_is_of_all_tasks() {
    let api = leading(mining());
    let ids = |page: &Value| -> Vec<String> {
        let tasks = page["tasks"].as_array().into_iter().flatten();
        tasks.map(|task| task["id"].as_str().unwrap_or_default().replace("miner-worker-", "")).collect()
    };
    let first = tasks_of(&api, "sort=-hashrate&limit=3").await.unwrap();
    assert_eq!((ids(&first), &first["total"]), (vec!["4".into(), "2".into(), "3".into()], &json!(4)));
    let next = first["next"].as_str().unwrap().replace('"', "%22");
    let second = tasks_of(&api, &format!("sort=-hashrate&limit=3&after={next}")).await.unwrap();
    assert_eq!((ids(&second), &second["next"]), (vec!["5".to_owned()], &Value::Null));
    let found = tasks_of(&api, "search=WORKER-5").await.unwrap();
    assert_eq!((ids(&found), &found["total"]), (vec!["5".to_owned()], &json!(1)));
    let lost = tasks_of(&api, "sort=host&after=miner-worker-3").await;
    assert!(matches!(&lost, Err(RequestError::NotFound(text)) if text.contains("no place in this order")));
}

#[tokio::test]
async fn bad_values_are_refused_with_what_is_allowed() {
    let api = leading(mining());
    let long = format!("after={}", "x".repeat(1025));
    for (query, expected) in [
        ("limit=0", "limit=\"0\": give a number from 1 to 1000"),
        ("limit=1001", "from 1 to 1000"),
        ("limit=", "from 1 to 1000"),
        ("after=", "after=\"\": give the \"next\" of the page before"),
        (&long, "after is too long"),
        ("order=id", "unknown parameter \"order\": allowed are limit and after and search and sort"),
        ("sort=size", "sort=\"size\": give one of launched, id, host, "),
    ] {
        match tasks_of(&api, query).await {
            Err(RequestError::BadRequest(text)) => assert!(text.contains(expected), "{query}: {text}"),
            other => panic!("{query}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn there_is_an_answer_in_time_in_every_phase() {
    let (client, _busy) = channel();
    let (ended, queries) = channel();
    drop(queries);
    for (phase, why) in [
        (SchedulerPhase::Leading(client, control::channel().0), "busy"),
        (SchedulerPhase::Leading(ended, control::channel().0), "does not run"),
        (SchedulerPhase::Starting(None), "starting"),
        (SchedulerPhase::Ending, "ending"),
        (SchedulerPhase::Standby(Standby::default()), "another scheduler leads"),
    ] {
        let standby = matches!(phase, SchedulerPhase::Standby(_));
        let api = api(phase);
        let begun = Instant::now();
        let mut answers = vec![tasks_of(&api, "").await];
        if !standby {
            answers.push(summary_of(&api).await);
            let trouble = api.problem().await.unwrap_or_default();
            assert!(trouble.contains(why), "{why}: {trouble}");
        }
        for answer in answers {
            match answer {
                Err(RequestError::Unavailable(text)) => assert!(text.contains(why), "{text}"),
                other => panic!("{why}: {other:?}"),
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{why}");
    }
}

#[tokio::test]
async fn the_figures_tell_what_runs_and_what_ended() {
    let text = async |api: HttpApi| api.metrics().await.unwrap().into_text().unwrap();
    let standby = api(SchedulerPhase::Standby(Standby::default()));
    assert!(text(standby).await.ends_with(
        "scheduler_leads 0
"
    ));
    let starting = text(api(SchedulerPhase::Starting(None))).await;
    assert!(starting.contains("scheduler_leads 1\n") && starting.ends_with("scheduler_connected 0\n"));
    let mut overview = mining();
    overview.steering.limits = ScaleLimits { max_workers: Some(7), max_cpus_milli: Some(2500) };
    let text = text(leading(overview)).await;
    for line in [
        "mesos_miner_leader 1",
        "mesos_miner_connected 1",
        "mesos_miner_tasks{state=\"TASK_RUNNING\"} 1",
        "mesos_miner_shares_total{verdict=\"stale\"} 1",
        "mesos_miner_pool_shares_total{verdict=\"accepted\"} 8",
        "mesos_miner_workers 1",
        "mesos_miner_host_hashrate_hashes_per_second{host=\"h\"} 4000000",
        "mesos_miner_paused 0",
        "mesos_miner_max_workers 7",
        "mesos_miner_max_cpus 2.5",
        "mesos_miner_update_to_acknowledgement_seconds_count 0",
        "mesos_miner_offer_to_launch_seconds_bucket{le=\"+Inf\"} 0",
        "scheduler_leads 1",
        "scheduler_connected 1",
        "scheduler_tasks{state=\"TASK_RUNNING\"} 1",
        "scheduler_tasks_ended_total{state=\"TASK_FAILED\"} 7",
        "scheduler_cpus 3",
        "scheduler_workers 1",
        "scheduler_hashrate_hashes_per_second 4000000",
        "scheduler_worker_shares_total{verdict=\"stale\"} 1",
        "scheduler_pool_shares_total{verdict=\"accepted\"} 8",
        "scheduler_blocks_total 2",
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in {text}");
    }
    assert!(!text.contains("ended_total{state=\"TASK_RUNNING\"}"));
    assert!(!text.contains("miner-worker-"), "no series is a task's");
}
