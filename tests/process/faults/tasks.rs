//! Executors that die.

use std::collections::BTreeMap;
use std::time::Instant;

use super::mining::Mining;

faults! { both: killed_server killed_worker; real: }

/// Without its server a worker is of no use: everything starts over.
fn killed_server(mut mining: Mining) {
    let old = mining.tasks();
    let server = mining.server();
    mining.kill(&server);
    mining.recovers(Instant::now(), |mining| mining.tasks().is_disjoint(&old));
    let (summary, _) = mining.end();
    assert_eq!(summary.tasks, BTreeMap::from([("TASK_FAILED".into(), 1), ("TASK_KILLED".into(), 5)]));
}

/// A dead worker is the business of nobody else.
fn killed_worker(mut mining: Mining) {
    let old = mining.tasks();
    let worker = mining.workers()[0].clone();
    mining.kill(&worker);
    mining.recovers(Instant::now(), |mining| mining.tasks().intersection(&old).count() == 2);
    let (summary, _) = mining.end();
    assert_eq!(summary.tasks, BTreeMap::from([("TASK_FAILED".into(), 1), ("TASK_KILLED".into(), 3)]));
}
