//! What a worker makes of the events of its miner.

use std::time::Duration;

use client::ClientError;
use hasher::{CompactTarget, Target};
use stratum::Job;
use task::{PoolAccess, TaskSpec};

use super::*;

/// A running worker whose miner the test plays, and the events of its task.
fn running() -> (Worker, mpsc::Receiver<TaskEvent>) {
    let spec = WorkerSpec {
        pool: "stratum+tcp://127.0.0.1:1".into(),
        alternatives: Vec::new(),
        user: "worker".into(),
        password: String::new(),
        access: PoolAccess::default(),
        cpus: 0.1,
        backend: Some("portable".into()),
    };
    let request = CpuRequest { cpus: Some(spec.cpus), ..CpuRequest::default() };
    let engine = StartedEngine::start(spec.backend.as_deref(), &request).expect("an engine");
    let (events, receiver) = mpsc::channel(EVENTS);
    let context = TaskContext {
        task_id: "t".into(),
        spec: TaskSpec {
            intervals: Intervals::new(Duration::from_secs(5), Duration::from_secs(60)),
            max_updates: None,
            kind: ProgramSpec::Worker(spec.clone()),
        },
        instructions: mpsc::channel(1).1,
        events,
        stop: CancellationToken::new(),
        grace: Duration::from_secs(5),
    };
    let configs = watch::channel(config(&spec, engine.hashrate).expect("a valid pool")).0;
    let pauses = watch::channel(false).0;
    (Worker { running: true, ..Worker::new(context, spec, configs, pauses, &engine) }, receiver)
}

fn job(id: &str) -> Event {
    let job = Job {
        id: id.into(),
        prev_hash: [1; 32],
        coinb1: vec![1],
        coinb2: vec![2],
        branch: Vec::new(),
        version: 1,
        nbits: CompactTarget(0x207f_ffff),
        ntime: 1,
        clean: true,
        target: Target::MAX,
        version_mask: 0,
        extranonce1: Vec::new(),
        extranonce2_len: 8,
    };
    Event::Job { job: Arc::new(job), index: 0 }
}

/// The problem in the next live message.
async fn problem(worker: &mut Worker, events: &mut mpsc::Receiver<TaskEvent>) -> Option<ProblemKind> {
    while events.try_recv().is_ok() {}
    worker.send_live().await;
    match events.recv().await {
        Some(TaskEvent::Live(live)) => match *live {
            Live::Worker(live) => live.problem.map(|problem| problem.kind),
            Live::Pool(live) => panic!("{live:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_pool_that_stays_on_one_block_is_of_no_use_although_it_sends_jobs() {
    let (mut worker, mut events) = running();
    worker.on_event(job("a")).await;
    assert_eq!(problem(&mut worker, &mut events).await, None);
    let (pool, after) = ("127.0.0.1:1".parse().expect("a pool"), Duration::from_secs(10_800));
    let error = ClientError::BlockTooOld { pool, after };
    let unfit = Event::Unfit { error: error.to_string(), problem: error.problem().expect("a problem") };
    worker.on_event(unfit).await;
    for id in ["b", "c"] {
        worker.on_event(job(id)).await;
        assert_eq!(problem(&mut worker, &mut events).await, Some(ProblemKind::PoolJobOutdated), "{id}");
    }
    worker.on_event(Event::Fit).await;
    assert_eq!(problem(&mut worker, &mut events).await, None);
}
