//! Tests that totals are exact, that rows are bounded, and which changes are written to disk.

use super::*;
use crate::share::Rejection;

impl Accounts {
    /// Summaries of all workers, sorted by name.
    fn summary(&self, now: Instant) -> Vec<WorkerSummary> {
        let mut workers: Vec<_> = self.summaries(0..usize::MAX, now).collect();
        workers.sort_by(|a, b| a.worker.cmp(&b.worker));
        workers
    }
}

fn judged(worker: &str, nonce: u32, verdict: Verdict) -> JudgedShare {
    let row = ShareRow {
        job: "1".into(),
        extranonce2: vec![0; 8],
        ntime: 1,
        version: 0x2000_0000,
        nonce,
        difficulty: 1.0,
        verdict,
        round_trip: Duration::ZERO,
    };
    let rejection = matches!(verdict, Verdict::Rejected(_)).then_some(Rejection::LowDifficulty);
    JudgedShare { worker: worker.into(), row, work: 1_000, candidate: false, rejection }
}

fn block(worker: &str, refused: Option<&str>) -> BlockRecord {
    BlockRecord {
        hash: bitcoin::constants::genesis_block(bitcoin::Network::Regtest).block_hash(),
        height: 1,
        worker: worker.into(),
        transactions: 1,
        value: bitcoin::Amount::ONE_BTC,
        found: 1,
        refused: refused.map(str::to_owned),
        orphaned: false,
        restored: false,
    }
}

