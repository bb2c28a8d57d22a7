//! Outgoing connections: TCP, through a proxy if one is set, and over TLS if requested.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use text::InWords;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_socks::tcp::Socks5Stream;
use tracing::debug;

use crate::plain::Plain;
use crate::proxy::Proxy;
use crate::resolve::resolve;
use crate::tls::{Tls, TlsError, Trust};

/// Idle time before the first keepalive probe. A dead peer, or a middlebox that has forgotten the connection, is noticed
/// after this time and three probes.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// If an address of a name does not answer within this time, the next address is tried as well (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

/// Advice for connections in plain text to a server that expects TLS.
const EXPECTS_TLS: &str = "write stratum+ssl://";
/// Advice for a TLS handshake that does not end in time.
const SILENT_TLS: &str =
    "; the server does not answer in TLS: if it does not speak TLS on this port, write stratum+tcp://";

/// A stream of bytes in both directions.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Opens connections.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// TLS for secure connections; `None` makes secure connections fail.
    pub tls: Option<Tls>,
    /// The proxy to connect through.
    pub proxy: Option<Proxy>,
    /// Time limit for name lookup, TCP, proxy and TLS together. Default: 10 s.
    pub timeout: Duration,
}

impl Default for Dialer {
    fn default() -> Self {
        Self { tls: None, proxy: None, timeout: Duration::from_secs(10) }
    }
}

/// The user's choices for outgoing connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialOptions {
    /// The servers to trust on secure connections.
    pub trust: Trust,
    /// The proxy to connect through.
    pub proxy: Option<Proxy>,
}

impl Dialer {
    /// A dialer with the user's choices. `secure` enables secure connections.
    ///
    /// # Errors
    /// If there are no certificates to trust.
    pub fn new(options: &DialOptions, secure: bool) -> Result<Self, TlsError> {
        let tls = if secure { Some(Tls::new(&options.trust)?) } else { None };
        Ok(Self { tls, proxy: options.proxy.clone(), ..Self::default() })
    }
}

/// Why a connection cannot be opened. The error does not name the address; the caller adds it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DialError {
    /// TCP failed.
    #[error(transparent)]
    Connect(io::Error),
    /// The time limit has passed.
    #[error("no connection within {}{hint}", InWords(*.after))]
    Timeout {
        /// The time limit.
        after: Duration,
        /// Advice, beginning with a semicolon; may be empty.
        hint: &'static str,
    },
    /// The proxy cannot be reached.
    #[error("cannot connect to the proxy {proxy}")]
    Proxy {
        /// The proxy.
        proxy: Proxy,
        /// The system's error.
        source: io::Error,
    },
    /// The proxy refuses the connection.
    #[error("the proxy {proxy} refuses the connection{hint}")]
    Refused {
        /// The proxy.
        proxy: Proxy,
        /// Advice, beginning with a semicolon; may be empty.
        hint: &'static str,
        /// The proxy's answer.
        source: tokio_socks::Error,
    },
    /// The TLS handshake failed, or the certificate is not trusted.
    #[error("cannot secure the connection")]
    Tls(#[source] io::Error),
    /// A secure connection is requested from a dialer without TLS.
    #[error("no TLS configuration for a secure connection")]
    NoTls,
}

/// Opens a TCP connection. If one address of the name does not answer, the next one is tried as
/// well. The connection has keepalive and sends small messages without delay. There is no time limit.
///
/// # Errors
/// With the system's error.
pub async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = first_of(resolve(host, port).await?.into_iter()).await?;
    set_socket_options(&stream);
    Ok(stream)
}

/// Turns on keepalive and turns off the delay of small messages (Nagle's algorithm), for connections that are mostly idle.
pub fn set_socket_options(stream: &TcpStream) {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3).with_retries(3);
    let options = SockRef::from(stream).set_tcp_keepalive(&keepalive).and_then(|()| stream.set_nodelay(true));
    // The connection also works without these options.
    if let Err(error) = options {
        debug!(%error, "cannot set socket options");
    }
}

/// Connects to the first address that answers. Tries the next address after [`HEAD_START`], or as soon as an attempt fails.
async fn first_of(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut addresses = addresses.fuse();
    let mut tries = JoinSet::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        let next = addresses.next();
        let more = next.is_some();
        if let Some(address) = next {
            tries.spawn(TcpStream::connect(address));
        }
        tokio::select! {
            done = tries.join_next() => match done {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(error))) => failure = error,
                Some(Err(error)) => failure = error.into(),
                None => return Err(failure),
            },
            () = sleep(HEAD_START), if more => {}
        }
    }
}

