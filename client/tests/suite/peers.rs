//! Peers that are no pools, or bad ones.

use std::time::Duration;

use client::Config;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::rig::{Rig, config, pool};
use crate::scripted::{Pool, listen, port};

#[tokio::test]
async fn an_http_server_is_told_from_a_pool() {
    let listener = listen().await;
    let mut rig = Rig::start(Config { retries: Some(0), ..config(&[port(&listener)]) });
    let mut web = Pool::accept(&listener).await;
    web.say("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html></html>").await;
    let error = rig.end().await;
    assert!(error.contains("speaks HTTP") && error.contains("Stratum port"), "{error}");
}

#[tokio::test]
async fn a_tls_server_gets_a_hint() {
    let listener = listen().await;
    let mut rig = Rig::start(Config { retries: Some(0), ..config(&[port(&listener)]) });
    let (mut stream, _) = listener.accept().await.expect("a connection");
    // A fatal alert: what came was no TLS.
    stream.write_all(&[0x15, 3, 3, 0, 2, 2, 50]).await.expect("written");
    drop(stream);
    let error = rig.end().await;
    assert!(error.contains("stratum+ssl://"), "{error}");
}

#[tokio::test]
async fn nobody_there_is_named() {
    let listener = listen().await;
    let gone = port(&listener);
    drop(listener);
    let mut rig = Rig::start(Config { retries: Some(1), ..config(&[gone]) });
    let error = rig.end().await;
    assert!(error.contains(&format!("127.0.0.1:{gone}")) && error.contains("refused"), "{error}");
    assert_eq!(rig.losses.len(), 1);
}

#[tokio::test]
async fn a_silent_pool_is_pinged_and_then_lost() {
    let listener = listen().await;
    let silence = Duration::from_millis(100);
    let mut rig = Rig::start(Config { silence, ..config(&[port(&listener)]) });
    let mut pool = Pool::accept(&listener).await;
    pool.hear("mining.ping").await;
    assert!(rig.loss().await.contains("silent"));
    rig.close().await;
}

#[tokio::test]
async fn nonsense_lines_are_skipped() {
    let listener = listen().await;
    let mut rig = Rig::start(config(&[port(&listener)]));
    let mut pool = Pool::accept(&listener).await;
    for line in ["", "{", "[]", r#"{"method":"mining.notify","params":[1]}"#, r#"{"id":77,"result":true}"#] {
        pool.say(line).await;
    }
    pool.welcome("0a").await;
    pool.notify("a", true).await;
    rig.job("a").await;
    rig.close().await;
}

#[tokio::test]
async fn a_pool_that_hangs_up_on_configure_is_spoken_to_without() {
    let listener = listen().await;
    let mut rig = Rig::start(config(&[port(&listener)]));
    let mut pool = Pool::accept(&listener).await;
    assert_eq!(pool.next().await["method"], "mining.configure");
    drop(pool);
    let mut pool = Pool::accept(&listener).await;
    let call = pool.next().await;
    assert_eq!(call["method"], "mining.subscribe");
    pool.answer(&call, json!([[], "0a", 4]), Value::Null).await;
    pool.notify("a", true).await;
    rig.job("a").await;
    // It may have been an accident: the next connections ask again, also after one that ended without a word.
    drop(pool);
    for method in ["mining.configure", "mining.subscribe", "mining.configure"] {
        assert_eq!(Pool::accept(&listener).await.next().await["method"], method);
    }
    // Not so one that ended after a word.
    let mut pool = Pool::accept(&listener).await;
    assert_eq!(pool.next().await["method"], "mining.subscribe");
    drop(pool);
    let mut pool = Pool::accept(&listener).await;
    assert_eq!(pool.next().await["method"], "mining.configure");
    pool.say(r#"{"id":null,"method":"client.show_message","params":["no"]}"#).await;
    rig.wait(|event| matches!(event, client::Event::Message(_)).then_some(())).await;
    drop(pool);
    assert_eq!(Pool::accept(&listener).await.next().await["method"], "mining.configure");
    rig.close().await;
}

#[tokio::test]
async fn the_least_difficulty_is_asked_for() {
    let listener = listen().await;
    let rig = Rig::start(Config { minimum_difficulty: Some(0.25), ..config(&[port(&listener)]) });
    let call = Pool::accept(&listener).await.hear("mining.configure").await;
    assert!(call["params"][0].as_array().is_some_and(|names| names.contains(&json!("minimum-difficulty"))));
    assert_eq!(call["params"][1]["minimum-difficulty.value"], 0.25);
    rig.close().await;
}

#[tokio::test]
async fn a_pool_may_have_an_address_of_version_6() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        return println!("skipped: this machine has no IPv6");
    };
    let url = format!("stratum+tcp://[::1]:{}", port(&listener));
    let mut rig = Rig::start(Config { pools: vec![pool(&url)], ..config(&[]) });
    let _pool = Pool::at_work(&listener, "0a", "a").await;
    rig.job("a").await;
    rig.close().await;
}
