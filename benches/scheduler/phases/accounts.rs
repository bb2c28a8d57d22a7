//! The last phase: stops the fleet, and checks that the scheduler's accounts equal the sums of its tasks' reports, wherever the
//! scheduler tells them.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use task::Totals;

use super::SETTLE;
use crate::cluster::Sums;
use crate::report::Row;
use crate::run::Run;
use crate::scheduler::{Scheduler, ledger};

/// Time limit for the scheduler's pages to show the final sums of all reports, once all updates are acknowledged.
const SHOWN: Duration = Duration::from_secs(30);
const FIGURE: &str = "accounts";
/// The pages that have totals.
const PAGES: [&str; 4] = ["/api/v1/summary", "/api/v1/totals", "/metrics", "/api/v1/blocks?limit=1000"];

/// Stops the fleet, and compares the scheduler's pages and its ledger with the reports of all tasks. Ends the scheduler.
pub fn check(run: &mut Run<'_>, suffix: &str) -> Vec<Row> {
    let figure = format!("{FIGURE}{suffix}");
    let Some(stopped) = stop_fleet(run) else {
        let left = run.master.cluster().unacknowledged();
        let value = format!("not checked: {left} updates are not acknowledged");
        run.end_scheduler(Signal::KILL);
        return vec![Row::missed(figure, run.agents, value)];
    };
    let sums = run.master.cluster().sums();
    let wrong = wrong_pages(run.scheduler(), sums, stopped);
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
    vec![match (wrong.is_empty(), on_disk, bad) {
        (true, true, (0, 0, 0)) => Row::new(figure, run.agents, format!("exact: {text}")),
        _ => {
            let says =
                format!("wrong pages {wrong:?}, ledger {on_disk}, bad calls, launches and kills {bad:?}");
            Row::wrong(figure, run.agents, format!("WRONG ({says}): {text}"))
        }
    }]
}

/// Ends all workers and then the server, each with a last report. Returns the number of tasks that have ended; `None` if the
/// scheduler does not acknowledge all updates in time.
fn stop_fleet(run: &mut Run<'_>) -> Option<usize> {
    run.master.cluster().report_of_server(Instant::now());
    run.settle(SETTLE).then_some(())?;
    let workers = run.master.cluster().stop_workers(Instant::now());
    run.settle(SETTLE).then_some(())?;
    run.master.cluster().stop_server(Instant::now());
    run.settle(SETTLE).then_some(workers + 1)
}

/// The pages that do not show these sums in time.
fn wrong_pages(scheduler: &Scheduler, sums: Sums, stopped: usize) -> Vec<&'static str> {
    let until = Instant::now() + SHOWN;
    let mut wrong = PAGES.to_vec();
    while !wrong.is_empty() && Instant::now() < until {
        let says = |path: &&str| {
            let body = scheduler.get(path).map(|(body, _)| body).unwrap_or_default();
            match *path {
                "/metrics" => metrics_say(&String::from_utf8_lossy(&body), sums),
                path => serde_json::from_slice(&body).is_ok_and(|page| page_says(path, &page, sums, stopped)),
            }
        };
        wrong.retain(|path| !says(path));
        std::thread::sleep(Duration::from_millis(200));
    }
    wrong
}

fn page_says(path: &str, page: &Value, sums: Sums, stopped: usize) -> bool {
    if path.starts_with("/api/v1/blocks") {
        // A page has at most 1,000 rows, and the sum is complete if there are no more.
        let rows = page["items"].as_array().into_iter().flatten();
        let blocks: u64 = rows.filter_map(|row| row["blocks"].as_u64()).sum();
        return !page["next"].is_null() || blocks == sums.pool.blocks;
    }
    let ended = page["states"]["TASK_FINISHED"].as_u64().is_some_and(|ended| ended >= stopped as u64);
    let alive = page["live_states"].as_object().is_none_or(serde_json::Map::is_empty);
    ended && alive && totals_say(page, sums)
}

fn totals_say(totals: &Value, sums: Sums) -> bool {
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
    same(&totals["accounts"]["workers"], sums.workers)
        && same(&totals["accounts"]["pool"], sums.pool)
        && totals["blocks"].as_u64() == Some(sums.pool.blocks)
        && totals["hashes"].as_str() == Some(&sums.workers.hashes.to_string())
}

fn metrics_say(text: &str, sums: Sums) -> bool {
    let value = |name: &str| {
        let value =
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok());
        value.unwrap_or(f64::NAN)
    };
    let same = |family: &str, totals: Totals| {
        [("accepted", totals.accepted), ("rejected", totals.rejected), ("stale", totals.stale)]
            .into_iter()
            .all(|(verdict, number)| value(&format!("{family}{{verdict=\"{verdict}\"}}")) == number as f64)
    };
    same("mesos_miner_shares_total", sums.workers)
        && same("mesos_miner_pool_shares_total", sums.pool)
        && value("mesos_miner_blocks_total") == sums.pool.blocks as f64
        && value("mesos_miner_hashes_total") == sums.workers.hashes as f64
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
