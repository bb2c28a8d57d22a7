//! Recorded HTTP responses, sent to the clients over a socket.

use mesos::executor::{self, ExecutorClient};
use mesos::{CallError, Config, Refusal, StreamError, Subscription, scheduler, v1};
use prost::Message;
use testing::http_peer::Reply;

use crate::recorded::{self, File};
use crate::scripted::{ScriptedPeer, accepted, refused, stream_head, subscribe};

/// Reads all events, and returns how the stream ended.
async fn drain<E: mesos::StreamEvent>(mut stream: Subscription<E>) -> (Vec<E>, Result<(), StreamError>) {
    let mut events = Vec::new();
    loop {
        match stream.next().await {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return (events, Ok(())),
            Err(error) => return (events, Err(error)),
        }
    }
}

fn recorded_events<W: Message + Default, E: From<W>>(http: &File) -> Vec<E> {
    let name = http.name.replace(".http", ".recordio");
    let mut reader = mesos::recordio::RecordReader::default();
    reader.push(&recorded::one(&name).bytes);
    std::iter::from_fn(|| reader.next().unwrap()).map(|it| W::decode(it).unwrap().into()).collect()
}

/// A stream ends properly only if its last chunk has length 0. Otherwise the peer has died.
fn check_end(file: &File, end: Result<(), StreamError>) {
    let clean = file.bytes.ends_with(b"\r\n0\r\n\r\n");
    match end {
        Ok(()) => assert!(clean, "{} breaks off", file.name),
        Err(StreamError::Broken { .. }) => assert!(!clean, "{} ends well", file.name),
        Err(error) => panic!("{}: {error}", file.name),
    }
}

#[tokio::test]
async fn recorded_streams_are_read_in_pieces_of_any_size() {
    let mut played = 0;
    for file in
        recorded::all(".http").into_iter().filter(|it| it.kind.protobuf && it.name.contains("-stream"))
    {
        for piece in [file.bytes.len(), file.bytes.len().div_ceil(2), 1] {
            let peer = ScriptedPeer::start(vec![Reply::Pieces(file.bytes.clone(), piece)]).await;
            let end = if file.kind.executor {
                let client = ExecutorClient::with_config(peer.agent(), Config::default());
                let me = executor::Identity { framework_id: "f".into(), executor_id: "e".into() };
                let stream = client.subscribe(&executor::subscribe(&me, vec![], vec![])).await.unwrap();
                let (events, end) = drain(stream).await;
                assert_eq!(events, recorded_events::<v1::executor::Event, _>(&file), "{}", file.name);
                end
            } else {
                let stream = peer.client(Config::default()).subscribe(&subscribe()).await.unwrap();
                assert_eq!(stream.stream_id().unwrap().len(), 36);
                let (events, end) = drain(stream).await;
                assert_eq!(events, recorded_events::<v1::scheduler::Event, _>(&file), "{}", file.name);
                end
            };
            check_end(&file, end);
            played += 1;
        }
    }
    assert_eq!(played, 14 * 3);
}

/// The error of a SUBSCRIBE call when the master answers it with this recorded response.
async fn subscribe_refused(name: &str) -> CallError {
    refused(Reply::Bytes(recorded::answer(name)), Config::default()).await
}

/// The error of a REVIVE call when the master answers it with this recorded response.
async fn call_refused(name: &str) -> CallError {
    let answers = vec![Reply::Silence(stream_head()), Reply::Bytes(recorded::answer(name))];
    let peer = ScriptedPeer::start(answers).await;
    let client = peer.client(Config::default());
    let _stream = client.subscribe(&subscribe()).await.unwrap();
    client.call(&scheduler::revive(&"f".into(), vec![])).await.expect_err("a refusal")
}

#[tokio::test]
async fn a_starting_master_is_a_transient_error() {
    for (name, status, text) in [
        ("failures/master_restart/scheduler-call-05-SUBSCRIBE.http", 404, "404 Not Found."),
        ("failures/master_restart/scheduler-call-09-SUBSCRIBE.http", 503, "Master has not finished recovery"),
        ("failures/election/scheduler-call-01-SUBSCRIBE.http", 503, "No leader elected"),
    ] {
        let error = subscribe_refused(name).await;
        assert!(error.is_transient() && !error.needs_subscription());
        let CallError::NotReady { status: found, message, .. } = error else { panic!("{error}") };
        assert_eq!((found, message.as_str()), (status, text));
    }
}

