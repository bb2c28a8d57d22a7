//! Serves the executor to agents: `GET /SHA256/mesos-miner.tar.gz`, or `/SHA256/mesos-miner` uncompressed.
//!
//! The path contains the content's checksum because Mesos' fetcher caches files by URI, so that different content needs a
//! different URI. Agents on other machines get the archive, which has half the size; Mesos' fetcher caches and unpacks it. A
//! plain `.gz` does not work, because a file unpacked from the cache gets the name of the cache's file and is not executable.
//! Content-Encoding does not work either, because the fetcher does not decode it.

mod downloads;
mod files;
mod serve;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use net::{HostPort, HostPortError, ListenError, all_interfaces};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::downloads::DownloadStats;
use self::downloads::Downloads;
use self::files::ArtifactFiles;
use self::serve::serve;

/// Why the executor cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// The file cannot be read, or there is no space to pack it.
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
        /// The error in the address.
        error: HostPortError,
    },
    /// The port is in use, or the address is not one of this machine.
    #[error("--artifact-address")]
    Listen(#[from] ListenError),
}

/// A running server. Dropping it ends the server.
#[derive(Debug)]
pub struct ArtifactServer {
    uri: String,
    for_other_machines: bool,
    stats: watch::Receiver<DownloadStats>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for ArtifactServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl ArtifactServer {
    /// Reads the file once for its checksum, packs it into an unnamed file in `folder`, and listens. `address` is
    /// `HOST[:PORT]` at which the agents reach this machine; without it, the server listens at `local` and any port.
    ///
    /// # Errors
    /// If the file cannot be read or packed, or the server cannot listen on the address.
    pub async fn start(
        executable: &Path,
        folder: &Path,
        address: Option<&str>,
        local: IpAddr,
    ) -> Result<Self, ArtifactError> {
        let (host, bind) = match address {
            Some(address) => parse(address)?,
            None => (local.to_string(), vec![SocketAddr::new(local, 0)]),
        };
        // Agents on this machine need no network, so packing would only take time.
        let near = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let (path, folder) = (executable.to_owned(), (!near).then(|| folder.to_owned()));
        let opened = tokio::task::spawn_blocking(move || ArtifactFiles::open(&path, folder.as_deref())).await;
        let files = opened
            .unwrap_or_else(|panic| Err(io::Error::other(panic)))
            .map_err(|source| ArtifactError::File { path: executable.to_owned(), source })?;
        let (listener, listening) = net::listen(&bind).await?;
        let authority = HostPort { host, port: listening.port() };
        let served = files.for_agents();
        let (uri, length) = (format!("http://{authority}{}", served.path), served.length);
        tracing::debug!(%uri, length, unpacked = files.plain.length, "serving the executor");
        let (files, downloads) = (Arc::new(files), Arc::new(Downloads::new()));
        let (publish, stats) = watch::channel(DownloadStats::default());
        let meter = downloads.clone();
        let tasks = [
            tokio::spawn(serve(listener, files, downloads)),
            tokio::spawn(async move { meter.measure(length, publish).await }),
        ];
        Ok(ArtifactServer { uri, for_other_machines: !near, stats, tasks })
    }

    /// The URI at which agents fetch the executor.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Whether agents on other machines can fetch the executor, because the address is not a loopback address.
    pub fn is_for_other_machines(&self) -> bool {
        self.for_other_machines
    }

    /// The statistics of downloads, updated each second while there are any.
    pub fn downloads(&self) -> watch::Receiver<DownloadStats> {
        self.stats.clone()
    }
}

/// Checks `--artifact-address`.
///
/// # Errors
/// If `text` is neither HOST nor HOST:PORT.
pub fn checked_address(text: &str) -> Result<String, ArtifactError> {
    parse(text).map(|_| text.to_owned())
}

/// Returns the host for the URI, and the candidates for the address to listen on; the server uses the first candidate that works.
/// If the host is an IP address, it is the only candidate. If the host is a name, the candidates stand for all addresses of this
/// machine.
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
    // A host name may have both IPv4 and IPv6 addresses.
    Ok((host, all_interfaces(port).to_vec()))
}
