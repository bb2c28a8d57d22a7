//! Sessions on an upstream pool's jobs.

use client::Outcome;

use ::node::{BootTime, NodeClock};

use super::*;
use crate::job::UpstreamJob;
use crate::share::UpstreamShare;

/// A session on an upstream pool's job whose shares have this difficulty. The miner should find one share per second.
fn proxied(difficulty: f64, extranonce2_len: usize) -> Harness {
    let mut harness = Harness::new(1e6);
    let job = Arc::new(Job::new(1, upstream_job(difficulty, extranonce2_len, 0)));
    harness.session = session_on(&job, ID, 0xaa, harness.now);
    harness.job = job;
    harness.line(r#"{"id":1,"method":"mining.subscribe","params":[]}"#);
    harness.line(r#"{"id":2,"method":"mining.authorize","params":["w","x"]}"#);
    harness
}

/// A new session on a job. Each byte of its extranonce1 is `extranonce1`.
fn session_on(job: &Arc<Job>, id: SessionId, extranonce1: u8, now: Now) -> Session {
    let extranonce1 = ExtranonceLease::of(&vec![extranonce1; job.layout.extranonce1]);
    Session::new(config(), None, id, extranonce1, job.layout, Some(job.clone()), now)
}

/// Submits shares of a job until one gets this answer, and returns the line of that share.
fn mine_for(harness: &mut Harness, id: JobId, answer: &str) -> String {
    let params = |nonce: u32| format!(r#"["w","{id}","0102030405","{UNIX:08x}","{nonce:08x}"]"#);
    let mut lines_of =
        (0..).map(|nonce| format!(r#"{{"id":4,"method":"mining.submit","params":{}}}"#, params(nonce)));
    lines_of.find(|line| lines(&harness.line(line)).iter().any(|sent| sent.contains(answer))).unwrap()
}

fn upstream_job(difficulty: f64, extranonce2_len: usize, epoch: u64) -> UpstreamJob {
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
    // Miners keep the sizes that they got with an extranonce2 of 8 bytes, as long as these fit.
    let layout = ExtranonceLayout::split(8).unwrap().resplit(extranonce2_len).unwrap();
    UpstreamJob {
        clock: NodeClock::new(job.ntime, BootTime::now()),
        start: job.ntime,
        job: Arc::new(job),
        layout,
        epoch,
        easy_block: BlockClaim::default(),
    }
}

/// The share that is forwarded to the upstream pool, if there is one.
fn forwarded_share(outcome: &Reaction) -> Option<UpstreamShare> {
    outcome.iter().find_map(|e| if let Effect::Forward(share) = e { Some((**share).clone()) } else { None })
}

#[test]
fn shares_for_the_upstream_pool_wait_for_its_verdict() {
    // The upstream pool's difficulty is a hundred times the miner's.
    let mut harness = proxied(1e-6, 8);
    assert_eq!(harness.job.height, 840_000);
    let id = harness.issued()[0].id;
    let (mut forwarded, mut counted) = (None, 0);
    for nonce in 0..u32::MAX {
        let effects = harness.line(&format!(
            r#"{{"id":44,"method":"mining.submit","params":["w","{id}","0102030405","{UNIX:08x}","{nonce:08x}"]}}"#
        ));
        counted += effects
            .iter()
            .filter(
                |e| matches!(e, Effect::CountShare(judged) if judged.row.verdict == task::Verdict::Accepted),
            )
            .count();
        if effects.iter().any(|effect| matches!(effect, Effect::Forward(_))) {
            forwarded = Some(effects);
            break;
        }
    }
    let forwarded = forwarded.unwrap();
    assert!(counted > 0, "a share that misses the upstream pool's target is judged here");
    let early = format!(
        r#"{{"id":5,"method":"mining.submit","params":["w","ID","0102030405","{:08x}","0"]}}"#,
        UNIX - 1
    );
    let effects = harness.line(&early.replace("ID", &harness.issued()[0].id.to_string()));
    assert!(lines(&effects)[0].contains("[20,\"ntime"), "{effects:?}");
    let JobContent::Upstream(upstream) = &harness.job.content else { panic!() };
    let pending = &forwarded.request;
    let UpstreamShare { job, share, judged, .. } = forwarded_share(&forwarded).unwrap();
    assert!(Arc::ptr_eq(&job, &upstream.job));
    assert_eq!((&share.job, judged.candidate), (&upstream.job.id, false));
    assert_eq!(share.extranonce2, [0, 0xaa, 0xaa, 1, 2, 3, 4, 5]);
    let header = upstream.job.header(&share.extranonce2, share.ntime, share.version);
    let digest = hasher::Header { nonce: share.nonce, ..header }.digest();
    assert!(upstream.job.target.is_met_by(&digest));
    for (outcome, answer) in [
        (Outcome::Accepted, "\"result\":true"),
        (Outcome::Stale(None), "[21,\"stale"),
        (Outcome::Unanswered, "[20,"),
    ] {
        let effects = harness.session.on_event(Event::UpstreamVerdict(outcome), harness.now);
        let [Effect::Send(message)] = &effects[..] else { panic!("{effects:?}") };
        let line = stratum_v1::encode(message, pending).unwrap();
        assert!(line.contains(answer) && line.contains("44"), "{line}");
    }
}

#[test]
fn no_difficulty_is_above_the_upstream_s() {
    let mut harness = proxied(2e-8, 8);
    harness.line(r#"{"id":3,"method":"mining.suggest_difficulty","params":[2]}"#);
    assert!(harness.issued().iter().all(|issued| issued.difficulty <= harness.job.difficulty));
    assert!((harness.job.difficulty / 2e-8 - 1.0).abs() < 1e-6);
    // Below the network's difficulty, shares may make blocks, but the upstream pool rejects them.
    let hard = Job::new(2, upstream_job(1e9, 8, 1));
    assert!((hard.difficulty / 1e9 - 1.0).abs() < 1e-6 && hard.network_difficulty == 1.0);
}

#[test]
fn connections_survive_new_upstream_jobs_and_a_time_without_any() {
    let mut harness = proxied(1e-9, 8);
    let first = harness.issued()[0].id;
    // Two further jobs: the first is for the same block; the second has a shorter extranonce2 and voids both earlier jobs.
    let effects = harness.publish(upstream_job(1e-9, 8, 0));
    assert!(lines(&effects).last().unwrap().ends_with("false]}"), "{effects:?}");
    assert_eq!(harness.issued().len(), 2);
    let effects = harness.publish(upstream_job(1e-9, 7, 1));
    assert!(lines(&effects).last().unwrap().ends_with("true]}"), "{effects:?}");
    assert_eq!(harness.issued().len(), 1);
    let submit = |id: JobId| {
        format!(r#"{{"id":4,"method":"mining.submit","params":["w","{id}","0102030405","{UNIX:08x}","0"]}}"#)
    };
    assert!(lines(&harness.line(&submit(first)))[0].contains("[21,\"stale\""));

    let last = harness.issued()[0].id;
    assert!(harness.event(Event::NoWork).is_empty());
    assert!(lines(&harness.line(&submit(last)))[0].contains("[21,\"stale\""));
    assert!(lines(&harness.pass(60)).iter().all(|line| !line.contains("notify")));
    harness.session.sent_difficulty = None;
    let effects = harness.pass(60);
    assert!(lines(&effects)[0].contains("set_difficulty") && lines(&effects).len() == 1, "there is no job");
    let effects = harness.publish(upstream_job(1e-9, 7, 2));
    assert!(lines(&effects).last().unwrap().contains("mining.notify"), "{effects:?}");

    // With such a short extranonce2, two copies of a job would have the same headers. So no job is sent twice.
    assert_eq!(harness.job.layout.issue, 0);
    harness.line(r#"{"id":3,"method":"mining.suggest_difficulty","params":[1e-9]}"#);
    assert!(lines(&harness.pass(600)).iter().all(|line| !line.contains("notify")));
    harness.session.sent_difficulty = None;
    let effects = harness.pass(600);
    assert!(lines(&effects)[0].contains("set_difficulty") && lines(&effects).len() == 1, "{effects:?}");

    let effects = harness.publish(upstream_job(1e-9, 3, 3));
    assert!(
        matches!(effects.effects[..], [Effect::Close(CloseReason::IncompatibleExtranonces)]),
        "{effects:?}"
    );
}

#[test]
fn version_rolling_is_what_the_upstream_pool_grants() {
    let mut harness = proxied(1e-9, 8);
    let configure = r#"{"id":5,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"1fffe000"}]}"#;
    let effects = harness.line(configure);
    assert_eq!(lines(&effects), [r#"{"id":5,"error":null,"result":{"version-rolling":false}}"#]);
    // Another pool grants some version bits.
    let mut granting = upstream_job(1e-9, 8, 1);
    granting.job = Arc::new(stratum::Job { version_mask: 0x00ff_e000, ..stratum::Job::clone(&granting.job) });
    let effects = harness.publish(granting.clone());
    assert!(lines(&effects)[0].contains("set_version_mask") && lines(&effects)[0].contains("00ffe000"));

    let id = harness.issued()[0].id;
    let submit = |nonce: u32, bits: &str| {
        let params = format!(r#"["w","{id}","0102030405","{UNIX:08x}","{nonce:08x}","{bits}"]"#);
        format!(r#"{{"id":4,"method":"mining.submit","params":{params}}}"#)
    };
    assert!(lines(&harness.line(&submit(0, "10000000")))[0].contains("[20,\"version bits"));
    let forwarded = (0..).find_map(|nonce| forwarded_share(&harness.line(&submit(nonce, "00246000"))));
    let share = forwarded.unwrap().share;
    assert_eq!(share.version, 0x2024_6000);
    let header = granting.job.header(&share.extranonce2, share.ntime, share.version);
    assert!(granting.job.target.is_met_by(&hasher::Header { nonce: share.nonce, ..header }.digest()));
}

#[test]
fn a_repeated_job_that_cannot_be_told_apart_counts_no_share_twice() {
    let mut harness = proxied(1e-6, 7);
    assert_eq!(harness.job.layout.issue, 0);
    let first = harness.issued()[0].id;
    let share = mine_for(&mut harness, first, "\"result\":true");
    // The pool publishes the job again. It does so whenever the upstream pool changes its difficulty or version mask.
    harness.publish(harness.job.content.clone());
    let second = harness.issued()[1].id;
    assert!(first != second && second.issue == 0);
    let effects = harness.line(&share.replace(&first.to_string(), &second.to_string()));
    assert!(lines(&effects)[0].contains("[22,"), "{effects:?}");
}

#[test]
fn a_session_is_resumed_only_if_there_is_a_job_for_it() {
    // A resumed session gets the current job again, under a second id. With an extranonce2 of 7 bytes, a job has no second id, so
    // the session cannot be resumed while this job is current.
    for (extranonce2_len, resumed) in [(8, true), (7, false)] {
        let former = proxied(1e-9, extranonce2_len);
        let job = former.job.clone();
        let former = former.session.suspend().unwrap();
        let mut harness = proxied(1e-9, extranonce2_len);
        let now = harness.now;
        assert_eq!(session_on(&job, [8; 16], 0xbb, now).can_resume(&former), resumed);
        // The session can be resumed once the upstream pool has sent another job.
        let next = Arc::new(Job::new(2, upstream_job(1e-9, extranonce2_len, 0)));
        harness.session = session_on(&next, [8; 16], 0xbb, now);
        assert!(harness.session.can_resume(&former));
        harness.line(r#"{"id":1,"method":"mining.authorize","params":["w","x"]}"#);
        let effects = harness.resume(Some(former));
        assert!(
            lines(&effects)[0].contains("aaaa") && lines(&effects)[2].contains("mining.notify"),
            "{effects:?}"
        );
    }
}

#[test]
fn each_share_that_meets_the_network_s_target_is_a_candidate() {
    let mut harness = proxied(1e-9, 8);
    let mut easy = upstream_job(1e-9, 8, 1);
    easy.job = Arc::new(stratum::Job {
        nbits: hasher::CompactTarget(0x207f_ffff),
        ..stratum::Job::clone(&easy.job)
    });
    harness.publish(easy);
    let id = harness.issued()[0].id;
    let forwarded = (0u32..).filter_map(|nonce| {
        let params = format!(r#"["w","{id}","0102030405","{UNIX:08x}","{nonce:08x}"]"#);
        let line = format!(r#"{{"id":4,"method":"mining.submit","params":{params}}}"#);
        forwarded_share(&harness.line(&line)).map(|share| share.judged)
    });
    let judged: Vec<_> = forwarded.take(2).collect();
    assert_eq!(judged.iter().map(|judged| judged.candidate).collect::<Vec<_>>(), [true, true]);
    assert!(judged.iter().all(|judged| judged.work > 0));
}

#[test]
fn a_share_below_the_upstream_s_difficulty_is_forwarded_only_if_it_is_the_first_block_on_its_tip() {
    let mut harness = proxied(1e-9, 8);
    // Each second hash makes a block, while the upstream pool asks for far more than the miners find.
    let mut easy = upstream_job(1.0, 8, 1);
    easy.job = Arc::new(stratum::Job {
        nbits: hasher::CompactTarget(0x207f_ffff),
        ..stratum::Job::clone(&easy.job)
    });
    let second = UpstreamJob { easy_block: BlockClaim::default(), ..easy.clone() };
    for job in [easy, second] {
        harness.publish(job);
        let id = harness.last_id();
        let (mut counted, mut forwarded) = (0, 0);
        for nonce in 0..40_000_000u32 {
            let params = format!(r#"["w","{id}","0102030405","{UNIX:08x}","{nonce:08x}"]"#);
            let effects = harness.line(&format!(r#"{{"id":4,"method":"mining.submit","params":{params}}}"#));
            let easy = effects.iter().filter_map(|effect| match effect {
                Effect::ForwardEasyBlock(share) => Some(share),
                _ => None,
            });
            forwarded +=
                easy.inspect(|share| assert!(share.judged.candidate && share.judged.work > 0)).count();
            // The miner gets its answer from this pool, which counts the share.
            if effects.iter().any(|effect| matches!(effect, Effect::CountShare(judged) if judged.work > 0)) {
                assert!(lines(&effects)[0].contains(r#""result":true"#), "{effects:?}");
                counted += 1;
            }
            assert!(forwarded_share(&effects).is_none());
            if counted == 3 {
                break;
            }
        }
        assert_eq!((counted, forwarded), (3, 1));
    }
}

#[test]
fn a_job_that_is_given_out_again_makes_no_earlier_share_stale() {
    let mut harness = proxied(1e-6, 8);
    let first = harness.last_id();
    let JobContent::Upstream(job) = harness.job.content.clone() else { panic!() };
    harness.now = harness.now.later(30);
    let effects = harness.publish(UpstreamJob { start: UNIX + 30, ..job });
    let notify = lines(&effects).last().unwrap().to_owned();
    assert!(notify.contains(&format!("\"{:08x}\",false", UNIX + 30)), "{notify}");
    let second = harness.last_id();
    assert!(second != first && second.issue != first.issue);
    mine_for(&mut harness, first, r#""result":true"#);
    // A share of the second one goes to the same job of the upstream pool, with its own time.
    let early = format!(
        r#"{{"id":5,"method":"mining.submit","params":["w","{second}","0102030405","{UNIX:08x}","0"]}}"#
    );
    assert!(!lines(&harness.line(&early))[0].contains("ntime"), "the job's own time counts, too");
    let share = (0u32..).find_map(|nonce| {
        let params = format!(r#"["w","{second}","0102030405","{:08x}","{nonce:08x}"]"#, UNIX + 30);
        forwarded_share(&harness.line(&format!(r#"{{"id":4,"method":"mining.submit","params":{params}}}"#)))
    });
    let share = share.unwrap();
    assert_eq!((share.share.ntime, &share.share.job), (UNIX + 30, &share.job.id));
    assert_eq!(share.job.ntime, UNIX);
}

#[test]
fn a_miner_that_asked_for_it_gets_another_size_of_extranonce2_and_stays() {
    for asks in [
        r#"{"id":5,"method":"mining.extranonce.subscribe","params":[]}"#,
        r#"{"id":5,"method":"mining.configure","params":[["subscribe-extranonce"],{}]}"#,
    ] {
        let mut harness = proxied(1e-9, 8);
        let effects = harness.line(asks);
        assert!(lines(&effects)[0].contains("true"), "{effects:?}");
        let effects = harness.publish(upstream_job(1e-9, 4, 1));
        let set = r#"{"id":null,"method":"mining.set_extranonce","params":["aaaa",2]}"#;
        assert!(
            lines(&effects)[0] == set && lines(&effects).last().unwrap().contains("notify"),
            "{effects:?}"
        );
        let id = harness.last_id();
        let params = |nonce: u32| format!(r#"["w","{id}","0102","{UNIX:08x}","{nonce:08x}"]"#);
        let share = (0..).find_map(|nonce| {
            let submit = format!(r#"{{"id":4,"method":"mining.submit","params":{}}}"#, params(nonce));
            forwarded_share(&harness.line(&submit))
        });
        assert_eq!(share.unwrap().share.extranonce2, [0xaa, 0xaa, 1, 2]);
        // An extranonce1 of another size is another one, which only a new connection gets.
        let effects = harness.publish(upstream_job(1e-9, 3, 3));
        assert!(matches!(effects.effects[..], [Effect::Close(CloseReason::IncompatibleExtranonces)]));
    }
}

#[test]
fn a_miner_hears_something_every_half_minute_while_a_job_lasts_but_not_without_a_job() {
    let half_a_minute = Duration::from_secs(30);
    // The header time may not move, or it moves until it has reached its limit.
    for repetitions in [0, 18] {
        let mut harness = proxied(1e-9, 4);
        // The difficulty settles, and is sent no more.
        harness.pass(600);
        let (begun, mut heard, mut repeated) = (harness.now.at, harness.now.at, 0);
        while harness.now.at < begun + Duration::from_secs(1_200) {
            let repeat_at = (repeated < repetitions).then(|| begun + half_a_minute * (repeated + 1));
            let due = repeat_at.map_or(harness.next_deadline(), |at| at.min(harness.next_deadline()));
            let wait = due.saturating_duration_since(harness.now.at);
            harness.now = harness.now.later(wait.as_secs() as u32);
            let reaction = if repeat_at.is_some_and(|at| harness.now.at >= at) {
                repeated += 1;
                harness.publish(UpstreamJob { start: UNIX + 30 * repeated, ..upstream_job(1e-9, 4, 0) })
            } else {
                let reaction = harness.event(Event::Tick);
                let mut sent = lines(&reaction).into_iter();
                assert!(sent.all(|line| line.contains("set_difficulty")), "{reaction:?}");
                reaction
            };
            let silent = harness.now.at - heard;
            assert!(silent <= half_a_minute + MIN_TICK, "{silent:?}, {repeated}");
            if !lines(&reaction).is_empty() {
                heard = harness.now.at;
            }
        }
        harness.event(Event::NoWork);
        assert!((0..10).all(|_| lines(&harness.pass(45)).is_empty()));
    }
}
