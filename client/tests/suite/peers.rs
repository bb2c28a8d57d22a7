//! Peers that are not pools, and pools that misbehave.

use std::time::Duration;

use client::Config;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::harness::{Harness, config, pool};
use crate::scripted::{Pool, listen, port};

#[tokio::test]
async fn an_http_server_is_recognized() {
    let listener = listen().await;
    let mut harness = Harness::start(Config { retries: Some(0), ..config(&[port(&listener)]) });
    let mut web = Pool::accept(&listener).await;
    web.send_line("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html></html>").await;
    let error = harness.end().await;
    assert!(error.contains("speaks HTTP") && error.contains("Stratum port"), "{error}");
}

#[tokio::test]
async fn a_tls_server_gets_a_hint() {
    let listener = listen().await;
    let mut harness = Harness::start(Config { retries: Some(0), ..config(&[port(&listener)]) });
    let (mut stream, _) = listener.accept().await.expect("a connection");
    // A fatal TLS alert, which servers send to clients that do not speak TLS.
    stream.write_all(&[0x15, 3, 3, 0, 2, 2, 50]).await.expect("written");
    drop(stream);
    let error = harness.end().await;
    assert!(error.contains("stratum+ssl://"), "{error}");
}

#[tokio::test]
async fn a_refused_connection_names_the_address() {
    let closed = testing::ports::closed_address().port();
    let mut harness = Harness::start(Config { retries: Some(1), ..config(&[closed]) });
    let error = harness.end().await;
    assert!(error.contains(&format!("127.0.0.1:{closed}")) && error.contains("refused"), "{error}");
    assert_eq!(harness.losses.len(), 1);
}

#[tokio::test]
async fn a_silent_pool_is_pinged_and_then_lost() {
    let listener = listen().await;
    let silence_timeout = Duration::from_millis(100);
    let mut harness = Harness::start(Config { silence_timeout, ..config(&[port(&listener)]) });
    let mut pool = Pool::accept(&listener).await;
    pool.expect_call("mining.ping").await;
    assert!(harness.loss().await.contains("silent"));
    harness.close().await;
}

#[tokio::test]
async fn invalid_lines_are_skipped() {
    let listener = listen().await;
    let mut harness = Harness::start(config(&[port(&listener)]));
    let mut pool = Pool::accept(&listener).await;
    for line in ["", "{", "[]", r#"{"method":"mining.notify","params":[1]}"#, r#"{"id":77,"result":true}"#] {
        pool.send_line(line).await;
    }
    pool.welcome("0a").await;
    pool.notify("a", true).await;
    harness.job("a").await;
    harness.close().await;
}

#[tokio::test]
async fn a_pool_that_hangs_up_on_configure_is_tried_without_it() {
    let listener = listen().await;
    let mut harness = Harness::start(config(&[port(&listener)]));
    let mut pool = Pool::accept(&listener).await;
    assert_eq!(pool.next().await["method"], "mining.configure");
    drop(pool);
    let mut pool = Pool::accept(&listener).await;
    let call = pool.next().await;
    assert_eq!(call["method"], "mining.subscribe");
    pool.answer(&call, json!([[], "0a", 4]), Value::Null).await;
    let call = pool.expect_call("mining.authorize").await;
    pool.answer(&call, json!(true), Value::Null).await;
    pool.notify("a", true).await;
    harness.job("a").await;
    // The greeting without this message has worked, so it stays left out.
    drop(pool);
    for _ in 0..3 {
        assert_eq!(Pool::accept(&listener).await.next().await["method"], "mining.subscribe");
    }
    harness.close().await;
}

#[tokio::test]
async fn a_pool_that_is_away_and_hangs_up_on_everyone_gets_the_whole_greeting_when_it_is_back() {
    let listener = listen().await;
    let mut harness = Harness::start(config(&[port(&listener)]));
    // The client does not know whether `mining.configure` is the reason, so it omits this message on every second connection.
    for method in ["mining.configure", "mining.subscribe", "mining.configure"] {
        assert_eq!(Pool::accept(&listener).await.next().await["method"], method);
    }
    // The pool is back, by chance on a connection without the message.
    let mut pool = Pool::accept(&listener).await;
    let call = pool.next().await;
    assert_eq!(call["method"], "mining.subscribe");
    pool.answer(&call, json!([[], "0a", 4]), Value::Null).await;
    let call = pool.expect_call("mining.authorize").await;
    pool.answer(&call, json!(true), Value::Null).await;
    pool.notify("a", true).await;
    harness.job("a").await;
    drop(pool);
    assert_eq!(Pool::accept(&listener).await.next().await["method"], "mining.configure");
    harness.close().await;
}

#[tokio::test]
async fn the_minimum_difficulty_is_requested() {
    let listener = listen().await;
    let harness = Harness::start(Config { minimum_difficulty: Some(0.25), ..config(&[port(&listener)]) });
    let call = Pool::accept(&listener).await.expect_call("mining.configure").await;
    assert!(call["params"][0].as_array().is_some_and(|names| names.contains(&json!("minimum-difficulty"))));
    assert_eq!(call["params"][1]["minimum-difficulty.value"], 0.25);
    harness.close().await;
}

#[tokio::test]
async fn a_pool_may_have_an_ipv6_address() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        return println!("skipped: this machine has no IPv6");
    };
    let url = format!("stratum+tcp://[::1]:{}", port(&listener));
    let mut harness = Harness::start(Config { pools: vec![pool(&url)], ..config(&[]) });
    let _pool = Pool::at_work(&listener, "0a", "a").await;
    harness.job("a").await;
    harness.close().await;
}
