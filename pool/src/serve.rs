//! A pool with its HTTP page, from addresses to the end: what `mesos-miner pool` and the server task both run.

use std::net::SocketAddr;

use net::{ListenError, all_interfaces};
use task::BlockSourceSpec;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::handle::PoolHandle;
use crate::server::{Pool, descriptors};
use crate::source::{Source, SourceError};
use crate::store::{Store, StoreError, StoreOptions};

/// Where a server listens, and where its blocks come from.
#[derive(Clone, Debug, PartialEq)]
pub struct ServeOptions {
    /// Where miners connect.
    pub stratum: Listen,
    /// Where health and numbers are served, if at all.
    pub http: Option<Listen>,
    /// How miners are treated.
    pub config: Config,
    /// Where work comes from.
    pub source: BlockSourceSpec,
    /// Where accounts and found blocks are kept; without it, they are lost with the process.
    pub data: Option<StoreOptions>,
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Just this one.
    At(SocketAddr),
    /// This port on every address of the host, IPv6 and IPv4.
    Everywhere(u16),
}

/// A server that can't begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// An address can't be listened on.
    #[error(transparent)]
    Bind(#[from] ListenError),
    /// The data folder is of no use.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no work to be had.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// A server that listens and can be run.
#[derive(Debug)]
pub struct Server {
    pool: Pool,
    http: Option<monitor::Server<PoolHandle>>,
}

impl Server {
    /// Waits for work, if it comes from a node or an upstream pool, and then listens on all addresses. Admits fewer
    /// connections than asked for if the system does not allow as many open files.
    ///
    /// # Errors
    /// If one of them can't be listened on, the data folder can't be used, or the nodes can't be mined on.
    pub async fn bind(options: ServeOptions) -> Result<Server, ServeError> {
        let mut options = options;
        let limits = &mut options.config.limits;
        limits.connections = descriptors::allow(limits.connections);
        let data = options.data.as_ref().map(Store::open).transpose()?;
        let source = Source::connect(options.source).await?;
        let pool = Pool::on(net::listen(&options.stratum.addresses()).await?, options.config, source, data);
        let http = match options.http {
            None => None,
            Some(address) => {
                Some(monitor::Server::new(net::listen(&address.addresses()).await?, pool.handle()))
            }
        };
        Ok(Server { pool, http })
    }

    /// Where miners connect.
    pub fn stratum_addr(&self) -> SocketAddr {
        self.pool.local_addr()
    }

    /// Where health and numbers are served.
    pub fn http_addr(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(monitor::Server::local_addr)
    }

    /// For reports and displays, also after the server's end.
    pub fn handle(&self) -> PoolHandle {
        self.pool.handle()
    }

    /// Serves until `stop`. When this returns, all shares are in the accounts.
    pub async fn run(self, stop: CancellationToken) {
        let http = async {
            if let Some(http) = self.http {
                http.run(stop.clone()).await;
            }
        };
        tokio::join!(self.pool.run(stop.clone()), http);
    }
}

impl Listen {
    fn addresses(self) -> Vec<SocketAddr> {
        match self {
            Listen::At(address) => vec![address],
            Listen::Everywhere(port) => all_interfaces(port).to_vec(),
        }
    }
}
