//! A pool with its HTTP page, from addresses to the end: what `mesos-miner pool` and the server task both run.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::chain::BuiltinChain;
use crate::config::Config;
use crate::handle::Handle;
use crate::http::Http;
use crate::server::{BindError, Pool};
use crate::session::Now;

/// What goes into every coinbase, before what tells this pool from all others.
const TAG: &str = "/mesos-miner/";

/// Where a server listens, and where its blocks come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServeOptions {
    /// Where miners connect.
    pub stratum: Listen,
    /// Where health and numbers are served, if at all.
    pub http: Option<Listen>,
    /// How miners are treated.
    pub config: Config,
    /// Wanted time between two blocks of the built-in chain.
    pub block_interval: Duration,
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Just this one.
    At(SocketAddr),
    /// This port on every address of the host, IPv6 and IPv4.
    Everywhere(u16),
}

/// A server that listens and can be run.
#[derive(Debug)]
pub struct Server {
    pool: Pool,
    http: Option<Http>,
}

impl Server {
    /// Listens on all addresses.
    ///
    /// # Errors
    /// If one of them can't be listened on.
    pub async fn bind(options: ServeOptions) -> Result<Server, BindError> {
        // Two pools that start in the same second must not mine the same block.
        let tag = format!("{TAG}{:016x}/", rand::random::<u64>());
        let chain = BuiltinChain::new(options.block_interval, tag.as_bytes(), Now::read().unix);
        let pool = match options.stratum {
            Listen::At(address) => Pool::bind(address, options.config, chain).await?,
            Listen::Everywhere(port) => {
                let [first, second] = everywhere(port);
                // A host without IPv6 has no address for it; the error that counts is that of IPv4.
                match Pool::bind(first, options.config, chain.clone()).await {
                    Ok(pool) => pool,
                    Err(_) => Pool::bind(second, options.config, chain).await?,
                }
            }
        };
        let http = match options.http {
            None => None,
            Some(Listen::At(address)) => Some(Http::bind(address, pool.handle()).await?),
            Some(Listen::Everywhere(port)) => {
                let [first, second] = everywhere(port);
                match Http::bind(first, pool.handle()).await {
                    Ok(http) => Some(http),
                    Err(_) => Some(Http::bind(second, pool.handle()).await?),
                }
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
        self.http.as_ref().map(Http::local_addr)
    }

    /// For reports and displays, also after the server's end.
    pub fn handle(&self) -> Handle {
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

/// One socket on the first serves both kinds of addresses; the second is for hosts without IPv6.
fn everywhere(port: u16) -> [SocketAddr; 2] {
    [(Ipv6Addr::UNSPECIFIED, port).into(), (Ipv4Addr::UNSPECIFIED, port).into()]
}