impl Dialer {
    /// Connects to a host, which is a name or an IP address (IPv6 without brackets). If `secure`, the connection is over TLS
    /// and the server's certificate must be for `host`.
    ///
    /// # Errors
    /// If the connection fails or takes longer than the time limit.
    pub async fn connect(
        &self,
        host: &str,
        port: u16,
        secure: bool,
    ) -> Result<Box<dyn ByteStream>, DialError> {
        let securing = AtomicBool::new(false);
        match timeout(self.timeout, self.connect_without_timeout(host, port, secure, &securing)).await {
            Ok(connected) => connected,
            Err(_) => {
                let hint = if securing.into_inner() { SILENT_TLS } else { "" };
                Err(DialError::Timeout { after: self.timeout, hint })
            }
        }
    }

    async fn connect_without_timeout(
        &self,
        host: &str,
        port: u16,
        secure: bool,
        securing: &AtomicBool,
    ) -> Result<Box<dyn ByteStream>, DialError> {
        let tls = match (secure, &self.tls) {
            (false, _) => None,
            (true, None) => return Err(DialError::NoTls),
            (true, Some(tls)) => Some(tls),
        };
        let stream = match &self.proxy {
            None => tcp(host, port).await.map_err(DialError::Connect)?,
            Some(proxy) => connect_through(proxy, host, port).await?,
        };
        match tls {
            None => Ok(Box::new(Plain::new(stream, EXPECTS_TLS))),
            Some(tls) => {
                securing.store(true, Relaxed);
                Ok(Box::new(tls.secure(host, stream).await.map_err(DialError::Tls)?))
            }
        }
    }
}

/// Connects through a proxy, which resolves the name.
async fn connect_through(proxy: &Proxy, host: &str, port: u16) -> Result<TcpStream, DialError> {
    let stream = tcp(&proxy.address.host, proxy.address.port)
        .await
        .map_err(|source| DialError::Proxy { proxy: proxy.clone(), source })?;
    let connected = match &proxy.credentials {
        None => Socks5Stream::connect_with_socket(stream, (host, port)).await,
        Some((user, password)) => {
            Socks5Stream::connect_with_password_and_socket(stream, (host, port), user, password).await
        }
    };
    match connected {
        Ok(stream) => Ok(stream.into_inner()),
        Err(source) => Err(DialError::Refused { proxy: proxy.clone(), hint: proxy_hint(&source), source }),
    }
}

fn proxy_hint(error: &tokio_socks::Error) -> &'static str {
    use tokio_socks::Error;
    match error {
        Error::NoAcceptableAuthMethods | Error::UnknownAuthMethod => {
            "; it requires a user and password: write socks5://USER@HOST:PORT and give the password"
        }
        Error::PasswordAuthFailure(_) | Error::InvalidAuthValues(_) => "; check its user and password",
        Error::InvalidResponseVersion | Error::Io(_) => "; is it a SOCKS5 proxy?",
        Error::ConnectionNotAllowedByRuleset => "; its rules forbid it",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Socket, Type};
    use tokio::net::TcpListener;

    use super::*;

    /// An address that does not answer: its backlog is full, and no connection is accepted.
    async fn silent() -> (Socket, Vec<TcpStream>, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(0).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = timeout(Duration::from_secs(1), TcpStream::connect(address)).await {
            queued.push(stream.unwrap());
        }
        (socket, queued, address)
    }

    #[tokio::test]
    async fn a_silent_address_does_not_delay_the_other_addresses_of_a_name() {
        let (_socket, _queued, silent) = silent().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let refuses = SocketAddr::from(([127, 0, 0, 1], 1));
        for order in [vec![silent, good], vec![good, silent], vec![refuses, silent, good]] {
            let connected = timeout(Duration::from_secs(60), first_of(order.into_iter()));
            assert_eq!(connected.await.expect("in time").unwrap().peer_addr().unwrap(), good);
        }
        assert!(first_of([refuses].into_iter()).await.is_err());
        assert!(first_of([].into_iter()).await.is_err());
    }

    #[tokio::test]
    async fn connections_have_keepalive_and_no_delay() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = tcp("127.0.0.1", listener.local_addr().unwrap().port()).await.unwrap();
        assert!(SockRef::from(&stream).keepalive().unwrap() && stream.nodelay().unwrap());
        assert_eq!(SockRef::from(&stream).tcp_keepalive_time().unwrap(), KEEPALIVE);
    }
}
