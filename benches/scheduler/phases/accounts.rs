//! The last phase: checks that the scheduler's accounts equal the sums of its tasks' reports.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use task::Totals;

use super::SETTLE;
use crate::cluster::Sums;
use crate::report::Row;
use crate::run::Run;
use crate::scheduler::ledger;

/// Time limit for `/api/v1/summary` to show the final sums of all reports, once all updates are acknowledged.
const SHOWN: Duration = Duration::from_secs(30);
const FIGURE: &str = "accounts";

/// Compares the scheduler's summary and ledger with the reports of all tasks. Ends the scheduler.
pub fn check(run: &mut Run<'_>, suffix: &str) -> Vec<Row> {
    let figure = format!("{FIGURE}{suffix}");
    run.master.cluster().report_of_server(Instant::now());
    if !run.settle(SETTLE) {
        let left = run.master.cluster().unacknowledged();
        let value = format!("not checked: {left} updates are not acknowledged");
        run.end_scheduler(Signal::KILL);
        return vec![Row::missed(figure, run.agents, value)];
    }
    let sums = run.master.cluster().sums();
    let summary = shown(run, sums);
    run.end_scheduler(Signal::TERM);
    let on_disk = ledger(run.binary, &run.state_dir()).is_some_and(|ledger| ledger_says(&ledger, sums));
    let counters = run.master.cluster().counters().clone();
    let text = format!(
        "{} shares of workers and {} of the pool; {} updates sent again, {} duplicate acknowledgements",
        shares(sums.workers),
        shares(sums.pool),
        counters.resent,
        counters.duplicates
    );
    let bad = (counters.bad_calls, counters.failed_launches, counters.kills);
    vec![match (summary, on_disk, bad) {
        (true, true, (0, 0, 0)) => Row::new(figure, run.agents, format!("exact: {text}")),
        _ => {
            let says = format!("summary {summary}, ledger {on_disk}, bad calls, launches and kills {bad:?}");
            Row::wrong(figure, run.agents, format!("WRONG ({says}): {text}"))
        }
    }]
}

/// Waits until `/api/v1/summary` shows these sums. Returns `false` if it does not show them in time.
fn shown(run: &mut Run<'_>, sums: Sums) -> bool {
    let until = Instant::now() + SHOWN;
    while Instant::now() < until {
        if run.scheduler().summary().is_some_and(|summary| summary_says(&summary, sums)) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    false
}

fn summary_says(summary: &Value, sums: Sums) -> bool {
    let same = |account: &Value, totals: Totals| {
        let numbers = [
            (&account["shares"]["accepted"], totals.accepted),
            (&account["shares"]["rejected"], totals.rejected),
            (&account["shares"]["stale"], totals.stale),
            (&account["blocks"], totals.blocks),
        ];
        numbers.into_iter().all(|(said, number)| said.as_u64() == Some(number))
            && account["accepted_work"].as_str() == Some(&totals.accepted_work.to_string())
    };
    same(&summary["accounts"]["workers"], sums.workers)
        && same(&summary["accounts"]["pool"], sums.pool)
        && summary["hashes"].as_str() == Some(&sums.workers.hashes.to_string())
}

fn ledger_says(ledger: &Value, sums: Sums) -> bool {
    [("worker", sums.workers), ("pool", sums.pool)].into_iter().all(|(column, totals)| {
        let column = &ledger["total"][column];
        [
            ("accepted", totals.accepted),
            ("rejected", totals.rejected),
            ("stale", totals.stale),
            ("blocks", totals.blocks),
        ]
        .into_iter()
        .all(|(name, number)| column[name].as_u64() == Some(number))
    })
}

fn shares(totals: Totals) -> u64 {
    totals.accepted + totals.rejected + totals.stale
}