#[tokio::test]
async fn refusals_are_distinguished() {
    for (name, expected) in [
        ("failures/basic_auth/scheduler-call-01-SUBSCRIBE.http", Refusal::CredentialsNeeded),
        ("failures/basic_auth/scheduler3-call-01-SUBSCRIBE.http", Refusal::Malformed),
        ("failures/refusals/refusal-no-framework-info-call-01-400.http", Refusal::Malformed),
        ("failures/refusals/refusal-Content-Type-text-plain-call-01-415.http", Refusal::MediaType),
        ("failures/refusals/refusal-Accept-text-html-call-01-406.http", Refusal::MediaType),
        ("failures/refusals/refusal-GET-call-01-405.http", Refusal::Other),
        (
            "failures/agent_restart_without_checkpoint/executor-call-04-SUBSCRIBE.http",
            Refusal::UnknownExecutor,
        ),
    ] {
        let error = subscribe_refused(name).await;
        assert!(!error.is_transient(), "{error}");
        let CallError::Refused { refusal, .. } = error else { panic!("{error}") };
        assert_eq!(refusal, expected, "{name}");
    }
    for (name, expected) in [
        ("failures/subscriptions/scheduler2-call-02-REVIVE.http", Refusal::NotSubscribed),
        ("protobuf/refusals/scheduler-call-01-REVIVE.http", Refusal::NotSubscribed),
        ("protobuf/refusals/scheduler-call-03-REVIVE.http", Refusal::NotSubscribed),
        ("failures/acknowledgements/scheduler-call-06-ACKNOWLEDGE.http", Refusal::Malformed),
        ("failures/basic_auth/scheduler4-call-05-REVIVE.http", Refusal::CredentialsNeeded),
    ] {
        let error = call_refused(name).await;
        assert_eq!(error.needs_subscription(), expected == Refusal::NotSubscribed, "{error}");
        let CallError::Refused { refusal, .. } = error else { panic!("{error}") };
        assert_eq!(refusal, expected, "{name}");
    }
}

#[tokio::test]
async fn a_refusal_names_peer_reason_and_remedy() {
    let answer = recorded::answer("failures/basic_auth/scheduler-call-01-SUBSCRIBE.http");
    let auth = mesos::auth::Auth::basic("miner", "wrong");
    let error = refused(Reply::Bytes(answer), Config { auth, ..Config::default() }).await.to_string();
    let (address, rest) = error.split_once(" refused ").unwrap();
    assert!(address.starts_with("http://127.0.0.1:") && address.ends_with("/api/v1/scheduler"));
    assert_eq!(
        rest,
        "SUBSCRIBE (HTTP 401: 401 Unauthorized.): the credentials were not accepted; check the principal and its \
         secret"
    );
}

#[tokio::test]
async fn calls_follow_the_redirect_of_their_subscription() {
    let recorded = recorded::answer("failures/election/scheduler-call-51-SUBSCRIBE.http");
    let leader = ScriptedPeer::start(vec![Reply::Silence(stream_head()), accepted()]).await;
    // The recorded response redirects to another address. Replace this address by our leader's.
    let text = String::from_utf8(recorded).unwrap();
    assert!(text.contains("Location: //127.0.0.1:5050/master/api/v1/scheduler\r\n"));
    let redirect = text.replace("127.0.0.1:5050", &leader.address.to_string());
    let standby = ScriptedPeer::start(vec![Reply::Bytes(redirect.into_bytes())]).await;

    let client = standby.client(Config::default());
    let stream = client.subscribe(&subscribe()).await.unwrap();
    assert_eq!(stream.endpoint().address, leader.address);
    client.call(&scheduler::revive(&"f".into(), vec![])).await.unwrap();

    let requests = leader.requests();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        assert!(request.head.starts_with("post /master/api/v1/scheduler http/1.1\r\n"), "{}", request.head);
        assert!(request.head.contains(&format!("\r\nhost: {}\r\n", leader.address)));
    }
}
