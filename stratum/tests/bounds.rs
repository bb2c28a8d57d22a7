//! Limits on data from peers, tested at the limit and just beyond it.

use hasher::{CompactTarget, Target};
use serde_json::{Value, json};
use stratum::message::SubscribeAnswer;
use stratum::{Call, Id, Job, Message, Notification, Reason, Request, Response};

fn call(method: &str, params: Value) -> Call {
    let Value::Array(params) = params else { panic!("no parameters: {params}") };
    Call { id: Id::Null, method: method.to_owned(), params }
}

/// Whether a pool accepts this call.
fn pool_accepts(method: &str, params: Value) -> bool {
    Request::from_call(&call(method, params)).is_ok()
}

/// Whether a miner accepts this call.
fn miner_accepts(method: &str, params: Value) -> bool {
    Notification::from_call(&call(method, params)).is_ok()
}

#[test]
fn names_of_miners_are_bounded_and_have_no_control_characters() {
    for (length, accepted) in [(512, true), (513, false)] {
        let name = "n".repeat(length);
        assert_eq!(pool_accepts("mining.authorize", json!([name, "x"])), accepted, "{length}");
        assert_eq!(pool_accepts("mining.authorize", json!(["u", name])), accepted, "{length}");
        assert_eq!(pool_accepts("mining.subscribe", json!([name])), accepted, "{length}");
        assert_eq!(pool_accepts("mining.submit", json!([name, "1", "00", "0", "0"])), accepted, "{length}");
        assert_eq!(pool_accepts("mining.submit", json!(["u", name, "00", "0", "0"])), accepted, "{length}");
        assert_eq!(pool_accepts("mining.configure", json!([[name], {}])), accepted, "{length}");
    }
    assert!(!pool_accepts("mining.authorize", json!(["u\u{1b}[2J"])));
    for (names, accepted) in [(32, true), (33, false)] {
        assert_eq!(pool_accepts("mining.configure", json!([vec!["x"; names], {}])), accepted, "{names}");
    }
}

#[test]
fn bytes_of_peers_are_bounded() {
    for (bytes, accepted) in [(16, true), (17, false)] {
        let params = json!(["u", "1", "00".repeat(bytes), "0", "0"]);
        assert_eq!(pool_accepts("mining.submit", params), accepted, "{bytes}");
        assert_eq!(miner_accepts("mining.set_extranonce", json!(["0a", bytes])), accepted, "{bytes}");
    }
    for (bytes, accepted) in [(64, true), (65, false)] {
        assert_eq!(
            miner_accepts("mining.set_extranonce", json!(["00".repeat(bytes), 4])),
            accepted,
            "{bytes}"
        );
    }
    let notify = |id: usize, nodes: usize| {
        let branch = vec!["00".repeat(32); nodes];
        let (id, prev) = ("j".repeat(id), "00".repeat(32));
        miner_accepts("mining.notify", json!([id, prev, "", "", branch, "1", "1d00ffff", "0", true]))
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
    for (difficulty, accepted) in [
        (json!(1.4e-8), true),
        (json!("1e15"), true),
        (json!(0), false),
        (json!(-1), false),
        (json!("inf"), false),
        (json!("NaN"), false),
    ] {
        assert_eq!(miner_accepts("mining.set_difficulty", json!([difficulty])), accepted, "{difficulty}");
        assert_eq!(pool_accepts("mining.suggest_difficulty", json!([difficulty])), accepted, "{difficulty}");
    }
}

#[test]
fn a_line_that_is_neither_call_nor_response_is_refused() {
    for line in ["{}", r#"{"id":null}"#, r#"{"id":null,"result":null,"error":null}"#, "[]", "[1]", "7"] {
        assert!(Message::from_line(line).is_err(), "{line}");
    }
}

#[test]
fn a_reject_reason_counts_only_if_there_is_no_error() {
    let result = |line: &str| match Message::from_line(line).unwrap() {
        Message::Response(response) => response.submit_result(),
        Message::Call(call) => panic!("{call:?}"),
    };
    let rejected = |code, text| Err(Reason::new(code, text));
    assert_eq!(
        result(r#"{"id":1,"result":false,"error":null,"reject-reason":"Stale"}"#),
        rejected(Reason::JOB_NOT_FOUND, "Stale")
    );
    assert_eq!(
        result(r#"{"id":1,"result":false,"error":[23,"Above target",null],"reject-reason":"Stale"}"#),
        rejected(Reason::LOW_DIFFICULTY, "Above target")
    );
    assert_eq!(result(r#"{"id":1,"result":true,"error":null,"reject-reason":"Stale"}"#), Ok(()));
}

fn job() -> Job {
    Job {
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
    }
}

/// A job whose coinbase begins with these bytes of a script, which is of this length.
fn with_script(length: u8, script: &[u8]) -> Job {
    let coinb1 = [&[1, 0, 0, 0, 1][..], &[0; 32], &[0xff; 4], &[length], script].concat();
    Job { coinb1, ..job() }
}

#[test]
fn the_height_is_read_from_a_coinbase_that_is_well_formed() {
    for (script, height) in [
        (&[0x51, 0][..], 1),
        (&[0x60, 0], 16),
        (&[1, 17], 17),
        (&[1, 0x7f], 127),
        (&[2, 0x80, 0], 128),
        (&[3, 0x20, 0xa1, 0x07, 9], 500_000),
        (&[4, 0xff, 0xff, 0xff, 0x7f], 0x7fff_ffff),
    ] {
        assert_eq!(with_script(50, script).height(), Some(height), "{script:?}");
        assert_eq!(Job { version: 1, ..with_script(50, script) }.height(), None, "{script:?}");
    }
    for (length, script) in [
        (50, &[][..]),
        (50, &[0]),
        (50, &[3, 0x20, 0xa1]),
        (50, &[1, 0x80]),
        (50, &[5, 1, 1, 1, 1, 1]),
        (50, &[0x61, 1]),
        (3, &[3, 0x20, 0xa1, 0x07]),
        (101, &[3, 0x20, 0xa1, 0x07]),
    ] {
        assert_eq!(with_script(length, script).height(), None, "{length} {script:?}");
    }
    for place in [4, 5, 40] {
        let mut other = with_script(50, &[3, 0x20, 0xa1, 0x07]);
        other.coinb1[place] ^= 2;
        assert_eq!(other.height(), None, "{place}");
    }
    for cut in 0..45 {
        let Job { coinb1, .. } = with_script(50, &[3, 0x20, 0xa1, 0x07]);
        assert_eq!(Job { coinb1: coinb1[..cut].to_vec(), ..job() }.height(), None, "{cut}");
    }
}

#[test]
fn a_job_is_the_same_again_if_its_headers_are() {
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
