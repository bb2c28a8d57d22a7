//! A client tells its owner what it waits for when a pool is silent, once in each silence.

use std::time::Duration;

use client::{Awaited, Config, Event};
use serde_json::{Value, json};

use crate::harness::{Harness, config};
use crate::scripted::{Pool, listen, port};

/// The next thing that the client waits for.
async fn awaited(harness: &mut Harness) -> Awaited {
    let wanted = |event| match event {
        Event::Waiting { awaited, .. } => Some(awaited),
        _ => None,
    };
    harness.wait(wanted).await
}

#[tokio::test]
async fn a_silent_pool_is_named_with_what_it_owes() {
    let listener = listen().await;
    let waiting_after = Duration::from_millis(50);
    let mut harness = Harness::start(Config { waiting_after, ..config(&[port(&listener)]) });
    // The system accepts the connection, but no program answers.
    let wanted = |event| match event {
        Event::Waiting { pool, awaited } => Some((pool.to_string(), awaited)),
        _ => None,
    };
    let url = format!("stratum+tcp://{}", listener.local_addr().expect("an address"));
    assert_eq!(harness.wait(wanted).await, (url, Awaited::FirstAnswer));
    drop(Pool::accept(&listener).await);

    // The pool says something, but does not answer mining.subscribe.
    let mut pool = Pool::accept(&listener).await;
    let configure = pool.expect_call("mining.subscribe").await;
    pool.send_line(&json!({"id": null, "method": "mining.set_difficulty", "params": [1]}).to_string()).await;
    assert_eq!(awaited(&mut harness).await, Awaited::Subscription);
    pool.answer(&configure, json!([[], "0a", 4]), Value::Null).await;
    drop(pool);

    let mut pool = Pool::accept(&listener).await;
    let subscribe = pool.expect_call("mining.subscribe").await;
    pool.answer(&subscribe, json!([[], "0a", 4]), Value::Null).await;
    assert_eq!(awaited(&mut harness).await, Awaited::Authorization);
    drop(pool);

    let mut pool = Pool::accept(&listener).await;
    pool.welcome("0a").await;
    assert_eq!(awaited(&mut harness).await, Awaited::Job);
    drop(pool);

    let mut pool = Pool::at_work(&listener, "0a", "a").await;
    harness.submit_share(&mut pool, "a").await;
    assert_eq!(awaited(&mut harness).await, Awaited::Verdicts(1));
    harness.close().await;
}
