//! Messages that cross, arrive twice or are refused. A proxy between scheduler and master causes these faults.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use mesos::v1::scheduler::{Call, call};
use serde_json::json;

use super::mining::{MiningHarness, WORKERS};
use crate::support::cluster::Cluster;
use crate::support::embedded::EmbeddedCluster;
use crate::support::http;
use crate::support::mesos_box::MesosBox;
use crate::support::proxy::{CallAction, Proxy};
use crate::support::{DEADLINE, LONG_DEADLINE, peer, until};

/// After this number of calls, the proxy refuses no more calls.
const REFUSED: usize = 40;

/// The first ACCEPT reaches the master only after the master has rescinded the offer. This launch is lost, and the scheduler
/// launches again with the next offer. `rescind` makes the master rescind the offers of the agent with the given id.
fn rescinded_offer(cluster: Cluster, rescind: impl Fn(&str) + Send + Sync + 'static) {
    let master = cluster.master();
    let hit: Arc<Mutex<Option<Instant>>> = Arc::default();
    let when = hit.clone();
    let proxy = Proxy::start(master, move |call| {
        let mut when = when.lock().expect("nobody panics with it");
        if let (Some(accept), None) = (&call.accept, &*when) {
            let launch = accept.operations[0].launch.as_ref().expect("it accepts to launch");
            rescind(&launch.task_infos[0].agent_id.value);
            *when = Some(Instant::now());
        }
        CallAction::Forward
    });
    let mut mining = MiningHarness::at(cluster, &proxy.address.to_string(), &[]);
    let hit = hit.lock().expect("nobody panics with it").expect("there was an ACCEPT");
    mining.recovers(hit, |_| true);
    let (summary, ended) = mining.end();
    assert_eq!(summary.tasks.get("TASK_DROPPED"), Some(&1), "it was not lost: {ended:#?}");
}

/// After a lost acknowledgement the agent sends the update again. The update is counted only once.
fn same_update_twice(cluster: Cluster) {
    #[derive(Default)]
    struct Seen {
        swallowed: BTreeSet<Vec<u8>>,
        /// The number of updates that were acknowledged a second time.
        again: usize,
        lossy: bool,
    }
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let watch = seen.clone();
    let proxy = Proxy::start(cluster.master(), move |call: &Call| {
        let mut seen = watch.lock().expect("nobody panics with it");
        let Some(call::Acknowledge { uuid, .. }) = &call.acknowledge else { return CallAction::Forward };
        if seen.lossy && seen.swallowed.insert(uuid.clone()) {
            return CallAction::Swallow;
        }
        seen.again += usize::from(seen.swallowed.contains(uuid));
        CallAction::Forward
    });
    let mut mining = MiningHarness::at(cluster, &proxy.address.to_string(), &[]);
    let before = mining.tasks();
    let hit = Instant::now();
    let seen = || seen.lock().expect("nobody panics with it");
    seen().lossy = true;
    until("all three tasks lose an acknowledgement", LONG_DEADLINE, || {
        (seen().swallowed.len() >= 3).then_some(())
    });
    seen().lossy = false;
    until("the updates come again", DEADLINE, || (seen().again >= 3).then_some(()));
    mining.recovers(hit, |mining| mining.tasks() == before);
    mining.end();
}

/// Calls that the master refuses temporarily are sent again. No launch, kill or acknowledgement is lost, and the subscription
/// is kept.
fn calls_refused_for_now(cluster: Cluster) {
    let refused = Arc::new(AtomicUsize::new(0));
    let count = refused.clone();
    // Refuse three of four calls for a while, so that each type of call is refused at least once.
    let proxy = Proxy::start(cluster.master(), move |call: &Call| {
        if call.subscribe.is_some() || count.load(Ordering::Relaxed) >= REFUSED {
            return CallAction::Forward;
        }
        let number = count.fetch_add(1, Ordering::Relaxed);
        if number % 4 == 3 { CallAction::Forward } else { CallAction::Refuse }
    });
    let hit = Instant::now();
    let mut mining = MiningHarness::at(cluster, &proxy.address.to_string(), &[]);
    mining.recovers(hit, |_| refused.load(Ordering::Relaxed) >= REFUSED);
    let (_, ended) = mining.end();
    let said = |what: &str| ended.stderr.iter().filter(|line| line.contains(what)).count();
    assert_eq!(said("the master is overloaded (HTTP 503: busy)"), 1, "{ended:#?}");
    assert_eq!(said("the master accepts calls at full speed again"), 1, "{ended:#?}");
    assert_eq!((said("subscribed as framework"), said("cannot reach master")), (1, 0), "{ended:#?}");
}

fn embedded() -> EmbeddedCluster {
    EmbeddedCluster::start(WORKERS, 1.0, |_| ())
}

fn real() -> Option<MesosBox> {
    Some(MesosBox::with_options(&peer::mesos()?, WORKERS as u16, &["--cpus=1"]))
}

mod on_the_embedded_cluster {
    use super::{Cluster, embedded};

    #[test]
    fn rescinded_offer() {
        let cluster = embedded();
        let handle = cluster.handle();
        super::rescinded_offer(Cluster::Embedded(cluster), move |_| handle.rescind_offers());
    }

    #[test]
    fn same_update_twice() {
        super::same_update_twice(Cluster::Embedded(embedded()));
    }

    #[test]
    fn calls_refused_for_now() {
        super::calls_refused_for_now(Cluster::Embedded(embedded()));
    }
}

mod on_a_real_mesos {
    use super::{Cluster, http, json, real};

    /// Deactivating an agent rescinds its offers.
    #[test]
    fn rescinded_offer() {
        let Some(mesos) = real() else { return };
        let master = mesos.master;
        super::rescinded_offer(Cluster::Real(mesos), move |agent| {
            for (kind, name) in
                [("DEACTIVATE_AGENT", "deactivate_agent"), ("REACTIVATE_AGENT", "reactivate_agent")]
            {
                let call = json!({"type": kind, name: {"agent_id": {"value": agent}}});
                assert_eq!(http::post_json(master, "/api/v1", &call).expect("it answers"), 200);
            }
        });
    }

    #[test]
    fn same_update_twice() {
        let Some(mesos) = real() else { return };
        super::same_update_twice(Cluster::Real(mesos));
    }

    #[test]
    fn calls_refused_for_now() {
        let Some(mesos) = real() else { return };
        super::calls_refused_for_now(Cluster::Real(mesos));
    }
}
