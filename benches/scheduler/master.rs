//! The simulated master: serves Mesos' v1 scheduler API for the cluster, on a loopback port.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use local::http::{Reply, Request, STREAM_ID, Server, StreamBody, empty, header, stream, text};
use mesos::v1::scheduler::Call;
use mesos::v1::scheduler::call::Type;
use prost::Message;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use super::cluster::{Cluster, Settings};
use super::delay_proxy::DelayProxy;
use super::fetcher;

const PROTOBUF: &str = "application/x-protobuf";
/// Maximum number of events that wait until the scheduler reads them.
const QUEUE: usize = 1 << 24;
/// The interval at which the simulated cluster performs what is due, such as allocations, heartbeats and tasks' messages.
const TICK: Duration = Duration::from_millis(5);
/// The simulated master accepts and ignores calls to this path. They come from `bare_loop.rs`, not from the scheduler.
pub const IDLE_PATH: &str = "/idle";

/// A master that runs until it is dropped.
pub struct Master {
    pub address: std::net::SocketAddr,
    cluster: Arc<Mutex<Cluster>>,
    _delay_proxy: Option<DelayProxy>,
    _server: Server,
    _runtime: Runtime,
}

impl Master {
    /// Starts a master with this round-trip time.
    pub fn start(settings: Settings, delay: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (fetches, to_be_fetched) = mpsc::unbounded_channel();
        let rate = settings.fetch.bytes_per_second;
        let cluster = Arc::new(Mutex::new(Cluster::new(settings, fetches, Instant::now())));
        runtime.spawn(fetcher::run(Arc::downgrade(&cluster), to_be_fetched, rate));
        let cluster_of_handler = cluster.clone();
        let handler = move |request| std::future::ready(answer(&cluster_of_handler, &request));
        let (server, address) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("bound");
            (Server::start(listener, handler), address)
        });
        let clock = Arc::downgrade(&cluster);
        thread::Builder::new().name("clock".to_owned()).spawn(move || tick(&clock)).expect("a thread");
        let delay_proxy = (!delay.is_zero()).then(|| DelayProxy::start(address, delay));
        let address = delay_proxy.as_ref().map_or(address, |delay_proxy| delay_proxy.address);
        Self { address, cluster, _delay_proxy: delay_proxy, _server: server, _runtime: runtime }
    }

    pub fn cluster(&self) -> MutexGuard<'_, Cluster> {
        lock(&self.cluster)
    }
}

fn lock(cluster: &Mutex<Cluster>) -> MutexGuard<'_, Cluster> {
    cluster.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tick(cluster: &Weak<Mutex<Cluster>>) {
    while let Some(cluster) = cluster.upgrade() {
        lock(&cluster).tick(Instant::now());
        drop(cluster);
        thread::sleep(TICK);
    }
}

fn answer(cluster: &Arc<Mutex<Cluster>>, request: &Request) -> Reply {
    if request.uri().path() == IDLE_PATH {
        return empty(202);
    }
    if request.uri().path() != "/api/v1/scheduler" {
        return text(404, "404 Not Found.");
    }
    if header(request, "content-type") != Some(PROTOBUF) {
        return text(415, "Expecting 'Content-Type' of application/x-protobuf");
    }
    let Ok(call) = Call::decode(request.body().clone()) else {
        return text(400, "Failed to parse body into Call protobuf");
    };
    if call.r#type() == Type::Subscribe {
        return subscribe(cluster, request);
    }
    let mut cluster = lock(cluster);
    cluster.count_call(call.r#type(), request.body().len());
    match cluster.call(header(request, STREAM_ID), call, Instant::now()) {
        Ok(()) => empty(202),
        Err(why) => text(400, why),
    }
}

fn subscribe(cluster: &Arc<Mutex<Cluster>>, request: &Request) -> Reply {
    if header(request, STREAM_ID).is_some() {
        return text(400, "Subscribe calls should not include the 'Mesos-Stream-Id' header");
    }
    let (events, receiver) = mpsc::channel(QUEUE);
    let id = lock(cluster).subscribe(events, Instant::now());
    let (cluster, stream_id) = (Arc::downgrade(cluster), id.clone());
    let on_end = move || {
        if let Some(cluster) = cluster.upgrade() {
            lock(&cluster).unsubscribed(&stream_id);
        }
    };
    stream(PROTOBUF, Some(id), StreamBody { receiver, on_end: Some(Box::new(on_end)) })
}
