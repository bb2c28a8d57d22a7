//! Names from `/etc/hosts`, or from the name servers of `/etc/resolv.conf`. The C library reads the same files.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use hickory_resolver::Hosts;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts, ServerOrderingStrategy};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::system_conf::parse_resolv_conf;

/// The files that say how names are resolved. They are read for each lookup, because they may change while a task runs for
/// months.
#[derive(Clone, Debug)]
pub(super) struct ResolverFiles {
    hosts: PathBuf,
    resolv_conf: PathBuf,
    /// The port of the name servers; 53, except in tests.
    port: u16,
}

impl ResolverFiles {
    /// The system's files.
    pub fn system() -> Self {
        Self { hosts: "/etc/hosts".into(), resolv_conf: "/etc/resolv.conf".into(), port: 53 }
    }

    /// All addresses of a name: those in the file of hosts if it has the name, else what the first name server that answers
    /// says. `localhost` has its addresses also without a file (RFC 6761, section 6.3).
    pub async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let name =
            Name::from_ascii(host).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let listed = self.listed(&name);
        if !listed.is_empty() {
            return Ok(listed);
        }
        if is_localhost(host) {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let found = self.resolver()?.lookup_ip(name).await.map_err(io::Error::other)?;
        Ok(found.iter().collect())
    }

    /// The addresses in the file of hosts. A file that cannot be read has none.
    fn listed(&self, name: &Name) -> Vec<IpAddr> {
        let mut hosts = Hosts::default();
        if let Err(error) = fs::File::open(&self.hosts).and_then(|file| hosts.read_hosts_conf(file)) {
            tracing::debug!(file = %self.hosts.display(), %error, "the file of hosts is not used");
        }
        let addresses = |kind| {
            let found = hosts.lookup_static_host(&Query::query(name.clone(), kind));
            let records =
                found.iter().flat_map(|found| found.answers()).filter_map(|record| record.data.ip_addr());
            records.collect::<Vec<_>>()
        };
        let mut listed = addresses(RecordType::A);
        listed.extend(addresses(RecordType::AAAA));
        listed
    }

    /// A client of the name servers.
    fn resolver(&self) -> io::Result<TokioResolver> {
        let file = self.resolv_conf.display();
        let missing = |error: &dyn std::fmt::Display| {
            let hosts = self.hosts.display();
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("{hosts} does not list it, and no name server is known from {file} ({error})"),
            )
        };
        let text = fs::read(&self.resolv_conf).map_err(|error| missing(&error))?;
        let (mut config, mut options) = parse_resolv_conf(text).map_err(|error| missing(&error))?;
        for connection in config.name_servers.iter_mut().flat_map(|server| &mut server.connections) {
            connection.port = self.port;
        }
        // The servers are asked in the order of the file, because an internal server often stands before a public one that does
        // not know the internal names. The next one is asked only after an I/O error: a server that does not answer uses up
        // the time limit of the whole lookup.
        options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
        options.num_concurrent_reqs = 1;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = ResolveHosts::Never;
        let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.with_options(options).build().map_err(io::Error::other)
    }
}

/// Whether a name stands for this machine by definition.
fn is_localhost(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests;
