use mesos::v1::TaskState;
use task::{Account, Report, ShareRow, Totals, Verdict};
use tempfile::TempDir;

use super::*;
use crate::journal::{Change, ChangeId, StatusRecord};
use crate::store::STATE_FOLDER;
use crate::store::sqlite::{StoredShare, migration, records};
use crate::store::tests::shares;
use crate::task_id::TaskKind;

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// The number of bytes by which a file may exceed its limit in these tests. This leaves room for one batch of changes, and for
/// database pages that are only partly used.
const SLACK: u64 = 300_000;

/// A folder with a framework and a worker, as the writing thread uses it.
struct Folder {
    folder: TempDir,
    connection: Connection,
    framework: Option<String>,
    retention: ShareRetention,
    reported: u64,
}

impl Folder {
    fn new(limits: ShareLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = Connection::open(folder.path().join(STATE_FOLDER.database)).unwrap();
        migration::prepare(&mut connection, folder.path()).unwrap();
        let retention = ShareRetention::new(limits, &connection).unwrap();
        let mut folder = Folder { folder, connection, framework: None, retention, reported: 0 };
        folder.write(&[(0, Change::Framework("f".into())), (0, Change::Task(worker()))]);
        folder
    }

    fn write(&mut self, batch: &[(ChangeId, Change)]) {
        records::write(&mut self.connection, &mut self.framework, batch).unwrap();
    }

    /// Writes a batch of reports with this number of shares each. Then calls [`ShareRetention::prune`] once.
    fn report(&mut self, reports: usize, shares: usize) -> PruneStep {
        let batch: Vec<_> = (0..reports)
            .map(|_| {
                self.reported += 1;
                (0, report(self.reported, shares))
            })
            .collect();
        self.write(&batch);
        self.retention.prune(&mut self.connection, reports).unwrap()
    }

    /// Does all remaining steps, and returns their number.
    fn prune(&mut self) -> usize {
        let mut steps = 0;
        while self.retention.prune(&mut self.connection, 0).unwrap().more {
            steps += 1;
            assert!(steps < 10_000, "it comes to an end");
        }
        steps
    }

    fn pages(&self) -> DatabasePages {
        DatabasePages::read(&self.connection).unwrap()
    }

    /// Writes SQLite's write-ahead log into the database file, and returns the size of the file.
    fn size(&self) -> u64 {
        let checkpoint = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        assert_eq!(checkpoint, Ok(0), "nobody else reads");
        self.folder.path().join(STATE_FOLDER.database).metadata().unwrap().len()
    }

    fn shares(&self) -> Vec<StoredShare> {
        shares(self.folder.path())
    }

    /// The numbers of the stored reports.
    fn reports(&self) -> Vec<u64> {
        let mut reports: Vec<u64> = self.shares().iter().map(|it| it.sequence).collect();
        reports.dedup();
        reports
    }

    fn accepted(&self) -> i64 {
        self.connection.query_row("SELECT sum(accepted) FROM account", [], |row| row.get(0)).unwrap()
    }
}

fn worker() -> crate::journal::TaskRecord {
    let origin = crate::journal::Origin::Launched { cpus_milli: 1000 };
    crate::journal::TaskRecord::new("miner-worker-1".into(), "agent".into(), "host".into(), origin)
}

fn report(sequence: u64, shares: usize) -> Change {
    let share = |n: usize| ShareRow {
        job: "job".into(),
        extranonce2: vec![1, 2, 3, 4],
        ntime: 1_700_000_000,
        version: 0x2000_0000,
        nonce: n as u32,
        difficulty: 1.5,
        verdict: Verdict::Accepted,
        round_trip: Duration::from_micros(400),
    };
    let totals = Totals { accepted: sequence, ..Totals::default() };
    let rows = (0..shares).map(share).collect();
    let account = Account { worker: worker().id, totals, rows, rows_omitted: 0 };
    Change::Status(StatusRecord {
        report: Some(Report { sequence, accounts: vec![account], server: None }),
        ..StatusRecord::new(worker().id, TaskKind::Worker, Some(TaskState::TaskRunning))
    })
}

fn limited(size: u64) -> ShareLimits {
    ShareLimits { age: WEEK, size: Some(size) }
}

#[test]
fn the_file_stays_within_its_limit_however_much_is_written() {
    const LIMIT: u64 = 1_000_000;
    let mut folder = Folder::new(limited(LIMIT));
    let mut told = 0;
    let mut largest = 0;
    for batch in 0..300 {
        // Each batch has 1 to 20 reports, and each report has 1 to 128 shares.
        let step = folder.report(1 + batch * 7 % 20, 1 + batch * 31 % 128);
        told += usize::from(step.message.is_some_and(|text| text.contains("--ledger-max-size")));
        let pages = folder.pages();
        largest = largest.max(pages.all * pages.size);
        assert!(pages.all * pages.size <= LIMIT + SLACK, "{batch}: {pages:?}");
    }
    folder.prune();
    let size = folder.size();
    assert!(size <= LIMIT, "{size}");
    assert!(largest > LIMIT - SLACK, "the limit was reached: {largest}");
    assert_eq!(told, 1, "the user hears of it once a day");
    let reports = folder.reports();
    let expected: Vec<u64> = (reports[0]..=folder.reported).collect();
    assert_eq!(reports, expected, "the newest ones are kept, without a gap");
    assert!(reports[0] > 1 && reports.len() > 200, "{reports:?}");
    assert_eq!(folder.accepted(), folder.reported as i64, "totals are exact");
}

