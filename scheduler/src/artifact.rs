//! Serves the executor's file to agents: `GET /SHA256/mesos-miner.tar.gz`, or `/SHA256/mesos-miner` as it is.
//!
//! The path contains the content's checksum because Mesos' fetcher keeps files by URI: another content needs another URI.
//! Agents are told of the archive, which is half as long, unless they are on this very machine: Mesos' fetcher unpacks it,
//! and keeps the archive in its cache. A mere `.gz` would not do: what is unpacked from the cache is named after the cache's
//! file, and is not executable. Nor would Content-Encoding: the fetcher does not decode it.

mod files;
mod serve;
#[cfg(test)]
mod tests;
mod transfers;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use net::{HostPort, HostPortError, ListenError, all_interfaces};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::files::Files;
use self::serve::serve;
pub use self::transfers::Fetching;
use self::transfers::Transfers;

/// Why the executor cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// The file cannot be read, or there is no room to pack it.
    #[error("cannot read and pack the executable {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The address is neither HOST nor HOST:PORT.
    #[error("{address:?} (--artifact-address): {error}")]
    Address {
        /// The given address.
        address: String,
        /// What is wrong with the address.
        error: HostPortError,
    },
    /// The port is in use, or the address is not one of this machine.
    #[error("--artifact-address")]
    Listen(#[from] ListenError),
}

/// A server that runs until this is dropped.
#[derive(Debug)]
pub struct ArtifactServer {
    uri: String,
    fetching: watch::Receiver<Fetching>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for ArtifactServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl ArtifactServer {
    /// Reads the file once for its checksum, packs it into a file without a name in `folder`, and listens. `address` is
    /// `HOST[:PORT]` as the agents see this machine; without it, it is `local` and any port.
    ///
    /// # Errors
    /// If the file cannot be read or packed, or the address cannot be listened on.
    pub async fn start(
        executable: &Path,
        folder: &Path,
        address: Option<&str>,
        local: IpAddr,
    ) -> Result<ArtifactServer, ArtifactError> {
        let (host, bind) = match address {
            Some(address) => parse(address)?,
            None => (local.to_string(), vec![SocketAddr::new(local, 0)]),
        };
        // To agents on this machine nothing goes over a network: to pack and unpack it would only take time.
        let near = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let (path, folder) = (executable.to_owned(), (!near).then(|| folder.to_owned()));
        let opened = tokio::task::spawn_blocking(move || Files::open(&path, folder.as_deref())).await;
        let files = opened
            .unwrap_or_else(|panic| Err(io::Error::other(panic)))
            .map_err(|source| ArtifactError::File { path: executable.to_owned(), source })?;
        let (listener, listening) = net::listen(&bind).await?;
        let authority = HostPort { host, port: listening.port() };
        let served = files.for_agents();
        let (uri, length) = (format!("http://{authority}{}", served.path), served.length);
        tracing::debug!(%uri, length, unpacked = files.plain.length, "serving the executor");
        let (files, transfers) = (Arc::new(files), Arc::new(Transfers::new()));
        let (tell, fetching) = watch::channel(Fetching::default());
        let meter = transfers.clone();
        let tasks = [
            tokio::spawn(serve(listener, files, transfers)),
            tokio::spawn(async move { meter.measure(length, tell).await }),
        ];
        Ok(ArtifactServer { uri, fetching, tasks })
    }

    /// Where agents find the file.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Tells how fast agents fetch it, each second in which any does.
    pub fn fetching(&self) -> watch::Receiver<Fetching> {
        self.fetching.clone()
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
    let (host, port) = match HostPort::parse_host(address) {
        Some(host) => (host, 0),
        None => match address.parse() {
            Ok(HostPort { host, port }) => (host, port),
            Err(error) => return Err(ArtifactError::Address { address: address.to_owned(), error }),
        },
    };
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok((host, vec![SocketAddr::new(ip, port)]));
    }
    // A name may have addresses of both kinds.
    Ok((host, all_interfaces(port).to_vec()))
}
