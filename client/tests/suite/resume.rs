//! The outcomes of shares when a connection ends.

use std::time::Duration;

use client::{Config, Outcome};
use serde_json::{Value, json};

use crate::harness::{Harness, config};
use crate::scripted::{DEADLINE, Pool, listen, port};

#[tokio::test]
async fn a_resumed_session_gets_its_unanswered_shares_again_and_a_duplicate_counts() {
    let listener = listen().await;
    let mut harness = Harness::start(config(&[port(&listener)]));
    let mut pool = Pool::accept(&listener).await;
    let asked = pool.welcome("0a0b").await;
    assert_eq!(asked.as_array().map(Vec::len), Some(1), "nothing to resume yet");
    pool.notify("a", true).await;
    let job = harness.job("a").await;
    let tickets =
        [harness.submit(&job).await, harness.submit(&job).await].map(|ticket| ticket.expect("sent"));
    let first = pool.expect_call("mining.submit").await;
    let second = pool.expect_call("mining.submit").await;
    drop(pool);
    harness.loss().await;
    // Submit a share while there is no connection.
    let late = harness.submit(&job).await.expect("it waits for the session");

    let mut pool = Pool::accept(&listener).await;
    let asked = pool.welcome("0a0b").await;
    assert_eq!(asked[1], "s");
    let again = [
        pool.expect_call("mining.submit").await,
        pool.expect_call("mining.submit").await,
        pool.expect_call("mining.submit").await,
    ];
    assert_eq!(again[0]["params"], first["params"]);
    assert_eq!(again[1]["params"], second["params"]);
    pool.answer(&again[0], Value::Null, json!([22, "Duplicate share", null])).await;
    pool.answer(&again[1], json!(true), Value::Null).await;
    pool.answer(&again[2], Value::Null, json!([22, "Duplicate share", null])).await;
    assert_eq!(harness.outcome(tickets[0]).await, Outcome::Accepted);
    assert_eq!(harness.outcome(tickets[1]).await, Outcome::Accepted);
    assert!(
        matches!(harness.outcome(late).await, Outcome::Rejected(_)),
        "the pool cannot have received it before"
    );
    // The job from before the reconnect is still valid.
    let more = harness.submit(&job).await.expect("the session continues");
    let call = pool.expect_call("mining.submit").await;
    pool.answer(&call, json!(true), Value::Null).await;
    assert_eq!(harness.outcome(more).await, Outcome::Accepted);
    assert_eq!(harness.close().await, []);
}

#[tokio::test]
async fn without_a_resumed_session_submitted_shares_are_unanswered() {
    let listener = listen().await;
    let mut harness = Harness::start(config(&[port(&listener)]));
    let mut pool = Pool::at_work(&listener, "0a0b", "a").await;
    let job = harness.job("a").await;
    let sent = harness.submit(&job).await.expect("sent");
    pool.expect_call("mining.submit").await;
    drop(pool);
    harness.loss().await;
    let unsent = harness.submit(&job).await.expect("it waits for the session");
    let mut pool = Pool::accept(&listener).await;
    pool.welcome("0a0c").await;
    assert_eq!(harness.outcome(sent).await, Outcome::Unanswered);
    assert_eq!(harness.outcome(unsent).await, Outcome::Stale(None));
    assert_eq!(harness.submit(&job).await, None, "its session is over");
    assert_eq!(harness.close().await, []);
}

