//! Tests the effects of a share other than its answer.

use task::Verdict;

use super::*;
use crate::share::JudgedShare;

fn submit(user: &str, job: &str, nonce: u32, bits: &str) -> String {
    let params = format!(r#"["{user}","{job}","0000000000000000","{UNIX:08x}","{nonce:08x}"{bits}]"#);
    format!(r#"{{"id":4,"method":"mining.submit","params":{params}}}"#)
}

/// A session on whose jobs every hash is a share, and no hash makes a block.
fn easiest() -> Harness {
    let mut harness = Harness::new(1e12);
    harness.session.config.vardiff.minimum_difficulty = 1e-300;
    harness.session.state.vardiff = Vardiff::new(harness.session.config.vardiff, harness.now.at);
    harness.line(r#"{"id":1,"method":"mining.subscribe","params":[]}"#);
    harness.line(r#"{"id":2,"method":"mining.authorize","params":["","d=1e-300"]}"#);
    harness
}

fn counted(outcome: &Reaction) -> &JudgedShare {
    outcome.iter().find_map(|e| if let Effect::CountShare(judged) = e { Some(judged) } else { None }).unwrap()
}

/// How a share counts in the decision about a ban: `true` as accepted, `false` as rejected, `None` not at all.
fn counted_for_ban(outcome: &Reaction) -> Option<bool> {
    outcome.iter().find_map(|e| if let Effect::CountForBan { accepted } = e { Some(*accepted) } else { None })
}

#[test]
fn miners_without_a_name_have_an_account() {
    let mut harness = easiest();
    let id = harness.issued()[0].id.to_string();
    let effects = harness.line(&submit("", &id, 0, ""));
    let judged = counted(&effects);
    assert_eq!((&*judged.worker, judged.row.verdict), ("(nameless)", Verdict::Accepted));
}

#[test]
fn stale_shares_do_not_count_for_bans_and_other_rejected_ones_do() {
    let mut harness = easiest();
    let id = harness.issued()[0].id.to_string();
    assert_eq!(counted_for_ban(&harness.line(&submit("", &id, 0, ""))), Some(true));
    assert_eq!(counted_for_ban(&harness.line(&submit("", &id, 0, ""))), Some(false), "duplicate");
    assert_eq!(counted_for_ban(&harness.line(&submit("x", &id, 1, ""))), Some(false), "nobody");
    assert_eq!(counted_for_ban(&harness.line(&submit("", "77", 1, ""))), Some(false), "no such job");
    let broken = r#"{"id":4,"method":"mining.submit","params":["",7]}"#;
    assert_eq!(counted_for_ban(&harness.line(broken)), Some(false), "no share at all");
    assert_eq!(harness.accepted_shares(), 1);
    harness.event(Event::NoWork);
    assert_eq!(harness.accepted_shares(), 0);
    let effects = harness.line(&submit("", &id, 2, ",\"00006000\""));
    assert_eq!((counted_for_ban(&effects), counted(&effects).row.verdict), (None, Verdict::Stale));
    assert_eq!(counted(&effects).row.version, 0x6000, "all that is known of it");
}

#[test]
fn an_unknown_job_id_is_cut_in_the_account() {
    let mut harness = easiest();
    let effects = harness.line(&submit("", &"j".repeat(500), 0, ""));
    assert_eq!(counted(&effects).row.job, "j".repeat(40));
}

#[test]
fn too_many_shares_raise_the_difficulty() {
    let mut harness = Harness::ready(1e12);
    let id = harness.issued()[0].id.to_string();
    let before = harness.difficulty();
    for nonce in 0..100_000 {
        harness.line(&submit("w", &id, nonce, ""));
        if harness.difficulty() > before {
            return;
        }
    }
    panic!("still {before}");
}

#[test]
fn a_miner_that_never_takes_a_new_job_gets_only_one_and_its_shares_are_bounded() {
    let mut harness = easiest();
    let id = harness.issued()[0].id.to_string();
    let mut jobs = 0;
    for nonce in 0..MAX_ACCEPTED as u32 {
        let effects = harness.line(&submit("", &id, nonce, ""));
        assert!(lines(&effects).iter().any(|line| line.contains("\"result\":true")), "{nonce}: {effects:?}");
        jobs += lines(&effects).iter().filter(|line| line.contains("mining.notify")).count();
    }
    assert_eq!(jobs, 1);
    let effects = harness.line(&submit("", &id, u32::MAX, ""));
    assert!(lines(&effects)[0].contains("[20,\"too many shares"), "{effects:?}");
    assert!(lines(&harness.line(&submit("", &id, 0, "")))[0].contains("[22,"), "nothing is forgotten");
}

#[test]
fn no_share_is_harder_than_a_block_of_the_next_job() {
    let mut harness = Harness::ready(1e12);
    harness.line(r#"{"id":3,"method":"mining.suggest_difficulty","params":[2]}"#);
    assert_eq!(harness.issued().last().unwrap().difficulty, 2.0);
    let effects = harness.new_job(1e6);
    let sent = lines(&effects);
    assert!(sent[0].contains("set_difficulty") && sent[1].contains("notify"), "{sent:?}");
    assert!(harness.job.difficulty < 2.0);
    assert_eq!(harness.issued().last().unwrap().difficulty, harness.job.difficulty);
}

#[test]
fn options_of_a_miner_hold_for_its_jobs() {
    let mut harness = Harness::new(1e12);
    let configure = |extension: &str, options: &str| {
        format!(r#"{{"id":5,"method":"mining.configure","params":[["{extension}"],{{{options}}}]}}"#)
    };
    harness.line(&configure("version-rolling", r#""version-rolling.mask":"00006000""#));
    harness.line(&configure("minimum-difficulty", r#""minimum-difficulty.value":2"#));
    assert_eq!(harness.session.version_mask, 0x6000, "what was granted stays");
    harness.line(r#"{"id":1,"method":"mining.subscribe","params":[]}"#);
    let effects = harness.line(r#"{"id":2,"method":"mining.authorize","params":["w","x"]}"#);
    assert!(lines(&effects)[1].ends_with(r#""mining.set_difficulty","params":[2]}"#), "{effects:?}");
    assert_eq!(harness.issued()[0].difficulty, 2.0);
}

#[test]
fn the_pool_is_told_only_of_larger_changes_of_the_hashrate() {
    let hashrate =
        |outcome: &Reaction| outcome.iter().any(|effect| matches!(effect, Effect::HashrateChanged(_)));
    let mut harness = Harness::new(1e12);
    harness.line(r#"{"id":1,"method":"mining.subscribe","params":[]}"#);
    assert!(hashrate(&harness.line(r#"{"id":2,"method":"mining.authorize","params":["w","x"]}"#)));
    assert!(!hashrate(&harness.pass(0)));
    assert!(hashrate(&harness.pass(600)));
}
