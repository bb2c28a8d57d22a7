//! Sessions that are suspended, and resumed over another connection.

use super::*;
use crate::session::resume::{KEEP, MAX_DIGESTS};

/// A former session with this id and this many accepted shares.
fn former(id: SessionId, shares: usize) -> Box<SessionState> {
    let mut harness = Harness::ready(1e6);
    harness.session.state.id = id;
    let job = harness.last_id();
    for share in 0..shares as u32 {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&share.to_be_bytes());
        harness.session.state.issued.accepted.insert(job, digest);
    }
    harness.session.suspend().unwrap()
}

#[test]
fn suspended_sessions_are_bounded_in_number_and_time() {
    let now = Instant::now();
    let ids = [1, 2, 3].map(|id| [id; 16]);
    let sessions = SuspendedSessions::new(2);
    for id in ids {
        sessions.insert(former(id, 0), now);
    }
    assert!(sessions.take(&ids[0], now).is_none(), "it has made room");
    let just_before = now + KEEP - Duration::from_millis(1);
    let session = sessions.take(&ids[1], just_before).unwrap();
    assert_eq!(session.id, ids[1]);
    assert!(sessions.take(&ids[1], just_before).is_none(), "there is only one");
    assert!(sessions.take(&ids[2], now + KEEP).is_none(), "its time is over");

    // A session that was resumed and suspended again expires a fixed time after its last suspension.
    sessions.insert(session, now);
    let session = sessions.take(&ids[1], now).unwrap();
    let later = now + Duration::from_secs(1);
    sessions.insert(session, later);
    assert!(sessions.take(&ids[1], now + KEEP).is_some());
    sessions.insert(former(ids[2], 0), now);
    assert!(sessions.remove_oldest());
    assert!(!sessions.remove_oldest() && sessions.take(&ids[2], now).is_none());
}

#[test]
fn accepted_shares_of_suspended_sessions_are_bounded() {
    let now = Instant::now();
    let sessions = SuspendedSessions::new(10);
    let insert = |id: u8, shares| sessions.insert(former([id; 16], shares), now);
    let take = |id: u8| sessions.take(&[id; 16], now).map(|session| (session.digests(), session));
    insert(1, MAX_DIGESTS);
    insert(2, 1);
    let (known, forgotten) = take(2).unwrap();
    assert_eq!(known, 0);
    // The session's jobs are forgotten, too. Otherwise the miner could submit the forgotten shares again, and they would
    // count twice.
    let mut harness = Harness::new(1e6);
    harness.resume(Some(forgotten));
    assert!(harness.issued().is_empty());

    // When a session is taken or removed, there is room for the shares of other sessions.
    let (known, large) = take(1).unwrap();
    assert_eq!(known, MAX_DIGESTS);
    insert(2, 1);
    assert_eq!(take(2).unwrap().0, 1);
    sessions.insert(large, now);
    while sessions.remove_oldest() {}
    insert(2, 1);
    assert_eq!(take(2).unwrap().0, 1);
}

#[test]
fn a_resumed_session_keeps_its_jobs_and_hashrate_while_the_tip_is_the_same() {
    let mut harness = Harness::ready(1e6);
    let old = harness.last_id();
    let (job, now) = (harness.job.clone(), harness.now);
    harness.line(r#"{"id":3,"method":"mining.suggest_difficulty","params":[1e-9]}"#);
    let hashrate = harness.session.state.vardiff.hashrate(now.at);
    let suspend = |harness: Harness| harness.session.suspend();
    let former = suspend(harness);

    // The miner was away for a minute, in which it could not send shares.
    let mut next = Harness::new(1e6);
    next.now = Now { unix_ms: 0, ..now.later(60) };
    next.session.state.job = Some(job.clone());
    next.resume(former);
    assert_eq!(next.session.state.vardiff.hashrate(next.now.at), hashrate);
    assert!(next.issued().iter().any(|issued| issued.id == old));
    assert!(!next.asks_for_former_session(), "it was told its extranonce1");
    next.line(r#"{"id":2,"method":"mining.authorize","params":["w","x"]}"#);
    assert!(next.last_id().issue > old.issue);
    let former = suspend(next);

    // Another tip, or a pool without work, makes the session's jobs stale.
    let mut template = Harness::new(1e6).template_job();
    Arc::make_mut(&mut template.template).prev_hash = bitcoin::BlockHash::all_zeros();
    let mut moved = Harness::new(1e6);
    moved.now = now;
    moved.session.state.job = Some(Arc::new(Job::new(job.serial + 1, template)));
    assert!(moved.asks_for_former_session());
    moved.resume(former);
    assert!(moved.issued().is_empty() && !moved.session.state.issued.on_tip);

    let mut idle = Harness::new(1e6);
    idle.session.state.job = None;
    idle.resume(suspend(Harness::ready(1e6)));
    assert!(idle.issued().is_empty());

    // A session whose miner has not become ready to mine is not kept.
    assert!(Harness::new(1e6).session.suspend().is_none());
}

#[test]
fn a_session_cannot_be_resumed_with_extranonces_of_another_size() {
    let former = Harness::ready(1e6).session.suspend().unwrap();
    let other = Harness::new(1e6);
    assert!(other.session.can_resume(&former));
    let (layout, job) = (ExtranonceLayout::split(8).unwrap(), Some(other.job.clone()));
    let other = Session::new(config(), None, ID, ExtranonceLease::of(&[1, 2]), layout, job, other.now);
    assert!(!other.can_resume(&former));
}

#[test]
fn a_resumed_session_pays_the_address_that_its_miner_names() {
    let mut harness = Harness::new(1e6);
    let [mine, yours] = [0x51, 0x52].map(|opcode| ScriptBuf::from_bytes(vec![opcode]));
    for (named, paid) in [(None, &mine), (Some(yours.clone()), &yours)] {
        let mut former = Harness::ready(1e6);
        former.session.state.payout = Some(mine.clone());
        let layout = ExtranonceLayout::OWN_BLOCKS;
        let extranonce1 = ExtranonceLease::of(&[0; 4]);
        harness.session = Session::new(config(), None, ID, extranonce1, layout, None, harness.now);
        harness.session.state.payout = named;
        harness.resume(former.session.suspend());
        assert_eq!(harness.session.state.payout.as_ref(), Some(paid));
    }
}
