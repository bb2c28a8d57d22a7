//! Tests the choice of the best node, and watches fake nodes that behave like Bitcoin Core.

mod fake_chain;
mod faults;
mod tips;

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash;

use problem::ProblemKind;

use super::*;
use crate::testing;
use crate::testing::fake::{FakeNode, Reply, soon};
use fake_chain::{Chain, Core, Kind};

fn up(tip: u8) -> NodeState {
    up_at(tip, 7)
}

fn up_at(tip: u8, height: u32) -> NodeState {
    let prev_hash = BlockHash::from_byte_array([tip; 32]);
    let template = Template { prev_hash, height, ..testing::template(0) };
    let clock = crate::NodeClock::new(template.time, crate::BootTime::default());
    let asked = std::time::Instant::now();
    NodeState::Up(Arc::new(FetchedTemplate {
        template: Arc::new(template),
        parent_time: None,
        clock,
        asked,
        full: true,
    }))
}

fn down() -> NodeState {
    let fault = NetworkError::SignetKey { challenge: "00".into() };
    assert_eq!(fault.problem().kind, ProblemKind::NodeOfOtherNetwork);
    NodeState::Down(Arc::new(fault.into()))
}

fn node_and_clean(event: Option<TemplateEvent>) -> Option<(usize, bool)> {
    match event {
        Some(TemplateEvent::New(update)) => Some((update.node, update.clean)),
        Some(TemplateEvent::AllDown(faults)) => Some((faults.len(), false)),
        Some(TemplateEvent::Slow(problem)) => panic!("{problem:?}"),
        None => None,
    }
}

const SETTLE: Duration = Duration::from_secs(10);

#[test]
fn the_node_that_is_used_stays_until_another_one_is_better_for_a_while() {
    let mut last = LastEvent::new(SETTLE);
    let start = Instant::now();
    let (first, second) = (up(1), up(1));
    let mut decide = |states: [&NodeState; 2], second: u64| {
        node_and_clean(last.decide(&states, start + Duration::from_secs(second)))
    };
    assert_eq!(decide([&NodeState::Starting, &NodeState::Starting], 0), None);
    assert_eq!(decide([&NodeState::Starting, &second], 0), Some((1, true)));
    // Another node's template on the same tip does not make older work worthless.
    assert_eq!(decide([&first, &second], 0), None);
    assert_eq!(decide([&first, &second], 10), Some((0, false)));
    assert_eq!(decide([&first, &up(2)], 10), None);
    assert_eq!(decide([&down(), &second], 10), Some((1, false)));
    assert_eq!(decide([&up(3), &second], 11), None);
    assert_eq!(decide([&up(3), &second], 21), Some((0, true)));
}

#[test]
fn a_node_that_is_behind_is_left_at_once() {
    let mut last = LastEvent::new(SETTLE);
    let start = Instant::now();
    let mut decide = |states: [&NodeState; 2], second: u64| {
        node_and_clean(last.decide(&states, start + Duration::from_secs(second)))
    };
    let (old, new, other) = (up_at(1, 7), up_at(2, 8), up_at(3, 8));
    assert_eq!(decide([&old, &down()], 0), Some((0, true)));
    // The second node gets a new block first. The first node gets it later, usually within a second.
    assert_eq!(decide([&old, &new], 0), Some((1, true)));
    assert_eq!(decide([&old, &new], 0), None);
    assert_eq!(decide([&up_at(2, 8), &new], 1), None);
    // At the same height, the operator's order decides in the long run.
    assert_eq!(decide([&other, &new], 11), Some((0, true)));
    assert_eq!(decide([&old, &down()], 11), Some((0, true)));
}

