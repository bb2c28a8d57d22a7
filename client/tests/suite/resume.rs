//! What becomes of shares when a connection ends.

use std::time::Duration;

use client::{Config, Fate};
use serde_json::{Value, json};

use crate::rig::{Rig, config};
use crate::scripted::{DEADLINE, Pool, listen, port};

#[tokio::test]
async fn a_resumed_session_gets_its_open_shares_again_and_a_duplicate_counts() {
    let listener = listen().await;
    let mut rig = Rig::start(config(&[port(&listener)]));
    let mut pool = Pool::accept(&listener).await;
    let asked = pool.welcome("0a0b").await;
    assert_eq!(asked.as_array().map(Vec::len), Some(1), "nothing to resume yet");
    pool.notify("a", true).await;
    let job = rig.job("a").await;
    let tickets = [rig.submit(&job).await, rig.submit(&job).await].map(|ticket| ticket.expect("sent"));
    let first = pool.hear("mining.submit").await;
    let second = pool.hear("mining.submit").await;
    drop(pool);
    rig.loss().await;
    // Found while there was no connection.
    let late = rig.submit(&job).await.expect("it waits");

    let mut pool = Pool::accept(&listener).await;
    let asked = pool.welcome("0a0b").await;
    assert_eq!(asked[1], "s");
    let again = [
        pool.hear("mining.submit").await,
        pool.hear("mining.submit").await,
        pool.hear("mining.submit").await,
    ];
    assert_eq!(again[0]["params"], first["params"]);
    assert_eq!(again[1]["params"], second["params"]);
    pool.answer(&again[0], Value::Null, json!([22, "Duplicate share", null])).await;
    pool.answer(&again[1], json!(true), Value::Null).await;
    pool.answer(&again[2], Value::Null, json!([22, "Duplicate share", null])).await;
    assert_eq!(rig.fate(tickets[0]).await, Fate::Accepted);
    assert_eq!(rig.fate(tickets[1]).await, Fate::Accepted);
    assert!(matches!(rig.fate(late).await, Fate::Rejected(_)), "the pool can't have had it before");
    // The job is still good.
    let more = rig.submit(&job).await.expect("the session goes on");
    let call = pool.hear("mining.submit").await;
    pool.answer(&call, json!(true), Value::Null).await;
    assert_eq!(rig.fate(more).await, Fate::Accepted);
    assert_eq!(rig.close().await, []);
}

#[tokio::test]
async fn without_a_resumed_session_open_shares_are_counted_as_unanswered() {
    let listener = listen().await;
    let mut rig = Rig::start(config(&[port(&listener)]));
    let mut pool = Pool::at_work(&listener, "0a0b", "a").await;
    let job = rig.job("a").await;
    let sent = rig.submit(&job).await.expect("sent");
    pool.hear("mining.submit").await;
    drop(pool);
    rig.loss().await;
    let unsent = rig.submit(&job).await.expect("it waits");
    let mut pool = Pool::accept(&listener).await;
    pool.welcome("0a0c").await;
    assert_eq!(rig.fate(sent).await, Fate::Unanswered);
    assert_eq!(rig.fate(unsent).await, Fate::Stale(None));
    assert_eq!(rig.submit(&job).await, None, "its session is over");
    assert_eq!(rig.close().await, []);
}

