//! From a host and a port to a stream of bytes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_socks::tcp::Socks5Stream;
use tracing::debug;

use crate::proxy::Proxy;
use crate::tls::{Tls, TlsError, Trust};

/// A dead peer, or a middlebox that forgot the connection, is noticed after about this time plus three probes.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long an address of a name may be silent before the next one is tried beside it (RFC 8305).
const HEAD_START: Duration = Duration::from_millis(250);

/// A stream of bytes in both directions.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// How to connect.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// What secures connections that are to be secure.
    pub tls: Option<Tls>,
    /// Whom to connect through.
    pub proxy: Option<Proxy>,
    /// Time for everything together: looking the name up, the proxy's part, TLS. 10 s.
    pub timeout: Duration,
}

impl Default for Dialer {
    fn default() -> Dialer {
        Dialer { tls: None, proxy: None, timeout: Duration::from_secs(10) }
    }
}

/// Everything about connections that a user can choose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialOptions {
    /// Whom to trust where a connection is to be secure.
    pub trust: Trust,
    /// Whom to connect through.
    pub proxy: Option<Proxy>,
}

impl Dialer {
    /// Connects as the user wants. `secure`: there may be secure connections.
    ///
    /// # Errors
    /// If there is nobody to trust.
    pub fn new(options: &DialOptions, secure: bool) -> Result<Dialer, TlsError> {
        let tls = if secure { Some(Tls::trusting(&options.trust)?) } else { None };
        Ok(Dialer { tls, proxy: options.proxy.clone(), ..Dialer::default() })
    }
}

/// Why there is no connection. Whose, is for the caller to say.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DialError {
    /// No TCP connection.
    #[error(transparent)]
    Connect(io::Error),
    /// Not in time.
    #[error("no connection within {} s", after.as_secs_f32())]
    Timeout {
        /// The time limit.
        after: Duration,
    },
    /// The proxy is out of reach.
    #[error("can't connect to the proxy {proxy}")]
    Proxy {
        /// Which one.
        proxy: Proxy,
        /// Why.
        source: io::Error,
    },
    /// The proxy does not connect us.
    #[error("the proxy {proxy} does not connect us{hint}")]
    Refused {
        /// Which one.
        proxy: Proxy,
        /// What to do about it, from a semicolon on; may be empty.
        hint: &'static str,
        /// What it said.
        source: tokio_socks::Error,
    },
    /// No agreement on TLS, or a certificate that is not trusted.
    #[error("can't make the connection secure")]
    Tls(#[source] io::Error),
    /// A secure connection is asked for, but nobody said whom to trust.
    #[error("no TLS configuration for a secure connection")]
    NoTls,
}

/// Plain TCP, names resolved by the system; all addresses of a name are tried, and one that is silent keeps the others
/// waiting for a moment only. With keepalive, without delay of small messages, without a time limit.
///
/// # Errors
/// As the system says.
pub async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = first_of(lookup_host((host, port)).await?).await?;
    tune(&stream);
    Ok(stream)
}

/// For connections that are mostly silent and then carry small messages: keepalive, and no delay.
pub fn tune(stream: &TcpStream) {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3).with_retries(3);
    let options = SockRef::from(stream).set_tcp_keepalive(&keepalive).and_then(|()| stream.set_nodelay(true));
    // Both only make a good connection better.
    if let Err(error) = options {
        debug!(%error, "can't set socket options");
    }
}

/// Connects to whichever address answers, in this order, each with a head start before the next.
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
    /// Connects to this port of this host: a name, or an IP address (IPv6 without brackets). `secure`: over TLS, with a
    /// certificate for that name.
    ///
    /// # Errors
    /// If there is no such connection in time.
    pub async fn connect(&self, host: &str, port: u16, secure: bool) -> Result<Box<dyn Io>, DialError> {
        match timeout(self.timeout, self.connect_patiently(host, port, secure)).await {
            Ok(connected) => connected,
            Err(_) => Err(DialError::Timeout { after: self.timeout }),
        }
    }

    async fn connect_patiently(&self, host: &str, port: u16, secure: bool) -> Result<Box<dyn Io>, DialError> {
        let tls = match (secure, &self.tls) {
            (false, _) => None,
            (true, None) => return Err(DialError::NoTls),
            (true, Some(tls)) => Some(tls),
        };
        let stream = match &self.proxy {
            None => tcp(host, port).await.map_err(DialError::Connect)?,
            Some(proxy) => through(proxy, host, port).await?,
        };
        match tls {
            None => Ok(Box::new(stream)),
            Some(tls) => Ok(Box::new(tls.secure(host, stream).await.map_err(DialError::Tls)?)),
        }
    }
}

/// The proxy looks the name up.
async fn through(proxy: &Proxy, host: &str, port: u16) -> Result<TcpStream, DialError> {
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
        Err(source) => Err(DialError::Refused { proxy: proxy.clone(), hint: hint(&source), source }),
    }
}

fn hint(error: &tokio_socks::Error) -> &'static str {
    use tokio_socks::Error;
    match error {
        Error::NoAcceptableAuthMethods | Error::UnknownAuthMethod => {
            "; it wants a user and password: write socks5://USER@HOST:PORT and give the password"
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

    /// An address that answers nobody: its queue of connections is full, and nobody accepts one.
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
    async fn an_address_that_is_silent_does_not_keep_a_name_s_others_waiting() {
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
    async fn connections_are_kept_alive_and_send_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = tcp("127.0.0.1", listener.local_addr().unwrap().port()).await.unwrap();
        assert!(SockRef::from(&stream).keepalive().unwrap() && stream.nodelay().unwrap());
        assert_eq!(SockRef::from(&stream).tcp_keepalive_time().unwrap(), KEEPALIVE);
    }
}
