//! Forwarded shares and blocks are counted once, and for the right worker.

use stratum::{Reason, Share};
use task::{ShareRow, Verdict};
use tokio::sync::oneshot;

use super::*;
use crate::store::{Store, StoreOptions};

fn shared() -> PoolState {
    PoolState::new(Config::default(), false).0
}

fn forward() -> (ForwardRequest, oneshot::Receiver<Outcome>) {
    let notify =
        r#"{"method":"mining.notify","params":["a","PREV","","",[],"20000000","1d00ffff","65000000",true]}"#;
    let line = notify.replace("PREV", &"00".repeat(32));
    let Ok(stratum::Message::Call(call)) = stratum::Message::from_line(&line) else { panic!("no call") };
    let Ok(stratum::Notification::Notify(notify)) = stratum::Notification::from_call(&call) else {
        panic!("no job")
    };
    let target = hasher::Target::from_difficulty(1.0);
    let terms =
        stratum::job::SessionParams { target, version_mask: 0, extranonce1: vec![], extranonce2_len: 4 };
    let share = Share { job: "a".into(), extranonce2: vec![0; 4], ntime: 0, nonce: 0, version: 1 };
    let row = ShareRow {
        job: "1".into(),
        extranonce2: vec![0; 2],
        ntime: 0,
        version: 1,
        nonce: 0,
        difficulty: 1.0,
        verdict: Verdict::Accepted,
        round_trip: Duration::ZERO,
    };
    let judged = JudgedShare { worker: "w".into(), row, work: 7, candidate: false, rejection: None };
    let job = Arc::new(stratum::Job::new(notify, terms, true));
    let (reply, answer) = oneshot::channel();
    (
        ForwardRequest {
            share: UpstreamShare { job, start: 0, epoch: 0, share, judged },
            reply: Some(reply),
        },
        answer,
    )
}

#[test]
fn a_share_that_nobody_waits_for_is_not_counted_again() {
    let shared = shared();
    let (request, _) = forward();
    shared.settle((ForwardRequest { reply: None, ..request }, Outcome::Accepted), Duration::ZERO);
    assert!(shared.accounts().take_all().is_empty());
}

#[test]
fn a_forwarded_share_counts_as_the_upstream_pool_has_judged_it() {
    let rejected = |code| Outcome::of(Err(Reason::new(code, "")));
    for (outcome, verdict, work) in [
        (Outcome::Accepted, Verdict::Accepted, 7),
        (rejected(23), Verdict::Rejected(23), 0),
        (rejected(21), Verdict::Stale, 0),
        (Outcome::Stale(None), Verdict::Stale, 0),
        (Outcome::Unanswered, Verdict::Unanswered, 0),
    ] {
        for miner_is_there in [true, false] {
            let shared = shared();
            let (forward, answer) = forward();
            let answer = miner_is_there.then_some(answer);
            shared.settle((forward, outcome.clone()), Duration::from_millis(9));
            let account = shared.accounts().take_all().remove(0);
            let counts = account.totals.accepted + account.totals.rejected + account.totals.stale;
            assert_eq!((counts + account.totals.unanswered, account.totals.accepted_work), (1, work));
            let row = &account.rows[0];
            assert_eq!((row.verdict, row.round_trip), (verdict, Duration::from_millis(9)));
            assert_eq!(
                answer.map(|mut answer| answer.try_recv().unwrap()),
                miner_is_there.then(|| outcome.clone())
            );
        }
    }
}

fn block(refused: Option<&str>) -> BlockRecord {
    BlockRecord {
        hash: bitcoin::constants::genesis_block(Network::Regtest).block_hash(),
        height: 1,
        worker: "w".into(),
        transactions: 1,
        value: bitcoin::Amount::ONE_BTC,
        found: 1,
        refused: refused.map(str::to_owned),
        orphaned: false,
        restored: false,
    }
}

#[test]
fn a_block_counts_for_its_worker_or_as_refused() {
    let shared = shared();
    shared.count_block(block(None));
    assert_eq!((shared.accounts().rejected_blocks(), shared.counters().borrow().blocks), (0, 1));
    shared.count_block(block(Some("high-hash")));
    assert_eq!((shared.accounts().rejected_blocks(), shared.counters().borrow().blocks), (1, 1));
    assert_eq!(shared.accounts().take_all()[0].totals.blocks, 1);
}

#[test]
fn what_becomes_of_an_earlier_run_s_block_changes_no_count_of_this_run() {
    let shared = shared();
    let earlier = |orphaned| BlockRecord { orphaned, restored: true, ..block(None) };
    let counts = |shared: &PoolState| {
        let PoolCounters { blocks, orphaned, .. } = *shared.counters().borrow();
        (blocks, orphaned)
    };
    shared.count_block(block(None));
    shared.count_place(earlier(true));
    assert_eq!(counts(&shared), (1, 0));
    shared.uncount_block(earlier(false), "lost".into());
    assert_eq!(counts(&shared), (1, 0));
    shared.count_place(BlockRecord { orphaned: true, ..block(None) });
    shared.count_place(earlier(false));
    assert_eq!(counts(&shared), (1, 1));
}

#[test]
fn refused_blocks_of_earlier_runs_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions { folder: folder.path().to_owned(), retention: StoreOptions::RETENTION };
    let (store, recovered) = Store::open(&options).unwrap();
    let mut shared = shared();
    shared.restore(RecoveredAccounts { refused_blocks: 3, ..recovered }, store.pending_blocks());
    shared.count_block(block(Some("high-hash")));
    assert_eq!(shared.accounts().rejected_blocks(), 4);
}

#[test]
fn every_extranonce1_is_leased_once_and_again_when_its_miner_has_left() {
    let shared = shared();
    let mut leases: Vec<_> = std::iter::from_fn(|| shared.lease(1)).collect();
    assert_eq!(leases.len(), 256);
    assert!(shared.lease(1).is_none());
    let free = leases.pop().map(|lease| lease.bytes().to_vec());
    assert_eq!(shared.lease(1).map(|lease| lease.bytes().to_vec()), free);
}
