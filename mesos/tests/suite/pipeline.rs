//! Pipelined calls: the connections that carry them, and their outcomes when peers misbehave.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesos::auth::Auth;
use mesos::scheduler::{CallOutcome, EncodedCall, Event, Pipeline, PipelineSettings};
use mesos::{CallError, Config, Refusal, Subscription, scheduler, v1};
use prost::Message;
use testing::http_peer::Reply;

use crate::scripted::{ScriptedPeer, accepted, stream_head, subscribe};

/// Settings of a pipeline with a single connection.
const ONE: PipelineSettings = PipelineSettings { connections: 1, calls_per_connection: 8, min_batch: 4 };

fn message(number: u64) -> EncodedCall {
    let data = number.to_be_bytes().to_vec();
    (&scheduler::message(&"f".into(), "e".into(), "a".into(), data)).into()
}

fn number(body: &[u8]) -> u64 {
    let call = v1::scheduler::Call::decode(body).unwrap();
    u64::from_be_bytes(call.message.unwrap().data.try_into().unwrap())
}

/// A subscription whose calls get these replies.
async fn subscribed(
    replies: Vec<Reply>,
    config: Config,
    settings: PipelineSettings,
) -> (ScriptedPeer, Subscription<Event>, Pipeline) {
    let all = std::iter::once(Reply::Silence(stream_head())).chain(replies).collect();
    let peer = ScriptedPeer::start(all).await;
    let client = peer.client(config);
    let stream = client.subscribe(&subscribe()).await.unwrap();
    let pipeline = client.pipeline(settings).unwrap();
    (peer, stream, pipeline)
}

fn send(pipeline: &mut Pipeline, numbers: std::ops::Range<u64>) {
    pipeline.send(numbers.map(|number| (number, message(number))).collect());
}

/// The outcomes of `count` calls.
async fn outcomes(pipeline: &mut Pipeline, count: usize) -> BTreeMap<u64, CallOutcome> {
    let mut all = BTreeMap::new();
    while all.len() < count {
        all.extend(pipeline.outcomes().await);
    }
    all
}

fn bytes(answer: &str) -> Reply {
    Reply::Bytes(answer.as_bytes().to_vec())
}

const TAKEN: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn the_calls_of_a_connection_are_sent_and_answered_in_their_order() {
    let config = Config { auth: Auth::basic("p", "s"), ..Config::default() };
    let (peer, _stream, mut pipeline) = subscribed(vec![accepted(); 16], config, ONE).await;
    assert_eq!((pipeline.free_capacity(), pipeline.in_flight()), (8, 0));
    for round in [0..8, 8..16] {
        send(&mut pipeline, round.clone());
        assert_eq!((pipeline.free_capacity(), pipeline.in_flight()), (0, 8));
        let outcomes = outcomes(&mut pipeline, 8).await;
        assert!(outcomes.values().all(|outcome| matches!(outcome, CallOutcome::Accepted)), "{outcomes:?}");
        assert_eq!(outcomes.into_keys().collect::<Vec<_>>(), round.collect::<Vec<_>>());
        assert_eq!((pipeline.free_capacity(), pipeline.in_flight()), (8, 0));
    }
    let requests = peer.requests();
    assert!(requests[1..].iter().all(|request| request.connection == 1), "the stream's own is left alone");
    assert_eq!(
        requests[1..].iter().map(|request| number(&request.body)).collect::<Vec<_>>(),
        (0..16).collect::<Vec<_>>()
    );
    for header in [
        "post /api/v1/scheduler http/1.1\r\n",
        "\r\ncontent-type: application/x-protobuf\r\n",
        "\r\naccept: application/x-protobuf\r\n",
        "\r\nauthorization: basic cdpz\r\n",
        "\r\nmesos-stream-id: s-1\r\n",
        "\r\nhost: 127.0.0.1:",
        "\r\nuser-agent: mesos-rs/",
    ] {
        assert_eq!(requests[16].head.matches(header).count(), 1, "{header} in {}", requests[16].head);
    }
}

