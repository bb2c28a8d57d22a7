//! `mesos-miner pool` with miners whose lines are not one well-formed message each, and with a broken miner behind the same address as a
//! healthy one.

use serde_json::{Value, json};

use crate::support::DEADLINE;
use crate::support::process::{Process, mesos_miner};
use crate::support::raw_miner::RawMiner;

/// A pool of the built-in chain, and its address.
fn pool(options: &[&str]) -> (Process, String) {
    let arguments = ["pool", "--listen", "127.0.0.1:0", "--block-interval", "600s"];
    let mut pool = mesos_miner(arguments.iter().chain(options));
    let address =
        pool.wait_for_output(DEADLINE, |line| line.strip_prefix("listening on ").map(str::to_owned));
    (pool, address)
}

fn ready(address: &str) -> RawMiner {
    RawMiner::ready(address, "w").0
}

/// Submits shares until one is accepted. Any hash is a share of this pool's difficulty, and often a block, after which the job is stale.
fn mine_share(miner: &mut RawMiner) {
    for nonce in 0..1_000 {
        // A further subscription brings the job once more.
        miner.call(9, "mining.subscribe", &json!([]));
        miner.answer(9);
        let job = miner.job();
        let nonce = format!("{nonce:08x}");
        miner.call(5, "mining.submit", &json!(["w", job[0], "0000000000000000", job[7], nonce]));
        let answer = miner.answer(5);
        if answer["result"] == true {
            return;
        }
        assert_eq!(answer["error"][0], 21, "only stale shares are rejected: {answer}");
    }
    panic!("no share is accepted");
}

/// The next answer, whatever its id; `None` at the end of the connection.
fn answer(miner: &mut RawMiner) -> Option<Value> {
    std::iter::from_fn(|| miner.message()).find(|message| message.get("method").is_none())
}

#[test]
fn lines_that_are_no_message_are_answered_and_the_connection_goes_on() {
    let (_pool, address) = pool(&[]);
    let mut miner = ready(&address);
    let faults: [(&[u8], Value, &str); 6] = [
        (br#"{"id":1,"id":2,"method":"mining.ping"}"#, json!(2), "occurs twice"),
        (br#"{"id":3,"method":"mining.ping",}"#, json!(3), "trailing comma"),
        (b"{\"id\":4,\"method\":\"mining.\0ping\"}", json!(4), "control character"),
        (br#"{"id":5}"#, json!(5), "without a method"),
        (br#"[1]"#, Value::Null, "neither a call nor an answer"),
        (b"\xff\xfe", Value::Null, "neither a call nor an answer"),
    ];
    for (line, id, fault) in faults {
        miner.send(line);
        let answer = answer(&mut miner).expect("an answer");
        assert_eq!(answer["id"], id, "{answer}");
        assert!(answer["error"][1].as_str().is_some_and(|text| text.contains(fault)), "{answer}");
    }
    miner
        .send(b"\xef\xbb\xbf{\"id\":6,\"method\":\"mining.ping\"}\0{\"id\":7,\"method\":\"mining.ping\"},\r");
    for id in [6, 7] {
        assert_eq!(
            answer(&mut miner).expect("an answer"),
            json!({"id": id, "result": "pong", "error": null})
        );
    }
    miner.send(br#"{"id":8,"method":"mining.configure","params":[["version-rolling","subscribe-extranonce"],{"version-rolling.mask":"0x1fffe000"}]}"#);
    let configured = answer(&mut miner).expect("an answer");
    assert_eq!(configured["result"], json!({"version-rolling": false, "subscribe-extranonce": true}));
    for _ in 0..20 {
        miner.send(b"noise");
    }
    while answer(&mut miner).is_some() {}
}

#[test]
fn a_broken_miner_does_not_get_the_address_of_a_healthy_one_refused() {
    let options = [
        "--ban-loopback",
        "--ban-shares",
        "60",
        "--ban-time",
        "1h",
        "--start-difficulty",
        "1e-12",
        "--minimum-difficulty",
        "1e-12",
        "--share-interval",
        "600s",
    ];
    let (_pool, address) = pool(&options);
    let mut healthy = ready(&address);
    mine_share(&mut healthy);
    let mut broken = ready(&address);
    let mut rejected = 0;
    loop {
        broken.send(br#"{"id":4,"method":"mining.submit","params":["w","1","zz","0","0"]}"#);
        match answer(&mut broken) {
            Some(_) => rejected += 1,
            None => break,
        }
        assert!(rejected <= 60, "the broken miner goes on");
    }
    assert!(rejected >= 30, "it ended after {rejected} shares");
    // The healthy miner goes on, and may come back.
    mine_share(&mut healthy);
    drop(healthy);
    mine_share(&mut ready(&address));
}
