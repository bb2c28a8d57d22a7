//! What the scheduler shows of itself over HTTP: a copy of what the display shows.
//!
//! `/healthz` is 200 while it mines, or waits because another scheduler leads; else 503.

use std::collections::BTreeMap;
use std::sync::Arc;

use monitor::{Kind, Metrics, Subject};
use program::Shares;
use serde_json::{Value, json};
use task::{Live, Totals};
use tokio::sync::watch;

use crate::core::{Snapshot, TaskLine};
use crate::kind::Kind as TaskKind;

/// The last picture, empty before the first one; none while another scheduler leads.
pub(crate) type Shown = Option<Arc<Snapshot>>;

/// Reads the last picture.
#[derive(Clone, Debug)]
pub(crate) struct Page(watch::Receiver<Shown>);

impl Page {
    pub fn of(shown: watch::Receiver<Shown>) -> Page {
        Page(shown)
    }

    fn snapshot(&self) -> Shown {
        self.0.borrow().clone()
    }
}

impl Subject for Page {
    fn trouble(&self) -> Option<String> {
        let snapshot = self.snapshot()?;
        if !snapshot.connected {
            return Some("there is no subscription at a master".to_owned());
        }
        let mines = |task: &TaskLine| task.kind == TaskKind::Worker && task.state == "TASK_RUNNING";
        let why = snapshot.remarks.first().map(|remark| format!(": {remark}")).unwrap_or_default();
        (!snapshot.tasks.iter().any(mines)).then(|| format!("no worker mines{why}"))
    }

    fn summary(&self) -> Value {
        match self.snapshot() {
            None => json!({"leads": false}),
            Some(snapshot) => summary(&snapshot),
        }
    }

    fn metrics(&self, metrics: &mut Metrics) {
        let snapshot = self.snapshot();
        let flag = |flag: bool| f64::from(u8::from(flag));
        let leads = flag(snapshot.is_some());
        metrics.single("scheduler_leads", Kind::Gauge, "Whether this scheduler runs the framework.", leads);
        let Some(snapshot) = snapshot else { return };
        let connected = flag(snapshot.connected);
        metrics.single("scheduler_connected", Kind::Gauge, "Whether there is a subscription.", connected);
        running(&snapshot, metrics);
        accounts(&snapshot, metrics);
    }
}

/// All of it; what may exceed the numbers of a JSON reader is a string.
fn summary(snapshot: &Snapshot) -> Value {
    let account = |totals: Totals| {
        json!({
            "shares": Shares::from(totals),
            "accepted_work": totals.accepted_work.to_string(),
            "blocks": totals.blocks,
        })
    };
    json!({
        "leads": true,
        "connected": snapshot.connected,
        "framework": snapshot.framework,
        "hashrate": snapshot.hashrate(),
        "hashes": snapshot.totals.worker.hashes.to_string(),
        "accounts": {"pool": account(snapshot.totals.pool), "workers": account(snapshot.totals.worker)},
        "blocks": snapshot.blocks,
        "workers": snapshot.peak,
        "states": snapshot.states,
        "tasks": snapshot.tasks.iter().map(task).collect::<Vec<_>>(),
        "remarks": snapshot.remarks,
    })
}

fn task(task: &TaskLine) -> Value {
    let live = task.live.as_ref().map(|live| match live {
        Live::Worker(live) => json!({
            "hashrate": live.hashrate,
            "threads": live.threads,
            "backend": live.backend,
            "difficulty": live.difficulty,
        }),
        Live::Pool(live) => json!({
            "connections": live.connections,
            "height": live.height,
            "difficulty": live.difficulty,
        }),
    });
    json!({
        "id": task.id,
        "kind": task.kind.name(),
        "host": task.host,
        "state": task.state,
        "healthy": task.healthy,
        "cpus": task.cpus_milli as f64 / 1000.0,
        "live": live,
        "shares": Shares::from(task.totals),
    })
}

/// What runs at present, and the states of all that ever ran.
fn running(snapshot: &Snapshot, metrics: &mut Metrics) {
    let mut alive: BTreeMap<&str, u64> = BTreeMap::new();
    for task in &snapshot.tasks {
        *alive.entry(&task.state).or_default() += 1;
    }
    let tasks = alive.iter().map(|(state, count)| (*state, *count as f64));
    metrics.by("scheduler_tasks", Kind::Gauge, "Tasks that have not ended.", "state", tasks);
    let ended = snapshot.states.iter().filter_map(|(state, count)| {
        let ended = count.saturating_sub(alive.get(state.as_str()).copied().unwrap_or(0));
        (ended > 0).then_some((state.as_str(), ended as f64))
    });
    metrics.by("scheduler_tasks_ended_total", Kind::Counter, "Tasks that have ended.", "state", ended);
    let cpus = snapshot.tasks.iter().map(|task| task.cpus_milli).sum::<u64>() as f64 / 1000.0;
    metrics.single("scheduler_cpus", Kind::Gauge, "CPUs of tasks that have not ended.", cpus);
    let workers = snapshot.hashrates().count() as f64;
    metrics.single("scheduler_workers", Kind::Gauge, "Workers that told their hashrate lately.", workers);
    let help = "Sum of the hashrates that workers told lately.";
    metrics.single("scheduler_hashrate_hashes_per_second", Kind::Gauge, help, snapshot.hashrate());
}