#[tokio::test]
async fn many_calls_go_over_all_connections_and_few_over_one() {
    let settings = PipelineSettings { connections: 4, calls_per_connection: 8, min_batch: 4 };
    let (peer, _stream, mut pipeline) = subscribed(vec![accepted(); 36], Config::default(), settings).await;
    let connections = |from: usize| {
        peer.requests()[1 + from..].iter().map(|request| request.connection).collect::<BTreeSet<_>>().len()
    };
    send(&mut pipeline, 0..4);
    outcomes(&mut pipeline, 4).await;
    assert_eq!(connections(0), 1);
    send(&mut pipeline, 4..36);
    assert_eq!(pipeline.free_capacity(), 0);
    outcomes(&mut pipeline, 32).await;
    assert_eq!(connections(4), 4);
}

#[tokio::test]
async fn each_response_belongs_to_its_own_call() {
    let refused =
        "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnot\r\n4\r\n you\r\n0\r\n\r\n";
    let busy = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";
    let moved = "HTTP/1.1 307 Temporary Redirect\r\nLocation: //h:1/x\r\nContent-Length: 0\r\n\r\n";
    let early = format!("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{TAKEN}");
    let list = vec![bytes(TAKEN), bytes(busy), bytes(&early), bytes(refused), bytes(moved), bytes(TAKEN)];
    let (_peer, _stream, mut pipeline) = subscribed(list, Config::default(), ONE).await;
    send(&mut pipeline, 0..6);
    let mut outcomes = outcomes(&mut pipeline, 6).await;
    let mut failed = |number| match outcomes.remove(&number) {
        Some(CallOutcome::Failed(error)) => error,
        other => panic!("{number}: {other:?}"),
    };
    assert!(matches!(failed(1), CallError::NotReady { status: 503, message, .. } if message == "busy"));
    let error = failed(3);
    let CallError::Refused { call, message, refusal, .. } = &error else { panic!("{error}") };
    assert_eq!((*call, message.as_str(), *refusal), ("MESSAGE", "not you", Refusal::Forbidden));
    assert!(matches!(failed(4), CallError::NotLeading { .. }));
    assert!(outcomes.len() == 3 && outcomes.values().all(|outcome| matches!(outcome, CallOutcome::Accepted)));
}

