//! Pools that leave too little extranonce2.

use std::time::Duration;

use client::{Config, Event};
use problem::ProblemKind;
use serde_json::{Value, json};

use crate::harness::{Harness, config};
use crate::scripted::{Pool, listen, port};

/// Settings for these pools, that want at least 2 bytes.
fn wanting_two_bytes(ports: &[u16]) -> Config {
    Config {
        smallest_extranonce2: 2,
        refusals: Config::FEW_REFUSALS,
        // No probe leads back to the first pool.
        probe_interval: Duration::from_secs(3600),
        ..config(ports)
    }
}

/// Answers the handshake with an extranonce2 of one byte, and sends a job.
async fn leave_one_byte(pool: &mut Pool) {
    let subscribe = pool.expect_call("mining.subscribe").await;
    pool.answer(&subscribe, json!([[], "0a", 1]), Value::Null).await;
    pool.notify("small", true).await;
}

#[tokio::test]
async fn a_pool_that_leaves_too_little_is_left_for_the_next_at_the_start_and_later() {
    let (first, second) = (listen().await, listen().await);
    let mut harness = Harness::start(wanting_two_bytes(&[port(&first), port(&second)]));
    let mut small = Pool::accept(&first).await;
    leave_one_byte(&mut small).await;
    let loss = harness.loss().await;
    let expected = "leaves 1 byte(s) of extranonce2, but at least 2 are needed";
    assert!(loss.contains(expected) && loss.contains(&port(&first).to_string()), "{loss}");

    let mut backup = Pool::at_work(&second, "0b", "b").await;
    harness.job("b").await;
    backup.send_line(r#"{"id":null,"method":"mining.set_extranonce","params":["0c",1]}"#).await;
    backup.notify("c", true).await;
    assert!(harness.loss().await.contains(expected), "{:?}", harness.losses);
    assert!(backup.is_over().await);
    // It has no second chance, although it gave work. The first pool is now as it should be.
    let _pool = Pool::at_work(&first, "0a", "a").await;
    harness.job("a").await;
    harness.close().await;
}

#[tokio::test]
async fn a_pool_that_leaves_enough_only_at_first_is_not_returned_to_at_once() {
    let (first, second) = (listen().await, listen().await);
    let probe_interval = Duration::from_millis(1);
    let mut harness =
        Harness::start(Config { probe_interval, ..wanting_two_bytes(&[port(&first), port(&second)]) });
    let mut pool = Pool::at_work(&first, "0a", "a").await;
    harness.job("a").await;
    pool.send_line(r#"{"id":null,"method":"mining.set_extranonce","params":["0c",1]}"#).await;
    pool.notify("b", true).await;
    assert!(harness.loss().await.contains("leaves 1 byte(s)"));
    let mut backup = Pool::at_work(&second, "0b", "c").await;
    harness.job("c").await;
    // Many times the interval of the probes.
    for id in 0..50 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        backup.notify(&id.to_string(), true).await;
        harness.job(&id.to_string()).await;
    }
    let returned = tokio::time::timeout(Duration::from_millis(1), first.accept()).await;
    assert!(returned.is_err(), "it was probed");
    harness.close().await;
}

#[tokio::test]
async fn the_only_pool_that_leaves_too_little_is_given_up_and_one_of_two_never() {
    let only = listen().await;
    let mut harness = Harness::start(wanting_two_bytes(&[port(&only)]));
    for _ in 0..3 {
        leave_one_byte(&mut Pool::accept(&only).await).await;
    }
    assert!(harness.end().await.contains("leaves 1 byte(s)"));

    let pools = [listen().await, listen().await];
    let mut harness = Harness::start(wanting_two_bytes(&pools.each_ref().map(port)));
    for _ in 0..8 {
        for listener in &pools {
            leave_one_byte(&mut Pool::accept(listener).await).await;
        }
    }
    let mut pool = Pool::at_work(&pools[0], "0a", "a").await;
    harness.job("a").await;
    // In the session, the client goes on trying even if there is no other pool.
    let kind = |event| match event {
        Event::Lost { error, .. } => error.problem().map(|problem| problem.kind),
        _ => None,
    };
    pool.send_line(r#"{"id":null,"method":"mining.set_extranonce","params":["0c",1]}"#).await;
    pool.notify("b", false).await;
    assert_eq!(harness.wait(kind).await, ProblemKind::UpstreamExtranonceTooSmall);
    harness.close().await;
}
