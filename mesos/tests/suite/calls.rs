//! The requests of the clients, and the connections that carry them.

use std::path::Path;

use mesos::auth::Auth;
use mesos::env::ExecutorEnv;
use mesos::executor::{self, ExecutorClient};
use mesos::{CallError, Config, scheduler, v1};
use prost::Message;
use testing::http_peer::{Reply, Script, serve};
use testing::ports::closed_address;

use crate::recorded;
use crate::scripted::{ScriptedPeer, accepted, stream_head, subscribe};

#[tokio::test]
async fn calls_carry_stream_id_and_credentials_on_connections_of_their_own() {
    let peer = ScriptedPeer::start(vec![Reply::Silence(stream_head()), accepted(), accepted()]).await;
    let client = peer.client(Config { auth: Auth::basic("p", "s"), ..Config::default() });
    let stream = client.subscribe(&subscribe()).await.unwrap();
    assert_eq!(stream.stream_id(), Some("s-1"));
    let revive = scheduler::revive(&"f".into(), vec!["r".into()]);
    client.call(&revive).await.unwrap();
    client.clone().call(&revive).await.unwrap();

    let requests = peer.requests();
    let connections: Vec<_> = requests.iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 1, 1], "the stream alone, and one connection for both calls");
    for request in &requests {
        for header in [
            "content-type: application/x-protobuf\r\n",
            "accept: application/x-protobuf\r\n",
            "authorization: basic cdpz\r\n", // "p:s", in lower case
        ] {
            assert!(request.head.contains(header), "{header} is not in {}", request.head);
        }
        assert_eq!(request.head.contains("mesos-stream-id: s-1\r\n"), request.connection == 1);
    }
    assert_eq!(v1::scheduler::Call::decode(&*requests[1].body).unwrap(), revive);
}

#[tokio::test]
async fn a_reconfigured_client_has_a_subscription_of_its_own() {
    let stream = || Reply::Silence(stream_head());
    let peer = ScriptedPeer::start(vec![stream(), stream(), accepted(), accepted()]).await;
    let config = |secret: &str| Config { auth: Auth::basic("p", secret), ..Config::default() };
    let before = peer.client(config("old"));
    let _old = before.subscribe(&subscribe()).await.unwrap();
    let client = before.reconfigured(config("new"));
    let revive = scheduler::revive(&"f".into(), vec![]);
    assert!(matches!(client.call(&revive).await, Err(CallError::NotSubscribed)));
    let _new = client.subscribe(&subscribe()).await.unwrap();
    client.call(&revive).await.unwrap();
    before.call(&revive).await.unwrap();
    let with_new_secret =
        peer.requests().iter().map(|request| request.head.contains("basic cdpuzxc=\r\n")).collect::<Vec<_>>();
    assert_eq!(with_new_secret, [false, true, true, false], "\"p:new\", in lower case");
}

#[tokio::test]
async fn an_executor_calls_its_agents_path_with_its_token() {
    let head =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/x-protobuf\r\n\r\n";
    let peer = ScriptedPeer::start(vec![Reply::Silence(head.to_vec()), accepted()]).await;
    let config = Config { auth: Auth::bearer("t.o.k"), ..Config::default() };
    let client = ExecutorClient::with_config(peer.agent(), config);
    let me = executor::Identity { framework_id: "f".into(), executor_id: "e".into() };
    let stream = client.subscribe(&executor::subscribe(&me, vec![], vec![])).await.unwrap();
    assert_eq!(stream.stream_id(), None);
    client.call(&executor::message(&me, b"hello".to_vec())).await.unwrap();
    for request in peer.requests() {
        assert!(request.head.starts_with("post /slave(1)/api/v1/executor http/1.1\r\n"), "{}", request.head);
        assert!(request.head.contains("authorization: bearer t.o.k\r\n"));
        assert!(!request.head.contains("mesos-stream-id"));
    }
}

#[tokio::test]
async fn an_executor_prefers_the_agents_domain_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let script = Script::new(vec![accepted()]);
    let for_agent = script.clone();
    let agent = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, 0, |request| for_agent.reply(request)).await;
    });
    let env = environment(&closed_address().to_string(), &path);
    let client = ExecutorClient::from_env(&env);
    client.call(&executor::heartbeat(&env.identity)).await.unwrap();
    drop(client);
    agent.await.unwrap();
    assert!(script.requests()[0].head.starts_with("post /slave(1)/api/v1/executor http/1.1\r\n"));
}

