//! What a peer may make us keep, at its limit and one beyond; and the fields that make a job the same again.

use hasher::{CompactTarget, Target};
use serde_json::{Value, json};
use stratum::message::SubscribeAnswer;
use stratum::{Call, Id, Job, Message, Notification, Reason, Request, Response, Verdict};

fn call(method: &str, params: Value) -> Call {
    let Value::Array(params) = params else { panic!("no parameters: {params}") };
    Call { id: Id::Null, method: method.to_owned(), params }
}

/// Whether a pool takes this.
fn pool_takes(method: &str, params: Value) -> bool {
    Request::from_call(&call(method, params)).is_ok()
}

/// Whether a miner takes this.
fn miner_takes(method: &str, params: Value) -> bool {
    Notification::from_call(&call(method, params)).is_ok()
}

#[test]
fn names_of_miners_are_bounded_and_harmless() {
    for (length, taken) in [(512, true), (513, false)] {
        let name = "n".repeat(length);
        assert_eq!(pool_takes("mining.authorize", json!([name, "x"])), taken, "{length}");
        assert_eq!(pool_takes("mining.authorize", json!(["u", name])), taken, "{length}");
        assert_eq!(pool_takes("mining.subscribe", json!([name])), taken, "{length}");
        assert_eq!(pool_takes("mining.submit", json!([name, "1", "00", "0", "0"])), taken, "{length}");
        assert_eq!(pool_takes("mining.submit", json!(["u", name, "00", "0", "0"])), taken, "{length}");
        assert_eq!(pool_takes("mining.configure", json!([[name], {}])), taken, "{length}");
    }
    assert!(!pool_takes("mining.authorize", json!(["u\u{1b}[2J"])));
    for (names, taken) in [(32, true), (33, false)] {
        assert_eq!(pool_takes("mining.configure", json!([vec!["x"; names], {}])), taken, "{names}");
    }
}

#[test]
fn bytes_of_peers_are_bounded() {
    for (bytes, taken) in [(16, true), (17, false)] {
        let params = json!(["u", "1", "00".repeat(bytes), "0", "0"]);
        assert_eq!(pool_takes("mining.submit", params), taken, "{bytes}");
        assert_eq!(miner_takes("mining.set_extranonce", json!(["0a", bytes])), taken, "{bytes}");
    }
    for (bytes, taken) in [(64, true), (65, false)] {
        assert_eq!(miner_takes("mining.set_extranonce", json!(["00".repeat(bytes), 4])), taken, "{bytes}");
    }
    let notify = |id: usize, nodes: usize| {
        let branch = vec!["00".repeat(32); nodes];
        let (id, prev) = ("j".repeat(id), "00".repeat(32));
        miner_takes("mining.notify", json!([id, prev, "", "", branch, "1", "1d00ffff", "0", true]))
    };
    assert!(notify(256, 32) && !notify(257, 32) && !notify(256, 33));
    let session = |length: usize| {
        let result = json!([[["mining.notify", "s".repeat(length)]], "0a", 4]);
        SubscribeAnswer::from_response(&Response::ok(Id::Number(1), result)).unwrap().session
    };
    assert!(session(256).is_some() && session(257).is_none() && session(0).is_none());
}

#[test]
fn difficulties_are_positive_and_finite() {
    for (difficulty, taken) in [
        (json!(1.4e-8), true),
        (json!("1e15"), true),
        (json!(0), false),
        (json!(-1), false),
        (json!("inf"), false),
        (json!("NaN"), false),
    ] {
        assert_eq!(miner_takes("mining.set_difficulty", json!([difficulty])), taken, "{difficulty}");
        assert_eq!(pool_takes("mining.suggest_difficulty", json!([difficulty])), taken, "{difficulty}");
    }
}

#[test]
fn what_is_neither_call_nor_answer_is_none() {
    for line in ["{}", r#"{"id":null}"#, r#"{"id":null,"result":null,"error":null}"#, "[]", "[1]", "7"] {
        assert!(Message::from_line(line).is_err(), "{line}");
    }
}

#[test]
fn a_reject_reason_is_one_where_there_is_no_other() {
    let verdict = |line: &str| match Message::from_line(line).unwrap() {
        Message::Response(response) => response.verdict(),
        Message::Call(call) => panic!("{call:?}"),
    };
    let rejected = |code, text| Verdict::Rejected(Reason::new(code, text));
    assert_eq!(
        verdict(r#"{"id":1,"result":false,"error":null,"reject-reason":"Stale"}"#),
        rejected(Reason::JOB_NOT_FOUND, "Stale")
    );
    assert_eq!(
        verdict(r#"{"id":1,"result":false,"error":[23,"Above target",null],"reject-reason":"Stale"}"#),
        rejected(Reason::LOW_DIFFICULTY, "Above target")
    );
    assert_eq!(verdict(r#"{"id":1,"result":true,"error":null,"reject-reason":"Stale"}"#), Verdict::Accepted);
}

#[test]
fn a_job_is_the_same_again_if_its_headers_are() {
    let job = || Job {
        id: "a".into(),
        prev_hash: [1; 32],
        coinb1: vec![1],
        coinb2: vec![2],
        branch: vec![[3; 32]],
        version: 0x2000_0000,
        nbits: CompactTarget(0x1d00_ffff),
        ntime: 1_800_000_000,
        clean: true,
        target: Target::from_difficulty(1.0),
        version_mask: 0,
        extranonce1: vec![4],
        extranonce2_len: 4,
    };
    let same = |change: fn(&mut Job)| {
        let mut other = job();
        change(&mut other);
        job().same_work(&other)
    };
    assert!(same(|_| {}) && same(|job| job.target = Target::from_difficulty(2.0)));
    assert!(same(|job| job.version_mask = 0x2000) && same(|job| job.clean = false));
    let other: [fn(&mut Job); 10] = [
        |job| job.id = "b".into(),
        |job| job.prev_hash = [9; 32],
        |job| job.coinb1 = vec![9],
        |job| job.coinb2 = vec![9],
        |job| job.branch = vec![[9; 32]],
        |job| job.version = 9,
        |job| job.nbits = CompactTarget(0x1c00_ffff),
        |job| job.ntime += 1,
        |job| job.extranonce1 = vec![9],
        |job| job.extranonce2_len = 8,
    ];
    for (field, change) in other.into_iter().enumerate() {
        assert!(!same(change), "field {field}");
    }
}