#[tokio::test]
async fn calls_after_the_last_response_of_a_connection_were_not_sent() {
    let last = "HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let list = [vec![bytes(TAKEN), Reply::Pieces(last.into(), 1000)], vec![accepted(); 3]].concat();
    let (peer, _stream, mut pipeline) = subscribed(list, Config::default(), ONE).await;
    send(&mut pipeline, 0..5);
    let first = outcomes(&mut pipeline, 5).await;
    let not_sent = |number: &u64| matches!(first[number], CallOutcome::NotSent);
    assert_eq!((0..5).filter(not_sent).collect::<Vec<_>>(), [2, 3, 4], "{first:?}");
    send(&mut pipeline, 2..5);
    let again = outcomes(&mut pipeline, 3).await;
    assert!(again.values().all(|outcome| matches!(outcome, CallOutcome::Accepted)), "{again:?}");
    let requests: Vec<_> = peer.requests()[1..].iter().map(|it| (it.connection, number(&it.body))).collect();
    assert_eq!(requests, [(1, 0), (1, 1), (2, 2), (2, 3), (2, 4)]);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_replaced() {
    let list = vec![Reply::Pieces(TAKEN.into(), 1000), accepted()];
    let (_peer, _stream, mut pipeline) = subscribed(list, Config::default(), ONE).await;
    send(&mut pipeline, 0..1);
    outcomes(&mut pipeline, 1).await;
    // The pipeline may notice the end of the connection before or while it sends the next call.
    loop {
        send(&mut pipeline, 1..2);
        match outcomes(&mut pipeline, 1).await.remove(&1) {
            Some(CallOutcome::NotSent) => {}
            Some(CallOutcome::Accepted) => break,
            // The call was written before the pipeline noticed that the connection had ended.
            Some(CallOutcome::Failed(CallError::Broken { .. })) => return,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_fate_of_calls_on_a_broken_connection_is_unknown() {
    let list = vec![bytes(TAKEN), Reply::Close];
    let (_peer, _stream, mut pipeline) = subscribed(list, Config::default(), ONE).await;
    send(&mut pipeline, 0..5);
    let outcomes = outcomes(&mut pipeline, 2).await;
    assert!(matches!(outcomes[&0], CallOutcome::Accepted));
    let CallOutcome::Failed(error) = &outcomes[&1] else { panic!("{outcomes:?}") };
    assert!(matches!(error, CallError::Broken { .. }) && error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_response_that_is_not_http_breaks_the_connection() {
    let (_peer, _stream, mut pipeline) =
        subscribed(vec![bytes("SSH-2.0-x\r\n")], Config::default(), ONE).await;
    send(&mut pipeline, 0..3);
    let outcomes = outcomes(&mut pipeline, 1).await;
    let CallOutcome::Failed(error) = &outcomes[&0] else { panic!("{outcomes:?}") };
    let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    assert!(error.is_transient() && source.contains("is not HTTP"), "{error}: {source}");
}

#[tokio::test]
async fn a_call_without_a_response_times_out_alone() {
    let config = Config { call_timeout: Duration::from_millis(200), ..Config::default() };
    let list = vec![bytes(TAKEN), bytes(TAKEN), bytes("")];
    let (_peer, _stream, mut pipeline) = subscribed(list, config, ONE).await;
    send(&mut pipeline, 0..3);
    let outcomes = outcomes(&mut pipeline, 3).await;
    assert!(matches!(&outcomes[&2], CallOutcome::Failed(CallError::Timeout { .. })), "{outcomes:?}");
    assert!(matches!((&outcomes[&0], &outcomes[&1]), (CallOutcome::Accepted, CallOutcome::Accepted)));
}

#[tokio::test]
async fn a_call_fails_when_the_master_does_not_listen_any_more() {
    let (peer, _stream, mut pipeline) = subscribed(vec![], Config::default(), ONE).await;
    drop(peer);
    // The listener is closed only when its aborted task is next polled, so calls may still be sent until then.
    let error = loop {
        send(&mut pipeline, 0..1);
        match outcomes(&mut pipeline, 1).await.remove(&0) {
            Some(CallOutcome::Failed(error @ CallError::Connect { .. })) => break error,
            Some(CallOutcome::Failed(CallError::Broken { .. })) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(error.is_transient());
}

#[tokio::test]
async fn the_open_connections_carry_all_calls_when_no_more_can_be_opened() {
    let settings = PipelineSettings { connections: 4, calls_per_connection: 4, min_batch: 4 };
    let (peer, _stream, mut pipeline) = subscribed(vec![accepted(); 20], Config::default(), settings).await;
    send(&mut pipeline, 0..4);
    outcomes(&mut pipeline, 4).await;
    let address = peer.address.to_string();
    drop(peer);
    while tokio::net::TcpStream::connect(&address).await.is_ok() {}
    let mut wanted: Vec<u64> = (4..20).collect();
    while !wanted.is_empty() {
        let now = wanted.split_off(wanted.len().saturating_sub(pipeline.free_capacity()));
        pipeline.send(now.iter().map(|number| (*number, message(*number))).collect());
        for (number, outcome) in outcomes(&mut pipeline, now.len()).await {
            match outcome {
                CallOutcome::Accepted => {}
                CallOutcome::NotSent => wanted.push(number),
                CallOutcome::Failed(error) => panic!("{number}: {error}"),
            }
        }
    }
    assert_eq!(pipeline.free_capacity(), 4, "one connection is left");
}

#[tokio::test]
async fn a_pipeline_needs_a_subscription() {
    let peer = ScriptedPeer::start(vec![]).await;
    let error = peer.client(Config::default()).pipeline(ONE).unwrap_err();
    assert!(matches!(error, CallError::NotSubscribed));
}
