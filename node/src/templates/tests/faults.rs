//! Nodes that are too busy, hang, or refuse a method.

use super::fake_chain::hash;
use super::tips::{subscriber, until, work_on};
use super::*;

/// The next event must come, and must not be that no node works.
async fn is_new_or_slow(templates: &mut TemplateStream) -> Option<TemplateUpdate> {
    match soon(templates.next()).await {
        TemplateEvent::New(update) => Some(update),
        TemplateEvent::Slow(_) => None,
        TemplateEvent::AllDown(faults) => panic!("{faults:?}"),
    }
}

#[tokio::test]
async fn a_busy_node_is_asked_again_and_never_down() {
    // It is too busy from the beginning.
    let all = &["getblockchaininfo", "getblocktemplate", "getbestblockhash", "getrpcinfo", "getblockheader"];
    let core = Core::with(Chain { busy: all, ..Chain::default() }).await;
    let mut templates = watch_all(&[&core], Network::Regtest, timing());
    until("calls", || core.calls("getblockchaininfo") > 2).await;
    core.change(|chain| chain.busy = &[]);
    while is_new_or_slow(&mut templates).await.is_none() {}
    // Then it is too busy for the template of a new tip, and for all else.
    for busy in [&["getblocktemplate"][..], all] {
        let tip = core.tip() + 1;
        let (fetches, starts) = (core.calls("getblocktemplate"), core.calls("getblockhash"));
        core.change(|chain| (chain.tip, chain.busy) = (tip, busy));
        let refused = || core.calls("getblocktemplate") + core.calls("getbestblockhash");
        let before = refused();
        until("the node is asked again", || refused() > before + 3).await;
        core.change(|chain| chain.busy = &[]);
        while is_new_or_slow(&mut templates).await.is_none_or(|new| new.template.prev_hash != hash(tip)) {}
        assert!(core.calls("getblocktemplate") > fetches);
        assert_eq!(core.calls("getblockhash"), starts, "the watch has not begun again");
    }
}

#[tokio::test]
async fn a_watch_has_one_plain_call_at_a_time_at_the_node() {
    let core =
        Core::with(Chain { has_facts: true, delay: Duration::from_millis(5), ..Chain::default() }).await;
    let refresh = Duration::from_millis(20);
    let mut templates = watch_all(&[&core], Network::Regtest, TemplateTiming { refresh, ..timing() });
    for tip in 2..20 {
        core.change(|chain| chain.tip = tip);
        work_on(&mut templates, tip).await;
    }
    assert_eq!(core.most_at_once(), 1);
}

#[tokio::test]
async fn a_node_that_refuses_the_tip_is_asked_for_it_in_another_way() {
    let core = Core::with(Chain { forbidden: &["getbestblockhash"], ..Chain::default() }).await;
    let mut templates = watch_all(&[&core], Network::Regtest, timing());
    update(&mut templates).await;
    for tip in 2..5 {
        let polls = core.calls("getblockchaininfo");
        until("polls", || core.calls("getblockchaininfo") > polls + 2).await;
        core.change(|chain| chain.tip = tip);
        work_on(&mut templates, tip).await;
    }
    // The one call is refused, and its cause is looked for with another call.
    assert_eq!(core.calls("getbestblockhash"), 2);
    assert_eq!(core.calls("getblockhash"), 1, "the watch has not begun again");
}

#[tokio::test]
async fn a_node_that_fails_after_each_template_is_asked_less_and_less() {
    let core = Core::with(Chain { forbidden: &["getbestblockhash"], ..Chain::default() }).await;
    // No other call tells the tip.
    core.change(|chain| chain.has_best_hash_in_info = false);
    let retry = (Duration::from_millis(5), NEVER);
    let mut templates = watch_all(&[&core], Network::Regtest, TemplateTiming { retry, ..timing() });
    update(&mut templates).await;
    let starts = || core.calls("getblockhash");
    until("the watch begins again", || starts() >= 8).await;
    let begun = Instant::now();
    until("and again", || starts() >= 9).await;
    // The pauses were 2.5 to 5 ms and doubled each time: the eighth lasts at least 320 ms.
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_node_that_hangs_is_named_before_its_calls_time_out() {
    let core = Core::start(1).await;
    let mut templates = watch_all(&[&core], Network::Regtest, timing());
    update(&mut templates).await;
    until("the node is watched", || core.calls("getbestblockhash") > 1).await;
    core.change(|chain| chain.hangs = true);
    for text in ["a plain call has no answer after 5", "has answered no call for 10"] {
        loop {
            if let TemplateEvent::Slow(Some(problem)) = soon(templates.next()).await
                && problem.text.contains(text)
            {
                assert_eq!(problem.kind, ProblemKind::NodeSlow);
                break;
            }
        }
    }
    core.change(|chain| chain.hangs = false);
    while !matches!(soon(templates.next()).await, TemplateEvent::Slow(None)) {}
}

#[tokio::test]
async fn what_is_no_answer_to_a_call_does_not_end_the_silence_of_a_node() {
    // The node takes subscribers while it hangs, and ends their connections.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("tcp://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            drop(subscriber(&listener).await);
        }
    });
    let publishers = json!([{"type": "pubhashblock", "address": address}]);
    let core = Core::with(Chain { publishers, ..Chain::default() }).await;
    let nodes = Nodes::new([core.node.client()]).unwrap();
    let mut templates = nodes.templates(Network::Regtest, timing());
    update(&mut templates).await;
    core.change(|chain| chain.hangs = true);
    nodes.ask_for_templates();
    let is_silent = |event| match event {
        TemplateEvent::Slow(Some(problem)) => problem.text.contains("has answered no call for"),
        _ => false,
    };
    while !is_silent(soon(templates.next()).await) {}
}
