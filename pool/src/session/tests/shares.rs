//! What follows from a share beside its answer.

use task::Verdict;

use super::*;
use crate::accounts::JudgedShare;

fn submit(user: &str, job: &str, nonce: u32, bits: &str) -> String {
    let params = format!(r#"["{user}","{job}","0000000000000000","{UNIX:08x}","{nonce:08x}"{bits}]"#);
    format!(r#"{{"id":4,"method":"mining.submit","params":{params}}}"#)
}

/// A session on whose jobs every hash is a share, and none a block.
fn easiest() -> Bench {
    let mut bench = Bench::new(1e12);
    bench.session.settings.goal.minimum = 1e-300;
    bench.session.vardiff = Vardiff::new(bench.session.settings.goal, bench.now.at);
    bench.line(r#"{"id":1,"method":"mining.subscribe","params":[]}"#);
    bench.line(r#"{"id":2,"method":"mining.authorize","params":["","d=1e-300"]}"#);
    bench
}

fn counted(effects: &[Effect]) -> &JudgedShare {
    effects.iter().find_map(|e| if let Effect::Count(judged) = e { Some(judged) } else { None }).unwrap()
}

/// What the bans hear of.
fn heard(effects: &[Effect]) -> Option<bool> {
    effects.iter().find_map(|e| if let Effect::Judged(accepted) = e { Some(*accepted) } else { None })
}

#[test]
fn miners_without_a_name_have_an_account() {
    let mut bench = easiest();
    let id = bench.session.issued[0].id.to_string();
    let effects = bench.line(&submit("", &id, 0, ""));
    let judged = counted(&effects);
    assert_eq!((&*judged.worker, judged.row.verdict), ("(nameless)", Verdict::Accepted));
}

#[test]
fn a_stale_share_is_no_fault_and_any_other_is() {
    let mut bench = easiest();
    let id = bench.session.issued[0].id.to_string();
    assert_eq!(heard(&bench.line(&submit("", &id, 0, ""))), Some(true));
    assert_eq!(heard(&bench.line(&submit("", &id, 0, ""))), Some(false), "duplicate");
    assert_eq!(heard(&bench.line(&submit("x", &id, 1, ""))), Some(false), "nobody");
    assert_eq!(heard(&bench.line(&submit("", "77", 1, ""))), Some(false), "no such job");
    let broken = r#"{"id":4,"method":"mining.submit","params":["",7]}"#;
    assert_eq!(heard(&bench.line(broken)), Some(false), "no share at all");
    assert_eq!(bench.session.seen.len(), 1);
    bench.session.on_idle();
    assert_eq!(bench.session.seen.len(), 0);
    let effects = bench.line(&submit("", &id, 2, ",\"00006000\""));
    assert_eq!((heard(&effects), counted(&effects).row.verdict), (None, Verdict::Stale));
    assert_eq!(counted(&effects).row.version, 0x6000, "all that is known of it");
}

#[test]
fn a_name_of_a_job_that_nobody_gave_is_kept_in_part() {
    let mut bench = easiest();
    let effects = bench.line(&submit("", &"j".repeat(500), 0, ""));
    assert_eq!(counted(&effects).row.job, "j".repeat(40));
}

#[test]
fn shares_raise_the_difficulty_of_who_sends_too_many() {
    let mut bench = Bench::ready(1e12);
    let id = bench.session.issued[0].id.to_string();
    let before = bench.session.vardiff.difficulty();
    for nonce in 0..100_000 {
        bench.line(&submit("w", &id, nonce, ""));
        if bench.session.vardiff.difficulty() > before {
            return;
        }
    }
    panic!("still {before}");
}

#[test]
fn who_never_takes_a_new_job_is_bounded_and_not_sent_one_after_the_other() {
    let mut bench = easiest();
    let id = bench.session.issued[0].id.to_string();
    let mut jobs = 0;
    for nonce in 0..MAX_SEEN as u32 {
        let effects = bench.line(&submit("", &id, nonce, ""));
        assert!(lines(&effects).iter().any(|line| line.contains("\"result\":true")), "{nonce}: {effects:?}");
        jobs += lines(&effects).iter().filter(|line| line.contains("mining.notify")).count();
    }
    assert_eq!(jobs, 1);
    let effects = bench.line(&submit("", &id, u32::MAX, ""));
    assert!(lines(&effects)[0].contains("[20,\"too many shares"), "{effects:?}");
    assert!(lines(&bench.line(&submit("", &id, 0, "")))[0].contains("[22,"), "nothing is forgotten");
}

#[test]
fn no_share_is_harder_than_a_block_of_the_next_job() {
    let mut bench = Bench::ready(1e12);
    bench.line(r#"{"id":3,"method":"mining.suggest_difficulty","params":[2]}"#);
    assert_eq!(bench.session.issued.last().unwrap().difficulty, 2.0);
    let effects = bench.new_job(1e6);
    let sent = lines(&effects);
    assert!(sent[0].contains("set_difficulty") && sent[1].contains("notify"), "{sent:?}");
    assert!(bench.job.difficulty < 2.0);
    assert_eq!(bench.session.issued.last().unwrap().difficulty, bench.job.difficulty);
}

#[test]
fn what_a_miner_configures_holds_for_its_jobs() {
    let mut bench = Bench::new(1e12);
    let configure = |extension: &str, options: &str| {
        format!(r#"{{"id":5,"method":"mining.configure","params":[["{extension}"],{{{options}}}]}}"#)
    };
    bench.line(&configure("version-rolling", r#""version-rolling.mask":"00006000""#));
    bench.line(&configure("minimum-difficulty", r#""minimum-difficulty.value":2"#));
    assert_eq!(bench.session.version_mask, 0x6000, "what was granted stays");
    bench.line(r#"{"id":1,"method":"mining.subscribe","params":[]}"#);
    let effects = bench.line(r#"{"id":2,"method":"mining.authorize","params":["w","x"]}"#);
    assert!(lines(&effects)[1].ends_with(r#""mining.set_difficulty","params":[2]}"#), "{effects:?}");
    assert_eq!(bench.session.issued[0].difficulty, 2.0);
}

#[test]
fn the_pool_hears_of_a_hashrate_and_not_of_every_breath() {
    let hashrate = |effects: &[Effect]| effects.iter().any(|effect| matches!(effect, Effect::Hashrate(_)));
    let mut bench = Bench::new(1e12);
    bench.line(r#"{"id":1,"method":"mining.subscribe","params":[]}"#);
    assert!(hashrate(&bench.line(r#"{"id":2,"method":"mining.authorize","params":["w","x"]}"#)));
    assert!(!hashrate(&bench.session.on_tick(bench.now)));
    assert!(hashrate(&bench.pass(600)));
}
