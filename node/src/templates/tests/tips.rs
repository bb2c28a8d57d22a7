//! How new tips are learned of, from fake nodes of several kinds and versions.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::fake_chain::hash;
use super::*;

/// Waits until a condition holds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The update that tells of a tip.
pub async fn work_on(templates: &mut TemplateStream, tip: u8) -> TemplateUpdate {
    loop {
        let update = update(templates).await;
        if update.template.prev_hash == hash(tip) {
            return update;
        }
    }
}

#[tokio::test]
async fn bitcoin_core_is_waited_for_with_the_known_tip_and_never_long_polled() {
    let core = Core::start(1).await;
    let mut templates = watch_all(&[&core], Network::Regtest, timing());
    let first = update(&mut templates).await;
    assert!(first.clean && first.parent_time.is_none());
    core.change(|chain| chain.tip = 2);
    assert!(work_on(&mut templates, 2).await.clean);
    until("waits", || core.calls("waitfornewblock") > 3).await;
    for tip in 3..6 {
        core.change(|chain| chain.tip = tip);
        let next = work_on(&mut templates, tip).await;
        assert!(next.clean && next.node == 0);
    }
    assert_eq!(core.long_polls(), 0);
    let calls = core.node.calls();
    assert_eq!(calls.iter().filter(|call| call.method == "getblockchaininfo").count(), 1);
    let first_wait = calls.iter().find(|call| call.method == "waitfornewblock").unwrap();
    assert_eq!(first_wait.params, json!([160, hash(2).to_string()]));
    let template = calls.iter().find(|call| call.method == "getblocktemplate").unwrap();
    assert_eq!(template.params[0]["rules"], json!(["segwit", "signet"]));
}

#[tokio::test]
async fn before_version_30_a_wait_has_a_time_limit_alone() {
    // The second node does not tell its version: its answer to the second argument does.
    for forbidden in [&[][..], &["getnetworkinfo"]] {
        let core = Core::with(Chain { kind: Kind::Core(280_100), forbidden, ..Chain::default() }).await;
        let mut templates = watch_all(&[&core], Network::Regtest, timing());
        update(&mut templates).await;
        until("waits", || {
            core.count(|call| call.method == "waitfornewblock" && call.params.as_array().unwrap().len() == 1)
                > 1
        })
        .await;
        for tip in 2..5 {
            core.change(|chain| chain.tip = tip);
            work_on(&mut templates, tip).await;
        }
        assert_eq!(core.long_polls(), 0);
    }
}

#[tokio::test]
async fn a_node_where_others_wait_or_that_does_not_tell_is_polled() {
    let crowded = Chain { other_waits: 2, ..Chain::default() };
    let silent = Chain { forbidden: &["getrpcinfo"], ..Chain::default() };
    let strict = Chain { forbidden: &["waitfornewblock"], ..Chain::default() };
    for chain in [crowded, silent, strict] {
        let core = Core::with(chain).await;
        let mut templates = watch_all(&[&core], Network::Regtest, timing());
        update(&mut templates).await;
        until("the waits are counted", || core.calls("getrpcinfo") > 0).await;
        let polls = core.calls("getbestblockhash");
        until("polls", || core.calls("getbestblockhash") > polls + 3).await;
        core.change(|chain| chain.tip = 2);
        work_on(&mut templates, 2).await;
        // The one wait is refused, and its cause is looked for with another call.
        assert!(core.calls("waitfornewblock") <= 2);
        assert_eq!(core.long_polls(), 0);
    }
}

#[tokio::test]
async fn a_long_poll_tells_of_tips_and_fees_where_the_node_is_not_bitcoin_core() {
    let core = Core::with(Chain { kind: Kind::Bcoin, ..Chain::default() }).await;
    let mut templates = watch_all(&[&core], Network::Regtest, timing());
    update(&mut templates).await;
    for tip in 2..6 {
        until("a long poll", || core.long_polls() >= usize::from(tip) - 1).await;
        core.change(|chain| chain.tip = tip);
        assert!(work_on(&mut templates, tip).await.clean);
    }
    // Before it is published, the long poll must have lasted a while.
    until("a long poll", || core.long_polls() >= 5).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    core.change(|chain| chain.fees = 9);
    let next = update(&mut templates).await;
    assert!(!next.clean && fees(&next) == 9);
    assert_eq!((core.calls("waitfornewblock"), core.calls("getrpcinfo")), (0, 0));
    // After new transactions, a block is seen at once: the next long poll has begun.
    until("a long poll", || core.long_polls() >= 6).await;
    core.change(|chain| chain.tip = 6);
    work_on(&mut templates, 6).await;
}

