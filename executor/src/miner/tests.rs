//! The miner against a scripted pool, whose messages are literal JSON lines.

mod candidates;

use std::io::{BufRead, Write};
use std::num::NonZeroUsize;

use hasher::Backend;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::engine::cpus::CpuAllocation;
use crate::report_builder::MinedShare;

/// A generous limit, exceeded only if something hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// A scripted pool: the server end of one connection.
struct Pool {
    lines: Lines<BufReader<OwnedReadHalf>>,
    out: OwnedWriteHalf,
}

impl Pool {
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = timeout(DEADLINE, listener.accept()).await.expect("in time").expect("a connection");
        Pool::over(stream)
    }

    fn over(stream: TcpStream) -> Self {
        let (read, out) = stream.into_split();
        Pool { lines: BufReader::new(read).lines(), out }
    }

    async fn send_line(&mut self, line: &str) {
        self.out.write_all(format!("{line}\n").as_bytes()).await.expect("the miner reads");
    }

    /// Waits for a request of this method. Other requests stay unanswered.
    async fn expect_call(&mut self, method: &str) -> Value {
        loop {
            let line = timeout(DEADLINE, self.lines.next_line()).await.expect("in time").expect("a line");
            let call: Value = serde_json::from_str(&line.expect("an open connection")).expect("JSON");
            if call["method"] == method {
                return call;
            }
        }
    }

    async fn answer(&mut self, call: &Value, result: &str, error: &str) {
        self.send_line(&format!(r#"{{"id":{},"result":{result},"error":{error}}}"#, call["id"])).await;
    }

    /// Authorizes the miner and sends it job "a" with a very low difficulty.
    async fn welcome(&mut self) {
        self.welcome_as("00000001").await;
    }

    async fn welcome_as(&mut self, extranonce1: &str) {
        let call = self.expect_call("mining.subscribe").await;
        self.answer(&call, &format!(r#"[[["mining.notify","s"]],"{extranonce1}",4]"#), "null").await;
        let call = self.expect_call("mining.authorize").await;
        assert_eq!(call["params"], serde_json::json!(["me.rig", "x"]));
        self.answer(&call, "true", "null").await;
        self.send_line(r#"{"id":null,"method":"mining.set_difficulty","params":[1e-7]}"#).await;
        self.notify("a", true).await;
    }

    async fn notify(&mut self, id: &str, clean: bool) {
        let prev = "00".repeat(32);
        self.send_line(&format!(
            r#"{{"id":null,"method":"mining.notify","params":["{id}","{prev}","01{}","02",[],"20000000","1d00ffff","65000000",{clean}]}}"#,
            hex::encode(id)
        ))
        .await;
    }
}

/// A miner with one thread, and its events.
struct Harness {
    events: mpsc::Receiver<Event>,
    stop: CancellationToken,
    miner: JoinHandle<Result<(), ClientError>>,
    configs: watch::Sender<Config>,
    pauses: watch::Sender<bool>,
    counters: Counters,
    /// The verdicts on the shares so far.
    verdicts: Vec<Verdict>,
}

impl Harness {
    fn start(pools: &[&TcpListener], change: impl FnOnce(&mut Config)) -> Self {
        let pools = pools.iter().map(|pool| pool.local_addr().expect("an address").to_string());
        let pools = pools.map(|address| pool(&address)).collect();
        let mut config = Config {
            suggest_difficulty: Some(0.5),
            retry_pause: Duration::from_millis(20),
            silence_timeout: DEADLINE,
            ..Config::new(pools)
        };
        change(&mut config);
        let cpus = CpuAllocation { threads: NonZeroUsize::MIN, duty: 1.0, pins: Vec::new() };
        let (engine, found) = Engine::start(Backend::portable(), &cpus).expect("a thread");
        let (sender, events) = mpsc::channel(10_000);
        let stop = CancellationToken::new();
        let ((configs, receiver), (pauses, paused)) = (watch::channel(config), watch::channel(false));
        let counters = engine.counters();
        let miner = tokio::spawn(run(receiver, paused, engine, found, sender, stop.clone()));
        Harness { events, stop, miner, configs, pauses, counters, verdicts: Vec::new() }
    }

    /// Pauses the miner or makes it go on, and waits until it has done so.
    async fn pause(&mut self, pause: bool) {
        self.pauses.send_replace(pause);
        self.wait("a pause or its end", |event| matches!(event, Event::Paused(paused) if *paused == pause))
            .await;
    }

    /// Waits until the thread has finished its last chunk. Returns the number of hashes.
    async fn hashes_at_rest(&self) -> u128 {
        let start = Instant::now();
        loop {
            let before = self.counters.hashes();
            sleep(Duration::from_millis(20)).await;
            if self.counters.hashes() == before {
                return before;
            }
            assert!(start.elapsed() < DEADLINE, "the thread does not rest");
        }
    }

    /// Waits for an event that `wanted` accepts. Records the verdicts of the shares that come before it.
    async fn wait(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = timeout(DEADLINE, self.events.recv()).await.expect(what).expect(what);
            if let Event::Share { share, .. } = &event {
                self.verdicts.push(share.row.verdict);
            }
            if wanted(&event) {
                return event;
            }
        }
    }

    async fn wait_for_verdict(&mut self, verdict: Verdict) -> MinedShare {
        let wanted =
            |event: &Event| matches!(event, Event::Share { share, .. } if share.row.verdict == verdict);
        match self.wait("a verdict", wanted).await {
            Event::Share { share, .. } => *share,
            other => panic!("{other:?}"),
        }
    }

    async fn wait_for_loss(&mut self) -> String {
        match self.wait("a loss", |event| matches!(event, Event::Lost { .. })).await {
            Event::Lost { error, .. } => error,
            other => panic!("{other:?}"),
        }
    }

    /// Stops the miner and returns all verdicts.
    async fn end(mut self) -> Vec<Verdict> {
        self.stop.cancel();
        while let Some(event) = timeout(DEADLINE, self.events.recv()).await.expect("an end in time") {
            if let Event::Share { share, .. } = event {
                self.verdicts.push(share.row.verdict);
            }
        }
        self.miner.await.expect("no panic").expect("a good end");
        self.verdicts
    }
}

fn pool(address: &str) -> client::Pool {
    client::Pool { url: address.parse().expect("an address"), user: "me.rig".into(), password: "x".into() }
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}

#[tokio::test]
async fn each_answer_becomes_the_verdict_of_its_share() {
    let listener = listen().await;
    let mut harness = Harness::start(&[&listener], |_| {});
    let mut pool = Pool::accept(&listener).await;
    pool.welcome().await;
    let first = pool.expect_call("mining.submit").await;
    let second = pool.expect_call("mining.submit").await;
    let third = pool.expect_call("mining.submit").await;
    assert_eq!((&first["params"][0], &first["params"][1]), (&"me.rig".into(), &"a".into()));
    // The pool answers in a different order than it received the requests.
    pool.answer(&second, "null", r#"[23,"Low difficulty",null]"#).await;
    pool.answer(&third, "false", r#"[21,"Stale",null]"#).await;
    pool.answer(&first, "true", "null").await;
    let accepted = harness.wait_for_verdict(Verdict::Accepted).await;
    assert_eq!(harness.verdicts, [Verdict::Rejected(23), Verdict::Stale, Verdict::Accepted]);
    let nonce = first["params"][4].as_str().expect("a nonce");
    assert_eq!(format!("{:08x}", accepted.row.nonce), nonce);
    assert_eq!(accepted.work, hasher::Target::from_difficulty(1e-7).work());
    harness.end().await;
}

#[tokio::test]
async fn new_settings_move_the_miner_to_another_pool() {
    let (first, second) = (listen().await, listen().await);
    let mut harness = Harness::start(&[&first], |_| {});
    let mut old = Pool::accept(&first).await;
    old.welcome().await;
    old.expect_call("mining.submit").await;
    let address = second.local_addr().expect("an address").to_string();
    harness.configs.send_modify(|config| config.pools = vec![pool(&address)]);
    harness.wait_for_verdict(Verdict::Unanswered).await;
    let mut new = Pool::accept(&second).await;
    new.welcome().await;
    let call = new.expect_call("mining.submit").await;
    new.answer(&call, "true", "null").await;
    harness.wait_for_verdict(Verdict::Accepted).await;
    // The miner has closed the connection to the first pool.
    while timeout(DEADLINE, old.lines.next_line()).await.expect("an end in time").expect("lines").is_some() {}
    harness.end().await;
}

#[tokio::test]
async fn a_paused_miner_searches_nothing_and_keeps_its_connection_and_its_job() {
    let listener = listen().await;
    let mut harness = Harness::start(&[&listener], |_| {});
    let mut pool = Pool::accept(&listener).await;
    pool.welcome().await;
    let call = pool.expect_call("mining.submit").await;
    pool.answer(&call, "true", "null").await;
    harness.wait_for_verdict(Verdict::Accepted).await;
    harness.pause(true).await;
    let hashes = harness.hashes_at_rest().await;
    pool.send_line(r#"{"id":"are you there","method":"mining.ping","params":[]}"#).await;
    let pong = |line: &str| line.contains("are you there") && line.contains("pong");
    while !timeout(DEADLINE, pool.lines.next_line())
        .await
        .expect("in time")
        .expect("a line")
        .is_some_and(|line| pong(&line))
    {}
    pool.notify("b", true).await;
    harness.wait("the job", |event| matches!(event, Event::Job { job, .. } if job.id == "b")).await;
    assert_eq!(harness.hashes_at_rest().await, hashes);
    harness.pause(false).await;
    let call = pool.expect_call("mining.submit").await;
    assert_eq!(call["params"][1], "b", "the job of the pause");
    assert!(harness.counters.hashes() > hashes);
    // Pausing and going on faster than the miner looks changes nothing.
    harness.pauses.send_replace(true);
    harness.pauses.send_replace(false);
    pool.expect_call("mining.submit").await;
    harness.end().await;
}

#[tokio::test]
async fn a_miner_that_is_paused_before_its_first_job_works_when_it_has_one() {
    let listener = listen().await;
    let mut harness = Harness::start(&[&listener], |_| {});
    // The miner has begun to connect, so it sees the pause as a change.
    let mut pool = Pool::accept(&listener).await;
    harness.pause(true).await;
    pool.welcome().await;
    harness.wait("work", |event| matches!(event, Event::Working)).await;
    assert_eq!(harness.hashes_at_rest().await, 0);
    harness.pause(false).await;
    pool.expect_call("mining.submit").await;
    harness.end().await;
}

#[tokio::test]
async fn the_first_hash_of_each_job_is_told_with_its_delay() {
    let listener = listen().await;
    let mut harness = Harness::start(&[&listener], |_| {});
    let mut pool = Pool::accept(&listener).await;
    let before = Instant::now();
    pool.welcome().await;
    for job in ["b", "c"] {
        let event = harness.wait("a first hash", |event| matches!(event, Event::FirstHash { .. })).await;
        let Event::FirstHash { delay } = event else { panic!("{event:?}") };
        assert!(delay > Duration::ZERO && delay <= before.elapsed(), "{delay:?}");
        pool.notify(job, true).await;
    }
    harness.wait("a first hash", |event| matches!(event, Event::FirstHash { .. })).await;
    harness.end().await;
}

#[tokio::test]
async fn the_configured_difficulty_is_suggested() {
    let listener = listen().await;
    let harness = Harness::start(&[&listener], |config| config.suggest_difficulty = Some(0.125));
    let mut pool = Pool::accept(&listener).await;
    let call = pool.expect_call("mining.subscribe").await;
    pool.answer(&call, r#"[[],"00000001",4]"#, "null").await;
    let call = pool.expect_call("mining.suggest_difficulty").await;
    assert_eq!(call["params"], serde_json::json!([0.125]));
    harness.end().await;
}

#[tokio::test]
async fn the_miner_reconnects_and_shares_of_the_lost_connection_are_unanswered() {
    let listener = listen().await;
    let mut harness = Harness::start(&[&listener], |_| {});
    let mut pool = Pool::accept(&listener).await;
    pool.welcome().await;
    pool.expect_call("mining.submit").await;
    drop(pool);
    let error = harness.wait_for_loss().await;
    assert!(error.contains("127.0.0.1"), "{error}");
    let mut pool = Pool::accept(&listener).await;
    // The new connection does not resume the session, so it is unknown whether the share had arrived.
    pool.welcome_as("00000002").await;
    harness.wait_for_verdict(Verdict::Unanswered).await;
    let call = pool.expect_call("mining.submit").await;
    pool.answer(&call, "true", "null").await;
    harness.wait_for_verdict(Verdict::Accepted).await;
    harness.end().await;
}

#[tokio::test]
async fn every_submitted_share_gets_one_verdict() {
    let listener = listen().await;
    let harness = Harness::start(&[&listener], |_| {});
    let mut pool = Pool::accept(&listener).await;
    pool.welcome().await;
    let mut submitted = 0;
    for round in 0..20 {
        let call = pool.expect_call("mining.submit").await;
        submitted += 1;
        match round % 3 {
            0 => pool.answer(&call, "true", "null").await,
            1 => pool.answer(&call, "null", r#"[22,"Duplicate",null]"#).await,
            _ => {}
        }
        if round % 5 == 4 {
            pool.notify(&format!("job{round}"), true).await;
        }
    }
    let count = tokio::spawn(async move {
        // Counts the shares that arrive before the miner disconnects.
        while let Ok(Some(line)) = pool.lines.next_line().await {
            submitted += u32::from(line.contains("mining.submit"));
        }
        submitted
    });
    let verdicts = harness.end().await;
    let submitted = count.await.expect("no panic");
    let with = |wanted: Verdict| verdicts.iter().filter(|verdict| **verdict == wanted).count() as u32;
    assert_eq!((with(Verdict::Accepted), with(Verdict::Rejected(22))), (7, 7));
    assert_eq!(with(Verdict::Unanswered), submitted - 14);
    assert_eq!(with(Verdict::Stale) + submitted, verdicts.len() as u32, "stale shares were never sent");
}

#[tokio::test]
async fn a_pool_that_floods_the_miner_delays_neither_shares_nor_the_end() {
    let listener = listen().await;
    let mut harness = Harness::start(&[&listener], |_| {});
    let mut pool = Pool::accept(&listener).await;
    pool.welcome().await;
    // One thread of the pool writes jobs without a pause, so that the miner always has something to read. Another thread reads
    // the shares.
    let whole = pool.lines.into_inner().into_inner().reunite(pool.out).expect("one connection");
    let stream = whole.into_std().expect("a socket");
    stream.set_nonblocking(false).expect("a socket that can wait");
    let mut out = stream.try_clone().expect("a second handle");
    let flood = std::thread::spawn(move || {
        let prev = "00".repeat(32);
        let line = format!(
            r#"{{"id":null,"method":"mining.notify","params":["b","{prev}","01","02",[],"20000000","1d00ffff","65000000",false]}}"#
        );
        let lines = format!("{line}\n").repeat(1_000);
        while out.write_all(lines.as_bytes()).is_ok() {}
    });
    let (enough, submitted) = tokio::sync::oneshot::channel();
    let reader = std::thread::spawn(move || {
        let mut lines = std::io::BufReader::new(stream).lines().map_while(Result::ok);
        let submits = lines.by_ref().filter(|line| line.contains("mining.submit")).take(50).count();
        // No share is answered, so stopping the miner also tests that it waits for answers only for a limited time.
        let _ = enough.send(submits);
        lines.for_each(drop);
    });
    let drained = tokio::spawn(async move { while harness.events.recv().await.is_some() {} });
    assert_eq!(timeout(DEADLINE, submitted).await.expect("shares in time"), Ok(50));
    harness.stop.cancel();
    timeout(DEADLINE, harness.miner).await.expect("an end in time").expect("no panic").expect("a good end");
    drained.await.expect("no panic");
    flood.join().expect("no panic");
    reader.join().expect("no panic");
}

#[tokio::test]
async fn without_retries_an_unreachable_pool_is_an_error() {
    let listener = listen().await;
    let mut harness = Harness::start(&[&listener], |config| config.retries = Some(0));
    drop(Pool::accept(&listener).await);
    let error = timeout(DEADLINE, &mut harness.miner).await.expect("in time").expect("no panic");
    // The kind of error depends on how much the pool had read before it closed the connection.
    let lost = matches!(
        error,
        Err(ClientError::Closed { .. } | ClientError::Read { .. } | ClientError::Write { .. })
    );
    assert!(lost, "{error:?}");

    let mut harness = Harness::start(&[&listener], |config| {
        config.retries = Some(0);
        config.pools = vec![pool(&testing::ports::closed_address().to_string())];
    });
    let error = timeout(DEADLINE, &mut harness.miner).await.expect("in time").expect("no panic");
    assert!(matches!(error, Err(ClientError::Connect { .. })), "{error:?}");
}

#[tokio::test]
async fn the_error_names_a_refused_user() {
    let listener = listen().await;
    let mut harness = Harness::start(&[&listener], |config| config.retries = Some(0));
    let mut pool = Pool::accept(&listener).await;
    let call = pool.expect_call("mining.subscribe").await;
    pool.answer(&call, r#"[[],"00000001",4]"#, "null").await;
    let call = pool.expect_call("mining.authorize").await;
    pool.answer(&call, "false", r#"[24,"Unauthorized worker",null]"#).await;
    let error = timeout(DEADLINE, &mut harness.miner).await.expect("in time").expect("no panic");
    let error = error_chain(&error.expect_err("refused"));
    assert!(error.contains("me.rig") && error.contains("Unauthorized worker"), "{error}");
}

#[tokio::test]
async fn a_silent_pool_is_pinged_and_then_lost() {
    let listener = listen().await;
    let mut harness =
        Harness::start(&[&listener], |config| config.silence_timeout = Duration::from_millis(100));
    let mut pool = Pool::accept(&listener).await;
    pool.expect_call("mining.ping").await;
    let error = harness.wait_for_loss().await;
    assert!(error.contains("silent"), "{error}");
    harness.end().await;
}

#[tokio::test]
async fn an_unreachable_pool_is_left_for_the_next() {
    let (dead, alive) = (listen().await, listen().await);
    let harness = Harness::start(&[&dead, &alive], |_| {});
    drop(dead);
    let mut pool = Pool::accept(&alive).await;
    pool.welcome().await;
    pool.expect_call("mining.submit").await;
    harness.end().await;
}

#[tokio::test]
async fn a_pool_may_redirect_the_miner_to_another_port() {
    let (first, second) = (listen().await, listen().await);
    let harness = Harness::start(&[&first], |_| {});
    let mut pool = Pool::accept(&first).await;
    pool.welcome().await;
    let port = second.local_addr().expect("an address").port();
    pool.send_line(&format!(r#"{{"id":null,"method":"client.reconnect","params":["",{port},0]}}"#)).await;
    let mut pool = Pool::accept(&second).await;
    pool.welcome().await;
    pool.expect_call("mining.submit").await;
    harness.end().await;
}

#[tokio::test]
async fn invalid_lines_are_skipped() {
    let listener = listen().await;
    let harness = Harness::start(&[&listener], |_| {});
    let mut pool = Pool::accept(&listener).await;
    for line in ["", "{", "[]", r#"{"method":"mining.notify","params":[1]}"#, r#"{"id":77,"result":true}"#] {
        pool.send_line(line).await;
    }
    pool.welcome().await;
    pool.expect_call("mining.submit").await;
    harness.end().await;
}
