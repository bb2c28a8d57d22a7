//! Pools that hang up on requests that they do not know, and pools that read a suggested difficulty in their own way.

use client::{Config, Event};
use serde_json::{Value, json};
use task::PoolRules;
use testing::ports::ReservedPorts;
use tokio::net::TcpListener;

use crate::harness::{Harness, config, pool};
use crate::scripted::{Pool, listen, listen_on, port};

/// The methods that a pool gets on one connection until it hangs up on `fatal`, or until it gets a share. It refuses the
/// other optional requests.
async fn serve(listener: &TcpListener, fatal: &str, job: &str) -> Vec<String> {
    let mut pool = Pool::accept(listener).await;
    let mut methods = Vec::new();
    loop {
        let call = pool.next().await;
        let method = call["method"].as_str().expect("a method").to_owned();
        methods.push(method.clone());
        match method.as_str() {
            fatal_one if fatal_one == fatal => return methods,
            "mining.subscribe" => pool.answer(&call, json!([[], "0a", 4]), Value::Null).await,
            "mining.authorize" => {
                pool.answer(&call, json!(true), Value::Null).await;
                pool.notify(job, true).await;
            }
            "mining.submit" => return methods,
            // The reason may pass, so the request may be sent again.
            _ => pool.answer(&call, Value::Null, json!([20, "Not now.", null])).await,
        }
    }
}

fn suggesting(ports: &[u16], difficulty: f64) -> Config {
    Config { suggest_difficulty: Some(difficulty), ..config(ports) }
}

/// Mines at a pool that hangs up on this request. The second connection works, without the request.
async fn is_left_out_after_one_hang_up(fatal: &str) {
    let listener = listen().await;
    let mut harness = Harness::start(suggesting(&[port(&listener)], 0.25));
    assert!(serve(&listener, fatal, "a").await.contains(&fatal.to_owned()));
    assert!(harness.loss().await.contains(fatal));
    let (methods, ()) = tokio::join!(serve(&listener, fatal, "b"), async {
        let job = harness.job("b").await;
        harness.submit(&job).await.expect("sent");
    });
    assert!(!methods.contains(&fatal.to_owned()), "{fatal}: {methods:?}");
    for other in ["mining.configure", "mining.suggest_difficulty"] {
        assert!(other == fatal || methods.contains(&other.to_owned()), "{fatal}: {methods:?}");
    }
    harness.close().await;
}

#[tokio::test]
async fn a_pool_that_hangs_up_on_an_optional_request_is_mined_for_without_it() {
    for fatal in ["mining.configure", "mining.suggest_difficulty", "mining.extranonce.subscribe"] {
        is_left_out_after_one_hang_up(fatal).await;
    }
}

#[tokio::test]
async fn what_a_pool_does_not_survive_stays_left_out() {
    let listener = listen().await;
    let mut harness = Harness::start(suggesting(&[port(&listener)], 0.25));
    for request in ["mining.suggest_difficulty", "none"] {
        let methods = tokio::join!(serve(&listener, request, "a"), async {
            if request == "none" {
                let job = harness.job("a").await;
                harness.submit(&job).await.expect("sent");
            }
        })
        .0;
        assert_eq!(methods.contains(&"mining.suggest_difficulty".to_owned()), request != "none");
    }
    // The pool has hung up for another reason. The greeting that has worked is used again.
    for _ in 0..3 {
        let mut pool = Pool::accept(&listener).await;
        let call = pool.expect_call("mining.subscribe").await;
        pool.answer(&call, json!([[], "0a", 4]), Value::Null).await;
        assert_eq!(pool.next().await["method"], "mining.authorize", "no suggestion comes before it");
    }
    harness.close().await;
}

#[tokio::test]
async fn a_better_pool_that_hangs_up_on_a_request_is_found_by_the_probe() {
    let (reserved, second) = (ReservedPorts::take(1), listen().await);
    let mut harness = Harness::start(config(&[reserved.first(), port(&second)]));
    let _backup = Pool::at_work(&second, "0b", "b").await;
    harness.job("b").await;
    let first = listen_on(reserved.first()).await;
    assert_eq!(serve(&first, "mining.configure", "a").await, ["mining.configure"]);
    let _main = Pool::at_work(&first, "0a", "a").await;
    harness.job("a").await;
    harness.close().await;
}

