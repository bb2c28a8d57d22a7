//! What the clients send, and on which connections.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mesos::address::HostPort;
use mesos::auth::Auth;
use mesos::env::ExecutorEnv;
use mesos::executor::{self, ExecutorClient};
use mesos::{CallError, Config, scheduler, v1};
use prost::Message;

use crate::fake::{Answer, Fake, accepted, nobody, serve, stream_head, subscribe};
use crate::recorded;
use crate::streams::decode;

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

/// The builders make what another program, which the real Mesos understood, has made.
#[test]
fn builders_agree_with_recorded_calls() {
    let recorded = |number: &str| -> v1::scheduler::Call {
        let name = format!("protobuf/scheduler-call-{number}.body.pb");
        decode(&recorded::one(&name).bytes, &name)
    };
    let subscribe = recorded("01-SUBSCRIBE");
    let info = subscribe.subscribe.clone().unwrap().framework_info;
    assert_eq!(scheduler::subscribe(info), subscribe);

    let decline = recorded("02-DECLINE");
    let framework = decline.framework_id.clone().unwrap();
    let part = decline.decline.clone().unwrap();
    let refuse = part.filters.map(|filters| Duration::from_secs_f64(filters.refuse_seconds()));
    assert_eq!(scheduler::decline(&framework, part.offer_ids, refuse), decline);

    let accept = recorded("03-ACCEPT");
    let part = accept.accept.clone().unwrap();
    let refuse = part.filters.map(|filters| Duration::from_secs_f64(filters.refuse_seconds()));
    let tasks = part.operations[0].launch.clone().unwrap().task_infos;
    let launch = scheduler::operation::launch(tasks);
    assert_eq!(scheduler::accept(&framework, part.offer_ids, vec![launch], refuse), accept);

    let message = recorded("06-MESSAGE");
    let part = message.message.clone().unwrap();
    assert_eq!(scheduler::message(&framework, part.executor_id, part.agent_id, part.data), message);

    let reconcile = recorded("07-RECONCILE");
    let tasks = reconcile.reconcile.clone().unwrap().tasks;
    let tasks = tasks.into_iter().map(|task| (task.task_id, task.agent_id)).collect();
    assert_eq!(scheduler::reconcile(&framework, tasks), reconcile);

    let kill = recorded("14-KILL");
    let part = kill.kill.clone().unwrap();
    assert_eq!(scheduler::kill(&framework, part.task_id, part.agent_id, part.kill_policy), kill);

    let shutdown = recorded("23-SHUTDOWN");
    let part = shutdown.shutdown.clone().unwrap();
    assert_eq!(scheduler::shutdown(&framework, part.executor_id, part.agent_id), shutdown);

    assert_eq!(scheduler::teardown(&framework), recorded("25-TEARDOWN"));
}

/// Each type of call has a builder, which sets the part that belongs to it.
#[test]
fn every_type_of_call_can_be_built() {
    use v1::scheduler::call::Type;
    let framework = v1::FrameworkId::from("f");
    let info = v1::FrameworkInfo { id: Some(framework.clone()), ..v1::FrameworkInfo::default() };
    let update = v1::TaskStatus { agent_id: Some("a".into()), uuid: Some(vec![1; 16]), ..Default::default() };
    let operation = v1::OperationStatus {
        operation_id: Some("o".into()),
        uuid: Some(v1::Uuid { value: vec![2; 16] }),
        ..Default::default()
    };
    let built = [
        scheduler::subscribe(info.clone()),
        scheduler::teardown(&framework),
        scheduler::accept(&framework, vec![], vec![], None),
        scheduler::decline(&framework, vec![], None),
        scheduler::revive(&framework, vec![]),
        scheduler::kill(&framework, "t".into(), None, None),
        scheduler::shutdown(&framework, "e".into(), "a".into()),
        scheduler::acknowledge(&framework, &update).unwrap(),
        scheduler::reconcile(&framework, vec![]),
        scheduler::message(&framework, "e".into(), "a".into(), vec![]),
        scheduler::request(&framework, vec![]),
        scheduler::suppress(&framework, vec![]),
        scheduler::accept_inverse_offers(&framework, vec![]),
        scheduler::decline_inverse_offers(&framework, vec![], None),
        scheduler::acknowledge_operation_status(&framework, &operation).unwrap(),
        scheduler::reconcile_operations(&framework, vec![]),
        scheduler::update_framework(info, vec![], None),
    ];
    for (index, call) in built.iter().enumerate() {
        assert_eq!(call.r#type() as usize, index + 1);
        assert_eq!(call.framework_id.as_ref(), Some(&framework));
        let fields = format!("{call:?}").matches(": Some(").count();
        let bare = call.r#type() == Type::Teardown;
        assert!(bare || fields > 2, "{call:?} lacks its part");
    }
}
