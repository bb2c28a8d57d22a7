//! A broken miner and a healthy one behind the same address.

use std::time::Duration;

use pool::{BanRules, Config};
use tokio::io::AsyncWriteExt;

use crate::client::{Client, TestPool, easy};

#[tokio::test]
async fn a_broken_miner_gets_no_healthy_one_behind_its_address_banned() {
    let bans = BanRules { shares: 60, percent: 50, time: Duration::from_secs(3600), loopback: true };
    let pool = TestPool::start(Config { bans, ..easy() }).await;
    let mut healthy = Client::ready(&pool, "healthy").await;
    let mut broken = Client::ready(&pool, "broken").await;
    let mut shares = 0u8;
    let mut share = async |client: &mut Client| {
        shares += 1;
        let (job, e2) = (client.job(), [shares; 8]);
        let nonce = client.share(&job, &e2);
        assert_eq!(client.submit("healthy", &job.id, &e2, job.ntime, nonce).await, 0);
    };
    for _ in 0..3 {
        share(&mut healthy).await;
    }
    let (mut sent, mut answered) = (0, 0);
    loop {
        let line =
            format!(r#"{{"id":4,"method":"mining.submit","params":["broken","1","{sent:016x}","0","zz"]}}"#);
        // The pool may have closed the connection already, which the next read shows.
        let _ = broken.write.write_all(format!("{line}\n").as_bytes()).await;
        sent += 1;
        assert!(sent < 200, "a broken miner may go on for ever");
        match broken.next().await {
            Some(answer) if answer["id"] == 4 => answered += 1,
            Some(_) => {}
            None => break,
        }
    }
    // The last share of a connection has an answer, too.
    assert!((50..=60).contains(&answered), "{answered}");
    // The healthy miner goes on, and may come back.
    share(&mut healthy).await;
    drop(healthy);
    let mut healthy = Client::ready(&pool, "healthy").await;
    share(&mut healthy).await;
    pool.end().await;
}

#[tokio::test]
async fn a_broken_miner_alone_behind_its_address_is_refused() {
    let bans = BanRules { shares: 20, percent: 50, time: Duration::from_secs(3600), loopback: true };
    let pool = TestPool::start(Config { bans, ..easy() }).await;
    let mut broken = Client::ready(&pool, "broken").await;
    for _ in 0..20 {
        let line = r#"{"id":4,"method":"mining.submit","params":["broken"]}"#;
        let _ = broken.write.write_all(format!("{line}\n").as_bytes()).await;
    }
    while broken.next().await.is_some() {}
    assert_eq!(Client::connect(&pool).await.next().await, None);
    pool.end().await;
}