#[tokio::test]
async fn requests_wait_for_the_first_job_and_can_be_switched_off() {
    for (rules, address_ends_in, expected) in [
        (PoolRules::default(), "", &["mining.extranonce.subscribe", "mining.suggest_difficulty"][..]),
        (PoolRules { no_extranonce: true, ..PoolRules::default() }, "", &["mining.suggest_difficulty"]),
        (PoolRules { no_suggest: true, ..PoolRules::default() }, "", &["mining.extranonce.subscribe"]),
        (
            PoolRules { no_suggest: true, no_extranonce: true, ..PoolRules::default() },
            "/#xnsub",
            &["mining.extranonce.subscribe"],
        ),
    ] {
        let listener = listen().await;
        let url = format!("127.0.0.1:{}{address_ends_in}", port(&listener));
        let mut config = Config { pools: vec![pool(&url)], ..suggesting(&[], 7.4) };
        config.set_rules(&rules);
        let mut harness = Harness::start(config);
        let mut pool = Pool::accept(&listener).await;
        let configure = pool.next().await;
        let asks = configure["params"][0].as_array().expect("names").contains(&json!("subscribe-extranonce"));
        assert_eq!(asks, expected.contains(&"mining.extranonce.subscribe"), "{configure}");
        pool.welcome("0a").await;
        // Nothing follows the authorization before there is a job.
        pool.send_line(r#"{"id":7,"method":"client.get_version","params":[]}"#).await;
        assert_eq!(pool.next().await["id"], 7);
        pool.notify("a", true).await;
        for method in expected {
            let call = pool.next().await;
            assert_eq!(call["method"], *method, "{rules:?}");
            if *method == "mining.suggest_difficulty" {
                assert_eq!(call["params"], json!([7]), "a whole number");
            }
        }
        let job = harness.job("a").await;
        harness.submit(&job).await.expect("sent");
        assert_eq!(pool.next().await["method"], "mining.submit", "{rules:?}");
        harness.close().await;
    }
}

#[tokio::test]
async fn without_version_rolling_nothing_is_configured_but_a_minimum_difficulty() {
    for minimum_difficulty in [None, Some(2.0)] {
        let listener = listen().await;
        let mut config = Config { minimum_difficulty, ..config(&[port(&listener)]) };
        config.set_rules(&PoolRules { no_version_rolling: true, ..PoolRules::default() });
        let mut harness = Harness::start(config);
        let mut pool = Pool::accept(&listener).await;
        let mut call = pool.next().await;
        if minimum_difficulty.is_some() {
            assert_eq!(call["params"][0], json!(["minimum-difficulty", "subscribe-extranonce"]));
            call = pool.next().await;
        }
        assert_eq!(call["method"], "mining.subscribe");
        pool.answer(&call, json!([[], "0a", 4]), Value::Null).await;
        let call = pool.expect_call("mining.authorize").await;
        pool.answer(&call, json!(true), Value::Null).await;
        // A pool that allows version rolling unasked changes nothing.
        pool.send_line(r#"{"id":null,"method":"mining.set_version_mask","params":["1fffe000"]}"#).await;
        pool.notify("a", true).await;
        assert_eq!(harness.job("a").await.version_mask, 0);
        harness.close().await;
    }
}

/// ckpool drops suggestions before the authorization and reads whole numbers only; it answers none. Its difficulty is 42 until then.
#[tokio::test]
async fn a_slow_miner_s_suggestion_counts_at_ckpool() {
    let listener = listen().await;
    let harness = Harness::start(suggesting(&[port(&listener)], 0.0023));
    let mut pool = Pool::accept(&listener).await;
    let (mut authorized, mut difficulty) = (false, 42);
    while difficulty == 42 {
        let call = pool.next().await;
        match call["method"].as_str().expect("a method") {
            "mining.subscribe" => pool.answer(&call, json!([[], "0a", 8]), Value::Null).await,
            "mining.authorize" => {
                authorized = true;
                pool.answer(&call, json!(true), Value::Null).await;
                pool.send_line(r#"{"id":null,"method":"mining.set_difficulty","params":[42]}"#).await;
                pool.notify("a", true).await;
            }
            "mining.suggest_difficulty" if authorized => {
                difficulty = call["params"][0].as_i64().map_or(difficulty, |whole| whole.max(1));
            }
            "mining.suggest_difficulty" => {}
            _ => pool.answer(&call, json!(true), Value::Null).await,
        }
    }
    assert_eq!(difficulty, 1);
    harness.close().await;
}

#[tokio::test]
async fn extranonces_that_cannot_be_used_end_the_connection_and_one_parameter_keeps_the_size() {
    let listener = listen().await;
    let mut harness = Harness::start(config(&[port(&listener)]));
    let mut pool = Pool::at_work(&listener, "0a", "a").await;
    harness.job("a").await;
    pool.send_line(r#"{"id":null,"method":"mining.set_extranonce","params":["0b0c"]}"#).await;
    pool.notify("b", false).await;
    let job = harness.job("b").await;
    assert_eq!((job.extranonce1.as_slice(), job.extranonce2_len), ([0x0b, 0x0c].as_slice(), 4));
    pool.send_line(r#"{"id":null,"method":"mining.set_extranonce","params":["0b0c",99]}"#).await;
    let loss = harness.loss().await;
    assert!(loss.contains("mining.set_extranonce") && loss.contains("99"), "{loss}");
    let _pool = Pool::at_work(&listener, "0d", "d").await;
    let wanted = |event| matches!(event, Event::Job { job, .. } if job.extranonce1 == [0x0d]).then_some(());
    harness.wait(wanted).await;
    harness.close().await;
}
