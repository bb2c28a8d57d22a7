//! Masters, agents and ZooKeeper at IPv6 addresses.

use std::time::Duration;

use mesos::detector::Detector;
use mesos::env::ExecutorEnv;
use mesos::executor::{self, ExecutorClient};
use mesos::scheduler::{self, SchedulerClient};
use testing::http_peer::Reply;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::scripted::{ScriptedPeer, accepted, stream_head, subscribe};

/// A listener on the IPv6 loopback; `None` if the machine has no IPv6.
async fn listener() -> Option<TcpListener> {
    let listener = TcpListener::bind("[::1]:0").await;
    listener.inspect_err(|error| eprintln!("skipped: no IPv6 here: {error}")).ok()
}

#[tokio::test]
async fn a_scheduler_subscribes_and_follows_a_redirect() {
    let (Some(first), Some(second)) = (listener().await, listener().await) else { return };
    let leader = ScriptedPeer::on(second, vec![Reply::Silence(stream_head()), accepted()]);
    assert!(leader.address.to_string().starts_with("[::1]:"));
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: //{}/master/api/v1/scheduler\r\nContent-Length: 0\r\n\r\n",
        leader.address
    );
    let standby = ScriptedPeer::on(first, vec![Reply::Bytes(redirect.into())]);
    let client = SchedulerClient::new(format!("http://{}", standby.address).parse().unwrap());
    let stream = client.subscribe(&subscribe()).await.unwrap();
    assert_eq!(stream.endpoint().address, leader.address);
    client.call(&scheduler::revive(&"f".into(), vec![])).await.unwrap();
    for request in leader.requests() {
        assert!(request.head.contains(&format!("\r\nhost: {}\r\n", leader.address)), "{}", request.head);
    }
}

#[tokio::test]
async fn an_executor_calls_its_agent() {
    let Some(listener) = listener().await else { return };
    let agent = ScriptedPeer::on(listener, vec![accepted()]);
    let env = ExecutorEnv::from_lookup(|name| match name {
        "MESOS_AGENT_ENDPOINT" => Some(agent.address.to_string()),
        "MESOS_SLAVE_PID" => Some(format!("slave(1)@{}", agent.address)),
        "MESOS_FRAMEWORK_ID" | "MESOS_EXECUTOR_ID" | "MESOS_SLAVE_ID" => Some("x".to_owned()),
        _ => None,
    })
    .unwrap();
    ExecutorClient::from_env(&env).call(&executor::heartbeat(&env.identity)).await.unwrap();
    assert!(agent.requests()[0].head.starts_with("post /slave(1)/api/v1/executor http/1.1\r\n"));
}

#[tokio::test]
async fn zookeeper_is_asked_for_a_session() {
    let Some(listener) = listener().await else { return };
    let masters = format!("zk://{}/mesos", listener.local_addr().unwrap()).parse().unwrap();
    let detector = Detector::new(masters);
    let asking = tokio::spawn(async move { detector.candidates(Duration::from_secs(60)).await });
    let (mut connection, _) = listener.accept().await.unwrap();
    // A ZooKeeper request begins with its length. A request for a session has at least 44 bytes: protocol, zxid, timeout, id and
    // password.
    assert!(connection.read_u32().await.unwrap() >= 44);
    asking.abort();
}