#[tokio::test]
async fn an_executor_uses_tcp_if_the_domain_socket_does_not_exist() {
    let peer = ScriptedPeer::start(vec![accepted()]).await;
    let env = environment(&peer.address.to_string(), Path::new("/nowhere/agent.sock"));
    ExecutorClient::from_env(&env).call(&executor::heartbeat(&env.identity)).await.unwrap();
}

fn environment(endpoint: &str, domain_socket: &Path) -> ExecutorEnv {
    let lookup = |name: &str| match name {
        "MESOS_AGENT_ENDPOINT" => Some(endpoint.to_string()),
        "MESOS_DOMAIN_SOCKET" => Some(domain_socket.to_str()?.to_owned()),
        "MESOS_SLAVE_PID" => Some("slave(1)@127.0.0.1:5051".to_owned()),
        "MESOS_FRAMEWORK_ID" | "MESOS_EXECUTOR_ID" | "MESOS_SLAVE_ID" => Some("x".to_owned()),
        _ => None,
    };
    ExecutorEnv::from_lookup(lookup).unwrap()
}

#[tokio::test]
async fn a_call_needs_a_subscription_that_lasts() {
    let peer =
        ScriptedPeer::start(vec![Reply::Silence(stream_head()), Reply::Silence(stream_head()), accepted()])
            .await;
    let client = peer.client(Config::default());
    let revive = scheduler::revive(&"f".into(), vec![]);
    assert!(matches!(client.call(&revive).await, Err(CallError::NotSubscribed)));

    let first = client.subscribe(&subscribe()).await.unwrap();
    let second = client.subscribe(&subscribe()).await.unwrap();
    drop(first);
    client.call(&revive).await.expect("the end of the first is not the end of the second");
    drop(second);
    let error = client.call(&revive).await.unwrap_err();
    assert!(error.is_transient() && error.needs_subscription());
}

#[tokio::test]
async fn a_closed_connection_is_replaced_without_sending_twice() {
    let close = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
    let answers = vec![Reply::Silence(stream_head()), Reply::Pieces(close, 999), accepted(), Reply::Close];
    let peer = ScriptedPeer::start(answers).await;
    let client = peer.client(Config::default());
    let _stream = client.subscribe(&subscribe()).await.unwrap();
    let revive = scheduler::revive(&"f".into(), vec![]);
    client.call(&revive).await.unwrap();
    client.call(&revive).await.unwrap();
    // The client does not repeat this call by itself, because the peer has already received it.
    let error = client.call(&revive).await.unwrap_err();
    assert!(matches!(error, CallError::Broken { .. }) && error.is_transient(), "{error}");
    assert_eq!(peer.requests().len(), 4);
}

#[tokio::test]
async fn a_master_that_does_not_lead_any_more_ends_the_subscription() {
    let redirect = recorded::answer("failures/election/scheduler-call-51-SUBSCRIBE.http");
    let peer = ScriptedPeer::start(vec![Reply::Silence(stream_head()), Reply::Bytes(redirect)]).await;
    let client = peer.client(Config::default());
    let _stream = client.subscribe(&subscribe()).await.unwrap();
    let error = client.call(&scheduler::revive(&"f".into(), vec![])).await.unwrap_err();
    assert!(matches!(error, CallError::NotLeading { .. }) && error.needs_subscription());
}

#[tokio::test]
async fn the_next_master_is_tried_when_one_does_not_respond() {
    let busy = ScriptedPeer::start(vec![Reply::Bytes(recorded::answer(
        "failures/election/scheduler-call-01-SUBSCRIBE.http",
    ))])
    .await;
    let leader = ScriptedPeer::start(vec![Reply::Silence(stream_head())]).await;
    let masters = format!("{},{},{}", closed_address(), busy.address, leader.address).parse().unwrap();
    let client = scheduler::SchedulerClient::new(masters);
    let stream = client.subscribe(&subscribe()).await.unwrap();
    assert_eq!(stream.endpoint().address, leader.address);
    assert_eq!(busy.requests().len(), 1);
}
