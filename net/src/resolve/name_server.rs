//! One name server, and what it says about one name.
//!
//! `hickory_resolver` is given only one server. With several servers, it has one time limit for all of them together. Also, it
//! does not ask the next server after an answer such as SERVFAIL.

use std::future::{Future, pending};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{
    DnsUdpSocket, RuntimeProvider, TokioHandle, TokioRuntimeProvider, TokioTime,
};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::Name;
use tokio::io::{Interest, ReadBuf, Ready};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How much longer than the resolver's own time limit we wait. At its limit, the resolver returns what it has, for instance only
/// IPv4 addresses.
pub(super) const MARGIN: Duration = Duration::from_millis(200);

/// What a name server says about a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The addresses, at least one.
    Addresses(Vec<IpAddr>),
    /// There is no such name, or it has no address.
    None,
    /// The lookup failed. The text says why: for instance, the server refuses, or cannot be reached.
    Failure(String),
    /// Nothing in time.
    Silence,
}

/// Asks a name server for the addresses of an absolute name.
pub(super) async fn ask(server: SocketAddr, name: Name, limit: Duration, edns0: bool) -> Answer {
    let resolver = match resolver(server, limit, edns0) {
        Ok(resolver) => resolver,
        Err(error) => return Answer::Failure(error.to_string()),
    };
    let found = match timeout(limit + MARGIN, resolver.lookup_ip(name)).await {
        Ok(found) => found,
        Err(_) => return Answer::Silence,
    };
    match found {
        Ok(found) => {
            let addresses: Vec<IpAddr> = found.iter().collect();
            if addresses.is_empty() { Answer::None } else { Answer::Addresses(addresses) }
        }
        Err(NetError::Dns(DnsError::NoRecordsFound(_))) => Answer::None,
        Err(NetError::Dns(DnsError::ResponseCode(code))) => Answer::Failure(format!("it answers {code}")),
        Err(NetError::Timeout) => Answer::Silence,
        // The resolver returns this error for every I/O error.
        Err(NetError::NoConnections) => Answer::Failure("it cannot be reached".to_owned()),
        Err(error) => Answer::Failure(error.to_string()),
    }
}

/// Makes a client of one name server.
fn resolver(server: SocketAddr, limit: Duration, edns0: bool) -> Result<Resolver, NetError> {
    let mut config = NameServerConfig::udp_and_tcp(server.ip());
    for connection in &mut config.connections {
        connection.port = server.port();
    }
    let mut options = ResolverOpts::default();
    options.timeout = limit;
    options.attempts = 0;
    options.edns0 = edns0;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Never;
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![config]);
    let provider = OneServer { tokio: TokioRuntimeProvider::default(), server };
    hickory_resolver::Resolver::builder_with_config(config, provider).with_options(options).build()
}

type Resolver = hickory_resolver::Resolver<OneServer>;

/// Opens connections to one server only. Its UDP sockets are connected to the server. So if nobody listens on the server's port,
/// there is an error at once. The server's address may name a network interface (`fe80::1%eth0`).
#[derive(Clone)]
struct OneServer {
    tokio: TokioRuntimeProvider,
    server: SocketAddr,
}

type Opening<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

impl RuntimeProvider for OneServer {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = Connected;
    type Tcp = AsyncIoTokioAsStd<TcpStream>;

    fn create_handle(&self) -> Self::Handle {
        self.tokio.create_handle()
    }

    fn connect_tcp(
        &self,
        _: SocketAddr,
        from: Option<SocketAddr>,
        limit: Option<Duration>,
    ) -> Opening<Self::Tcp> {
        self.tokio.connect_tcp(self.server, from, limit)
    }

    fn bind_udp(&self, from: SocketAddr, _: SocketAddr) -> Opening<Self::Udp> {
        Box::pin(Connected::open(from, self.server))
    }
}

/// A UDP socket that is connected to a server.
struct Connected {
    socket: Arc<UdpSocket>,
    server: SocketAddr,
    /// This future ends when the socket has an error. It is needed because an error does not wake a task that waits only for
    /// data.
    failing: Mutex<Opening<Ready>>,
}

impl Connected {
    async fn open(from: SocketAddr, server: SocketAddr) -> io::Result<Self> {
        let socket = Arc::new(UdpSocket::bind(from).await?);
        socket.connect(server).await?;
        let watched = socket.clone();
        let failing = Mutex::new(Box::pin(async move { watched.ready(Interest::ERROR).await }) as Opening<_>);
        Ok(Self { socket, server, failing })
    }
}

impl DnsUdpSocket for Connected {
    type Time = TokioTime;

    fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if failing.as_mut().poll(cx).is_ready() {
            *failing = Box::pin(pending());
            let error = self.socket.take_error().unwrap_or_else(Some);
            return Poll::Ready(Err(error.unwrap_or_else(|| io::ErrorKind::ConnectionRefused.into())));
        }
        let mut buffer = ReadBuf::new(buffer);
        ready!(self.socket.poll_recv(cx, &mut buffer))?;
        Poll::Ready(Ok((buffer.filled().len(), self.server)))
    }

    fn poll_send_to(&self, cx: &mut Context<'_>, bytes: &[u8], _: SocketAddr) -> Poll<io::Result<usize>> {
        self.socket.poll_send(cx, bytes)
    }
}