#[test]
fn a_lower_limit_gives_space_back_step_by_step() {
    let mut folder = Folder::new(limited(100_000_000));
    for _ in 0..40 {
        assert_eq!(folder.report(25, 128), PruneStep::default());
    }
    let before = folder.size();
    assert!(before > 3_000_000, "{before}");
    let (reports, accepted) = (folder.reports(), folder.accepted());
    assert_eq!(reports.len() as u64, folder.reported);
    folder.retention = ShareRetention::new(limited(before / 4), &folder.connection).unwrap();
    let steps = folder.prune();
    assert!(steps > 5, "no step does it all: {steps}");
    let after = folder.size();
    assert!(after <= before / 4, "{after} of {before}");
    let left = folder.reports();
    assert!(!left.is_empty() && reports.ends_with(&left), "{left:?}");
    assert_eq!(folder.accepted(), accepted);
    assert_eq!(
        folder.retention.prune(&mut folder.connection, 0).unwrap(),
        PruneStep::default(),
        "it is done"
    );
}

#[test]
fn with_no_space_at_all_totals_remain() {
    let mut folder = Folder::new(limited(0));
    folder.report(20, 10);
    folder.prune();
    assert_eq!((folder.shares(), folder.accepted()), (Vec::new(), 20));
}

#[test]
fn old_shares_are_removed_and_totals_are_kept() {
    let mut folder = Folder::new(ShareLimits { age: WEEK, size: None });
    folder.report(300, 2);
    assert_eq!(folder.prune(), 0);
    let sql =
        "UPDATE reported_shares SET received_ms = received_ms - 8 * 24 * 3600 * 1000 WHERE sequence <= 250";
    folder.connection.execute(sql, []).unwrap();
    let step = folder.retention.prune(&mut folder.connection, 0).unwrap();
    assert_eq!(step, PruneStep { more: true, message: None }, "nobody needs to hear of what has its time");
    assert_eq!(folder.reports()[0], REPORTS as u64 + 1, "one step");
    folder.prune();
    assert_eq!(folder.reports(), (251..=300).collect::<Vec<_>>());
    assert_eq!(folder.accepted(), 300);
}

/// Shares of an earlier format are the oldest. Their table is dropped when the last of them is removed.
#[test]
fn shares_of_format_2_are_removed_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(STATE_FOLDER.database);
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/format-2/scheduler.sqlite");
    std::fs::copy(fixture, &path).unwrap();
    let mut connection = Connection::open(&path).unwrap();
    migration::prepare(&mut connection, &path).unwrap();
    assert_eq!(shares(folder.path()).len(), 123);
    let mut retention =
        ShareRetention::new(ShareLimits { age: Duration::MAX, size: None }, &connection).unwrap();
    assert_eq!(retention.prune(&mut connection, 0).unwrap(), PruneStep::default(), "nothing is old");
    connection.execute("UPDATE share SET received_ms = 1 WHERE task = 'miner-worker-781'", []).unwrap();
    let mut retention =
        ShareRetention::new(ShareLimits { age: Duration::from_secs(3600), size: None }, &connection).unwrap();
    let now = integer(now_ms());
    connection.execute("UPDATE share SET received_ms = ?1 WHERE received_ms > 1", [now]).unwrap();
    while retention.prune(&mut connection, 0).unwrap().more {}
    assert_eq!(shares(folder.path()).len(), 113, "the others have not had their time");
    let mut framework = Some("f".to_owned());
    let mut task = worker();
    task.id = "miner-worker-1000".into();
    let mut late = report(1, 3);
    if let Change::Status(status) = &mut late {
        status.task.clone_from(&task.id);
    }
    records::write(&mut connection, &mut framework, &[(0, Change::Task(task)), (0, late)]).unwrap();
    let mut retention = ShareRetention::new(limited(0), &connection).unwrap();
    let step = retention.prune(&mut connection, 0).unwrap();
    assert!(step.more && step.message.is_some());
    assert_eq!(shares(folder.path()).len(), 3, "the new ones are still there");
    while retention.prune(&mut connection, 0).unwrap().more {}
    assert!(shares(folder.path()).is_empty());
    assert!(!has_table(&connection, SHARES_2).unwrap());
}

#[test]
fn pages_are_given_back_if_the_file_is_too_large_or_mostly_free() {
    let pages = |all, free| DatabasePages { size: 4096, all, free };
    assert_eq!(pages(100, 50).surplus(None), 0, "it is small");
    assert_eq!(pages(100, 50).surplus(Some(100 * 4096)), 0);
    assert_eq!(pages(100, 50).surplus(Some(80 * 4096)), 20);
    assert_eq!(pages(100, 10).surplus(Some(80 * 4096)), 10, "no more than is free");
    assert_eq!(pages(100_000, 40_000).surplus(None), 0, "it may grow again");
    assert_eq!(pages(100_000, 90_000).surplus(None), 80_000);
    assert!(pages(101, 0).exceed(Some(100 * 4096)) && !pages(101, 1).exceed(Some(100 * 4096)));
    assert!(!pages(101, 0).exceed(None));
}