/// The ledger.
fn accounts(snapshot: &Snapshot, metrics: &mut Metrics) {
    let Totals { hashes, .. } = snapshot.totals.worker;
    metrics.single("scheduler_hashes_total", Kind::Counter, "Hashes searched.", hashes as f64);
    for (name, help, totals) in [
        ("scheduler_worker_shares_total", "Shares as workers count them.", snapshot.totals.worker),
        ("scheduler_pool_shares_total", "Shares as pool servers count them.", snapshot.totals.pool),
    ] {
        let Shares { accepted, rejected, stale, unanswered } = totals.into();
        let shares = [
            ("accepted", accepted as f64),
            ("rejected", rejected as f64),
            ("stale", stale as f64),
            ("unanswered", unanswered as f64),
        ];
        metrics.by(name, Kind::Counter, help, "verdict", shares);
    }
    metrics.single("scheduler_blocks_total", Kind::Counter, "Blocks found.", snapshot.blocks as f64);
}

#[cfg(test)]
mod tests {
    use task::WorkerLive;

    use super::*;

    fn worker(n: u64, state: &str, hashrate: Option<f64>) -> TaskLine {
        let live = |hashrate| Live::Worker(WorkerLive { hashrate, ..WorkerLive::default() });
        TaskLine {
            id: format!("miner-worker-{n}"),
            kind: TaskKind::Worker,
            host: "h".into(),
            state: state.into(),
            healthy: None,
            cpus_milli: 1500,
            live: hashrate.map(live),
            totals: Totals { accepted: 3, ..Totals::default() },
        }
    }

    fn page(snapshot: Option<Snapshot>) -> Page {
        // A receiver keeps what it was last sent.
        Page(watch::Sender::new(snapshot.map(Arc::new)).subscribe())
    }

    fn mining() -> Snapshot {
        let mut snapshot = Snapshot {
            connected: true,
            tasks: vec![worker(2, "TASK_RUNNING", Some(4e6)), worker(3, "TASK_STAGING", None)],
            states: [("TASK_RUNNING".into(), 1), ("TASK_STAGING".into(), 1), ("TASK_FAILED".into(), 7)]
                .into(),
            blocks: 2,
            peak: 5,
            remarks: vec!["too little memory".into()],
            ..Snapshot::default()
        };
        snapshot.totals.worker = Totals { hashes: 1 << 70, accepted: 9, stale: 1, ..Totals::default() };
        snapshot.totals.pool = Totals { accepted: 8, ..Totals::default() };
        snapshot
    }

    #[test]
    fn all_is_well_if_somebody_mines_or_others_lead() {
        assert_eq!(page(None).trouble(), None);
        assert_eq!(page(Some(mining())).trouble(), None);
        let trouble = |snapshot: Snapshot| page(Some(snapshot)).trouble().unwrap_or_default();
        assert!(trouble(Snapshot::default()).contains("no subscription"));
        let tasks = vec![worker(3, "TASK_STAGING", None)];
        assert_eq!(trouble(Snapshot { tasks, ..mining() }), "no worker mines: too little memory");
    }

    #[test]
    fn the_summary_has_both_accounts_and_all_tasks() {
        assert_eq!(page(None).summary(), json!({"leads": false}));
        let summary = page(Some(mining())).summary();
        assert_eq!(summary["accounts"]["workers"]["shares"]["accepted"], 9);
        assert_eq!(summary["accounts"]["pool"]["shares"]["accepted"], 8);
        assert_eq!(summary["hashes"], "1180591620717411303424");
        assert_eq!((&summary["blocks"], &summary["workers"]), (&json!(2), &json!(5)));
        assert_eq!(summary["tasks"][0]["live"]["hashrate"], 4e6);
        assert_eq!(summary["tasks"][1]["live"], Value::Null);
    }

    #[test]
    fn the_figures_tell_what_runs_and_what_ended() {
        let text = |page: Page| {
            let mut metrics = Metrics::default();
            page.metrics(&mut metrics);
            metrics.into_text()
        };
        assert!(text(page(None)).ends_with("scheduler_leads 0\n"));
        let text = text(page(Some(mining())));
        for line in [
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
    }
}
