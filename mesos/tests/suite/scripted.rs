//! A peer with prepared replies, and the replies of a real Mesos.

use mesos::address::{Endpoint, HostPort, Scheme};
use mesos::v1::FrameworkInfo;
use mesos::{CallError, scheduler, v1};
use testing::http_peer::{HttpPeer, Reply, Request, Script};
use testing::mesos_peer;
use tokio::net::TcpListener;

/// A server that sends prepared replies and records the requests.
pub struct ScriptedPeer {
    pub address: HostPort,
    script: Script,
    _peer: HttpPeer,
}

impl ScriptedPeer {
    pub async fn start(replies: Vec<Reply>) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), replies)
    }

    /// Starts a server on this listener.
    pub fn on(listener: TcpListener, replies: Vec<Reply>) -> Self {
        let script = Script::new(replies);
        let for_peer = script.clone();
        let peer = HttpPeer::on(listener, move |request| for_peer.reply(request));
        Self { address: peer.address.to_string().parse().unwrap(), script, _peer: peer }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.script.requests()
    }

    pub fn client(&self, config: mesos::Config) -> scheduler::SchedulerClient {
        scheduler::SchedulerClient::with_config(self.address.clone().into(), config)
    }

    pub fn agent(&self) -> Endpoint {
        Endpoint {
            scheme: Scheme::Http,
            address: self.address.clone(),
            path: "/slave(1)/api/v1/executor".into(),
        }
    }
}

/// The head of a master's event stream.
pub fn stream_head() -> Vec<u8> {
    mesos_peer::stream_head::<v1::scheduler::Call>()
}

/// Events as one chunk of a stream.
pub fn chunk(events: impl IntoIterator<Item = scheduler::Event>) -> Vec<u8> {
    mesos_peer::chunk::<v1::scheduler::Call>(events)
}

/// The response of a real master to every call except SUBSCRIBE.
pub fn accepted() -> Reply {
    Reply::Bytes(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_vec())
}

pub fn subscribe() -> v1::scheduler::Call {
    let info = FrameworkInfo { user: "u".into(), name: "n".into(), ..FrameworkInfo::default() };
    scheduler::subscribe(info)
}

/// The error of a subscription that gets this reply.
pub async fn refused(reply: Reply, config: mesos::Config) -> CallError {
    let peer = ScriptedPeer::start(vec![reply]).await;
    peer.client(config).subscribe(&subscribe()).await.expect_err("a refusal")
}
