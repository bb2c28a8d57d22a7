//! Sessions on an upstream pool's jobs.

use super::*;
use crate::job::UpstreamJob;
use crate::share::UpstreamShare;

/// A session on an upstream pool's job whose shares have this difficulty, wanting a share per second.
fn proxied(difficulty: f64, extranonce2_len: usize) -> Bench {
    let mut bench = Bench::new(1e6);
    bench.now.at = Instant::now();
    bench.job = Arc::new(Job::new(1, borrowed(difficulty, extranonce2_len, 0)));
    bench.session = Session::new(
        bench.session.settings,
        ID,
        vec![0xaa; bench.job.layout.extranonce1],
        bench.job.layout,
        Some(bench.job.clone()),
        bench.now,
    );
    bench.line(r#"{"id":1,"method":"mining.subscribe","params":[]}"#);
    bench.line(r#"{"id":2,"method":"mining.authorize","params":["w","x"]}"#);
    bench
}

/// Submits for a job until a share is answered so; returns its line.
fn mine_for(bench: &mut Bench, id: JobId, answer: &str) -> String {
    let params = |nonce: u32| format!(r#"["w","{id}","0102","{UNIX:08x}","{nonce:08x}"]"#);
    let mut lines_of =
        (0..).map(|nonce| format!(r#"{{"id":4,"method":"mining.submit","params":{}}}"#, params(nonce)));
    lines_of.find(|line| lines(&bench.line(line)).iter().any(|sent| sent.contains(answer))).unwrap()
}

fn borrowed(difficulty: f64, extranonce2_len: usize, epoch: u64) -> UpstreamJob {
    let job = stratum::Job {
        id: format!("{epoch:040}"),
        prev_hash: [7; 32],
        coinb1: [&[0; 41][..], &[11, 3, 0x40, 0xd1, 0x0c, 7]].concat(),
        coinb2: vec![1, 2, 3],
        branch: vec![[9; 32]],
        version: 0x2000_0000,
        nbits: hasher::CompactTarget(0x1d00_ffff),
        ntime: UNIX,
        clean: true,
        target: hasher::Target::from_difficulty(difficulty),
        version_mask: 0,
        extranonce1: vec![5, 6],
        extranonce2_len,
    };
    let layout = Layout::split(extranonce2_len).unwrap();
    UpstreamJob { job: Arc::new(job), layout, epoch, claim: Claim::default() }
}

#[test]
fn shares_for_the_upstream_pool_wait_for_its_verdict() {
    let mut bench = proxied(1e-6, 8);
    // A hundred times what the miner is asked for.
    assert_eq!(bench.job.height, 840_000);
    let id = bench.session.issued[0].id;
    let (mut forwarded, mut counted) = (None, 0);
    for nonce in 0..u32::MAX {
        let effects = bench.line(&format!(
            r#"{{"id":44,"method":"mining.submit","params":["w","{id}","0102","{UNIX:08x}","{nonce:08x}"]}}"#
        ));
        counted += effects
            .iter()
            .filter(|e| matches!(e, Effect::Count(judged) if judged.row.verdict == task::Verdict::Accepted))
            .count();
        if let Some(Effect::Forward { id, share }) =
            effects.into_iter().find(|e| matches!(e, Effect::Forward { .. }))
        {
            forwarded = Some((id, share));
            break;
        }
    }
    let (id, wanted) = forwarded.unwrap();
    assert!(counted > 0, "what the upstream pool does not want is judged here");
    let early =
        format!(r#"{{"id":5,"method":"mining.submit","params":["w","ID","0102","{:08x}","0"]}}"#, UNIX - 1);
    let effects = bench.line(&early.replace("ID", &bench.session.issued[0].id.to_string()));
    assert!(lines(&effects)[0].contains("[20,\"ntime"), "{effects:?}");
    let Content::Upstream(borrowed) = &bench.job.content else { panic!() };
    let UpstreamShare { job, share, judged } = *wanted;
    assert!(Arc::ptr_eq(&job, &borrowed.job));
    assert_eq!((&share.job, judged.block), (&borrowed.job.id, false));
    assert_eq!(share.extranonce2, [0, 0, 0, 0, 0xaa, 0xaa, 1, 2]);
    let header = borrowed.job.header(&share.extranonce2, share.ntime, share.version);
    let digest = hasher::Header { nonce: share.nonce, ..header }.digest();
    assert!(borrowed.job.target.is_met_by(&digest));
    for (reply, answer) in [
        (Reply::Verdict(Ok(())), "\"result\":true"),
        (Reply::Stale, "[21,\"stale"),
        (Reply::Unanswered, "[20,"),
    ] {
        let effects = bench.session.on_reply(id.clone(), &reply);
        assert!(lines(&effects)[0].contains(answer) && lines(&effects)[0].contains("44"), "{effects:?}");
    }
}

#[test]
fn no_difficulty_is_above_the_upstream_s() {
    let mut bench = proxied(2e-8, 8);
    bench.line(r#"{"id":3,"method":"mining.suggest_difficulty","params":[2]}"#);
    assert!(bench.session.issued.iter().all(|issued| issued.difficulty <= bench.job.difficulty));
    assert!((bench.job.difficulty / 2e-8 - 1.0).abs() < 1e-6);
    // Nor above the network's, where shares are worth more than blocks.
    assert_eq!(Job::new(2, borrowed(1e9, 8, 1)).difficulty, 1.0);
}

#[test]
fn connections_survive_new_upstream_jobs_and_a_time_without_any() {
    let mut bench = proxied(1e-9, 8);
    let first = bench.session.issued[0].id;
    let publish = |bench: &mut Bench, serial, borrowed: UpstreamJob| {
        bench.job = Arc::new(Job::new(serial, borrowed));
        bench.session.on_job(bench.job.clone(), bench.now)
    };
    // Another job of the same block, then one that voids both, from a pool with a shorter extranonce2.
    let effects = publish(&mut bench, 2, borrowed(1e-9, 8, 0));
    assert!(lines(&effects).last().unwrap().ends_with("false]}"), "{effects:?}");
    assert_eq!(bench.session.issued.len(), 2);
    let effects = publish(&mut bench, 3, borrowed(1e-9, 4, 1));
    assert!(lines(&effects).last().unwrap().ends_with("true]}"), "{effects:?}");
    assert_eq!(bench.session.issued.len(), 1);
    let submit = |id: JobId| {
        format!(r#"{{"id":4,"method":"mining.submit","params":["w","{id}","0102","{UNIX:08x}","0"]}}"#)
    };
    assert!(lines(&bench.line(&submit(first)))[0].contains("[21,\"stale\""));

    let last = bench.session.issued[0].id;
    assert!(bench.session.on_idle().is_empty());
    assert!(lines(&bench.line(&submit(last)))[0].contains("[21,\"stale\""));
    assert!(lines(&bench.pass(60)).iter().all(|line| !line.contains("notify")));
    bench.session.announced = None;
    let effects = bench.pass(60);
    assert!(lines(&effects)[0].contains("set_difficulty") && lines(&effects).len() == 1, "there is no job");
    let effects = publish(&mut bench, 4, borrowed(1e-9, 4, 2));
    assert!(lines(&effects).last().unwrap().contains("mining.notify"), "{effects:?}");

    // Without room to count jobs, none is sent twice.
    assert_eq!(bench.job.layout.issue, 0);
    bench.line(r#"{"id":3,"method":"mining.suggest_difficulty","params":[1e-9]}"#);
    assert!(lines(&bench.pass(600)).iter().all(|line| !line.contains("notify")));
    bench.session.announced = None;
    let effects = bench.pass(600);
    assert!(lines(&effects)[0].contains("set_difficulty") && lines(&effects).len() == 1, "{effects:?}");

    let effects = publish(&mut bench, 5, borrowed(1e-9, 3, 3));
    assert!(matches!(effects[..], [Effect::Close(Why::Extranonces)]), "{effects:?}");
}

#[test]
fn version_rolling_is_what_the_upstream_pool_grants() {
    let mut bench = proxied(1e-9, 8);
    let configure = r#"{"id":5,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"1fffe000"}]}"#;
    let effects = bench.line(configure);
    assert!(lines(&effects)[0].contains(r#""version-rolling.mask":"00000000""#), "{effects:?}");
    // Another pool grants some.
    let mut granting = borrowed(1e-9, 8, 1);
    granting.job = Arc::new(stratum::Job { version_mask: 0x00ff_e000, ..stratum::Job::clone(&granting.job) });
    bench.job = Arc::new(Job::new(2, granting.clone()));
    let effects = bench.session.on_job(bench.job.clone(), bench.now);
    assert!(lines(&effects)[0].contains("set_version_mask") && lines(&effects)[0].contains("00ffe000"));

    let id = bench.session.issued[0].id;
    let submit = |nonce: u32, bits: &str| {
        let params = format!(r#"["w","{id}","0102","{UNIX:08x}","{nonce:08x}","{bits}"]"#);
        format!(r#"{{"id":4,"method":"mining.submit","params":{params}}}"#)
    };
    assert!(lines(&bench.line(&submit(0, "10000000")))[0].contains("[20,\"version bits"));
    let forwarded = (0..).find_map(|nonce| {
        let effects = bench.line(&submit(nonce, "00246000"));
        effects.into_iter().find_map(|effect| match effect {
            Effect::Forward { share, .. } => Some(share.share),
            _ => None,
        })
    });
    let share = forwarded.unwrap();
    assert_eq!(share.version, 0x2024_6000);
    let header = granting.job.header(&share.extranonce2, share.ntime, share.version);
    assert!(granting.job.target.is_met_by(&hasher::Header { nonce: share.nonce, ..header }.digest()));
}

#[test]
fn the_same_work_again_where_jobs_can_t_be_counted_counts_no_share_twice() {
    let mut bench = proxied(1e-6, 4);
    assert_eq!(bench.job.layout.issue, 0);
    let first = bench.session.issued[0].id;
    let share = mine_for(&mut bench, first, "\"result\":true");
    // As with another difficulty or version mask of the upstream pool's.
    let again = Job::new(2, bench.job.content.clone());
    bench.session.on_job(Arc::new(again), bench.now);
    let second = bench.session.issued[1].id;
    assert!(first != second && second.issue == 0);
    let effects = bench.line(&share.replace(&first.to_string(), &second.to_string()));
    assert!(lines(&effects)[0].contains("[22,"), "{effects:?}");
}

#[test]
fn a_session_is_resumed_only_if_there_is_a_job_for_it() {
    // With room to count jobs, and without.
    for (extranonce2_len, resumed) in [(8, true), (4, false)] {
        let former = proxied(1e-9, extranonce2_len);
        let job = former.job.clone();
        let parked = former.session.park().unwrap();
        let mut bench = proxied(1e-9, extranonce2_len);
        let new = |bench: &Bench, job: &Arc<Job>| {
            Session::new(
                bench.session.settings,
                [8; 16],
                vec![0xbb; 2],
                job.layout,
                Some(job.clone()),
                bench.now,
            )
        };
        assert_eq!(new(&bench, &job).takes(&parked), resumed);
        // There is one as soon as the upstream pool has sent another.
        let next = Arc::new(Job::new(2, borrowed(1e-9, extranonce2_len, 0)));
        bench.session = new(&bench, &next);
        assert!(bench.session.takes(&parked));
        bench.line(r#"{"id":1,"method":"mining.authorize","params":["w","x"]}"#);
        let effects = bench.session.on_resume(Id::Number(2), Some(parked), bench.now);
        assert!(
            lines(&effects)[0].contains("aaaa") && lines(&effects)[2].contains("mining.notify"),
            "{effects:?}"
        );
    }
}

#[test]
fn the_first_share_on_a_tip_that_makes_a_block_is_told() {
    let mut bench = proxied(1e-9, 8);
    let mut easy = borrowed(1e-9, 8, 1);
    easy.job = Arc::new(stratum::Job {
        nbits: hasher::CompactTarget(0x207f_ffff),
        ..stratum::Job::clone(&easy.job)
    });
    bench.job = Arc::new(Job::new(2, easy));
    bench.session.on_job(bench.job.clone(), bench.now);
    let id = bench.session.issued[0].id;
    let forwarded = (0u32..).filter_map(|nonce| {
        let params = format!(r#"["w","{id}","0102","{UNIX:08x}","{nonce:08x}"]"#);
        let effects = bench.line(&format!(r#"{{"id":4,"method":"mining.submit","params":{params}}}"#));
        effects
            .into_iter()
            .find_map(|e| if let Effect::Forward { share, .. } = e { Some(share.judged) } else { None })
    });
    let judged: Vec<_> = forwarded.take(2).collect();
    assert_eq!(judged.iter().map(|judged| judged.block).collect::<Vec<_>>(), [true, false]);
    assert!(judged.iter().all(|judged| judged.work > 0));
}
