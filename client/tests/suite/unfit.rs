//! Pools that give work but are of no use: they reject all shares, or send no new job.

use std::time::Duration;

use client::{ClientError, Config, Event, Outcome};
use problem::ProblemKind;
use serde_json::{Value, json};

use crate::harness::{Harness, config};
use crate::scripted::{DEADLINE, Pool, listen, port};

/// Submits shares for the job one by one, and has the pool reject all with this code.
async fn reject(harness: &mut Harness, pool: &mut Pool, job: &str, shares: usize, code: u32) {
    let job = harness.job(job).await;
    for _ in 0..shares {
        let ticket = harness.submit(&job).await.expect("sent");
        let call = pool.expect_call("mining.submit").await;
        pool.answer(&call, Value::Null, json!([code, "no good", null])).await;
        harness.outcome(ticket).await;
    }
}

/// Waits until the client says that the pool is of use again.
async fn until_fit(harness: &mut Harness) {
    harness.wait(|event| matches!(event, Event::Fit).then_some(())).await;
}

#[tokio::test]
async fn a_pool_that_rejects_all_shares_is_left_and_returned_to_later() {
    let (first, second) = (listen().await, listen().await);
    let set_aside = Duration::from_millis(200);
    let mut harness = Harness::start(Config { set_aside, ..config(&[port(&first), port(&second)]) });
    let mut rejects = Pool::at_work(&first, "0a", "a").await;
    reject(&mut harness, &mut rejects, "a", 19, 23).await;
    rejects.notify("b", false).await;
    // Stale and duplicate shares say nothing.
    for code in [21, 22] {
        rejects.notify(&code.to_string(), false).await;
        reject(&mut harness, &mut rejects, &code.to_string(), 30, code).await;
    }
    assert_eq!(harness.losses, Vec::<String>::new());

    // With the twentieth share, the next pool is used. A share that is on its way still gets its verdict.
    rejects.notify("c", false).await;
    let job = harness.job("c").await;
    let (twentieth, late) = (harness.submit(&job).await, harness.submit(&job).await.expect("sent"));
    assert!(twentieth.is_some());
    let call = rejects.expect_call("mining.submit").await;
    let late_call = rejects.expect_call("mining.submit").await;
    rejects.answer(&call, Value::Null, json!([23, "no good", null])).await;
    let loss = harness.loss().await;
    assert!(loss.contains("rejected 20 shares in a row") && loss.contains("no good"), "{loss}");
    let mut backup = Pool::at_work(&second, "0b", "d").await;
    let job = harness.job("d").await;
    rejects.answer(&late_call, json!(true), Value::Null).await;
    assert_eq!(harness.outcome(late).await, Outcome::Accepted);
    let ticket = harness.submit(&job).await.expect("sent");
    let call = backup.expect_call("mining.submit").await;
    backup.answer(&call, json!(true), Value::Null).await;
    assert_eq!(harness.outcome(ticket).await, Outcome::Accepted);

    let _again = Pool::at_work(&first, "0a", "e").await;
    harness.job("e").await;
    harness.close().await;
}

#[tokio::test]
async fn without_another_pool_the_owner_is_told_once() {
    let listener = listen().await;
    let mut harness = Harness::start(config(&[port(&listener)]));
    let mut pool = Pool::at_work(&listener, "0a", "a").await;
    let job = harness.job("a").await;
    for _ in 0..50 {
        harness.submit(&job).await.expect("sent");
        let call = pool.expect_call("mining.submit").await;
        pool.answer(&call, json!(false), json!("above target")).await;
    }
    let unfit = |event| match event {
        Event::Unfit { error } => Some(error),
        _ => None,
    };
    let error = harness.wait(unfit).await;
    assert!(
        matches!(&error, ClientError::RejectsAll { shares: 20, reason, .. } if reason.code == 23),
        "{error}"
    );
    assert_eq!(error.problem().expect("a problem").kind, ProblemKind::PoolRejectsShares);
    pool.notify("b", false).await;
    let wanted = |event| match event {
        Event::Unfit { .. } => panic!("told twice"),
        Event::Fit => panic!("no share was accepted"),
        Event::Job { job, .. } => (job.id == "b").then_some(job),
        _ => None,
    };
    harness.wait(wanted).await;
    assert_eq!(harness.losses, Vec::<String>::new());

    // A new connection alone makes the pool no better, but an accepted share does.
    drop(pool);
    harness.loss().await;
    let mut pool = Pool::at_work(&listener, "0b", "b").await;
    let job = harness.wait(wanted).await;
    harness.submit(&job).await.expect("sent");
    let call = pool.expect_call("mining.submit").await;
    pool.answer(&call, json!(true), Value::Null).await;
    until_fit(&mut harness).await;
    harness.close().await;
}

#[tokio::test]
async fn a_pool_whose_job_is_too_old_is_left_for_the_next_although_it_answers() {
    let (first, second) = (listen().await, listen().await);
    let (job_timeout, set_aside) = (Some(Duration::from_millis(300)), 10 * DEADLINE);
    let limited = Config { job_timeout, set_aside, ..config(&[port(&first), port(&second)]) };
    let mut harness = Harness::start(limited);
    let mut stuck = Pool::at_work(&first, "0a", "a").await;
    let job = harness.job("a").await;
    // The pool answers shares, and sets difficulties, but sends only the job that it has.
    let answers = tokio::spawn(async move {
        while let Ok(call) = tokio::time::timeout(DEADLINE, stuck.next_or_end()).await {
            let Some(call) = call else { return };
            stuck.answer(&call, json!(true), Value::Null).await;
            stuck.notify("a", false).await;
        }
    });
    let ticket = harness.submit(&job).await.expect("sent");
    assert_eq!(harness.outcome(ticket).await, Outcome::Accepted);
    let loss = harness.loss().await;
    assert!(loss.contains("has sent no new job for"), "{loss}");
    let mut backup = Pool::at_work(&second, "0b", "b").await;
    harness.job("b").await;
    // The backup's job becomes too old, too, but there is no other pool to turn to: the first one is set aside.
    let unfit = |event| match event {
        Event::Unfit { error } => Some(error.problem().expect("a problem").kind),
        _ => None,
    };
    assert_eq!(harness.wait(unfit).await, ProblemKind::PoolJobOutdated);
    backup.notify("c", true).await;
    until_fit(&mut harness).await;
    harness.job("c").await;
    answers.abort();
    harness.close().await;
}
