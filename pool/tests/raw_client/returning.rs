//! Miners that resume their session, and miners that are banned or slowed down.

use std::time::Duration;

use pool::{BanRules, Config, ConnectionLimits};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::client::{Client, TestPool, easy, unhex};

/// Subscribes, and returns the session's id, by which a later connection can resume the session.
async fn subscribe(client: &mut Client, former: Option<&str>) -> String {
    let line = json!({"id": 2, "method": "mining.subscribe", "params": ["raw/1", former]});
    let answer = client.ask(&line.to_string()).await;
    client.extranonce1 = unhex(&answer["result"][1]);
    answer["result"][0][1][1].as_str().unwrap().to_owned()
}

async fn authorize(client: &mut Client) {
    client.ask(r#"{"id": 3, "method": "mining.authorize", "params": ["w", "x"]}"#).await;
    client.until(|client| !client.jobs.is_empty()).await;
}

#[tokio::test]
async fn a_miner_resumes_its_session() {
    let pool = TestPool::start(easy()).await;
    let mut first = Client::connect(&pool).await;
    let session = subscribe(&mut first, None).await;
    authorize(&mut first).await;
    let (job, extranonce1) = (first.job(), first.extranonce1.clone());
    let (old, new) = (first.share(&job, &[1; 8]), first.share(&job, &[2; 8]));
    assert_eq!(first.submit("w", &job.id, &[1; 8], job.ntime, old).await, 0);

    // A session cannot be resumed while its connection is open.
    let mut early = Client::connect(&pool).await;
    assert_ne!(subscribe(&mut early, Some(&session)).await, session);
    assert_ne!(early.extranonce1, extranonce1);

    drop(first);
    let mut second = loop {
        let mut second = Client::connect(&pool).await;
        // The pool may not have noticed the end of the first connection yet.
        if subscribe(&mut second, Some(&session)).await == session {
            break second;
        }
    };
    assert_eq!(second.extranonce1, extranonce1);
    authorize(&mut second).await;
    assert!(second.job().clean && second.job().id != job.id);
    assert_eq!(second.submit("w", &job.id, &[1; 8], job.ntime, old).await, 22);
    assert_eq!(second.submit("w", &job.id, &[2; 8], job.ntime, new).await, 0);
    let next = second.job();
    let nonce = second.share(&next, &[1; 8]);
    assert_eq!(second.submit("w", &next.id, &[1; 8], next.ntime, nonce).await, 0);

    // An unknown id gives a new session.
    let mut stranger = Client::connect(&pool).await;
    for former in ["00112233445566778899aabbccddeeff", "x", ""] {
        let own = subscribe(&mut stranger, Some(former)).await;
        assert!(own != former && own.len() == 32, "{own}");
    }
    pool.end().await;
}

#[tokio::test]
async fn a_flood_of_rejected_shares_gets_the_address_banned() {
    let bans = BanRules { shares: 20, percent: 50, time: Duration::from_secs(2), loopback: true };
    let pool = TestPool::start(Config { bans, ..easy() }).await;
    let mut good = Client::ready(&pool, "good").await;
    let mut bad = Client::ready(&pool, "bad").await;
    for _ in 0..100 {
        let line =
            json!({"id": 4, "method": "mining.submit", "params": ["bad", "1", "00", "00000000", "00000000"]});
        if bad.write.write_all(format!("{line}\n").as_bytes()).await.is_err() {
            break;
        }
    }
    while bad.next().await.is_some() {}
    let summary = pool.handle.summary();
    assert_eq!((summary.banned, summary.bans), (1, 1));
    let mut refused = Client::connect(&pool).await;
    assert_eq!(refused.next().await, None);
    // A connection that was open before the ban stays until it sends a share.
    let pong = good.ask(r#"{"id": 9, "method": "mining.ping", "params": []}"#).await;
    assert_eq!(pong["result"], "pong");
    // The ban ends.
    loop {
        let mut again = Client::connect(&pool).await;
        again.send(r#"{"id": 9, "method": "mining.ping", "params": []}"#).await;
        if again.next().await.is_some() {
            break;
        }
    }
    assert_eq!((pool.handle.summary().banned, pool.handle.summary().bans), (0, 1));
    pool.end().await;
}

#[tokio::test]
async fn one_miner_s_flood_of_messages_does_not_delay_others() {
    let limits = ConnectionLimits { messages_per_second: 5, ..ConnectionLimits::default() };
    let pool = TestPool::start(Config { limits, ..easy() }).await;
    let mut hasty = Client::ready(&pool, "hasty").await;
    let lines = "{\"id\":7,\"method\":\"mining.ping\",\"params\":[]}\n".repeat(15);
    hasty.write.write_all(lines.as_bytes()).await.unwrap();
    // The pool answers all messages of the hasty miner, but only after at least two seconds. Another miner does not wait for
    // this.
    let mut other = Client::ready(&pool, "other").await;
    let start = std::time::Instant::now();
    let pong = other.ask(r#"{"id": 9, "method": "mining.ping", "params": []}"#).await;
    assert_eq!(pong["result"], "pong");
    for _ in 0..15 {
        while hasty.next().await.unwrap()["id"] != 7 {}
    }
    assert!(start.elapsed() > Duration::from_millis(500), "the rate is no limit: {:?}", start.elapsed());
    pool.end().await;
}
