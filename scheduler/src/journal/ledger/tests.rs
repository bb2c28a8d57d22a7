use proptest::prelude::*;
use task::Account;

use super::*;

fn report(sequence: u64, accounts: &[(&str, u64, u64)]) -> Report {
    let account = |&(worker, accepted, blocks): &(&str, u64, u64)| Account {
        worker: worker.into(),
        totals: Totals { accepted, blocks, ..Totals::default() },
        ..Account::default()
    };
    Report { sequence, accounts: accounts.iter().map(account).collect(), server: None }
}

#[test]
fn repeated_and_late_reports_change_nothing() {
    let mut ledger = Ledger::default();
    assert!(ledger.record("w", TaskKind::Worker, &report(1, &[("w", 3, 0)])));
    assert!(ledger.record("w", TaskKind::Worker, &report(4, &[("w", 9, 1)])));
    assert!(!ledger.record("w", TaskKind::Worker, &report(4, &[("w", 9, 1)])));
    assert!(!ledger.record("w", TaskKind::Worker, &report(2, &[("w", 5, 0)])));
    assert_eq!(ledger.sum().0.worker.accepted, 9);
}

#[test]
fn a_late_report_still_brings_accounts_that_later_ones_left_out() {
    let mut ledger = Ledger::default();
    ledger.record("s", TaskKind::Server, &report(3, &[("a", 5, 0)]));
    assert!(ledger.record("s", TaskKind::Server, &report(2, &[("a", 4, 0), ("b", 7, 0)])));
    assert_eq!(ledger.sum().0.pool.accepted, 12);
}

#[test]
fn a_block_that_both_report_counts_once() {
    let mut ledger = Ledger::default();
    ledger.record("w", TaskKind::Worker, &report(1, &[("w", 9, 2)]));
    ledger.record("s", TaskKind::Server, &report(1, &[("w", 9, 2)]));
    ledger.record("s2", TaskKind::Server, &report(1, &[("w", 1, 1)]));
    ledger.record("v", TaskKind::Worker, &report(1, &[("v", 1, 1)]));
    assert_eq!(ledger.sum().1, 4);
}

#[test]
fn a_worker_reports_about_itself_alone() {
    let mut ledger = Ledger::default();
    ledger.record("w", TaskKind::Worker, &report(1, &[("somebody else", 9, 0)]));
    assert_eq!(ledger.lines().map(|(worker, _)| worker).collect::<Vec<_>>(), ["w"]);
}

proptest! {
    /// Aggregation changes no sum, and keeps each account whose reporter or worker is still living.
    #[test]
    fn aggregating_keeps_the_sums(
        reports in prop::collection::vec((0..4usize, 0..4usize, 1..4u64, 0..50u64, 0..3u64), 0..30),
        living in prop::collection::btree_set(0..4usize, 0..4),
    ) {
        let names = ["s1", "s2", "w1", "w2"];
        let mut ledger = Ledger::default();
        for (reporter, worker, sequence, accepted, blocks) in reports {
            let kind = if reporter < 2 { TaskKind::Server } else { TaskKind::Worker };
            ledger.record(names[reporter], kind, &report(sequence, &[(names[worker], accepted, blocks)]));
        }
        let (before, lives) = (ledger.clone(), |task: &str| living.iter().any(|i| names[*i] == task));
        let gone: Vec<String> = names.iter().filter(|name| !lives(name)).map(|name| (*name).to_owned()).collect();
        ledger.aggregate(&gone, lives);
        prop_assert_eq!(ledger.sum(), before.sum());
        for account in before.iter().filter(|it| lives(it.reporter) || lives(it.worker)) {
            prop_assert_eq!(ledger.account(account.reporter, account.worker), Some(account));
        }
        let _aggregated = ledger.aggregate_all_but(|_| false);
        prop_assert_eq!(ledger.sum(), before.sum());
        prop_assert_eq!(ledger.iter().count(), 0);
    }

    /// After a report with impossible numbers and then a correct one, the sums are as if the first report had not been sent.
    #[test]
    fn a_lie_can_be_taken_back(
        accounts in prop::collection::vec((0..4usize, 0..3usize, 0..50u64), 1..10),
        liar in any::<prop::sample::Index>(),
    ) {
        let mut honest = Ledger::default();
        let names = ["s1", "s2", "w1", "w2"];
        let put = |ledger: &mut Ledger, sequence: u64, (reporter, worker, number): (usize, usize, u64), totals: Totals| {
            let kind = if reporter < 2 { TaskKind::Server } else { TaskKind::Worker };
            let entry = Entry { sequence, totals, rows_omitted: number };
            ledger.insert(super::Account { reporter: names[reporter], kind, worker: names[worker], entry });
        };
        let totals = |number: u64| Totals {
            hashes: number.into(), accepted_work: number.into(), accepted: number, rejected: number, stale: number,
            unanswered: number, blocks: number, candidates: number, orphaned: number,
        };
        let lie = Totals {
            hashes: u128::MAX, accepted_work: u128::MAX, accepted: u64::MAX, rejected: u64::MAX, stale: u64::MAX,
            unanswered: u64::MAX, blocks: u64::MAX, candidates: u64::MAX, orphaned: u64::MAX,
        };
        let mut lied = Ledger::default();
        for (place, account) in accounts.iter().enumerate() {
            put(&mut honest, 9, *account, totals(account.2));
            put(&mut lied, 1, *account, if place == liar.index(accounts.len()) { lie } else { totals(1) });
            put(&mut lied, 2, *account, lie);
        }
        prop_assert_eq!(lied.sum().0.worker.hashes == u128::MAX || lied.sum().0.pool.hashes == u128::MAX, true);
        for account in &accounts {
            put(&mut lied, 9, *account, totals(account.2));
        }
        prop_assert_eq!(lied.sum(), honest.sum());
        prop_assert_eq!(lied, honest);
    }

    /// The sums are those of the last report, in whatever order and however often reports are received.
    #[test]
    fn sums_are_exact(steps in prop::collection::vec((0u64..5, 0u64..3), 1..20), order in prop::collection::vec(any::<prop::sample::Index>(), 0..60)) {
        let mut reports = Vec::new();
        let (mut accepted, mut blocks) = (0, 0);
        for (i, (shares, found)) in steps.iter().enumerate() {
            accepted += shares;
            blocks += found;
            reports.push(report(i as u64 + 1, &[("w", accepted, blocks)]));
        }
        let mut ledger = Ledger::default();
        for index in order {
            ledger.record("w", TaskKind::Worker, index.get(&reports));
        }
        ledger.record("w", TaskKind::Worker, reports.last().unwrap());
        prop_assert_eq!(ledger.sum().0.worker.accepted, accepted);
        prop_assert_eq!(ledger.sum().1, blocks);
    }
}
