//! Requests of the handshake that miners repeat or get wrong.

use super::*;

#[test]
fn a_further_subscription_gets_the_same_extranonces_and_the_difficulty_and_a_job_again() {
    let mut harness = Harness::new(1e6);
    let subscribe = r#"{"id":null,"method":"mining.subscribe","params":["x"]}"#;
    let first = harness.line(subscribe).lines;
    assert!(first[0].starts_with(r#"{"id":null,"error":null,"result":[["#), "{first:?}");
    // Before there is a worker, there is no job.
    assert_eq!(harness.line(subscribe).lines, first);
    harness.line(r#"{"id":2,"method":"mining.authorize","params":["w","x"]}"#);
    let before = harness.last_id();
    let again = harness.line(subscribe);
    let sent = lines(&again);
    assert_eq!((sent.len(), sent[0]), (3, first[0].as_str()), "{sent:?}");
    assert!(sent[1].contains("mining.set_difficulty") && sent[2].contains("mining.notify"));
    // The miner is not counted twice, it gets other work than before, and shares of that still count.
    assert!(!again.iter().any(|effect| matches!(effect, Effect::Authorized(_))));
    assert!(harness.last_id() != before && harness.issued().iter().any(|issued| issued.id == before));
}

#[test]
fn an_odd_extension_is_refused_without_the_others() {
    for mask in
        [r#""xyz""#, r#""1fffe0001fffe000""#, r#""0x1fffe000""#, "536862720", r#""00000000""#, r#""""#, "[]"]
    {
        let mut harness = Harness::ready(1e6);
        let configure = |mask: &str| {
            format!(
                r#"{{"id":3,"method":"mining.configure","params":[["version-rolling","minimum-difficulty","subscribe-extranonce"],{{"version-rolling.mask":{mask},"minimum-difficulty.value":"no"}}]}}"#
            )
        };
        let refused = r#"{"id":3,"error":null,"result":{"minimum-difficulty":false,"subscribe-extranonce":true,"version-rolling":false}}"#;
        assert_eq!(lines(&harness.line(&configure(mask))), [refused], "{mask}");
        let granted = lines(&harness.line(&configure(r#""1fffe000""#))).join("\n");
        assert!(granted.contains(r#""version-rolling":true"#), "{granted}");
    }
}

#[test]
fn a_user_name_that_is_too_long_is_refused() {
    let mut harness = Harness::new(1e6);
    let mut authorize = |bytes: usize| {
        let line =
            format!(r#"{{"id":2,"method":"mining.authorize","params":["{}","x"]}}"#, "w".repeat(bytes));
        lines(&harness.line(&line)).join("\n")
    };
    let refused = authorize(251);
    assert!(refused.contains("[24,\"the user name has more than 250 bytes\""), "{refused}");
    assert!(authorize(250).contains("\"result\":true"));
}
