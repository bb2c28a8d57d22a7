//! Serves the executor's file to agents: `GET /SHA256/mesos-miner`.
//!
//! The path contains the content's checksum because Mesos' fetcher keeps files by URI: another content needs
//! another URI. The file stays open, so that replacing it on disk does not change what is served.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::task_info::EXECUTABLE;

const CHUNK: usize = 256 * 1024;
/// Connections at once; further agents wait.
const CONNECTIONS: usize = 64;

/// Why the executor cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// The file cannot be read.
    #[error("cannot read the executable {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The address is no address.
    #[error("{address:?} is not an address; write HOST or HOST:PORT (--artifact-address)")]
    Address {
        /// What was given.
        address: String,
    },
    /// The port is in use, or the address is not one of this machine.
    #[error("cannot listen on {addresses} (--artifact-address)")]
    Listen {
        /// Where.
        addresses: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

/// A server that runs until this is dropped.
#[derive(Debug)]
pub struct ArtifactServer {
    uri: String,
    task: JoinHandle<()>,
}

impl Drop for ArtifactServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is served.
struct Artifact {
    file: File,
    length: u64,
    path: String,
}

impl ArtifactServer {
    /// Reads the file once for its checksum, and listens. `address` is `HOST[:PORT]` as the agents see this
    /// machine; without it, it is `local` and any port.
    ///
    /// # Errors
    /// If the file cannot be read, or the address cannot be listened on.
    pub async fn start(
        executable: &Path,
        address: Option<&str>,
        local: IpAddr,
    ) -> Result<ArtifactServer, ArtifactError> {
        let (host, bind) = match address {
            Some(address) => parse(address)?,
            None => (local.to_string(), vec![SocketAddr::new(local, 0)]),
        };
        let path = executable.to_owned();
        let opened = tokio::task::spawn_blocking(move || Artifact::open(&path)).await;
        let artifact = opened
            .unwrap_or_else(|panic| Err(io::Error::other(panic)))
            .map_err(|source| ArtifactError::File { path: executable.to_owned(), source })?;
        let listen = |source| ArtifactError::Listen { addresses: joined(&bind), source };
        let listener = TcpListener::bind(&bind[..]).await.map_err(listen)?;
        let port = listener.local_addr().map_err(listen)?.port();
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let uri = format!("http://{host}:{port}{}", artifact.path);
        tracing::debug!(%uri, length = artifact.length, "serving the executor");
        Ok(ArtifactServer { uri, task: tokio::spawn(serve(listener, Arc::new(artifact))) })
    }

    /// Where agents find the file.
    pub fn uri(&self) -> &str {
        &self.uri
    }
}

impl Artifact {
    fn open(path: &Path) -> io::Result<Artifact> {
        let mut file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
        }
        let mut hasher = Sha256::new();
        let (mut length, mut piece) = (0, vec![0; CHUNK]);
        loop {
            match file.read(&mut piece)? {
                0 => break,
                read => {
                    hasher.update(&piece[..read]);
                    length += read as u64;
                }
            }
        }
        let path = format!("/{}/{EXECUTABLE}", hex::encode(hasher.finalize()));
        Ok(Artifact { file, length, path })
    }
}

/// Checks `--artifact-address`.
///
/// # Errors
/// If it is neither HOST nor HOST:PORT.
pub fn checked_address(text: &str) -> Result<String, ArtifactError> {
    parse(text).map(|_| text.to_owned())
}

/// The host to tell agents, and where to listen, the first that works: on exactly this address if it is one, else on all.
fn parse(address: &str) -> Result<(String, Vec<SocketAddr>), ArtifactError> {
    let wrong = || ArtifactError::Address { address: address.to_owned() };
    let unbracketed = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(ip) = unbracketed.unwrap_or(address).parse::<IpAddr>() {
        return Ok((ip.to_string(), vec![SocketAddr::new(ip, 0)]));
    }
    if let Ok(socket) = address.parse::<SocketAddr>() {
        return Ok((socket.ip().to_string(), vec![socket]));
    }
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
        None => (address, 0),
    };
    let valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
    if host.is_empty() || !host.chars().all(valid) {
        return Err(wrong());
    }
    // A name may stand for either kind of address. One socket on the first serves both; a host without IPv6 has no
    // address for it.
    let everywhere = [IpAddr::from(Ipv6Addr::UNSPECIFIED), IpAddr::from(Ipv4Addr::UNSPECIFIED)];
    Ok((host.to_owned(), everywhere.map(|ip| SocketAddr::new(ip, port)).to_vec()))
}

fn joined(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

async fn serve(listener: TcpListener, artifact: Arc<Artifact>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let socket = match listener.accept().await {
            Ok((socket, peer)) => {
                tracing::debug!(%peer, "an agent fetches the executor");
                socket
            }
            Err(error) => {
                // There may be no file descriptor left: wait for one to be closed.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let artifact = Arc::clone(&artifact);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let artifact = Arc::clone(&artifact);
                async move { Ok::<_, Infallible>(answer(&request, &artifact)) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10))
                .serve_connection(TokioIo::new(socket), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection of an agent ended");
            }
            drop(permit);
        });
    }
}

type Body = BoxBody<Bytes, io::Error>;

