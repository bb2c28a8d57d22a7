//! Many calls on the way at once: on which connections they go, and what becomes of them when peers misbehave.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesos::auth::Auth;
use mesos::scheduler::{EncodedCall, Event, Outcome, Pipeline, PipelineSettings};
use mesos::{CallError, Config, Refusal, Subscription, scheduler, v1};
use prost::Message;

use crate::fake::{Answer, Fake, accepted, stream_head, subscribe};

const ONE: PipelineSettings = PipelineSettings { connections: 1, calls: 8, together: 4 };

fn message(number: u64) -> EncodedCall {
    let data = number.to_be_bytes().to_vec();
    (&scheduler::message(&"f".into(), "e".into(), "a".into(), data)).into()
}

fn number(body: &[u8]) -> u64 {
    let call = v1::scheduler::Call::decode(body).unwrap();
    u64::from_be_bytes(call.message.unwrap().data.try_into().unwrap())
}

/// A subscription whose calls get these answers.
async fn subscribed(
    answers: Vec<Answer>,
    config: Config,
    settings: PipelineSettings,
) -> (Fake, Subscription<Event>, Pipeline) {
    let all = std::iter::once(Answer::Silence(stream_head())).chain(answers).collect();
    let fake = Fake::start(all).await;
    let client = fake.client(config);
    let stream = client.subscribe(&subscribe()).await.unwrap();
    let pipeline = client.pipeline(settings).unwrap();
    (fake, stream, pipeline)
}

fn send(pipeline: &mut Pipeline, numbers: std::ops::Range<u64>) {
    pipeline.send(numbers.map(|number| (number, message(number))).collect());
}

/// The answers to so many calls.
async fn answers(pipeline: &mut Pipeline, count: usize) -> BTreeMap<u64, Outcome> {
    let mut all = BTreeMap::new();
    while all.len() < count {
        all.extend(pipeline.answers().await);
    }
    all
}

fn bytes(answer: &str) -> Answer {
    Answer::Bytes(answer.as_bytes().to_vec())
}

const TAKEN: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

#[tokio::test]
async fn the_calls_of_a_connection_are_sent_and_answered_in_their_order() {
    let config = Config { auth: Auth::basic("p", "s"), ..Config::default() };
    let (fake, _stream, mut pipeline) = subscribed(vec![accepted(); 16], config, ONE).await;
    assert_eq!((pipeline.room(), pipeline.on_the_way()), (8, 0));
    for round in [0..8, 8..16] {
        send(&mut pipeline, round.clone());
        assert_eq!((pipeline.room(), pipeline.on_the_way()), (0, 8));
        let answers = answers(&mut pipeline, 8).await;
        assert!(answers.values().all(|outcome| matches!(outcome, Outcome::Taken)), "{answers:?}");
        assert_eq!(answers.into_keys().collect::<Vec<_>>(), round.collect::<Vec<_>>());
        assert_eq!((pipeline.room(), pipeline.on_the_way()), (8, 0));
    }
    let asked = fake.asked();
    assert!(asked[1..].iter().all(|asked| asked.connection == 1), "the stream's own is left alone");
    assert_eq!(
        asked[1..].iter().map(|asked| number(&asked.body)).collect::<Vec<_>>(),
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
        assert_eq!(asked[16].head.matches(header).count(), 1, "{header} in {}", asked[16].head);
    }
}

#[tokio::test]
async fn many_calls_go_over_all_connections_and_few_over_one() {
    let settings = PipelineSettings { connections: 4, calls: 8, together: 4 };
    let (fake, _stream, mut pipeline) = subscribed(vec![accepted(); 36], Config::default(), settings).await;
    let connections = |from: usize| {
        fake.asked()[1 + from..].iter().map(|asked| asked.connection).collect::<BTreeSet<_>>().len()
    };
    send(&mut pipeline, 0..4);
    answers(&mut pipeline, 4).await;
    assert_eq!(connections(0), 1);
    send(&mut pipeline, 4..36);
    assert_eq!(pipeline.room(), 0);
    answers(&mut pipeline, 32).await;
    assert_eq!(connections(4), 4);
}

#[tokio::test]
async fn each_answer_is_its_own_calls() {
    let refused =
        "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnot\r\n4\r\n you\r\n0\r\n\r\n";
    let busy = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";
    let moved = "HTTP/1.1 307 Temporary Redirect\r\nLocation: //h:1/x\r\nContent-Length: 0\r\n\r\n";
    let early = format!("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{TAKEN}");
    let list = vec![bytes(TAKEN), bytes(busy), bytes(&early), bytes(refused), bytes(moved), bytes(TAKEN)];
    let (_fake, _stream, mut pipeline) = subscribed(list, Config::default(), ONE).await;
    send(&mut pipeline, 0..6);
    let mut answers = answers(&mut pipeline, 6).await;
    let mut failed = |number| match answers.remove(&number) {
        Some(Outcome::Failed(error)) => error,
        other => panic!("{number}: {other:?}"),
    };
    assert!(matches!(failed(1), CallError::NotReady { status: 503, message, .. } if message == "busy"));
    let error = failed(3);
    let CallError::Refused { call, message, refusal, .. } = &error else { panic!("{error}") };
    assert_eq!((*call, message.as_str(), *refusal), ("MESSAGE", "not you", Refusal::Forbidden));
    assert!(matches!(failed(4), CallError::Moved { .. }));
    assert!(answers.len() == 3 && answers.values().all(|outcome| matches!(outcome, Outcome::Taken)));
}

