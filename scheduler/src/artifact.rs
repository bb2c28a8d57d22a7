//! Serves the executor to agents: `GET /SHA256/mesos-miner.tar.gz`, or `/SHA256/mesos-miner` uncompressed.
//!
//! The path contains the content's checksum because Mesos' fetcher caches files by URI, so that different content needs a
//! different URI. Agents on other machines get the archive, which has half the size; Mesos' fetcher caches and unpacks it. A
//! plain `.gz` does not work, because a file unpacked from the cache gets the name of the cache's file and is not executable.
//! Content-Encoding does not work either, because the fetcher does not decode it.

mod address;
mod downloads;
mod files;
mod serve;
#[cfg(test)]
mod tests;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use net::{HostPort, ListenError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::address::{AddressError, ArtifactAddress, ListenAt, ToldAddress, listen_at, told_address};
use self::address::{Endpoints, is_loopback};
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
    /// The address to listen on, or the address from which agents fetch the executor, cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The port is in use, or the address is not one of this machine.
    #[error("{advice}")]
    Listen {
        /// Which option to change.
        advice: &'static str,
        /// The system's error.
        #[source]
        source: ListenError,
    },
}

/// A running server. Dropping it ends the server.
#[derive(Debug)]
pub struct ArtifactServer {
    uri: String,
    /// Whether the URI's host means each agent's own machine.
    loopback: bool,
    stats: watch::Receiver<DownloadStats>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for ArtifactServer {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl ArtifactServer {
    /// Reads the file once for its checksum, packs it into an unnamed file in `folder`, and listens. `local` is the address from
    /// which this machine connects to the master.
    ///
    /// # Errors
    /// If the file cannot be read or packed, or the server cannot listen on the address.
    pub async fn start(
        executable: &Path,
        folder: &Path,
        address: &ArtifactAddress,
        local: IpAddr,
    ) -> Result<Self, ArtifactError> {
        let Endpoints { bind, host, port } = address.endpoints(local)?;
        // Agents on this machine need no network, so packing would only take time.
        let near = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let (path, folder) = (executable.to_owned(), (!near).then(|| folder.to_owned()));
        let opened = tokio::task::spawn_blocking(move || ArtifactFiles::open(&path, folder.as_deref())).await;
        let files = opened
            .unwrap_or_else(|panic| Err(io::Error::other(panic)))
            .map_err(|source| ArtifactError::File { path: executable.to_owned(), source })?;
        let (listener, listening) = net::listen(&bind)
            .await
            .map_err(|source| ArtifactError::Listen { advice: address.advice(), source })?;
        let loopback = is_loopback(&host);
        let authority = HostPort { host, port: port.unwrap_or(listening.port()) };
        let served = files.for_agents();
        let (uri, length) = (format!("http://{authority}{}", served.path), served.length);
        tracing::debug!(%uri, %listening, length, unpacked = files.plain.length, "serving the executor");
        let (files, downloads) = (Arc::new(files), Arc::new(Downloads::new()));
        let (publish, stats) = watch::channel(DownloadStats::default());
        let meter = downloads.clone();
        let tasks = [
            tokio::spawn(serve(listener, files, downloads)),
            tokio::spawn(async move { meter.measure(length, publish).await }),
        ];
        Ok(ArtifactServer { uri, loopback, stats, tasks })
    }

    /// The URI at which agents fetch the executor.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Whether the URI's host means each agent's own machine, so that only agents on this machine reach the server.
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }

    /// The statistics of downloads, updated each second while there are any.
    pub fn downloads(&self) -> watch::Receiver<DownloadStats> {
        self.stats.clone()
    }
}