#[test]
fn a_total_loss_is_announced_once() {
    let mut last = LastEvent::new(SETTLE);
    assert_eq!(node_and_clean(last.decide(&[down(), NodeState::Starting], Instant::now())), None);
    assert_eq!(node_and_clean(last.decide(&[down(), down()], Instant::now())), Some((2, false)));
    assert_eq!(node_and_clean(last.decide(&[down(), down()], Instant::now())), None);
    assert_eq!(node_and_clean(last.decide(&[down(), up(1)], Instant::now())), Some((1, true)));
    assert!(matches!(last.decide(&[down(), down()], Instant::now()), Some(TemplateEvent::AllDown(_))));
    // After all nodes were down, the first template on the same tip does not make older work worthless.
    assert_eq!(node_and_clean(last.decide(&[up(1), down()], Instant::now())), Some((0, false)));
}

const FAST: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(20));
/// Longer than any test lasts.
const NEVER: Duration = Duration::from_secs(3600);

/// Timing without refreshes, so that only what tells of new tips gets templates.
fn timing() -> TemplateTiming {
    TemplateTiming { refresh: NEVER, retry: FAST, settle: FAST.0, ..TemplateTiming::default() }
}

fn watch_all(cores: &[&Core], network: Network, timing: TemplateTiming) -> TemplateStream {
    Nodes::new(cores.iter().map(|core| core.node.client())).unwrap().templates(network, timing)
}

async fn update(templates: &mut TemplateStream) -> TemplateUpdate {
    loop {
        match soon(templates.next()).await {
            TemplateEvent::New(update) => return update,
            // The machine may be busy with other tests.
            TemplateEvent::Slow(_) => {}
            TemplateEvent::AllDown(faults) => panic!("{faults:?}"),
        }
    }
}

async fn fault(templates: &mut TemplateStream) -> String {
    loop {
        if let TemplateEvent::AllDown(faults) = soon(templates.next()).await {
            return faults[0].to_string();
        }
    }
}

fn fees(update: &TemplateUpdate) -> u64 {
    update.template.coinbase_value.to_sat()
}

#[tokio::test]
async fn the_second_node_steps_in_and_back() {
    let (first, second) = (Core::start(1).await, Core::start(1).await);
    first.change(|chain| chain.up = false);
    let mut templates = watch_all(&[&first, &second], Network::Regtest, timing());
    let next = update(&mut templates).await;
    assert!(next.clean && next.node == 1);
    first.change(|chain| chain.up = true);
    let next = update(&mut templates).await;
    assert!(!next.clean && next.node == 0);
    // The first node ends during its long poll, and the second node gets a block meanwhile.
    second.change(|chain| chain.tip = 2);
    drop(first);
    let mut next = update(&mut templates).await;
    while next.template.prev_hash != BlockHash::from_byte_array([2; 32]) {
        next = update(&mut templates).await;
    }
    assert!(next.clean && next.node == 1);
    drop(second);
    assert!(fault(&mut templates).await.contains("cannot reach"));
}

#[tokio::test]
async fn nodes_of_another_network_are_not_used() {
    let core = Core::start(1).await;
    let nodes = Nodes::new([core.node.client()]).unwrap();
    assert_eq!(soon(nodes.network()).await.unwrap(), Network::Regtest);
    let mut templates = watch_all(&[&core], Network::Testnet4, timing());
    let fault = fault(&mut templates).await;
    assert!(fault.contains("is on regtest, but we mine on testnet4"), "{fault}");
    assert_eq!(Nodes::new([]).unwrap_err(), NoNodes);
}

#[tokio::test]
async fn the_network_is_waited_for() {
    let core = Core::start(1).await;
    core.change(|chain| chain.up = false);
    let nodes = Nodes::new([core.node.client()]).unwrap();
    let waiting = tokio::spawn(async move { nodes.network().await });
    while core.node.calls().len() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    core.change(|chain| chain.up = true);
    assert_eq!(soon(waiting).await.unwrap().unwrap(), Network::Regtest);

    // Waiting does not help if the network is unknown.
    let nowhere = FakeNode::start(|call| async move {
        let info = json!({"chain": "simnet"});
        Reply::result(if call.method == "getblockchaininfo" { info } else { json!("00") })
    });
    let nowhere = nowhere.await;
    let error = soon(Nodes::new([nowhere.client()]).unwrap().network()).await.unwrap_err();
    assert!(error.to_string().contains("\"simnet\""), "{error}");
}