#[tokio::test]
async fn a_session_with_new_extranonces_is_resumed_only_with_these() {
    let listener = listen().await;
    let mut rig = Rig::start(config(&[port(&listener)]));
    let mut pool = Pool::at_work(&listener, "0a", "a").await;
    rig.job("a").await;
    for (given, fate) in [("0b", Fate::Accepted), ("0a", Fate::Unanswered)] {
        pool.say(r#"{"id":null,"method":"mining.set_extranonce","params":["0b",4]}"#).await;
        pool.notify("b", true).await;
        let ticket = rig.open_share(&mut pool, "b").await;
        drop(pool);
        rig.loss().await;
        pool = Pool::accept(&listener).await;
        assert_eq!(pool.welcome(given).await[1], "s");
        if fate == Fate::Accepted {
            let call = pool.hear("mining.submit").await;
            pool.answer(&call, json!(true), Value::Null).await;
        }
        assert_eq!(rig.fate(ticket).await, fate);
    }
    rig.close().await;
}

#[tokio::test]
async fn nothing_waits_for_ever_to_be_resumed() {
    let listener = listen().await;
    let limbo = std::time::Duration::from_millis(50);
    let mut rig = Rig::start(Config { limbo, ..config(&[port(&listener)]) });
    let mut pool = Pool::at_work(&listener, "0a0b", "a").await;
    let ticket = rig.open_share(&mut pool, "a").await;
    drop((pool, listener));
    assert_eq!(rig.fate(ticket).await, Fate::Unanswered);
    rig.close().await;
}

#[tokio::test]
async fn an_empty_extranonce1_proves_no_session() {
    let listener = listen().await;
    let mut rig = Rig::start(config(&[port(&listener)]));
    let mut pool = Pool::at_work(&listener, "", "a").await;
    let ticket = rig.open_share(&mut pool, "a").await;
    drop(pool);
    let mut pool = Pool::accept(&listener).await;
    pool.welcome("").await;
    pool.notify("b", true).await;
    rig.job("b").await;
    // At once, not when the connection ends.
    assert_eq!(
        rig.answers.iter().map(|answer| (answer.ticket, &answer.fate)).collect::<Vec<_>>(),
        [(ticket, &Fate::Unanswered)]
    );
    rig.close().await;
}

#[tokio::test]
async fn connections_that_fail_before_the_session_is_resumed_lose_no_share() {
    let listener = listen().await;
    let mut rig = Rig::start(config(&[port(&listener)]));
    let mut pool = Pool::at_work(&listener, "0a0b", "a").await;
    let ticket = rig.open_share(&mut pool, "a").await;
    drop(pool);
    // The second one has resumed the session, but takes no shares yet.
    for subscribed in [false, true] {
        let mut pool = Pool::accept(&listener).await;
        let call = pool.hear("mining.subscribe").await;
        if subscribed {
            pool.answer(&call, json!([[["mining.notify", "s"]], "0a0b", 4]), Value::Null).await;
            pool.hear("mining.authorize").await;
        }
    }
    let mut pool = Pool::accept(&listener).await;
    assert_eq!(pool.welcome("0a0b").await[1], "s");
    let call = pool.hear("mining.submit").await;
    pool.answer(&call, json!(true), Value::Null).await;
    assert_eq!(rig.fate(ticket).await, Fate::Accepted);
    rig.close().await;
}

#[tokio::test]
async fn a_connection_that_ends_between_its_job_and_our_shares_leaves_none_without_a_fate() {
    let listener = listen().await;
    let mut rig = Rig::start(config(&[port(&listener)]));
    let mut pool = Pool::at_work(&listener, "0a0b", "a").await;
    let ticket = rig.open_share(&mut pool, "a").await;
    drop(pool);
    let mut pool = Pool::accept(&listener).await;
    let call = pool.hear("mining.subscribe").await;
    pool.answer(&call, json!([[["mining.notify", "s"]], "0a0b", 4]), Value::Null).await;
    pool.notify("b", true).await;
    rig.job("b").await;
    drop(pool);
    assert_eq!(rig.fate(ticket).await, Fate::Unanswered);
    rig.close().await;
}

#[tokio::test]
async fn what_can_t_be_resumed_is_not_waited_for() {
    // A pool that names no session, and one that another takes the place of.
    for (subscriptions, stands_by) in [(json!([]), false), (json!([["mining.notify", "s"]]), true)] {
        let (first, second) = (listen().await, listen().await);
        let probe_interval = 10 * DEADLINE;
        let mut pools = vec![port(&first)];
        pools.extend(stands_by.then_some(port(&second)));
        let mut rig = Rig::start(Config { probe_interval, ..config(&pools) });
        let mut pool = Pool::accept(&first).await;
        let call = pool.hear("mining.subscribe").await;
        pool.answer(&call, json!([subscriptions, "0a0b", 4]), Value::Null).await;
        let call = pool.hear("mining.authorize").await;
        pool.answer(&call, json!(true), Value::Null).await;
        pool.notify("a", true).await;
        let ticket = rig.open_share(&mut pool, "a").await;
        drop((pool, first));
        // The other one says nothing yet.
        let _other = if stands_by { Some(Pool::accept(&second).await) } else { None };
        assert_eq!(rig.fate(ticket).await, Fate::Unanswered);
        rig.close().await;
    }
}

#[tokio::test]
async fn shares_that_wait_for_a_connection_are_not_without_end() {
    let listener = listen().await;
    let mut rig = Rig::start(Config { retry_pause: 10 * DEADLINE, ..config(&[port(&listener)]) });
    let pool = Pool::at_work(&listener, "0a0b", "a").await;
    let job = rig.job("a").await;
    drop((pool, listener));
    rig.loss().await;
    let mut tickets = 0;
    while rig.submit(&job).await.is_some() {
        tickets += 1;
        assert!(tickets < 100_000);
    }
    assert!(tickets >= 1_000);
    assert_eq!(rig.close().await, vec![Fate::Stale(None); tickets]);
}

#[tokio::test]
async fn shares_that_a_pool_never_answers_are_given_up_with_its_next_job() {
    let listener = listen().await;
    let mut rig = Rig::start(config(&[port(&listener)]));
    let mut pool = Pool::at_work(&listener, "0a0b", "a").await;
    let job = rig.job("a").await;
    let first = rig.submit(&job).await.expect("sent");
    pool.hear("mining.submit").await;
    // As many as are waited for at once.
    for _ in 0..10_000 {
        rig.submit(&job).await.expect("sent");
        pool.hear("mining.submit").await;
    }
    pool.notify("b", false).await;
    rig.job("b").await;
    let given_up: Vec<_> = rig.answers.iter().map(|answer| (answer.ticket, answer.fate.clone())).collect();
    assert_eq!(given_up, [(first, Fate::Unanswered)]);
    rig.close().await;
}

#[tokio::test]
async fn what_is_open_at_the_end_is_told() {
    let listener = listen().await;
    let mut rig = Rig::start(config(&[port(&listener)]));
    let mut pool = Pool::at_work(&listener, "0a0b", "a").await;
    let job = rig.job("a").await;
    rig.submit(&job).await.expect("sent");
    pool.notify("b", true).await;
    rig.job("b").await;
    assert_eq!(rig.submit(&job).await, None, "voided by a clean job");
    assert_eq!(rig.close().await, [Fate::Unanswered]);
}

#[tokio::test]
async fn at_the_end_a_pool_that_is_there_is_waited_for_but_not_for_ever() {
    for (within, fate) in [(DEADLINE, Fate::Accepted), (Duration::from_millis(10), Fate::Unanswered)] {
        let listener = listen().await;
        let mut rig = Rig::start(config(&[port(&listener)]));
        let mut pool = Pool::at_work(&listener, "0a0b", "a").await;
        let job = rig.job("a").await;
        let mut calls = Vec::new();
        for _ in 0..2 {
            rig.submit(&job).await.expect("sent");
            calls.push(pool.hear("mining.submit").await);
        }
        let finish = tokio::spawn(rig.finish(within));
        if fate == Fate::Accepted {
            pool.notify("b", false).await;
            for call in &calls {
                pool.answer(call, json!(true), Value::Null).await;
            }
        }
        assert_eq!(finish.await.expect("no panic"), [fate.clone(), fate]);
    }
}

#[tokio::test]
async fn at_the_end_a_pool_that_is_gone_is_not_waited_for() {
    let listener = listen().await;
    let mut rig = Rig::start(Config { retry_pause: DEADLINE, ..config(&[port(&listener)]) });
    let mut pool = Pool::at_work(&listener, "0a0b", "a").await;
    let job = rig.job("a").await;
    rig.submit(&job).await.expect("sent");
    pool.hear("mining.submit").await;
    drop(pool);
    rig.loss().await;
    // It would take too long for the test.
    assert_eq!(rig.finish(10 * DEADLINE).await, [Fate::Unanswered]);
}