#[tokio::test]
async fn what_follows_a_connections_last_answer_was_not_looked_at() {
    let last = "HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let list = [vec![bytes(TAKEN), Answer::Pieces(last.into(), 1000)], vec![accepted(); 3]].concat();
    let (fake, _stream, mut pipeline) = subscribed(list, Config::default(), ONE).await;
    send(&mut pipeline, 0..5);
    let first = answers(&mut pipeline, 5).await;
    let not_sent = |number: &u64| matches!(first[number], Outcome::NotSent);
    assert_eq!((0..5).filter(not_sent).collect::<Vec<_>>(), [2, 3, 4], "{first:?}");
    send(&mut pipeline, 2..5);
    let again = answers(&mut pipeline, 3).await;
    assert!(again.values().all(|outcome| matches!(outcome, Outcome::Taken)), "{again:?}");
    let asked: Vec<_> = fake.asked()[1..].iter().map(|it| (it.connection, number(&it.body))).collect();
    assert_eq!(asked, [(1, 0), (1, 1), (2, 2), (2, 3), (2, 4)]);
}

#[tokio::test]
async fn a_connection_that_ended_without_calls_is_replaced() {
    let list = vec![Answer::Pieces(TAKEN.into(), 1000), accepted()];
    let (_fake, _stream, mut pipeline) = subscribed(list, Config::default(), ONE).await;
    send(&mut pipeline, 0..1);
    answers(&mut pipeline, 1).await;
    // Whether it is noticed before the next call or with it.
    loop {
        send(&mut pipeline, 1..2);
        match answers(&mut pipeline, 1).await.remove(&1) {
            Some(Outcome::NotSent) => {}
            Some(Outcome::Taken) => break,
            // It was written before the end could be seen.
            Some(Outcome::Failed(CallError::Broken { .. })) => return,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn nobody_knows_what_became_of_calls_on_a_connection_that_breaks() {
    let list = vec![bytes(TAKEN), Answer::Hang];
    let (_fake, _stream, mut pipeline) = subscribed(list, Config::default(), ONE).await;
    send(&mut pipeline, 0..5);
    let answers = answers(&mut pipeline, 2).await;
    assert!(matches!(answers[&0], Outcome::Taken));
    let Outcome::Failed(error) = &answers[&1] else { panic!("{answers:?}") };
    assert!(matches!(error, CallError::Broken { .. }) && error.is_transient(), "{error}");
}

#[tokio::test]
async fn what_is_not_http_breaks_the_connection() {
    let (_fake, _stream, mut pipeline) =
        subscribed(vec![bytes("SSH-2.0-x\r\n")], Config::default(), ONE).await;
    send(&mut pipeline, 0..3);
    let answers = answers(&mut pipeline, 1).await;
    let Outcome::Failed(error) = &answers[&0] else { panic!("{answers:?}") };
    let source = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    assert!(error.is_transient() && source.contains("is not HTTP"), "{error}: {source}");
}

#[tokio::test]
async fn a_call_without_an_answer_is_given_up_by_itself() {
    let config = Config { call_timeout: Duration::from_millis(200), ..Config::default() };
    let list = vec![bytes(TAKEN), bytes(TAKEN), bytes("")];
    let (_fake, _stream, mut pipeline) = subscribed(list, config, ONE).await;
    send(&mut pipeline, 0..3);
    let answers = answers(&mut pipeline, 3).await;
    assert!(matches!(&answers[&2], Outcome::Failed(CallError::Timeout { .. })), "{answers:?}");
    assert!(matches!((&answers[&0], &answers[&1]), (Outcome::Taken, Outcome::Taken)));
}

#[tokio::test]
async fn where_nobody_listens_any_more_the_call_fails() {
    let (fake, _stream, mut pipeline) = subscribed(vec![], Config::default(), ONE).await;
    drop(fake);
    // The listener ends when its task is next looked at.
    let error = loop {
        send(&mut pipeline, 0..1);
        match answers(&mut pipeline, 1).await.remove(&0) {
            Some(Outcome::Failed(error @ CallError::Connect { .. })) => break error,
            Some(Outcome::Failed(CallError::Broken { .. })) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(error.is_transient());
}

#[tokio::test]
async fn where_no_further_connections_are_allowed_those_that_stand_carry_all_calls() {
    let settings = PipelineSettings { connections: 4, calls: 4, together: 4 };
    let (fake, _stream, mut pipeline) = subscribed(vec![accepted(); 20], Config::default(), settings).await;
    send(&mut pipeline, 0..4);
    answers(&mut pipeline, 4).await;
    let address = fake.address.to_string();
    drop(fake);
    while tokio::net::TcpStream::connect(&address).await.is_ok() {}
    let mut wanted: Vec<u64> = (4..20).collect();
    while !wanted.is_empty() {
        let now = wanted.split_off(wanted.len().saturating_sub(pipeline.room()));
        pipeline.send(now.iter().map(|number| (*number, message(*number))).collect());
        for (number, outcome) in answers(&mut pipeline, now.len()).await {
            match outcome {
                Outcome::Taken => {}
                Outcome::NotSent => wanted.push(number),
                Outcome::Failed(error) => panic!("{number}: {error}"),
            }
        }
    }
    assert_eq!(pipeline.room(), 4, "one connection is left");
}

#[tokio::test]
async fn a_pipeline_needs_a_subscription() {
    let fake = Fake::start(vec![]).await;
    let error = fake.client(Config::default()).pipeline(ONE).unwrap_err();
    assert!(matches!(error, CallError::NotSubscribed));
}
