//! What the client learns about pools that hang up: after a refusal, without a reason, or on a ping.

use std::time::Duration;

use client::Config;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::{Harness, config};
use crate::scripted::{Pool, listen, port};

const OPTIONAL: [&str; 3] = ["mining.configure", "mining.suggest_difficulty", "mining.extranonce.subscribe"];

/// How a pool answers an optional request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    Grants,
    Refuses(&'static str),
    RefusesAndHangsUp(&'static str),
    /// The same, and the answer has the id null.
    RefusesAsNullAndHangsUp(&'static str),
    HangsUp,
}

/// The methods that a pool gets on one connection until it hangs up, or until it gets a share.
async fn serve(listener: &TcpListener, manner: impl Fn(&str) -> Manner, job: &str) -> Vec<String> {
    let mut pool = Pool::accept(listener).await;
    let mut methods = Vec::new();
    loop {
        let call = pool.next().await;
        let method = call["method"].as_str().expect("a method").to_owned();
        methods.push(method.clone());
        match method.as_str() {
            "mining.subscribe" => pool.answer(&call, json!([[], "0a", 4]), Value::Null).await,
            "mining.authorize" => {
                pool.answer(&call, json!(true), Value::Null).await;
                pool.notify(job, true).await;
            }
            "mining.submit" => {
                pool.answer(&call, json!(true), Value::Null).await;
                return methods;
            }
            _ => match manner(&method) {
                Manner::Grants if method == "mining.configure" => {
                    let granted = json!({"version-rolling": true, "version-rolling.mask": "1fffe000"});
                    pool.answer(&call, granted, Value::Null).await;
                }
                Manner::Grants => pool.answer(&call, json!(true), Value::Null).await,
                Manner::Refuses(reason) => pool.answer(&call, Value::Null, json!([20, reason, null])).await,
                Manner::RefusesAndHangsUp(reason) => {
                    pool.answer(&call, Value::Null, json!([20, reason, null])).await;
                    return methods;
                }
                Manner::RefusesAsNullAndHangsUp(reason) => {
                    pool.answer(&json!({}), Value::Null, json!([20, reason, null])).await;
                    return methods;
                }
                Manner::HangsUp => return methods,
            },
        }
    }
}

/// The methods of a connection on which the client submits a share for this job.
async fn serve_share(
    harness: &mut Harness,
    listener: &TcpListener,
    manner: impl Fn(&str) -> Manner,
    id: &str,
) -> Vec<String> {
    let share = async {
        let job = harness.job(id).await;
        harness.submit(&job).await.expect("sent");
    };
    tokio::join!(serve(listener, manner, id), share).0
}

fn suggesting(ports: &[u16]) -> Config {
    Config { suggest_difficulty: Some(0.25), ..config(ports) }
}

fn has(methods: &[String], method: &str) -> bool {
    methods.iter().any(|sent| sent == method)
}

#[tokio::test]
async fn a_pool_that_refuses_a_request_and_hangs_up_is_mined_for_without_it() {
    let refuses: [fn(&'static str) -> Manner; 2] =
        [Manner::RefusesAndHangsUp, Manner::RefusesAsNullAndHangsUp];
    for (fatal, manner) in
        OPTIONAL.into_iter().map(|fatal| (fatal, refuses[0])).chain([(OPTIONAL[0], refuses[1])])
    {
        for reason in ["Unknown method", "Go away"] {
            let listener = listen().await;
            let mut harness = Harness::start(suggesting(&[port(&listener)]));
            let manner = |method: &str| if method == fatal { manner(reason) } else { Manner::Grants };
            assert!(has(&serve(&listener, manner, "a").await, fatal));
            let loss = harness.loss().await;
            assert!(loss.contains(fatal), "{fatal}: {loss}");
            let methods = serve_share(&mut harness, &listener, manner, "b").await;
            assert!(!has(&methods, fatal), "{fatal}: {methods:?}");
            harness.close().await;
        }
    }
}

/// The pool hangs up after its first job, because of the suggestion before it. It waits for the request after the job, unless it
/// has learned that none will come.
async fn serve_late_hang_up(listener: &TcpListener, job: &str, waits: bool) -> Vec<String> {
    let mut pool = Pool::accept(listener).await;
    let mut methods = Vec::new();
    loop {
        let call = pool.next().await;
        let method = call["method"].as_str().expect("a method").to_owned();
        methods.push(method.clone());
        match method.as_str() {
            "mining.configure" => {
                pool.answer(&call, json!({"subscribe-extranonce": false}), Value::Null).await
            }
            "mining.subscribe" => pool.answer(&call, json!([[], "0a", 4]), Value::Null).await,
            "mining.suggest_difficulty" => {}
            "mining.authorize" => {
                pool.answer(&call, json!(true), Value::Null).await;
                // So there is no second suggestion.
                pool.send_line(r#"{"id":null,"method":"mining.set_difficulty","params":[0.25]}"#).await;
                pool.notify(job, true).await;
                if !waits {
                    return methods;
                }
            }
            "mining.extranonce.subscribe" => return methods,
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_pool_that_hangs_up_late_on_a_suggestion_is_mined_for_with_all_other_requests() {
    let listener = listen().await;
    let mut harness = Harness::start(suggesting(&[port(&listener)]));
    let methods = serve_late_hang_up(&listener, "a", true).await;
    assert_eq!(OPTIONAL.map(|method| has(&methods, method)), [true; 3], "{methods:?}");
    let loss = harness.loss().await;
    assert!(loss.contains("mining.extranonce.subscribe"), "{loss}");
    let methods = serve_late_hang_up(&listener, "b", false).await;
    assert_eq!(OPTIONAL.map(|method| has(&methods, method)), [true, true, false], "{methods:?}");
    let loss = harness.loss().await;
    assert!(loss.contains("after mining.suggest_difficulty"), "{loss}");
    let methods = serve_share(&mut harness, &listener, |_| Manner::Grants, "c").await;
    assert_eq!(OPTIONAL.map(|method| has(&methods, method)), [true, false, true], "{methods:?}");
    harness.close().await;
}

#[tokio::test]
async fn a_request_that_a_pool_does_not_know_is_not_sent_again() {
    let listener = listen().await;
    let mut harness = Harness::start(suggesting(&[port(&listener)]));
    let manner = |method: &str| match method {
        "mining.configure" => Manner::Refuses("Method not found"),
        "mining.suggest_difficulty" => Manner::Refuses("You are not authorized"),
        _ => Manner::Grants,
    };
    serve_share(&mut harness, &listener, manner, "a").await;
    let methods = serve_share(&mut harness, &listener, manner, "b").await;
    let sent = OPTIONAL.map(|method| has(&methods, method));
    assert_eq!(sent, [false, true, true], "{methods:?}");
    harness.close().await;
}

#[tokio::test]
async fn a_load_balancer_that_hangs_up_once_takes_nothing_away() {
    let listener = listen().await;
    let mut harness = Harness::start(suggesting(&[port(&listener)]));
    let grants = |_: &str| Manner::Grants;
    serve_share(&mut harness, &listener, grants, "a").await;
    assert_eq!(serve(&listener, |_| Manner::HangsUp, "b").await, ["mining.configure"]);
    let methods = serve_share(&mut harness, &listener, grants, "c").await;
    for method in OPTIONAL {
        assert!(has(&methods, method), "{method}: {methods:?}");
    }
    harness.close().await;
}

/// ckpool answers no suggestion but sets the difficulty.
#[tokio::test]
async fn a_difficulty_that_follows_a_suggestion_is_its_answer() {
    let listener = listen().await;
    let harness = Harness::start(suggesting(&[port(&listener)]));
    for connection in 1..=3 {
        let mut pool = Pool::accept(&listener).await;
        let (mut authorized, mut suggested) = (false, false);
        while !suggested {
            let call = pool.next().await;
            match call["method"].as_str().expect("a method") {
                "mining.configure" => pool.answer(&call, json!({}), Value::Null).await,
                "mining.subscribe" => pool.answer(&call, json!([[], "0a", 8]), Value::Null).await,
                "mining.authorize" => {
                    authorized = true;
                    pool.answer(&call, json!(true), Value::Null).await;
                    pool.send_line(r#"{"id":null,"method":"mining.set_difficulty","params":[42]}"#).await;
                    pool.notify("a", true).await;
                }
                "mining.suggest_difficulty" if authorized => {
                    suggested = true;
                    pool.send_line(r#"{"id":null,"method":"mining.set_difficulty","params":[1]}"#).await;
                    pool.notify("b", false).await;
                }
                "mining.suggest_difficulty" => {}
                "mining.extranonce.subscribe" => pool.answer(&call, json!(true), Value::Null).await,
                other => panic!("connection {connection}: {other}"),
            }
        }
        // The client has read the difficulty once it answers this.
        pool.send_line(r#"{"id":9,"method":"client.get_version","params":[]}"#).await;
        while pool.next().await["id"] != 9 {}
    }
    harness.close().await;
}

#[tokio::test]
async fn a_pool_that_hangs_up_on_a_ping_gets_no_more() {
    let listener = listen().await;
    let silence_timeout = Duration::from_secs(2);
    let mut harness = Harness::start(Config { silence_timeout, ..config(&[port(&listener)]) });
    let mut first = Pool::at_work(&listener, "0a", "a").await;
    first.expect_call("mining.ping").await;
    drop(first);
    let loss = harness.loss().await;
    assert!(loss.contains("mining.ping"), "{loss}");
    let mut second = Pool::at_work(&listener, "0a", "b").await;
    while let Some(call) = second.next_or_end().await {
        assert_ne!(call["method"], "mining.ping");
    }
    let loss = harness.loss().await;
    assert!(loss.contains("2 s"), "only the time of silence counts: {loss}");
    harness.close().await;
}