#[tokio::test]
async fn a_node_that_ignores_the_long_poll_s_id_is_polled_and_its_template_published_once() {
    let core = Core::with(Chain { kind: Kind::Hasty, ..Chain::default() }).await;
    let mut templates = watch_all(&[&core], Network::Regtest, timing());
    update(&mut templates).await;
    let polls = core.calls("getbestblockhash");
    until("polls", || core.calls("getbestblockhash") > polls + 8).await;
    // Two seconds with pauses of 0.5 to 1, 1 to 2, and 2 to 4 seconds.
    assert!(core.long_polls() <= 4, "{} long polls", core.long_polls());
    core.change(|chain| chain.tip = 2);
    // No template was published in between.
    let next = update(&mut templates).await;
    assert_eq!(next.template.prev_hash, hash(2));
}

#[tokio::test]
async fn refreshes_pick_up_fees_and_the_present_time() {
    let core = Core::start(1).await;
    let refresh = Duration::from_millis(20);
    let mut templates = watch_all(&[&core], Network::Regtest, TemplateTiming { refresh, ..timing() });
    assert!(update(&mut templates).await.clean);
    for _ in 0..5 {
        assert!(!update(&mut templates).await.clean);
    }
    core.change(|chain| chain.fees = 9);
    while fees(&update(&mut templates).await) != 9 {}
}

#[tokio::test]
async fn an_empty_template_comes_first_and_the_full_one_follows() {
    for kind in [Kind::Core(310_000), Kind::Core(280_100)] {
        let core = Core::with(Chain { kind, tip: 1, has_facts: true, ..Chain::default() }).await;
        let mut templates = watch_all(&[&core], Network::Regtest, timing());
        update(&mut templates).await;
        // The full template is late, so that the empty one is not skipped.
        core.change(|chain| (chain.tip, chain.delay) = (2, Duration::from_millis(50)));
        let empty = work_on(&mut templates, 2).await;
        assert!(empty.clean && empty.template.transactions.is_empty());
        assert!(empty.template.witness_commitment.is_some() && empty.template.height == 1000);
        let full = update(&mut templates).await;
        assert!(!full.clean && full.template.transactions.len() == 1);
        assert_eq!(full.template.prev_hash, hash(2));
    }
}

#[tokio::test]
async fn a_node_that_is_back_is_found_by_a_block_that_reaches_it() {
    let core = Core::start(1).await;
    let nodes = Nodes::new([core.node.client()]).unwrap();
    let retry = (NEVER, NEVER);
    let timing = TemplateTiming { retry, absent: NEVER, ..timing() };
    let mut templates = nodes.templates(Network::Regtest, timing);
    update(&mut templates).await;
    core.change(|chain| chain.up = false);
    assert!(fault(&mut templates).await.contains("Loading"));
    core.change(|chain| (chain.up, chain.tip) = (true, 2));
    let block = bitcoin::constants::genesis_block(Network::Regtest);
    assert_eq!(soon(nodes.submit(&block)).await, BlockVerdict::Duplicate);
    work_on(&mut templates, 2).await;
}

#[test]
fn absent_nodes_are_asked_again_soon() {
    let timing = TemplateTiming::default();
    let refused = |code| {
        let (node, message) = ("n".to_owned(), "m".to_owned());
        crate::RpcError::Refused { node, method: "getblocktemplate", code, message }
    };
    assert_eq!(timing.longest_pause(Some(&refused(crate::RpcError::WARMUP))), Duration::from_secs(2));
    assert_eq!(timing.longest_pause(Some(&refused(-1))), Duration::from_secs(15));
}

#[tokio::test]
async fn slow_nodes_are_named_until_they_are_quick_again() {
    let core = Core::start(1).await;
    let mut templates = watch_all(&[&core], Network::Regtest, timing());
    update(&mut templates).await;
    core.change(|chain| chain.delay = Duration::from_millis(600));
    let slow = async |templates: &mut TemplateStream| loop {
        if let TemplateEvent::Slow(problem) = soon(templates.next()).await {
            return problem;
        }
    };
    let problem = slow(&mut templates).await.unwrap();
    assert_eq!(problem.kind, ProblemKind::NodeSlow);
    assert!(problem.text.contains(&core.node.url.to_string()), "{}", problem.text);
    core.change(|chain| chain.delay = Duration::ZERO);
    while slow(&mut templates).await.is_some() {}
}

