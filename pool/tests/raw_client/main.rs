//! Tests a pool on a real socket with a miner that sends literal lines and has a parser of its own. The miner shares no
//! code with the pool except SHA-256d.

mod bans;
mod client;
mod lines;
mod prometheus;
mod returning;

use std::time::Duration;

use client::{Client, DEADLINE, TestPool, WireJob, easy, network, now, options, with_difficulty};
use pool::{Config, ConnectionLimits, Server};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn shares_get_every_verdict() {
    let pool = TestPool::start(easy()).await;
    let mut client = Client::connect(&pool).await;
    let e2 = [1; 8];

    // No share counts before the miner has subscribed and authorized its worker.
    assert_eq!(client.submit("w", "1", &e2, now(), 0).await, 25);
    client.subscribe().await;
    assert_eq!(client.submit("w", "1", &e2, now(), 0).await, 24);
    assert_eq!(
        client.ask(r#"{"id":1,"method":"mining.authorize","params":["w","x"]}"#).await["result"],
        true
    );
    client.until(|client| !client.jobs.is_empty()).await;
    assert!(client.job().clean && client.difficulty == 1e-7);

    let job = client.job();
    let nonce = client.share(&job, &e2);
    assert_eq!(client.submit("other", &job.id, &e2, job.ntime, nonce).await, 24);
    assert_eq!(client.submit("w", &job.id, &e2, job.ntime, nonce).await, 0);
    assert_eq!(client.submit("w", &job.id, &e2, job.ntime, nonce).await, 22);
    // A share is a duplicate even if it is spelled differently.
    let spelled = json!([
        "w",
        job.id.to_uppercase(),
        "0101010101010101",
        format!("{:X}", job.ntime),
        format!("{nonce:X}")
    ]);
    assert_eq!(client.submit_params(spelled).await, 22);

    let low = client.search(&job, &e2, job.version, 0.0..client.difficulty * 0.9);
    assert_eq!(client.submit("w", &job.id, &e2, job.ntime, low).await, 23);
    assert_eq!(client.submit("w", "ffff0000", &e2, job.ntime, nonce).await, 21);
    assert_eq!(client.submit("w", "no hex", &e2, job.ntime, nonce).await, 21);
    assert_eq!(client.submit("w", &job.id, &e2[..7], job.ntime, nonce).await, 20);
    assert_eq!(client.submit("w", &job.id, &e2, job.ntime + 3 * 3600, nonce).await, 20);
    assert_eq!(client.submit("w", &job.id, &e2, job.ntime - 3 * 3600, nonce).await, 20);
    assert_eq!(client.submit_params(json!(["w", job.id, "0101010101010101", "xyz", "00000000"])).await, 20);
    assert_eq!(client.submit_params(json!([])).await, 20);
    assert_eq!(client.ask(r#"{"id":"x","method":"mining.frobnicate","params":[]}"#).await["error"][0], 20);

    let accounts = pool.handle.take_changed();
    assert_eq!(accounts.len(), 1);
    let account = &accounts[0];
    assert_eq!(account.worker, "w");
    let totals = account.totals;
    assert_eq!((totals.accepted, totals.rejected, totals.stale, totals.hashes), (1, 6, 2, 0));
    assert_eq!(totals.accepted_work, hasher::Target::from_difficulty(1e-7).work());
    assert_eq!((account.rows.len(), account.rows_omitted), (9, 0));
    let row = &account.rows[0];
    assert_eq!(
        (row.nonce, row.ntime, row.version, &row.extranonce2[..]),
        (nonce, job.ntime, job.version, &e2[..])
    );
    assert!(row.difficulty >= 1e-7 && row.job == job.id);
    assert_eq!(pool.handle.take_changed(), []);
    pool.end().await;
}

#[tokio::test]
async fn a_block_brings_new_jobs_to_all_and_makes_old_shares_stale() {
    let pool = TestPool::with_block_interval(easy(), Duration::from_secs(20)).await;
    let (mut finder, mut other) = (Client::ready(&pool, "finder").await, Client::ready(&pool, "other").await);
    assert_ne!(finder.extranonce1, other.extranonce1);
    let mut changes = pool.handle.counters();
    for _ in 0..3 {
        // Waits for an easy target, because the first target was made before the pool knew how slow these miners are.
        finder.until(|client| network(&client.job()) < 1e-4).await;
        let height = pool.handle.live().height;
        let (job, old) = (finder.job(), other.job());
        let stale = other.share(&old, &[0; 8]);
        let nonce = finder.search(&job, &[0; 8], job.version, network(&job) * 1.001..f64::INFINITY);
        assert_eq!(finder.submit("finder", &job.id, &[0; 8], job.ntime, nonce).await, 0);
        // All connections get the new job.
        let hash = hasher::sha256d(&finder.header(&job, &[0; 8], job.version, job.ntime, nonce)).to_vec();
        for client in [&mut finder, &mut other] {
            client.until(|client| client.jobs.iter().any(|job| job.prev_hash == hash)).await;
            assert!(client.jobs[0].clean);
        }
        assert_eq!(pool.handle.live().height, height + 1);
        assert_eq!(other.submit("other", &old.id, &[0; 8], old.ntime, stale).await, 21);
        assert_eq!(finder.submit("finder", &job.id, &[0; 8], job.ntime, nonce).await, 21);
    }
    assert_eq!(changes.wait_for(|changes| changes.blocks == 3).await.unwrap().blocks, 3);
    let accounts = pool.handle.take_all();
    assert_eq!(
        accounts.iter().map(|a| (a.worker.as_str(), a.totals.blocks)).collect::<Vec<_>>(),
        [("finder", 3), ("other", 0)]
    );
    assert_eq!(accounts.iter().map(|a| a.totals.stale).sum::<u64>(), 6);
    pool.end().await;
}

#[tokio::test]
async fn version_bits_roll_only_within_the_mask() {
    let pool = TestPool::start(easy()).await;
    let mut client = Client::connect(&pool).await;
    let answer = client
        .ask(r#"{"id":1,"method":"mining.configure","params":[["version-rolling","x"],{"version-rolling.mask":"ffffffff"}]}"#)
        .await;
    assert_eq!(
        answer["result"],
        json!({"version-rolling": true, "version-rolling.mask": "1fffe000", "x": false})
    );
    client.subscribe().await;
    client.ask(r#"{"id":1,"method":"mining.authorize","params":["w"]}"#).await;
    client.until(|client| !client.jobs.is_empty()).await;
    let job = client.job();
    let rolled = job.version | 0x0012_4000;
    let nonce = client.search(&job, &[0; 8], rolled, client.difficulty * 1.001..network(&job) * 0.999);
    let ntime = format!("{:08x}", job.ntime);
    let nonce = format!("{nonce:08x}");
    let params = |worker: &str, job: &WireJob, bits: &str| {
        json!([worker, job.id, "0000000000000000", ntime, nonce, bits])
    };
    assert_eq!(client.submit_params(params("w", &job, "00124001")).await, 20);
    assert_eq!(client.submit_params(params("w", &job, "00124000")).await, 0);
    assert_eq!(client.submit_params(params("w", &job, "124000")).await, 22);
    assert_eq!(pool.handle.take_all()[0].rows[1].version, rolled);

    // A miner that has not asked for version rolling may not roll any version bits.
    let mut plain = Client::ready(&pool, "p").await;
    let own = plain.job();
    assert_eq!(plain.submit_params(params("p", &own, "00124000")).await, 20);
    pool.end().await;
}

#[tokio::test]
async fn a_suggestion_or_the_password_sets_the_difficulty() {
    let pool = TestPool::start(easy()).await;
    let mut client = Client::connect(&pool).await;
    client.ask(r#"{"id":1,"method":"mining.suggest_difficulty","params":[0.00002]}"#).await;
    client.subscribe().await;
    client.ask(r#"{"id":1,"method":"mining.authorize","params":["w","x"]}"#).await;
    client.until(|client| !client.jobs.is_empty()).await;
    assert_eq!(client.difficulty, 0.00002);
    // A later suggestion causes a new job. Shares of the old job may then be as easy as before.
    let old = client.job();
    client.ask(r#"{"id":1,"method":"mining.suggest_difficulty","params":[0.0001]}"#).await;
    client.until(|client| client.job().difficulty == 0.0001).await;
    assert!(!client.job().clean);
    let nonce = client.search(&old, &[0; 8], old.version, 0.000021..0.00009);
    assert_eq!(client.submit("w", &old.id, &[0; 8], old.ntime, nonce).await, 0);
    let new = client.job();
    let header = |job| client.header(job, &[0; 8], 0, 0, 0);
    assert_ne!(header(&new), header(&old), "a miner that starts at the same extranonce2 would repeat itself");
    let nonce = client.search(&new, &[0; 8], new.version, 0.000021..0.00009);
    assert_eq!(client.submit("w", &new.id, &[0; 8], new.ntime, nonce).await, 23);

    let mut fixed = Client::connect(&pool).await;
    fixed.subscribe().await;
    fixed.ask(r#"{"id":1,"method":"mining.authorize","params":["f","x,d=0.00003"]}"#).await;
    fixed.until(|client| !client.jobs.is_empty()).await;
    assert_eq!(fixed.difficulty, 0.00003);
    pool.end().await;
}

#[tokio::test]
async fn a_suggestion_raises_the_chain_s_difficulty_and_is_capped_by_it() {
    let pool = TestPool::with_block_interval(easy(), Duration::from_secs(20)).await;
    let mut client = Client::connect(&pool).await;
    let before = pool.handle.live().difficulty;
    client.ask(r#"{"id":1,"method":"mining.suggest_difficulty","params":[1000]}"#).await;
    client.subscribe().await;
    client.ask(r#"{"id":1,"method":"mining.authorize","params":["w","x"]}"#).await;
    // At first, the difficulty of shares cannot exceed that of a block. Then the chain's difficulty rises to fit the
    // hashrate that the pool derives from the miner's suggestion.
    client
        .until(|client| {
            client.difficulty > 500.0 && client.jobs.last().is_some_and(|job| network(job) > 10_000.0)
        })
        .await;
    assert!(client.jobs.len() >= 2 && network(&client.jobs[0]) < 1.0, "the first job has the old target");
    assert!(before < 1.0 && network(&client.job()) < 20_100.0);
    drop(client);
    pool.end().await;
}

#[tokio::test]
async fn connections_and_the_time_to_authorize_are_limited() {
    let limits = ConnectionLimits {
        connections: 1,
        authorize_within: Duration::from_secs(1),
        ..ConnectionLimits::default()
    };
    let pool = TestPool::start(Config { limits, ..easy() }).await;
    assert_eq!((pool.handle.live().max_connections, pool.handle.is_full()), (Some(1), false));
    let mut first = Client::connect(&pool).await;
    let mut second = Client::connect(&pool).await;
    assert_eq!(second.next().await, None, "one connection too many");
    assert!(pool.handle.is_full());
    assert_eq!(first.next().await, None, "no worker in time");
    // The next connection is admitted, though perhaps not immediately.
    loop {
        let mut client = Client::connect(&pool).await;
        let _ =
            client.write.write_all(b"{\"id\":3,\"method\":\"mining.authorize\",\"params\":[\"w\"]}\n").await;
        if client.next().await.is_some() {
            break;
        }
    }
    pool.end().await;
}

#[tokio::test]
async fn accounts_outlive_connections_and_the_pool() {
    let pool = TestPool::start(easy()).await;
    for round in 0..2u8 {
        let mut client = Client::ready(&pool, "w").await;
        let job = client.job();
        let nonce = client.share(&job, &[round; 8]);
        assert_eq!(client.submit("w", &job.id, &[round; 8], job.ntime, nonce).await, 0);
    }
    let handle = pool.handle.clone();
    pool.end().await;
    assert_eq!(handle.live().connections, 0);
    let accounts = handle.take_all();
    assert_eq!((accounts.len(), accounts[0].totals.accepted, accounts[0].rows.len()), (1, 2, 2));
}

#[tokio::test]
async fn the_pool_stays_responsive_when_every_hash_is_a_block() {
    // On the easiest chain, half of all hashes make a block. Several miners mine without a pause.
    let config = with_difficulty(1e-12);
    let pool = TestPool::with_block_interval(config, Duration::from_nanos(1)).await;
    let start = pool.handle.live().height;
    let mut miners = Vec::new();
    for name in ["a", "b", "c"] {
        let mut client = Client::ready(&pool, name).await;
        miners.push(tokio::spawn(async move {
            for round in 0..300u32 {
                let job = client.job();
                let params =
                    json!([name, job.id, format!("{round:016x}"), format!("{:08x}", job.ntime), "00000000"]);
                let code = client.submit_params(params).await;
                assert!([0, 21, 23].contains(&code), "{code}");
            }
        }));
    }
    for miner in miners {
        tokio::time::timeout(DEADLINE, miner).await.unwrap().unwrap();
    }
    let mut late = Client::ready(&pool, "late").await;
    let answer = late.ask(r#"{"id":9,"method":"mining.ping","params":[]}"#).await;
    assert_eq!(answer["result"], "pong");
    let handle = pool.handle.clone();
    pool.end().await;
    let (live, summary) = (handle.live(), handle.summary());
    assert!(summary.totals.blocks >= 1);
    // Each block is counted once and raises the height by one. The pool may have ended before the last counted block
    // raised the height.
    let risen = live.height - start;
    assert!((risen..=risen + 1).contains(&summary.totals.blocks), "{risen} {}", summary.totals.blocks);
    assert_eq!(summary.totals.accepted + summary.totals.rejected + summary.totals.stale, 900);
}

#[tokio::test]
async fn http_serves_health_summary_and_metrics() {
    let options = options("127.0.0.1:0".parse().unwrap(), easy(), Duration::from_secs(1_000));
    let options = pool::ServerOptions {
        stratum: net::all_interfaces(0).to_vec(),
        http: Some(net::all_interfaces(0).to_vec()),
        ..options
    };
    let server = Server::bind(options).await.unwrap();
    let http = server.http_addr().unwrap().port();
    let mut pool = TestPool::serve(server);
    pool.address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    let mut client = Client::ready(&pool, "w\"1").await;
    let job = client.job();
    let nonce = client.share(&job, &[0; 8]);
    assert_eq!(client.submit("w\"1", &job.id, &[0; 8], job.ntime, nonce).await, 0);

    assert_eq!(get(http, "/healthz").await, ("200".into(), "ok\n".into()));
    let (status, body) = get(http, "/api/v1/summary").await;
    let summary: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status.as_str(), &summary["height"], &summary["connections"]),
        ("200", &json!(101), &json!(1))
    );
    assert_eq!(summary["totals"]["shares"], json!({"accepted": 1, "rejected": 0, "stale": 0}));
    let worker = &summary["workers"][0];
    assert_eq!(worker["worker"], "w\"1");
    // The hashrate is estimated from one share, which takes 429 hashes on average.
    let hashrate = worker["hashrate"].as_f64().unwrap();
    assert!(hashrate > 0.0 && hashrate.is_finite(), "{summary}");
    let (_, metrics) = get(http, "/metrics").await;
    prometheus::check(&metrics);
    assert!(metrics.contains("\npool_shares_total{verdict=\"accepted\"} 1\n"), "{metrics}");
    assert!(metrics.contains("# TYPE pool_height gauge\npool_height 101\n"), "{metrics}");
    assert_eq!(get(http, "/").await.0, "404");
    pool.end().await;
}

async fn get(port: u16, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    tokio::time::timeout(DEADLINE, stream.read_to_string(&mut response)).await.unwrap().unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let pool = TestPool::start(easy()).await;
    let options = options(pool.address, easy(), Duration::from_secs(20));
    let error = Server::bind(options).await.unwrap_err();
    assert!(error.to_string().contains(&pool.address.to_string()));
    pool.end().await;
}