#[test]
fn totals_are_exact_and_rows_bounded() {
    let mut accounts = Accounts::default();
    let many = 3 * MAX_ROWS_PER_WORKER as u32;
    for nonce in 0..many {
        accounts.count(judged("a", nonce, Verdict::Accepted), Now::read());
    }
    accounts.count(judged("b", 0, Verdict::Rejected(23)), Now::read());
    accounts.count(judged("b", 0, Verdict::Stale), Now::read());
    let taken = accounts.take_changed();
    assert_eq!(taken.iter().map(|a| a.worker.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(
        (taken[0].totals.accepted, taken[0].totals.accepted_work),
        (many.into(), u128::from(many) * 1_000)
    );
    assert_eq!(taken[0].rows.len(), MAX_ROWS_PER_WORKER);
    assert_eq!(taken[0].rows_omitted, u64::from(many) - MAX_ROWS_PER_WORKER as u64);
    assert_eq!((taken[1].totals.rejected, taken[1].totals.stale, taken[1].totals.accepted_work), (1, 1, 0));

    assert_eq!(accounts.take_changed(), []);
    accounts.count(judged("a", 0, Verdict::Accepted), Now::read());
    let taken = accounts.take_changed();
    assert_eq!((taken.len(), taken[0].rows.len(), taken[0].totals.accepted), (1, 1, u64::from(many) + 1));
    assert_eq!(taken[0].rows_omitted, u64::from(many) - MAX_ROWS_PER_WORKER as u64);
    assert_eq!(accounts.take_all().len(), 2);
}

#[test]
fn rows_are_bounded_over_all_workers() {
    let mut accounts = Accounts::default();
    let workers = MAX_ROWS / MAX_ROWS_PER_WORKER + 10;
    for worker in 0..workers {
        for nonce in 0..MAX_ROWS_PER_WORKER as u32 {
            accounts.count(judged(&worker.to_string(), nonce, Verdict::Accepted), Now::read());
        }
    }
    let taken = accounts.take_changed();
    assert_eq!(taken.iter().map(|a| a.rows.len()).sum::<usize>(), MAX_ROWS);
    assert_eq!(taken.iter().map(|a| a.rows_omitted).sum::<u64>() as usize, 10 * MAX_ROWS_PER_WORKER);
    assert_eq!(taken.iter().map(|a| a.totals.accepted).sum::<u64>() as usize, workers * MAX_ROWS_PER_WORKER);
    // The rows were taken, so there is room for new ones.
    accounts.count(judged("0", 0, Verdict::Accepted), Now::read());
    assert_eq!(accounts.take_changed()[0].rows.len(), 1);
}

#[test]
fn the_row_of_a_block_is_kept() {
    let mut accounts = Accounts::default();
    for nonce in 0..MAX_ROWS_PER_WORKER as u32 {
        accounts.count(judged("a", nonce, Verdict::Accepted), Now::read());
    }
    accounts.count(JudgedShare { candidate: true, ..judged("a", 777_777, Verdict::Accepted) }, Now::read());
    accounts.count(judged("a", 8, Verdict::Accepted), Now::read());
    let account = accounts.take_changed().remove(0);
    assert_eq!(account.rows.last().map(|row| row.nonce), Some(777_777));
    assert_eq!((account.rows_omitted, account.totals.blocks), (2, 0));
    accounts.count_block(block("a", None), Instant::now());
    assert_eq!(accounts.take_changed()[0].totals.blocks, 1, "a block alone changes the account");
}

#[test]
fn workers_beyond_the_limit_share_an_account() {
    let mut accounts = Accounts::default();
    for name in 0..MAX_WORKERS + 5 {
        accounts.count(judged(&name.to_string(), 0, Verdict::Accepted), Now::read());
    }
    let workers = accounts.summary(Instant::now());
    assert_eq!(workers.len(), MAX_WORKERS + 1);
    assert_eq!(workers.iter().find(|w| &*w.worker == OVERFLOW).map(|w| w.totals.accepted), Some(5));
    // Workers that already have an account of their own keep it.
    accounts.count(judged("0", 1, Verdict::Accepted), Now::read());
    assert_eq!(accounts.summary(Instant::now())[1].totals.accepted, 2);
}

#[test]
fn the_disk_gets_each_share_once_and_totals_over_all_runs() {
    let before = Totals { accepted: 10, accepted_work: 10_000, blocks: 1, ..Totals::default() };
    let mut accounts = Accounts::default();
    let workers = vec![("a".into(), before.into()), ("gone".into(), before.into())];
    accounts.restore(RecoveredAccounts { workers, ..RecoveredAccounts::default() }, Instant::now());
    assert!(accounts.take_unsaved().is_empty());
    accounts.count(judged("a", 1, Verdict::Accepted), Now::read());
    accounts.count(judged("a", 2, Verdict::Rejected(23)), Now::read());
    accounts.count(judged("b", 3, Verdict::Stale), Now::read());
    accounts.count_block(block("a", None), Instant::now());
    accounts.count_block(block("b", Some("high-hash")), Instant::now());
    let unsaved = accounts.take_unsaved();
    let totals: HashMap<_, _> =
        unsaved.workers.iter().map(|(worker, record)| (&**worker, record.totals)).collect();
    let a = Totals { accepted: 11, accepted_work: 11_000, rejected: 1, blocks: 2, ..Totals::default() };
    assert_eq!((totals.len(), totals["a"], totals["b"].stale, totals["b"].blocks), (2, a, 1, 0));
    assert_eq!(unsaved.shares.iter().map(|share| share.row.nonce).collect::<Vec<_>>(), [1]);
    assert_eq!(unsaved.blocks.len(), 2);
    assert!(accounts.take_unsaved().is_empty());

    // Summaries include earlier runs. Reports do not, since the earlier runs have sent their own reports.
    let summary = accounts.summary(Instant::now());
    assert_eq!(
        summary.iter().map(|w| (&*w.worker, w.totals.accepted)).collect::<Vec<_>>(),
        [("a", 11), ("b", 0), ("gone", 10)]
    );
    let report = accounts.take_all();
    assert_eq!(
        report.iter().map(|a| (a.worker.as_str(), a.totals.accepted)).collect::<Vec<_>>(),
        [("a", 1), ("b", 0)]
    );
}

#[test]
fn candidates_and_blocks_are_counted_apart_and_lost_and_orphaned_blocks_are_marked() {
    let mut accounts = Accounts::default();
    accounts.restore(RecoveredAccounts::default(), Instant::now());
    let candidate = |verdict| JudgedShare { candidate: true, ..judged("a", 1, verdict) };
    accounts.count(candidate(Verdict::Accepted), Now::read());
    accounts.count(candidate(Verdict::Accepted), Now::read());
    accounts.count(candidate(Verdict::Rejected(23)), Now::read());
    let now = Instant::now();
    accounts.count_block(block("a", None), now);
    let orphan = |orphaned| BlockRecord { orphaned, ..block("a", None) };
    let counts = |accounts: &Accounts| {
        let Totals { candidates, blocks, orphaned, .. } = accounts.summary(now)[0].totals;
        (candidates, blocks, orphaned, accounts.rejected_blocks())
    };
    assert_eq!(counts(&accounts), (2, 1, 0, 0));
    accounts.count_place(orphan(true), now);
    assert_eq!(counts(&accounts), (2, 1, 1, 0));
    accounts.count_place(orphan(false), now);
    assert_eq!(counts(&accounts), (2, 1, 0, 0));
    accounts.uncount_block(block("a", None), "lost".into(), now);
    assert_eq!(counts(&accounts), (2, 0, 0, 1));
    let written = accounts.take_unsaved().blocks;
    let last = |record: &BlockRecord| (record.orphaned, record.refused.clone());
    let lost = (false, Some("lost".to_owned()));
    assert_eq!(
        written.iter().map(last).collect::<Vec<_>>(),
        [(false, None), (true, None), (false, None), lost]
    );
}

#[test]
fn a_block_that_came_second_and_won_after_all_is_no_longer_refused() {
    let mut accounts = Accounts::default();
    accounts.restore(RecoveredAccounts::default(), Instant::now());
    let now = Instant::now();
    accounts.count_block(block("a", Some(BEATEN)), now);
    accounts.count_won(block("a", None), now);
    let blocks = accounts.summary(now)[0].totals.blocks;
    assert_eq!((blocks, accounts.rejected_blocks()), (1, 0));
    assert_eq!(accounts.take_unsaved().blocks.last().unwrap().refused, None);
}

#[test]
fn a_block_whose_share_was_lost_in_a_kill_is_a_candidate_too() {
    for (refused, blocks) in [(None, 1), (Some("high-hash"), 0)] {
        let mut accounts = Accounts::default();
        let uncounted = vec![block("a", None).hash];
        accounts.restore(RecoveredAccounts { uncounted, ..RecoveredAccounts::default() }, Instant::now());
        accounts.count_block(block("a", refused), Instant::now());
        // Both are written in one transaction, so that the next kill loses neither or both.
        let unsaved = accounts.take_unsaved();
        let wanted = Totals { accepted: 1, candidates: 1, blocks, ..Totals::default() };
        assert_eq!((unsaved.workers, unsaved.blocks.len()), (vec![("a".into(), wanted.into())], 1));
        accounts.count_block(block("a", refused), Instant::now());
        assert_eq!(accounts.summary(Instant::now())[0].totals.candidates, 1, "only once");
    }
}

#[test]
fn what_becomes_of_an_earlier_run_s_block_changes_that_run_s_totals() {
    let mut accounts = Accounts::default();
    let before = Totals { blocks: 2, ..Totals::default() };
    let workers = vec![("a".into(), before.into())];
    let now = Instant::now();
    accounts.restore(RecoveredAccounts { workers, ..RecoveredAccounts::default() }, now);
    accounts.count_block(block("a", None), now);
    let earlier = |orphaned| BlockRecord { orphaned, restored: true, ..block("a", None) };
    accounts.count_place(earlier(true), now);
    let counts = |Totals { blocks, orphaned, .. }: Totals| (blocks, orphaned);
    assert_eq!(counts(accounts.summary(now)[0].totals), (3, 1));
    assert_eq!(counts(accounts.take_all()[0].totals), (1, 0));
    accounts.count_place(earlier(false), now);
    accounts.uncount_block(earlier(false), "lost".into(), now);
    assert_eq!(counts(accounts.summary(now)[0].totals), (2, 0));
    assert_eq!(counts(accounts.take_unsaved().workers[0].1.totals), (2, 0));
    assert_eq!(counts(accounts.take_all()[0].totals), (1, 0));
}

#[test]
fn a_slow_disk_costs_rows_and_no_totals() {
    let mut accounts = Accounts::default();
    accounts.restore(RecoveredAccounts::default(), Instant::now());
    for nonce in 0..MAX_UNSAVED as u32 + 3 {
        accounts.count(judged("a", nonce, Verdict::Accepted), Now::read());
    }
    let unsaved = accounts.take_unsaved();
    assert_eq!((unsaved.shares.len(), unsaved.shares_omitted), (MAX_UNSAVED, 3));
    assert_eq!(unsaved.workers[0].1.totals.accepted, MAX_UNSAVED as u64 + 3);
}

/// A worker's first share was found before the worker was observed. It counts as found within the share interval.
#[test]
fn the_first_share_of_a_worker_does_not_inflate_its_hashrate() {
    let mut accounts = Accounts::new(Duration::from_secs(1));
    let start = Now::read();
    let at = |second| Now { at: start.at + Duration::from_secs(second), ..start };
    let hashrate = |accounts: &Accounts, second| accounts.summary(at(second).at)[0].hashrate;
    accounts.count(judged("a", 0, Verdict::Accepted), at(0));
    assert_eq!(hashrate(&accounts, 0), 1_000.0);
    for second in 1..=60 {
        accounts.count(judged("a", second as u32, Verdict::Accepted), at(second));
        let hashrate = hashrate(&accounts, second);
        assert!((900.0..=1_100.0).contains(&hashrate), "{hashrate} H/s after {second} s");
    }
}

#[test]
fn the_best_share_is_the_accepted_one_of_the_highest_difficulty() {
    let mut accounts = Accounts::default();
    assert_eq!(accounts.best_share(), 0.0);
    for (difficulty, verdict) in
        [(2.0, Verdict::Accepted), (9.0, Verdict::Stale), (7.5, Verdict::Accepted), (3.0, Verdict::Accepted)]
    {
        let mut share = judged("a", 0, verdict);
        share.row.difficulty = difficulty;
        accounts.count(share, Now::read());
    }
    assert_eq!(accounts.best_share(), 7.5);
}

#[test]
fn a_worker_has_its_best_and_last_share_its_hashrates_and_the_reasons_of_its_rejections() {
    let mut accounts = Accounts::new(Duration::from_secs(1));
    let start = Now::with_unix(1_000_000);
    for second in 0..=30 {
        let mut share = judged("a", second, Verdict::Accepted);
        share.row.difficulty = f64::from(second % 7);
        accounts.count(share, start.later(second));
    }
    accounts.count(judged("a", 0, Verdict::Rejected(23)), start.later(31));
    let duplicate =
        JudgedShare { rejection: Some(Rejection::Duplicate), ..judged("a", 0, Verdict::Rejected(22)) };
    accounts.count(duplicate, start.later(32));
    accounts.count(judged("a", 0, Verdict::Stale), start.later(33));
    let worker = accounts.summary(start.later(30).at).remove(0);
    let Hashrates { minute, hour, day } = worker.hashrates;
    assert_eq!((minute, hour, day), (1_000.0, 1_000.0, 1_000.0));
    assert_eq!((worker.best_share, worker.last_share_ms), (6.0, Some(1_000_030_000)));
    let rejections = RejectionCounts { low_difficulty: 1, duplicate: 1, ..RejectionCounts::default() };
    assert_eq!((worker.rejections, worker.rejections.total()), (rejections, worker.totals.rejected));
}

#[test]
fn the_figures_of_earlier_runs_go_on() {
    let mut accounts = Accounts::default();
    let rejections = RejectionCounts { time: 2, ..RejectionCounts::default() };
    let totals = Totals { accepted_work: 5_000, rejected: 2, ..Totals::default() };
    let record = WorkerRecord { totals, best_share: 50.0, last_share_ms: Some(1), rejections };
    let workers = vec![("a".into(), record)];
    accounts.restore(RecoveredAccounts { workers, ..RecoveredAccounts::default() }, Instant::now());
    let now = Now::with_unix(1_000);
    accounts.count(judged("a", 0, Verdict::Rejected(23)), now);
    let worker = accounts.summary(now.at).remove(0);
    assert_eq!((worker.best_share, worker.last_share_ms, worker.rejections.total()), (50.0, Some(1), 3));
    accounts.count(judged("a", 0, Verdict::Accepted), now);
    assert_eq!(accounts.effort(60_000.0), Some(10.0), "the round began in an earlier run");
    let (_, written) = accounts.take_unsaved().workers.remove(0);
    let expected = RejectionCounts { low_difficulty: 1, ..rejections };
    assert_eq!(
        (written.best_share, written.last_share_ms, written.rejections),
        (50.0, Some(1_000_000), expected)
    );
}

#[test]
fn slices_have_each_worker_once() {
    let mut accounts = Accounts::default();
    for name in 0..2_500 {
        accounts.count(judged(&name.to_string(), 0, Verdict::Accepted), Now::read());
    }
    let now = Instant::now();
    let slice = |from: usize| accounts.summaries(from..from + 1_000, now).count();
    assert_eq!([0, 1_000, 2_000, 3_000].map(slice), [1_000, 1_000, 500, 0]);
    assert_eq!(accounts.summary(now).len(), 2_500);
}
