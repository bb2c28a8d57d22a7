//! Sessions that are kept, and go on over another connection.

use super::*;
use crate::admission::{Extranonces, Lease};
use crate::session::parking::{KEEP, MAX_DIGESTS};
use crate::session::resume::Parked;

fn lease(from: &Arc<Extranonces>) -> Lease {
    from.take(4).unwrap()
}

/// A former session of this name that has sent so many shares.
fn former(id: SessionId, shares: usize) -> Parked {
    let mut bench = Bench::ready(1e6);
    bench.session.id = id;
    let job = bench.session.issued[0].id;
    for share in 0..shares as u32 {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&share.to_be_bytes());
        bench.session.seen.insert(job, digest);
    }
    bench.session.park().unwrap()
}

#[test]
fn what_is_kept_is_bounded_in_number_and_time() {
    let (now, all) = (Instant::now(), Arc::new(Extranonces::default()));
    let ids = [1, 2, 3].map(|id| [id; 16]);
    let parking = Parking::new(2);
    for id in ids {
        parking.park(former(id, 0), lease(&all), now);
    }
    assert!(parking.take(&ids[0], now).is_none(), "it has made room");
    let just_before = now + KEEP - Duration::from_millis(1);
    let (parked, its) = parking.take(&ids[1], just_before).unwrap();
    assert_eq!(parked.id(), ids[1]);
    assert!(parking.take(&ids[1], just_before).is_none(), "there is one of it");
    assert!(parking.take(&ids[2], now + KEEP).is_none(), "its time is over");

    // One that has come back and left again keeps its new place, not the old one.
    parking.park(parked, its, now);
    let (parked, its) = parking.take(&ids[1], now).unwrap();
    let later = now + Duration::from_secs(1);
    parking.park(parked, its, later);
    assert!(parking.take(&ids[1], now + KEEP).is_some());
    parking.park(former(ids[2], 0), lease(&all), now);
    assert!(parking.give_up_oldest());
    assert!(!parking.give_up_oldest() && parking.take(&ids[2], now).is_none());
}

#[test]
fn shares_of_those_that_are_kept_take_bounded_room() {
    let (now, all) = (Instant::now(), Arc::new(Extranonces::default()));
    let parking = Parking::new(10);
    let digests =
        |id: u8| parking.take(&[id; 16], now).map(|(parked, lease)| (parked.digests(), parked, lease));
    parking.park(former([1; 16], MAX_DIGESTS), lease(&all), now);
    parking.park(former([2; 16], 1), lease(&all), now);
    let (known, forgotten, _) = digests(2).unwrap();
    assert_eq!(known, 0);
    // Its jobs are forgotten with them, so that none of its shares counts twice.
    let mut bench = Bench::new(1e6);
    bench.session.on_resume(Id::Number(1), Some(forgotten), bench.now);
    assert!(bench.session.issued.is_empty());

    // What is taken or given up leaves its room to others.
    let (known, large, its) = digests(1).unwrap();
    assert_eq!(known, MAX_DIGESTS);
    parking.park(former([2; 16], 1), lease(&all), now);
    assert_eq!(digests(2).unwrap().0, 1);
    parking.park(large, its, now);
    while parking.give_up_oldest() {}
    parking.park(former([2; 16], 1), lease(&all), now);
    assert_eq!(digests(2).unwrap().0, 1);
}

#[test]
fn a_session_goes_on_only_where_it_was() {
    let mut bench = Bench::ready(1e6);
    let old = bench.session.issued[0].id;
    let (job, now) = (bench.job.clone(), bench.now);
    bench.line(r#"{"id":3,"method":"mining.suggest_difficulty","params":[1e-9]}"#);
    let hashrate = bench.session.vardiff.hashrate(now.at);
    let parked = |bench: Bench| bench.session.park().unwrap();
    let former = parked(bench);

    // Away for a minute, in which nothing could come.
    let mut next = Bench::new(1e6);
    next.now = Now { at: now.at + Duration::from_secs(60), unix: now.unix + 60, unix_ms: 0 };
    next.session.job = Some(job.clone());
    next.session.on_resume(Id::Number(1), Some(former), next.now);
    assert_eq!(next.session.vardiff.hashrate(next.now.at), hashrate);
    assert!(next.session.issued.iter().any(|issued| issued.id == old));
    assert!(next.session.wanted_back(&resume()).is_none(), "it has been told its extranonce1");
    next.line(r#"{"id":2,"method":"mining.authorize","params":["w","x"]}"#);
    assert!(next.session.issued.last().unwrap().id.issue > old.issue);
    let former = parked(next);

    // Another block, or none at present, outdates its jobs.
    let mut work = Bench::new(1e6).work();
    Arc::make_mut(&mut work.template).prev_hash = bitcoin::BlockHash::all_zeros();
    let mut moved = Bench::new(1e6);
    moved.session.job = Some(Arc::new(Job::new(job.serial + 1, work)));
    assert!(moved.session.wanted_back(&resume()).is_some());
    moved.session.on_resume(Id::Number(1), Some(former), now);
    assert!(moved.session.issued.is_empty() && moved.session.new_tip);

    let mut idle = Bench::new(1e6);
    idle.session.job = None;
    idle.session.on_resume(Id::Number(1), Some(parked(Bench::ready(1e6))), now);
    assert!(idle.session.issued.is_empty());

    // Nobody has mined there, so there is nothing to go on with.
    assert!(Bench::new(1e6).session.park().is_none());
}

fn resume() -> stratum::message::Subscribe {
    stratum::message::Subscribe { user_agent: None, session: Some(hex::encode(ID)) }
}

#[test]
fn extranonces_of_another_size_are_another_session() {
    let parked = Bench::ready(1e6).session.park().unwrap();
    let other = Bench::new(1e6);
    assert!(other.session.takes(&parked));
    let layout = Layout::split(8).unwrap();
    let other =
        Session::new(other.session.settings, ID, vec![1, 2], layout, other.session.job.clone(), other.now);
    assert!(!other.takes(&parked));
}

#[test]
fn a_session_that_goes_on_pays_whom_its_miner_names() {
    let mut bench = Bench::new(1e6);
    let [mine, yours] = [0x51, 0x52].map(|opcode| ScriptBuf::from_bytes(vec![opcode]));
    for (named, paid) in [(None, &mine), (Some(yours.clone()), &yours)] {
        let mut former = Bench::ready(1e6);
        former.session.payee = Some(mine.clone());
        bench.session = Session::new(bench.session.settings, ID, vec![0; 4], Layout::OWN, None, bench.now);
        bench.session.payee = named;
        bench.session.on_resume(Id::Number(1), former.session.park(), bench.now);
        assert_eq!(bench.session.payee.as_ref(), Some(paid));
    }
}