fn answer<B>(request: &Request<B>, artifact: &Arc<Artifact>) -> Response<Body> {
    let empty = || Empty::new().map_err(|never| match never {}).boxed();
    let mut response = Response::new(empty());
    if request.uri().path() != artifact.path {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    }
    match *request.method() {
        Method::GET => *response.body_mut() = content(artifact),
        Method::HEAD => {}
        _ => {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            return response;
        }
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(artifact.length));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    response
}

/// The file, read piece by piece as the agent takes it.
fn content(artifact: &Arc<Artifact>) -> Body {
    let (pieces, receiver) = mpsc::channel(2);
    let artifact = Arc::clone(artifact);
    tokio::task::spawn_blocking(move || {
        let mut at = 0;
        while at < artifact.length {
            let size = (artifact.length - at).min(CHUNK as u64) as usize;
            let mut piece = vec![0; size];
            let read = artifact.file.read_exact_at(&mut piece, at);
            at += size as u64;
            let failed = read.is_err();
            if pieces.blocking_send(read.map(|()| Frame::data(Bytes::from(piece)))).is_err() || failed {
                return; // the agent is gone, or its download has failed
            }
        }
    });
    let stream = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    BodyExt::boxed(StreamBody::new(stream))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpStream, ToSocketAddrs};

    use super::*;

    async fn get(server: &ArtifactServer, method: &str, path: &str) -> Vec<u8> {
        let authority = server.uri().strip_prefix("http://").unwrap().split('/').next().unwrap();
        fetch(authority, authority, method, path).await
    }

    async fn fetch(from: impl ToSocketAddrs, authority: &str, method: &str, path: &str) -> Vec<u8> {
        let mut socket = TcpStream::connect(from).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        answer
    }

    fn file(content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[tokio::test]
    async fn serves_the_whole_file_under_its_checksum_and_nothing_else() {
        let content: Vec<u8> = (0..CHUNK * 2 + 17).map(|i| (i % 251) as u8).collect();
        let file = file(&content);
        let server = ArtifactServer::start(file.path(), None, IpAddr::from([127, 0, 0, 1])).await.unwrap();
        let checksum = hex::encode(Sha256::digest(&content));
        assert!(server.uri().ends_with(&format!("/{checksum}/mesos-miner")), "{}", server.uri());
        let path = format!("/{checksum}/mesos-miner");
        let answer = get(&server, "GET", &path).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        assert!(answer.ends_with(&content));
        let head = String::from_utf8(get(&server, "HEAD", &path).await).unwrap();
        assert!(head.contains(&format!("content-length: {}", content.len())) && head.ends_with("\r\n\r\n"));
        assert!(get(&server, "GET", "/mesos-miner").await.starts_with(b"HTTP/1.1 404"));
        assert!(get(&server, "PUT", &path).await.starts_with(b"HTTP/1.1 405"));
    }

    #[tokio::test]
    async fn a_name_is_served_over_both_kinds_of_addresses() {
        let file = file(b"x");
        let local = IpAddr::from([127, 0, 0, 1]);
        let server = ArtifactServer::start(file.path(), Some("localhost"), local).await.unwrap();
        let (authority, path) = server.uri().strip_prefix("http://").unwrap().split_once('/').unwrap();
        let port: u16 = authority.strip_prefix("localhost:").unwrap().parse().unwrap();
        let mut kinds = vec![local];
        // Some machines have no IPv6 at all.
        kinds.extend(TcpListener::bind("[::1]:0").await.is_ok().then(|| IpAddr::from(Ipv6Addr::LOCALHOST)));
        for ip in kinds {
            let answer = fetch(SocketAddr::new(ip, port), authority, "GET", &format!("/{path}")).await;
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{ip}");
        }
        let server = ArtifactServer::start(file.path(), Some("::1"), local).await;
        assert!(server.is_err() || server.is_ok_and(|server| server.uri().starts_with("http://[::1]:")));
    }

    #[tokio::test]
    async fn a_missing_file_and_a_port_in_use_are_told_apart() {
        let local = IpAddr::from([127, 0, 0, 1]);
        let error = ArtifactServer::start(Path::new("/no/such/file"), None, local).await.unwrap_err();
        assert!(matches!(error, ArtifactError::File { .. }), "{error}");
        let taken = TcpListener::bind((local, 0)).await.unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let error = ArtifactServer::start(file(b"x").path(), Some(&address), local).await.unwrap_err();
        assert!(matches!(error, ArtifactError::Listen { .. }), "{error}");
    }

    #[test]
    fn addresses_with_and_without_a_port() {
        let parsed = |text: &str| parse(text).map(|(host, bind)| (host, joined(&bind))).ok();
        let some = |host: &str, bind: &str| Some((host.to_owned(), bind.to_owned()));
        assert_eq!(parsed("10.0.0.1"), some("10.0.0.1", "10.0.0.1:0"));
        assert_eq!(parsed("10.0.0.1:80"), some("10.0.0.1", "10.0.0.1:80"));
        assert_eq!(parsed("::1"), some("::1", "[::1]:0"));
        assert_eq!(parsed("[::1]:80"), some("::1", "[::1]:80"));
        assert_eq!(parsed("miner.example:80"), some("miner.example", "[::]:80 or 0.0.0.0:80"));
        for wrong in ["", ":80", "a:b", "a:99999", "a b", "http://a"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