#[test]
fn an_empty_template_is_no_reason_to_leave_a_full_one() {
    let (mut last, start) = (LastEvent::new(SETTLE), Instant::now());
    let empty = |tip| match up_at(tip, 8) {
        NodeState::Up(fetched) => {
            let FetchedTemplate { template, parent_time, clock, asked, .. } = &*fetched;
            let (template, parent_time, clock, asked) = (template.clone(), *parent_time, *clock, *asked);
            NodeState::Up(Arc::new(FetchedTemplate { template, parent_time, clock, asked, full: false }))
        }
        _ => unreachable!(),
    };
    let (old, full) = (up_at(1, 7), up_at(2, 8));
    assert_eq!(node_and_clean(last.decide(&[old.clone(), empty(2)], start)), Some((1, true)));
    assert_eq!(node_and_clean(last.decide(&[old.clone(), full.clone()], start)), Some((1, false)));
    assert_eq!(node_and_clean(last.decide(&[empty(2), full.clone()], start)), None);
    assert_eq!(node_and_clean(last.decide(&[up_at(2, 8), full], start + SETTLE)), Some((0, false)));
}

/// Takes the next subscriber, as libzmq does (ZMTP 3.1).
pub async fn subscriber(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut greeting = [0; 64];
    greeting[..16].copy_from_slice(b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL");
    stream.write_all(&greeting).await.unwrap();
    stream.write_all(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03PUB").await.unwrap();
    let mut subscription = [0; 64 + 27 + 12];
    stream.read_exact(&mut subscription).await.unwrap();
    assert!(subscription.ends_with(b"\x01hashblock"));
    stream
}

/// A publisher that refuses so many subscribers, takes one, and publishes the hashes that it is given.
async fn publisher(refused: usize) -> (std::net::SocketAddr, tokio::sync::mpsc::Sender<BlockHash>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, mut tips) = tokio::sync::mpsc::channel::<BlockHash>(8);
    tokio::spawn(async move {
        for _ in 0..refused {
            drop(listener.accept().await.unwrap());
        }
        let mut stream = subscriber(&listener).await;
        while let Some(tip) = tips.recv().await {
            let mut hash = tip.to_byte_array();
            hash.reverse();
            let message = [&b"\x01\x09hashblock\x01\x20"[..], &hash, b"\0\x04\0\0\0\0"].concat();
            stream.write_all(&message).await.unwrap();
        }
    });
    (address, sender)
}

#[tokio::test]
async fn a_node_that_publishes_its_tips_is_not_waited_for() {
    let (address, tips) = publisher(0).await;
    let publishers = json!([
        {"type": "pubrawtx", "address": "tcp://127.0.0.1:1", "hwm": 1000},
        {"type": "pubhashblock", "address": format!("tcp://{address}"), "hwm": 1000},
    ]);
    let core = Core::with(Chain { publishers, ..Chain::default() }).await;
    let mut templates = watch_all(&[&core], Network::Regtest, timing());
    update(&mut templates).await;
    let mut before = None;
    for tip in 2..6 {
        core.change(|chain| chain.tip = tip);
        tips.send(hash(tip)).await.unwrap();
        assert!(work_on(&mut templates, tip).await.clean);
        // On a busy machine, a wait may have begun before the subscription.
        let waits = *before.get_or_insert(core.calls("waitfornewblock"));
        assert_eq!((core.calls("waitfornewblock"), core.long_polls()), (waits, 0));
    }
    // When the publisher has gone, the tip is asked for again.
    drop(tips);
    core.change(|chain| chain.tip = 6);
    work_on(&mut templates, 6).await;
}

#[tokio::test]
async fn tries_to_subscribe_that_fail_change_nothing() {
    let (address, tips) = publisher(1).await;
    let address = address.to_string().parse().unwrap();
    let mut subscription = subscription::Subscription::begin(address);
    // Nothing is said about the first try.
    assert_eq!(soon(subscription.next()).await, tip_watch::Event::Subscribed);
    tips.send(hash(2)).await.unwrap();
    assert_eq!(soon(subscription.next()).await, tip_watch::Event::Published { tip: hash(2) });
    drop(tips);
    assert_eq!(soon(subscription.next()).await, tip_watch::Event::Unsubscribed);
}
