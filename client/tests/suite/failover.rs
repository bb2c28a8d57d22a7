//! Failover among several pools, redirects, and new extranonces.

use std::time::Duration;

use client::{Config, Event, Outcome};
use serde_json::{Value, json};
use testing::ports::ReservedPorts;

use crate::harness::{Harness, config};
use crate::scripted::{DEADLINE, Pool, listen, listen_on, port};

#[tokio::test]
async fn the_first_pool_is_used_again_once_it_recovers_and_no_share_is_lost() {
    let (reserved, second) = (ReservedPorts::take(1), listen().await);
    let mut harness = Harness::start(config(&[reserved.first(), port(&second)]));
    let mut backup = Pool::at_work(&second, "0b", "b").await;
    let old_job = harness.job("b").await;
    let before = harness.submit(&old_job).await.expect("sent");
    let before_call = backup.expect_call("mining.submit").await;
    harness.losses.clear();

    // The first pool is back but sends no job yet, so the client stays with the second pool.
    let first = listen_on(reserved.first()).await;
    let mut main = Pool::accept(&first).await;
    main.welcome("0a").await;
    main.send_line(r#"{"id":7,"method":"client.get_version","params":[]}"#).await;
    while main.next().await["id"] != 7 {}
    backup.notify("c", false).await;
    harness.job("c").await;
    let meanwhile = harness.submit(&old_job).await.expect("sent");
    let meanwhile_call = backup.expect_call("mining.submit").await;
    main.notify("a", true).await;
    let job = harness.job("a").await;
    assert_eq!(harness.losses, Vec::<String>::new(), "a switch is no loss");

    // Each of the two pools still accepts and answers shares of its own jobs.
    let after = harness.submit(&old_job).await.expect("sent to the pool used before");
    let after_call = backup.expect_call("mining.submit").await;
    let new = harness.submit(&job).await.expect("sent");
    let new_call = main.expect_call("mining.submit").await;
    main.answer(&new_call, json!(true), Value::Null).await;
    for call in [before_call, meanwhile_call, after_call] {
        backup.answer(&call, json!(true), Value::Null).await;
    }
    for ticket in [before, meanwhile, after, new] {
        assert_eq!(harness.outcome(ticket).await, Outcome::Accepted);
    }
    assert_eq!(harness.close().await, []);
}

#[tokio::test]
async fn waiting_for_answers_of_the_pool_used_before_has_an_end() {
    // After the client has switched to a better pool, the previous pool sends nothing, or closes the connection.
    for (drain_timeout, silent) in [(Duration::from_millis(50), true), (10 * DEADLINE, false)] {
        let (reserved, second) = (ReservedPorts::take(1), listen().await);
        let ports = [reserved.first(), port(&second)];
        let mut harness = Harness::start(Config { drain_timeout, ..config(&ports) });
        let mut backup = Pool::at_work(&second, "0b", "b").await;
        let job = harness.job("b").await;
        let ticket = harness.submit(&job).await.expect("sent");
        backup.expect_call("mining.submit").await;
        let first = listen_on(reserved.first()).await;
        let _main = Pool::at_work(&first, "0a", "a").await;
        harness.job("a").await;
        if silent {
            assert!(backup.is_over().await);
        } else {
            drop(backup);
        }
        assert_eq!(harness.outcome(ticket).await, Outcome::Unanswered);
        assert_eq!(harness.submit(&job).await, None);
        harness.close().await;
    }
}

/// Checks that the client leaves a pool that authorizes it but sends no job. `instead` determines what the pool does after the
/// authorization. Returns the result of `instead`.
async fn is_left_without_a_job<T>(instead: impl FnOnce(Pool) -> T) -> T {
    let (first, second) = (listen().await, listen().await);
    let first_job_timeout = Duration::from_millis(100);
    let probe_interval = Duration::from_secs(3600);
    let config = Config { first_job_timeout, probe_interval, ..config(&[port(&first), port(&second)]) };
    let mut harness = Harness::start(config);
    let mut idle = Pool::accept(&first).await;
    idle.welcome("0a").await;
    let done = instead(idle);
    let _pool = Pool::at_work(&second, "0b", "b").await;
    harness.job("b").await;
    assert!(harness.losses.iter().any(|error| error.contains("gave no job")), "{:?}", harness.losses);
    harness.close().await;
    done
}

#[tokio::test]
async fn a_pool_that_gives_no_job_is_left_for_the_next() {
    is_left_without_a_job(|silent| silent).await;
}

#[tokio::test]
async fn a_pool_that_floods_us_but_gives_no_job_is_left_for_the_next() {
    let line = r#"{"id":null,"method":"mining.set_difficulty","params":[1]}"#;
    let flood = is_left_without_a_job(|pool| pool.flood(line)).await;
    flood.join().expect("no panic");
}

#[tokio::test]
async fn a_pool_that_refuses_us_is_left_for_the_next() {
    let (first, second) = (listen().await, listen().await);
    let mut harness = Harness::start(config(&[port(&first), port(&second)]));
    let mut refuses = Pool::accept(&first).await;
    let call = refuses.expect_call("mining.subscribe").await;
    refuses.answer(&call, json!([[], "0a", 4]), Value::Null).await;
    let call = refuses.expect_call("mining.authorize").await;
    refuses.answer(&call, json!(false), json!([24, "Unauthorized worker", null])).await;
    let _pool = Pool::at_work(&second, "0b", "b").await;
    harness.job("b").await;
    assert!(harness.losses.iter().any(|error| error.contains("Unauthorized worker")), "{:?}", harness.losses);
    harness.close().await;
}

#[tokio::test]
async fn a_job_of_a_pool_that_refuses_us_does_not_count_as_work() {
    let listener = listen().await;
    let mut harness = Harness::start(Config { retries: Some(2), ..config(&[port(&listener)]) });
    for _ in 0..3 {
        let mut pool = Pool::accept(&listener).await;
        let call = pool.expect_call("mining.subscribe").await;
        pool.answer(&call, json!([[["mining.notify", "s"]], "0a", 4]), Value::Null).await;
        pool.notify("a", true).await;
        let call = pool.expect_call("mining.authorize").await;
        pool.answer(&call, json!(false), json!([24, "Unauthorized worker", null])).await;
    }
    assert!(harness.end().await.contains("Unauthorized worker"));
}

#[tokio::test]
async fn a_better_pool_that_never_authorizes_us_does_not_block_the_next() {
    let (reserved, third) = (ReservedPorts::take(2), listen().await);
    let (first_port, second_port) = (reserved.first(), reserved.first() + 1);
    let mut config = Config {
        first_job_timeout: Duration::from_millis(50),
        ..config(&[first_port, second_port, port(&third)])
    };
    config.dialer.timeout = Duration::from_millis(50);
    let mut harness = Harness::start(config);
    let _last = Pool::at_work(&third, "0c", "c").await;
    harness.job("c").await;
    let (first, second) = (listen_on(first_port).await, listen_on(second_port).await);
    let never_authorizes = tokio::spawn(async move {
        loop {
            let mut pool = Pool::accept(&first).await;
            let call = pool.expect_call("mining.subscribe").await;
            pool.answer(&call, json!([[["mining.notify", "s"]], "0a", 4]), Value::Null).await;
            pool.notify("a", true).await;
            while !pool.is_over().await {}
        }
    });
    let _pool = Pool::at_work(&second, "0b", "b").await;
    harness.job("b").await;
    never_authorizes.abort();
    harness.close().await;
}

#[tokio::test]
async fn a_pool_may_redirect_the_client_to_another_port_where_the_session_is_resumed() {
    let (first, second) = (listen().await, listen().await);
    let mut harness = Harness::start(config(&[port(&first)]));
    let mut pool = Pool::at_work(&first, "0a", "a").await;
    let ticket = harness.submit_share(&mut pool, "a").await;
    let params = json!(["", port(&second), 0]);
    pool.send_line(&json!({"id": null, "method": "client.reconnect", "params": params}).to_string()).await;
    assert!(harness.loss().await.contains("asks us to reconnect to"));
    let mut pool = Pool::accept(&second).await;
    assert_eq!(pool.welcome("0a").await[1], "s");
    let call = pool.expect_call("mining.submit").await;
    pool.answer(&call, json!(true), Value::Null).await;
    assert_eq!(harness.outcome(ticket).await, Outcome::Accepted);
    harness.close().await;
}

#[tokio::test]
async fn new_extranonces_are_announced_before_the_job_that_uses_them() {
    let listener = listen().await;
    let mut harness = Harness::start(config(&[port(&listener)]));
    let mut pool = Pool::at_work(&listener, "0a", "a").await;
    let wanted = |event| match event {
        Event::ExtranonceChanged { extranonce1, extranonce2_len } => Some((extranonce1, extranonce2_len)),
        _ => None,
    };
    assert_eq!(harness.wait(wanted).await, (vec![0x0a], 4));
    harness.job("a").await;
    pool.send_line(r#"{"id":null,"method":"mining.set_extranonce","params":["0b0c",8]}"#).await;
    pool.notify("b", false).await;
    assert_eq!(harness.wait(wanted).await, (vec![0x0b, 0x0c], 8));
    let job = harness.job("b").await;
    assert_eq!((job.extranonce1.as_slice(), job.extranonce2_len), ([0x0b, 0x0c].as_slice(), 8));
    harness.close().await;
}

#[tokio::test]
async fn a_pool_that_redirects_in_a_loop_is_left_for_the_next() {
    let (first, second) = (listen().await, listen().await);
    let probe_interval = Duration::from_secs(3600);
    let mut harness = Harness::start(Config { probe_interval, ..config(&[port(&first), port(&second)]) });
    let mut redirects = 0;
    let mut pool = loop {
        tokio::select! {
            mut pool = Pool::accept(&first) => {
                pool.welcome("0a").await;
                pool.send_line(r#"{"id":null,"method":"client.reconnect","params":[]}"#).await;
                redirects += 1;
            }
            pool = Pool::accept(&second) => break pool,
        }
    };
    assert!((2..10).contains(&redirects), "{redirects}");
    pool.welcome("0b").await;
    pool.notify("b", true).await;
    harness.job("b").await;
    harness.close().await;
}

#[tokio::test]
async fn a_pool_that_asks_for_a_long_wait_is_left_for_the_next() {
    let (first, second) = (listen().await, listen().await);
    let probe_interval = Duration::from_secs(3600);
    let mut harness = Harness::start(Config { probe_interval, ..config(&[port(&first), port(&second)]) });
    let mut pool = Pool::accept(&first).await;
    pool.welcome("0a").await;
    pool.send_line(r#"{"id":null,"method":"client.reconnect","params":["",0,500]}"#).await;
    let _pool = Pool::at_work(&second, "0b", "b").await;
    harness.job("b").await;
    harness.close().await;
}

/// A pool that refuses the user each time it is asked.
async fn refuses(listener: &tokio::net::TcpListener, times: usize) {
    for _ in 0..times {
        let mut pool = Pool::accept(listener).await;
        pool.expect_call("mining.configure").await;
        let subscribe = pool.expect_call("mining.subscribe").await;
        pool.answer(&subscribe, json!([[], "0a", 4]), Value::Null).await;
        let authorize = pool.expect_call("mining.authorize").await;
        pool.answer(&authorize, json!(false), json!([24, "unknown user", null])).await;
    }
}

#[tokio::test]
async fn pools_that_refuse_the_user_for_ever_are_asked_a_few_times_each() {
    let (first, second) = (listen().await, listen().await);
    let limited = Config { refusals: Config::FEW_REFUSALS, ..config(&[port(&first), port(&second)]) };
    let mut harness = Harness::start(limited);
    tokio::join!(refuses(&first, 3), refuses(&second, 3));
    let end = harness.end().await;
    assert!(end.contains("unknown user"), "{end}");
    assert_eq!(harness.losses.len(), 5, "{:?}", harness.losses);
}

#[tokio::test]
async fn a_pool_that_has_given_work_may_refuse_the_user_for_a_while() {
    let listener = listen().await;
    let limited = Config { refusals: Config::FEW_REFUSALS, ..config(&[port(&listener)]) };
    let mut harness = Harness::start(limited);
    drop(Pool::at_work(&listener, "0a", "a").await);
    harness.job("a").await;
    refuses(&listener, 5).await;
    let _pool = Pool::at_work(&listener, "0b", "b").await;
    harness.job("b").await;
    harness.close().await;
}