#[tokio::test]
async fn a_session_whose_extranonce_changed_is_resumed_only_with_the_new_one() {
    let listener = listen().await;
    let mut harness = Harness::start(config(&[port(&listener)]));
    let mut pool = Pool::at_work(&listener, "0a", "a").await;
    harness.job("a").await;
    for (given, outcome) in [("0b", Outcome::Accepted), ("0a", Outcome::Unanswered)] {
        pool.send_line(r#"{"id":null,"method":"mining.set_extranonce","params":["0b",4]}"#).await;
        pool.notify("b", true).await;
        let ticket = harness.submit_share(&mut pool, "b").await;
        drop(pool);
        harness.loss().await;
        pool = Pool::accept(&listener).await;
        assert_eq!(pool.welcome(given).await[1], "s");
        if outcome == Outcome::Accepted {
            let call = pool.expect_call("mining.submit").await;
            pool.answer(&call, json!(true), Value::Null).await;
        }
        assert_eq!(harness.outcome(ticket).await, outcome);
    }
    harness.close().await;
}

#[tokio::test]
async fn waiting_for_a_resumed_session_has_an_end() {
    let listener = listen().await;
    let resume_timeout = std::time::Duration::from_millis(50);
    let mut harness = Harness::start(Config { resume_timeout, ..config(&[port(&listener)]) });
    let mut pool = Pool::at_work(&listener, "0a0b", "a").await;
    let ticket = harness.submit_share(&mut pool, "a").await;
    drop((pool, listener));
    assert_eq!(harness.outcome(ticket).await, Outcome::Unanswered);
    harness.close().await;
}

#[tokio::test]
async fn an_empty_extranonce1_does_not_prove_that_a_session_was_resumed() {
    let listener = listen().await;
    let mut harness = Harness::start(config(&[port(&listener)]));
    let mut pool = Pool::at_work(&listener, "", "a").await;
    let ticket = harness.submit_share(&mut pool, "a").await;
    drop(pool);
    let mut pool = Pool::accept(&listener).await;
    pool.welcome("").await;
    pool.notify("b", true).await;
    harness.job("b").await;
    // The outcome `Unanswered` is reported immediately, not only when the connection ends.
    assert_eq!(
        harness.answers.iter().map(|answer| (answer.ticket, &answer.outcome)).collect::<Vec<_>>(),
        [(ticket, &Outcome::Unanswered)]
    );
    harness.close().await;
}

#[tokio::test]
async fn connections_that_fail_before_the_session_is_resumed_lose_no_share() {
    let listener = listen().await;
    let mut harness = Harness::start(config(&[port(&listener)]));
    let mut pool = Pool::at_work(&listener, "0a0b", "a").await;
    let ticket = harness.submit_share(&mut pool, "a").await;
    drop(pool);
    // The second connection has resumed the session but is not authorized yet.
    for subscribed in [false, true] {
        let mut pool = Pool::accept(&listener).await;
        let call = pool.expect_call("mining.subscribe").await;
        if subscribed {
            pool.answer(&call, json!([[["mining.notify", "s"]], "0a0b", 4]), Value::Null).await;
            pool.expect_call("mining.authorize").await;
        }
    }
    let mut pool = Pool::accept(&listener).await;
    assert_eq!(pool.welcome("0a0b").await[1], "s");
    let call = pool.expect_call("mining.submit").await;
    pool.answer(&call, json!(true), Value::Null).await;
    assert_eq!(harness.outcome(ticket).await, Outcome::Accepted);
    harness.close().await;
}

#[tokio::test]
async fn a_connection_that_ends_after_its_job_but_before_the_shares_are_sent_leaves_none_without_an_outcome()
{
    let listener = listen().await;
    let mut harness = Harness::start(config(&[port(&listener)]));
    let mut pool = Pool::at_work(&listener, "0a0b", "a").await;
    let ticket = harness.submit_share(&mut pool, "a").await;
    drop(pool);
    let mut pool = Pool::accept(&listener).await;
    let call = pool.expect_call("mining.subscribe").await;
    pool.answer(&call, json!([[["mining.notify", "s"]], "0a0b", 4]), Value::Null).await;
    pool.notify("b", true).await;
    harness.job("b").await;
    drop(pool);
    assert_eq!(harness.outcome(ticket).await, Outcome::Unanswered);
    harness.close().await;
}

#[tokio::test]
async fn shares_do_not_wait_for_a_session_that_cannot_be_resumed() {
    // In the first case, the pool gives no session id. In the second case, the client leaves the pool for another.
    for (subscriptions, has_backup) in [(json!([]), false), (json!([["mining.notify", "s"]]), true)] {
        let (first, second) = (listen().await, listen().await);
        let probe_interval = 10 * DEADLINE;
        let mut pools = vec![port(&first)];
        pools.extend(has_backup.then_some(port(&second)));
        let mut harness = Harness::start(Config { probe_interval, ..config(&pools) });
        let mut pool = Pool::accept(&first).await;
        let call = pool.expect_call("mining.subscribe").await;
        pool.answer(&call, json!([subscriptions, "0a0b", 4]), Value::Null).await;
        let call = pool.expect_call("mining.authorize").await;
        pool.answer(&call, json!(true), Value::Null).await;
        pool.notify("a", true).await;
        let ticket = harness.submit_share(&mut pool, "a").await;
        drop((pool, first));
        // The other pool sends nothing yet.
        let _other = if has_backup { Some(Pool::accept(&second).await) } else { None };
        assert_eq!(harness.outcome(ticket).await, Outcome::Unanswered);
        harness.close().await;
    }
}

#[tokio::test]
async fn shares_that_wait_for_a_connection_are_bounded() {
    let listener = listen().await;
    let mut harness = Harness::start(Config { retry_pause: 10 * DEADLINE, ..config(&[port(&listener)]) });
    let pool = Pool::at_work(&listener, "0a0b", "a").await;
    let job = harness.job("a").await;
    drop((pool, listener));
    harness.loss().await;
    let mut tickets = 0;
    while harness.submit(&job).await.is_some() {
        tickets += 1;
        assert!(tickets < 100_000);
    }
    assert!(tickets >= 1_000);
    assert_eq!(harness.close().await, vec![Outcome::Stale(None); tickets]);
}

#[tokio::test]
async fn shares_without_an_answer_are_given_up_with_the_next_job() {
    let listener = listen().await;
    let mut harness = Harness::start(config(&[port(&listener)]));
    let mut pool = Pool::at_work(&listener, "0a0b", "a").await;
    let job = harness.job("a").await;
    let first = harness.submit(&job).await.expect("sent");
    pool.expect_call("mining.submit").await;
    // The client waits for the answers of at most 10,000 shares.
    for _ in 0..10_000 {
        harness.submit(&job).await.expect("sent");
        pool.expect_call("mining.submit").await;
    }
    pool.notify("b", false).await;
    harness.job("b").await;
    let given_up: Vec<_> =
        harness.answers.iter().map(|answer| (answer.ticket, answer.outcome.clone())).collect();
    assert_eq!(given_up, [(first, Outcome::Unanswered)]);
    harness.close().await;
}

#[tokio::test]
async fn shares_without_an_answer_are_answered_when_the_client_closes() {
    let listener = listen().await;
    let mut harness = Harness::start(config(&[port(&listener)]));
    let mut pool = Pool::at_work(&listener, "0a0b", "a").await;
    let job = harness.job("a").await;
    harness.submit(&job).await.expect("sent");
    pool.notify("b", true).await;
    harness.job("b").await;
    assert_eq!(harness.submit(&job).await, None, "voided by a clean job");
    assert_eq!(harness.close().await, [Outcome::Unanswered]);
}

#[tokio::test]
async fn closing_waits_for_a_connected_pool_up_to_a_deadline() {
    for (within, outcome) in [(DEADLINE, Outcome::Accepted), (Duration::from_millis(10), Outcome::Unanswered)]
    {
        let listener = listen().await;
        let mut harness = Harness::start(config(&[port(&listener)]));
        let mut pool = Pool::at_work(&listener, "0a0b", "a").await;
        let job = harness.job("a").await;
        let mut calls = Vec::new();
        for _ in 0..2 {
            harness.submit(&job).await.expect("sent");
            calls.push(pool.expect_call("mining.submit").await);
        }
        let finish = tokio::spawn(harness.finish(within));
        if outcome == Outcome::Accepted {
            pool.notify("b", false).await;
            for call in &calls {
                pool.answer(call, json!(true), Value::Null).await;
            }
        }
        assert_eq!(finish.await.expect("no panic"), [outcome.clone(), outcome]);
    }
}

#[tokio::test]
async fn closing_does_not_wait_for_a_pool_that_is_gone() {
    let listener = listen().await;
    let mut harness = Harness::start(Config { retry_pause: DEADLINE, ..config(&[port(&listener)]) });
    let mut pool = Pool::at_work(&listener, "0a0b", "a").await;
    let job = harness.job("a").await;
    harness.submit(&job).await.expect("sent");
    pool.expect_call("mining.submit").await;
    drop(pool);
    harness.loss().await;
    // The client does not wait until this deadline, which would take ten minutes.
    assert_eq!(harness.finish(10 * DEADLINE).await, [Outcome::Unanswered]);
}
