//! What the clients send, and on which connections.

use std::path::Path;
use std::sync::{Arc, Mutex};

use mesos::address::HostPort;
use mesos::auth::Auth;
use mesos::env::ExecutorEnv;
use mesos::executor::{self, ExecutorClient};
use mesos::{CallError, Config, scheduler, v1};
use prost::Message;

use crate::fake::{Answer, Fake, accepted, nobody, serve, stream_head, subscribe};
use crate::recorded;

#[tokio::test]
async fn calls_carry_stream_id_and_credentials_and_keep_off_the_stream() {
    let fake = Fake::start(vec![Answer::Silence(stream_head()), accepted(), accepted()]).await;
    let client = fake.client(Config { auth: Auth::basic("p", "s"), ..Config::default() });
    let stream = client.subscribe(&subscribe()).await.unwrap();
    assert_eq!(stream.stream_id(), Some("s-1"));
    let revive = scheduler::revive(&"f".into(), vec!["r".into()]);
    client.call(&revive).await.unwrap();
    client.clone().call(&revive).await.unwrap();

    let asked = fake.asked();
    let connections: Vec<_> = asked.iter().map(|asked| asked.connection).collect();
    assert_eq!(connections, [0, 1, 1], "the stream alone, and one connection for both calls");
    for asked in &asked {
        for header in [
            "content-type: application/x-protobuf\r\n",
            "accept: application/x-protobuf\r\n",
            "authorization: basic cdpz\r\n", // "p:s", in lower case
        ] {
            assert!(asked.head.contains(header), "{header} is not in {}", asked.head);
        }
        assert_eq!(asked.head.contains("mesos-stream-id: s-1\r\n"), asked.connection == 1);
    }
    assert_eq!(v1::scheduler::Call::decode(&*asked[1].body).unwrap(), revive);
}

#[tokio::test]
async fn a_client_with_another_secret_subscribes_for_itself() {
    let stream = || Answer::Silence(stream_head());
    let fake = Fake::start(vec![stream(), stream(), accepted(), accepted()]).await;
    let config = |secret: &str| Config { auth: Auth::basic("p", secret), ..Config::default() };
    let before = fake.client(config("old"));
    let _old = before.subscribe(&subscribe()).await.unwrap();
    let client = before.reconfigured(config("new"));
    let revive = scheduler::revive(&"f".into(), vec![]);
    assert!(matches!(client.call(&revive).await, Err(CallError::NotSubscribed)));
    let _new = client.subscribe(&subscribe()).await.unwrap();
    client.call(&revive).await.unwrap();
    before.call(&revive).await.unwrap();
    let said = fake.asked().iter().map(|asked| asked.head.contains("basic cdpuzxc=\r\n")).collect::<Vec<_>>();
    assert_eq!(said, [false, true, true, false], "\"p:new\", in lower case");
}

#[tokio::test]
async fn an_executor_asks_under_its_agents_prefix_with_its_token() {
    let head =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/x-protobuf\r\n\r\n";
    let fake = Fake::start(vec![Answer::Silence(head.to_vec()), accepted()]).await;
    let config = Config { auth: Auth::bearer("t.o.k"), ..Config::default() };
    let client = ExecutorClient::with_config(fake.agent(), config);
    let me = executor::Identity { framework_id: "f".into(), executor_id: "e".into() };
    let stream = client.subscribe(&executor::subscribe(&me, vec![], vec![])).await.unwrap();
    assert_eq!(stream.stream_id(), None);
    client.call(&executor::message(&me, b"hello".to_vec())).await.unwrap();
    for asked in fake.asked() {
        assert!(asked.head.starts_with("post /slave(1)/api/v1/executor http/1.1\r\n"), "{}", asked.head);
        assert!(asked.head.contains("authorization: bearer t.o.k\r\n"));
        assert!(!asked.head.contains("mesos-stream-id"));
    }
}

#[tokio::test]
async fn an_executor_prefers_the_agents_domain_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let answers = Arc::new(Mutex::new(vec![accepted()].into_iter()));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let keep = asked.clone();
    let agent = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, 0, keep, answers).await;
    });
    let (_socket, nobody) = nobody();
    let env = environment(&nobody, &path);
    let client = ExecutorClient::from_env(&env);
    client.call(&executor::heartbeat(&env.identity)).await.unwrap();
    drop(client);
    agent.await.unwrap();
    assert!(asked.lock().unwrap()[0].head.starts_with("post /slave(1)/api/v1/executor http/1.1\r\n"));
}

#[tokio::test]
async fn an_executor_does_without_a_domain_socket_that_is_not_there() {
    let fake = Fake::start(vec![accepted()]).await;
    let env = environment(&fake.address, Path::new("/nowhere/agent.sock"));
    ExecutorClient::from_env(&env).call(&executor::heartbeat(&env.identity)).await.unwrap();
}

fn environment(endpoint: &HostPort, domain_socket: &Path) -> ExecutorEnv {
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
    let fake =
        Fake::start(vec![Answer::Silence(stream_head()), Answer::Silence(stream_head()), accepted()]).await;
    let client = fake.client(Config::default());
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
    let answers = vec![Answer::Silence(stream_head()), Answer::Pieces(close, 999), accepted(), Answer::Hang];
    let fake = Fake::start(answers).await;
    let client = fake.client(Config::default());
    let _stream = client.subscribe(&subscribe()).await.unwrap();
    let revive = scheduler::revive(&"f".into(), vec![]);
    client.call(&revive).await.unwrap();
    client.call(&revive).await.unwrap();
    // This one arrived, so it is the caller's decision whether to say it again.
    let error = client.call(&revive).await.unwrap_err();
    assert!(matches!(error, CallError::Broken { .. }) && error.is_transient(), "{error}");
    assert_eq!(fake.asked().len(), 4);
}

#[tokio::test]
async fn a_master_that_has_lost_the_lead_says_so() {
    let redirect = recorded::answer("failures/election/scheduler-call-51-SUBSCRIBE.http");
    let fake = Fake::start(vec![Answer::Silence(stream_head()), Answer::Bytes(redirect)]).await;
    let client = fake.client(Config::default());
    let _stream = client.subscribe(&subscribe()).await.unwrap();
    let error = client.call(&scheduler::revive(&"f".into(), vec![])).await.unwrap_err();
    assert!(matches!(error, CallError::Moved { .. }) && error.needs_subscription());
}

#[tokio::test]
async fn the_next_master_is_asked_when_one_does_not_answer() {
    let (_socket, gone) = nobody();
    let busy = Fake::start(vec![Answer::Bytes(recorded::answer(
        "failures/election/scheduler-call-01-SUBSCRIBE.http",
    ))])
    .await;
    let leader = Fake::start(vec![Answer::Silence(stream_head())]).await;
    let masters = format!("{gone},{},{}", busy.address, leader.address).parse().unwrap();
    let client = scheduler::SchedulerClient::new(masters);
    let stream = client.subscribe(&subscribe()).await.unwrap();
    assert_eq!(stream.endpoint().address, leader.address);
    assert_eq!(busy.asked().len(), 1);
}