#[tokio::test]
async fn a_signet_with_a_key_is_refused() {
    let signet = |challenge| Chain { name: "signet", challenge: Some(challenge), ..Chain::default() };
    let core = Core::with(signet("51")).await;
    update(&mut watch_all(&[&core], Network::Signet, timing())).await;
    let core = Core::with(signet("5121")).await;
    let fault = fault(&mut watch_all(&[&core], Network::Signet, timing())).await;
    assert!(fault.contains("challenge 5121"), "{fault}");
    // If `getblockchaininfo` has the challenge, as in Bitcoin Core since version 28, the network is refused before any
    // template is requested.
    core.change(|chain| chain.has_challenge_in_info = true);
    let nodes = Nodes::new([core.node.client()]).unwrap();
    let error = soon(nodes.network()).await.unwrap_err().to_string();
    assert!(error.contains("challenge 5121") && error.contains("a key that we do not have"), "{error}");
    core.change(|chain| chain.challenge = Some("51"));
    assert_eq!(soon(nodes.network()).await.unwrap(), Network::Signet);
}

#[tokio::test]
async fn testnet_templates_have_the_parent_s_time() {
    let core = Core::with(Chain { name: "testnet4", ..Chain::default() }).await;
    let refresh = Duration::from_millis(20);
    let mut templates = watch_all(&[&core], Network::Testnet4, TemplateTiming { refresh, ..timing() });
    assert_eq!(update(&mut templates).await.parent_time, Some(1_799_999_001));
    core.change(|chain| chain.fees = 2);
    while fees(&update(&mut templates).await) != 2 {}
    assert_eq!(core.calls("getblockheader"), 1);
    core.change(|chain| chain.tip = 2);
    let mut next = update(&mut templates).await;
    while next.template.prev_hash == fake_chain::hash(1) {
        assert_eq!(next.parent_time, Some(1_799_999_001));
        next = update(&mut templates).await;
    }
    assert_eq!(next.parent_time, Some(1_799_999_002));
    // Once for the empty template, and once for the full one.
    assert!(core.calls("getblockheader") <= 3);
}

#[tokio::test]
async fn a_bad_template_is_named() {
    let core = Core::with(Chain { challenge: Some("zz"), ..Chain::default() }).await;
    let fault = fault(&mut watch_all(&[&core], Network::Regtest, timing())).await;
    assert!(fault.contains(&core.node.url.to_string()), "{fault}");
}

#[tokio::test]
async fn blocks_are_submitted_until_a_node_has_answered() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let busy = FakeNode::start(move |_| {
        let first = counted.fetch_add(1, Ordering::Relaxed) < 2;
        async move { if first { Reply::text(503, "busy") } else { Reply::result(json!("duplicate")) } }
    });
    let busy = busy.await;
    let gone = FakeNode::start(|_| async { Reply::text(503, "gone") }).await;
    let block = bitcoin::constants::genesis_block(Network::Regtest);
    let nodes = Nodes::new([gone.client(), busy.client()]).unwrap();
    assert_eq!(soon(nodes.submit(&block)).await, BlockVerdict::Duplicate);
    assert_eq!(tries.load(Ordering::Relaxed), 3);
    assert!(!gone.calls().is_empty());
    let sent = &busy.calls()[0];
    assert_eq!(sent.params, json!([bitcoin::consensus::encode::serialize_hex(&block)]));

    // A node that does not answer at all does not delay the verdict of the others.
    let mute = FakeNode::start(|_| std::future::pending()).await;
    let nodes = Nodes::new([mute.client(), busy.client()]).unwrap();
    assert_eq!(soon(nodes.submit(&block)).await, BlockVerdict::Duplicate);
    assert_eq!(mute.calls().len(), 1);

    let strict = FakeNode::start(|_| async { Reply::result(json!("rejected: high-hash")) }).await;
    let nodes = Nodes::new([gone.client(), strict.client()]).unwrap();
    assert_eq!(soon(nodes.submit(&block)).await, BlockVerdict::Rejected("high-hash".into()));
}
