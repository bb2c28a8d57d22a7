//! Events of large clusters.

use mesos::v1::{Attribute, Offer, value};
use mesos::{Config, scheduler};
use testing::http_peer::Reply;

use crate::scripted::{ScriptedPeer, chunk, stream_head, subscribe};

/// If all agents have registered before a scheduler subscribes, the master sends their offers as one event.
#[tokio::test]
async fn offers_of_50_000_agents_with_1900_bytes_of_attributes_are_one_event() {
    const AGENTS: usize = 50_000;
    let attribute = |name: &str, length: usize| Attribute {
        name: name.into(),
        r#type: value::Type::Text.into(),
        text: Some(value::Text { value: "x".repeat(length) }),
        ..Attribute::default()
    };
    let offer = |number: usize| Offer {
        id: format!("o{number}").as_str().into(),
        framework_id: "f".into(),
        agent_id: format!("a{number}").as_str().into(),
        hostname: format!("host-{number}.example"),
        attributes: vec![attribute("rack", 900), attribute("labels", 1000), attribute("zone", 100)],
        ..Offer::default()
    };
    let offers = scheduler::Event::Offers((0..AGENTS).map(offer).collect());
    let bytes = [stream_head(), chunk([offers]), chunk([scheduler::Event::Heartbeat])].concat();
    assert!(bytes.len() > 95 << 20, "{}", bytes.len());
    let peer = ScriptedPeer::start(vec![Reply::Pieces(bytes, 1 << 20)]).await;
    let mut stream = peer.client(Config::default()).subscribe(&subscribe()).await.unwrap();
    let Ok(Some(scheduler::Event::Offers(offers))) = stream.next().await else { panic!("no offers") };
    assert_eq!(offers.len(), AGENTS);
    let last = offers.last().unwrap();
    assert_eq!(last.attributes[1].text.as_ref().unwrap().value.len(), 1000);
    assert!(matches!(stream.next().await, Ok(Some(scheduler::Event::Heartbeat))));
}
