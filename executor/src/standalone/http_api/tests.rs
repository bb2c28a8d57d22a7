use std::sync::Arc;
use std::time::Duration;

use api::{Listing, PageQuery, QueryParameters, describe};
use axum::extract::State;
use hasher::{Backend, CompactTarget, Target};
use problem::{Problem, ProblemKind};
use serde_json::{Value, json};
use stratum::Job;
use tokio::sync::watch;
use utoipa::OpenApi;

use super::*;
use crate::engine::cpus::CpuRequest;
use crate::miner::{Event, Pool};
use crate::standalone::{OwnBlocks, OwnServer};
use crate::started_engine::StartedEngine;

#[derive(OpenApi)]
#[openapi(paths(summary::summary, lists::threads, lists::pools, lists::jobs))]
struct Described;

#[test]
fn openapi_describes_the_resources() {
    let description = describe(Described::openapi()).unwrap();
    testing::openapi::is_current("executor/openapi.json", &resources().operations(), &description);
}

fn status(server: Option<OwnServer>) -> MiningStatus {
    let status = MiningStatus::new(server);
    let pool = |url: &str| Pool { url: url.parse().unwrap(), user: "me".into(), password: "x".into() };
    status.set_pools(&[pool("a:1"), pool("b:1")]);
    status
}

fn job(id: &str, index: usize) -> Event {
    // The coinbase of block 227,836, up to the height.
    let coinb1 = [&[1, 0, 0, 0, 1][..], &[0; 32], &[0xff; 4], &[3 + 5, 3, 0xfc, 0x79, 0x03]].concat();
    let job = Job {
        id: id.into(),
        prev_hash: [0; 32],
        coinb1,
        coinb2: vec![2],
        branch: Vec::new(),
        version: 2,
        nbits: CompactTarget(0x1d00_ffff),
        ntime: 1_231_006_505,
        clean: true,
        target: Target::from_difficulty(2.0),
        version_mask: 0,
        extranonce1: Vec::new(),
        extranonce2_len: 4,
    };
    Event::Job { job: Arc::new(job), index }
}

fn lost(index: usize) -> Event {
    let error = format!("pool {index} is gone");
    Event::Lost { error, index, problem: None, retry_in: Duration::ZERO }
}

async fn summary_of(status: &MiningStatus) -> Value {
    let answer = summary::summary(State(status.clone()), QueryParameters::default()).await.unwrap();
    serde_json::to_value(&answer.0).unwrap()
}

async fn metrics_of(status: &MiningStatus) -> String {
    status.metrics().await.unwrap().into_text().unwrap()
}

fn query<L: Listing>(text: &str) -> PageQuery<L> {
    PageQuery::read(QueryParameters::parse(text).unwrap()).unwrap()
}

#[tokio::test]
async fn a_miner_is_ready_while_it_has_a_job() {
    let status = status(None);
    assert_eq!((status.problem(), status.not_ready()), (None, Some("no pool has given a job yet".into())));
    status.on_event(&lost(0));
    assert_eq!(status.problem().as_deref(), Some("pool 0 is gone"));
    assert_eq!(status.not_ready(), status.problem());
    status.on_event(&job("a", 1));
    assert_eq!((status.problem(), status.not_ready(), status.warning()), (None, None, None));
    let problem = Problem::new(ProblemKind::PoolRejectsShares, "b rejects all");
    status.on_event(&Event::Unfit { error: "b rejects all".into(), problem });
    assert!(status.warning().is_some_and(|text| text.starts_with("b rejects all")));
    status.on_event(&Event::Fit);
    status.on_event(&lost(1));
    assert_eq!((status.warning(), status.not_ready().as_deref()), (None, Some("pool 1 is gone")));
}

#[tokio::test]
async fn the_summary_and_the_lists_show_the_same() {
    let status = status(None);
    assert_eq!(summary_of(&status).await["threads"], 0);
    let request = CpuRequest { threads: Some(2), ..CpuRequest::default() };
    let engine = StartedEngine::start(Some(Backend::portable().name()), &request).unwrap();
    status.set_engine(&engine);
    for event in [lost(0), job("x", 1), job("y", 1)] {
        status.on_event(&event);
    }
    let summary = summary_of(&status).await;
    assert_eq!(
        (&summary["threads"], &summary["job"], &summary["height"]),
        (&json!(2), &json!("y"), &json!(227_836))
    );
    assert_eq!((&summary["pool"], &summary["blocks"]), (&json!("stratum+tcp://b:1"), &Value::Null));
    assert_eq!((&summary["hashes"], &summary["network_difficulty"]), (&json!("0"), &json!(1.0)));

    let metrics = metrics_of(&status).await;
    for line in [
        "pool_connected 1",
        "workers 1",
        "network_height 227836",
        "network_difficulty 1",
        "shares_total{verdict=\"accepted\"} 0",
        "thread_hashrate_hashes_per_second{thread=\"1\"} 0",
        "share_round_trip_seconds_count 0",
    ] {
        assert!(metrics.contains(&format!("\nmesos_miner_{line}\n")), "{line}: {metrics}");
    }

    let threads = lists::threads(State(status.clone()), query("sort=-thread")).await.unwrap();
    let threads = serde_json::to_value(&threads).unwrap();
    assert_eq!((&threads["items"][0]["thread"], &threads["total"]), (&json!(1), &json!(2)));
    assert_eq!(threads["items"][0]["hashes"], 0);
    let pools = lists::pools(State(status.clone()), query("search=GONE")).await.unwrap();
    let pools = serde_json::to_value(&pools).unwrap();
    assert_eq!((&pools["items"][0]["state"], &pools["total"]), (&json!("lost"), &json!(1)));
    let jobs = lists::jobs(State(status.clone()), query("limit=1")).await.unwrap();
    assert_eq!((jobs.total, jobs.next.as_deref()), (2, Some("2")));
    let jobs = lists::jobs(State(status), query("limit=1&after=2")).await.unwrap();
    let jobs = serde_json::to_value(&jobs).unwrap();
    assert_eq!((&jobs["items"][0]["id"], &jobs["next"]), (&json!("x"), &Value::Null));
}

#[tokio::test]
async fn a_server_in_this_process_tells_its_blocks_and_its_trouble() {
    let blocks = OwnBlocks { count: 3, orphaned: 1, last: String::new() };
    let (_sender, blocks) = watch::channel(blocks);
    let server = OwnServer {
        work: Arc::new(|| "node http://n, paying to me".into()),
        blocks,
        rejected_blocks: Arc::new(|| 2),
        trouble: Arc::new(|| Some("the node is away".into())),
        problems: Arc::new(|| vec![Problem::new(ProblemKind::NodeUnreachable, "the node is away")]),
        resources: Resources::new("{}"),
    };
    let status = status(Some(server));
    let summary = summary_of(&status).await;
    assert_eq!((&summary["blocks"], &summary["orphaned"]), (&json!(3), &json!(1)));
    assert_eq!(summary["work_from"], "node http://n, paying to me");
    assert_eq!(status.not_ready().as_deref(), Some("the node is away"));
    let metrics = metrics_of(&status).await;
    for line in [
        "blocks_total 3",
        "orphaned_blocks_total 1",
        "rejected_blocks_total 2",
        "problems{code=\"node-unreachable\"} 1",
    ] {
        assert!(metrics.contains(&format!("\nmesos_miner_{line}\n")), "{line}: {metrics}");
    }
}
