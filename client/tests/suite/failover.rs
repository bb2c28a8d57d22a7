//! Several pools.

use std::time::Duration;

use client::{Config, Event, Fate};
use serde_json::{Value, json};

use crate::rig::{Rig, config};
use crate::scripted::{DEADLINE, Pool, listen, listen_again, port};

#[tokio::test]
async fn the_first_pool_is_used_again_when_it_is_back_and_no_share_is_lost() {
    let (first, second) = (listen().await, listen().await);
    let first_port = port(&first);
    let mut rig = Rig::start(config(&[first_port, port(&second)]));
    drop(first);
    let mut backup = Pool::at_work(&second, "0b", "b").await;
    let old_job = rig.job("b").await;
    let before = rig.submit(&old_job).await.expect("sent");
    let before_call = backup.hear("mining.submit").await;
    rig.losses.clear();

    // Back, but without work yet: not good enough.
    let first = listen_again(first_port).await;
    let mut main = Pool::accept(&first).await;
    main.welcome("0a").await;
    main.say(r#"{"id":7,"method":"client.get_version","params":[]}"#).await;
    while main.next().await["id"] != 7 {}
    backup.notify("c", false).await;
    rig.job("c").await;
    let meanwhile = rig.submit(&old_job).await.expect("sent");
    let meanwhile_call = backup.hear("mining.submit").await;
    main.notify("a", true).await;
    let job = rig.job("a").await;
    assert_eq!(rig.losses, Vec::<String>::new(), "a switch is no loss");

    // Both connections take shares of their own jobs and answer them.
    let after = rig.submit(&old_job).await.expect("sent, to the pool before");
    let after_call = backup.hear("mining.submit").await;
    let new = rig.submit(&job).await.expect("sent");
    let new_call = main.hear("mining.submit").await;
    main.answer(&new_call, json!(true), Value::Null).await;
    for call in [before_call, meanwhile_call, after_call] {
        backup.answer(&call, json!(true), Value::Null).await;
    }
    for ticket in [before, meanwhile, after, new] {
        assert_eq!(rig.fate(ticket).await, Fate::Accepted);
    }
    assert_eq!(rig.close().await, []);
}

#[tokio::test]
async fn answers_are_not_waited_for_at_the_pool_before_for_ever() {
    // It is silent, or ends the connection.
    for (drain, silent) in [(Duration::from_millis(50), true), (10 * DEADLINE, false)] {
        let (first, second) = (listen().await, listen().await);
        let first_port = port(&first);
        let mut rig = Rig::start(Config { drain, ..config(&[first_port, port(&second)]) });
        drop(first);
        let mut backup = Pool::at_work(&second, "0b", "b").await;
        let job = rig.job("b").await;
        let ticket = rig.submit(&job).await.expect("sent");
        backup.hear("mining.submit").await;
        let first = listen_again(first_port).await;
        let _main = Pool::at_work(&first, "0a", "a").await;
        rig.job("a").await;
        if silent {
            assert!(backup.is_over().await);
        } else {
            drop(backup);
        }
        assert_eq!(rig.fate(ticket).await, Fate::Unanswered);
        assert_eq!(rig.submit(&job).await, None);
        rig.close().await;
    }
}

/// A pool that takes us in and does that instead of giving a job is left for the next; gives what it does.
async fn is_left_without_a_job<T>(does: impl FnOnce(Pool) -> T) -> T {
    let (first, second) = (listen().await, listen().await);
    let start = Duration::from_millis(100);
    let probe_interval = Duration::from_secs(3600);
    let config = Config { start, probe_interval, ..config(&[port(&first), port(&second)]) };
    let mut rig = Rig::start(config);
    let mut idle = Pool::accept(&first).await;
    idle.welcome("0a").await;
    let done = does(idle);
    let _pool = Pool::at_work(&second, "0b", "b").await;
    rig.job("b").await;
    assert!(rig.losses.iter().any(|error| error.contains("gave no job")), "{:?}", rig.losses);
    rig.close().await;
    done
}

#[tokio::test]
async fn a_pool_that_gives_no_job_is_left_for_the_next() {
    is_left_without_a_job(|silent| silent).await;
}

#[tokio::test]
async fn a_pool_that_talks_without_a_pause_but_gives_no_job_is_left_for_the_next() {
    let line = r#"{"id":null,"method":"mining.set_difficulty","params":[1]}"#;
    let flood = is_left_without_a_job(|pool| pool.flood(line)).await;
    flood.join().expect("no panic");
}

#[tokio::test]
async fn a_pool_that_refuses_us_is_left_for_the_next() {
    let (first, second) = (listen().await, listen().await);
    let mut rig = Rig::start(config(&[port(&first), port(&second)]));
    let mut refuses = Pool::accept(&first).await;
    let call = refuses.hear("mining.subscribe").await;
    refuses.answer(&call, json!([[], "0a", 4]), Value::Null).await;
    let call = refuses.hear("mining.authorize").await;
    refuses.answer(&call, json!(false), json!([24, "Unauthorized worker", null])).await;
    let _pool = Pool::at_work(&second, "0b", "b").await;
    rig.job("b").await;
    assert!(rig.losses.iter().any(|error| error.contains("Unauthorized worker")), "{:?}", rig.losses);
    rig.close().await;
}

#[tokio::test]
async fn a_job_from_a_pool_that_then_refuses_us_is_no_work() {
    let listener = listen().await;
    let mut rig = Rig::start(Config { retries: Some(2), ..config(&[port(&listener)]) });
    for _ in 0..3 {
        let mut pool = Pool::accept(&listener).await;
        let call = pool.hear("mining.subscribe").await;
        pool.answer(&call, json!([[["mining.notify", "s"]], "0a", 4]), Value::Null).await;
        pool.notify("a", true).await;
        let call = pool.hear("mining.authorize").await;
        pool.answer(&call, json!(false), json!([24, "Unauthorized worker", null])).await;
    }
    assert!(rig.end().await.contains("Unauthorized worker"));
}

#[tokio::test]
async fn a_better_pool_that_gives_work_but_never_takes_us_does_not_hide_the_next() {
    let (first, second, third) = (listen().await, listen().await, listen().await);
    let (first_port, second_port) = (port(&first), port(&second));
    let mut config =
        Config { start: Duration::from_millis(50), ..config(&[first_port, second_port, port(&third)]) };
    config.dialer.timeout = Duration::from_millis(50);
    let mut rig = Rig::start(config);
    drop((first, second));
    let _last = Pool::at_work(&third, "0c", "c").await;
    rig.job("c").await;
    let (first, second) = (listen_again(first_port).await, listen_again(second_port).await);
    let deaf = tokio::spawn(async move {
        loop {
            let mut pool = Pool::accept(&first).await;
            let call = pool.hear("mining.subscribe").await;
            pool.answer(&call, json!([[["mining.notify", "s"]], "0a", 4]), Value::Null).await;
            pool.notify("a", true).await;
            while !pool.is_over().await {}
        }
    });
    let _pool = Pool::at_work(&second, "0b", "b").await;
    rig.job("b").await;
    deaf.abort();
    rig.close().await;
}

#[tokio::test]
async fn a_pool_may_send_the_client_to_another_port_and_the_session_goes_on_there() {
    let (first, second) = (listen().await, listen().await);
    let mut rig = Rig::start(config(&[port(&first)]));
    let mut pool = Pool::at_work(&first, "0a", "a").await;
    let ticket = rig.open_share(&mut pool, "a").await;
    let params = json!(["", port(&second), 0]);
    pool.say(&json!({"id": null, "method": "client.reconnect", "params": params}).to_string()).await;
    assert!(rig.loss().await.contains("asks to connect to"));
    let mut pool = Pool::accept(&second).await;
    assert_eq!(pool.welcome("0a").await[1], "s");
    let call = pool.hear("mining.submit").await;
    pool.answer(&call, json!(true), Value::Null).await;
    assert_eq!(rig.fate(ticket).await, Fate::Accepted);
    rig.close().await;
}

#[tokio::test]
async fn new_extranonces_are_told_before_the_job_that_has_them() {
    let listener = listen().await;
    let mut rig = Rig::start(config(&[port(&listener)]));
    let mut pool = Pool::at_work(&listener, "0a", "a").await;
    let wanted = |event| match event {
        Event::ExtranonceChanged { extranonce1, extranonce2_len } => Some((extranonce1, extranonce2_len)),
        _ => None,
    };
    assert_eq!(rig.wait(wanted).await, (vec![0x0a], 4));
    rig.job("a").await;
    pool.say(r#"{"id":null,"method":"mining.set_extranonce","params":["0b0c",8]}"#).await;
    pool.notify("b", false).await;
    assert_eq!(rig.wait(wanted).await, (vec![0x0b, 0x0c], 8));
    let job = rig.job("b").await;
    assert_eq!((job.extranonce1.as_slice(), job.extranonce2_len), ([0x0b, 0x0c].as_slice(), 8));
    rig.close().await;
}

#[tokio::test]
async fn a_pool_that_sends_us_in_circles_is_left_for_the_next() {
    let (first, second) = (listen().await, listen().await);
    let probe_interval = Duration::from_secs(3600);
    let mut rig = Rig::start(Config { probe_interval, ..config(&[port(&first), port(&second)]) });
    let mut moves = 0;
    let mut pool = loop {
        tokio::select! {
            mut pool = Pool::accept(&first) => {
                pool.welcome("0a").await;
                pool.say(r#"{"id":null,"method":"client.reconnect","params":[]}"#).await;
                moves += 1;
            }
            pool = Pool::accept(&second) => break pool,
        }
    };
    assert!((2..10).contains(&moves), "{moves}");
    pool.welcome("0b").await;
    pool.notify("b", true).await;
    rig.job("b").await;
    rig.close().await;
}

#[tokio::test]
async fn a_pool_that_wants_us_to_wait_long_is_left_for_the_next() {
    let (first, second) = (listen().await, listen().await);
    let probe_interval = Duration::from_secs(3600);
    let mut rig = Rig::start(Config { probe_interval, ..config(&[port(&first), port(&second)]) });
    let mut pool = Pool::accept(&first).await;
    pool.welcome("0a").await;
    pool.say(r#"{"id":null,"method":"client.reconnect","params":["",0,500]}"#).await;
    let _pool = Pool::at_work(&second, "0b", "b").await;
    rig.job("b").await;
    rig.close().await;
}
