//! Names from `/etc/hosts`, or from the name servers of `/etc/resolv.conf`. The C library reads the same files.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;
use std::time::Duration;

use hickory_resolver::proto::rr::Name;
use resolv_conf::{Config, ScopedIp};
use text::InWords;
use tokio::time::timeout;
use tracing::debug;

use super::name_server::{self, Answer};
use super::numeric::interface;

/// How long a lookup may take. The shortest time limit of a connection in this program is 5 s, to a Mesos master; something of it
/// must be left for the connection itself.
const LIMIT: Duration = Duration::from_secs(4);
/// At most this many of the name servers in `resolv.conf` are asked. The C library has the same limit.
const MOST_SERVERS: usize = 3;

/// The files that say how names are resolved. They are read for each lookup, because they may change while a task runs for
/// months.
#[derive(Clone, Debug)]
pub(super) struct ResolverFiles {
    hosts: PathBuf,
    resolv_conf: PathBuf,
    /// The port of the name servers; 53, except in tests.
    port: u16,
}

/// A name server, and what was wrong with it during a lookup.
#[derive(Debug)]
struct Server {
    name: String,
    address: io::Result<SocketAddr>,
    is_silent: bool,
    failure: Option<String>,
}

impl ResolverFiles {
    /// The system's files.
    pub fn system() -> Self {
        Self { hosts: "/etc/hosts".into(), resolv_conf: "/etc/resolv.conf".into(), port: 53 }
    }

    /// All addresses of a name. If the hosts file has the name, these are the addresses in that file. Otherwise, name servers are
    /// asked, and the first answer counts. `localhost` has its addresses also without a file (RFC 6761, section 6.3).
    pub async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let name =
            Name::from_ascii(host).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let listed = listed(&self.read(&self.hosts), host);
        if !listed.is_empty() {
            return Ok(listed);
        }
        if is_localhost(host) {
            return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
        }
        let (config, errors) = Config::parse_with_errors(self.read(&self.resolv_conf).as_bytes());
        if !errors.is_empty() {
            debug!(file = %self.resolv_conf.display(), ?errors, "some lines are not used");
        }
        let mut servers = servers(&config, self.port);
        let asked = timeout(LIMIT, ask_all(&candidates(&name, &config), &mut servers, &config)).await;
        match asked {
            Ok(Some(Answer::Addresses(addresses))) => Ok(addresses),
            Ok(Some(_)) => {
                Err(io::Error::new(io::ErrorKind::NotFound, "the name servers know no address of it"))
            }
            Ok(None) | Err(_) => Err(self.no_answer(&servers, &config)),
        }
    }

    /// The text of a file. A file that cannot be read is empty.
    fn read(&self, path: &PathBuf) -> String {
        let text = fs::read(path).inspect_err(|error| debug!(file = %path.display(), %error, "not used"));
        String::from_utf8_lossy(&text.unwrap_or_default()).into_owned()
    }

    fn no_answer(&self, servers: &[Server], config: &Config) -> io::Error {
        let (hosts, resolv_conf) = (self.hosts.display(), self.resolv_conf.display());
        let whose = if config.nameservers.is_empty() {
            format!("{resolv_conf} has no `nameserver`, and the default one has no answer")
        } else {
            format!("no name server of {resolv_conf} has an answer")
        };
        let why = |server: &Server| {
            let failure = server.failure.as_deref().unwrap_or("no answer in time");
            format!("{}: {failure}", server.name)
        };
        let why: Vec<String> = servers.iter().map(why).collect();
        let text = format!("{hosts} does not list it, and {whose} ({})", why.join("; "));
        io::Error::new(io::ErrorKind::HostUnreachable, text)
    }
}

/// The addresses that the text of a file of hosts has for a name.
fn listed(text: &str, host: &str) -> Vec<IpAddr> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let address = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address = words.next()?.parse().ok()?;
        words.any(|name| name.eq_ignore_ascii_case(host)).then_some(address)
    };
    let mut found: Vec<IpAddr> = text.lines().filter_map(address).collect();
    found.sort_by_key(IpAddr::is_ipv6);
    found
}

/// The absolute names to ask for, in order, by the rules for search domains in resolv.conf(5).
fn candidates(name: &Name, config: &Config) -> Vec<Name> {
    let absolute = |mut name: Name| {
        name.set_fqdn(true);
        name
    };
    let itself = absolute(name.clone());
    if name.is_fqdn() {
        return vec![itself];
    }
    let mut domains: Vec<String> = config.get_last_search_or_domain().cloned().collect();
    if config.get_search().is_none() && config.get_domain().is_none() {
        domains.extend(config.get_system_domain());
    }
    // One bad domain does not matter to the others.
    let mut names: Vec<Name> = domains
        .iter()
        .filter_map(|domain| name.clone().append_domain(&Name::from_ascii(domain).ok()?).ok())
        .map(absolute)
        .collect();
    let dots = usize::from(name.num_labels()).saturating_sub(1);
    let first = dots >= usize::try_from(config.ndots).unwrap_or(usize::MAX);
    names.insert(if first { 0 } else { names.len() }, itself);
    names
}

fn servers(config: &Config, port: u16) -> Vec<Server> {
    let mut addresses = config.nameservers.clone();
    if addresses.is_empty() {
        addresses.push(Ipv4Addr::LOCALHOST.into());
    }
    let server = |ip: &ScopedIp| {
        let address = match ip {
            ScopedIp::V6(ip, Some(zone)) => {
                interface(zone).map(|index| SocketAddrV6::new(*ip, port, 0, index).into())
            }
            ip => Ok(SocketAddr::new(ip.into(), port)),
        };
        Server { name: ip.to_string(), address, is_silent: false, failure: None }
    };
    addresses.iter().take(MOST_SERVERS).map(server).collect()
}

/// Asks for one name after the other until a name has an address. Returns [`Answer::None`] if no name has an address. But if one
/// of these names got no answer from any server, returns `None`.
async fn ask_all(names: &[Name], servers: &mut [Server], config: &Config) -> Option<Answer> {
    let mut last = Some(Answer::None);
    for name in names {
        match ask_for(name, servers, config).await {
            Some(Answer::Addresses(found)) => return Some(Answer::Addresses(found)),
            Some(_) => {}
            None => last = None,
        }
    }
    last
}

/// Asks the servers in the order of `resolv.conf`, because an internal server often stands before a public one that does not know
/// the internal names. Those that were silent before are asked last. `None` if none has an answer.
async fn ask_for(name: &Name, servers: &mut [Server], config: &Config) -> Option<Answer> {
    let limit = time_limit(config, servers.len());
    for _ in 0..config.attempts.max(1) {
        servers.sort_by_key(|server| server.is_silent);
        for server in &mut *servers {
            let answer = match &server.address {
                Ok(address) => name_server::ask(*address, name.clone(), limit, config.edns0).await,
                Err(error) => Answer::Failure(error.to_string()),
            };
            debug!(%name, server = server.name, ?answer, "asked a name server");
            match answer {
                answer @ (Answer::Addresses(_) | Answer::None) => return Some(answer),
                Answer::Failure(failure) => server.failure = Some(failure),
                Answer::Silence => {
                    server.failure = Some(format!("no answer within {}", InWords(limit)));
                    server.is_silent = true;
                }
            }
        }
    }
    None
}

/// How long to wait for one server: the timeout in `resolv.conf`, but at most this server's equal share of [`LIMIT`].
fn time_limit(config: &Config, servers: usize) -> Duration {
    let share = LIMIT / u32::try_from(servers).unwrap_or(u32::MAX).max(1);
    Duration::from_secs(config.timeout.max(1).into()).min(share.saturating_sub(name_server::MARGIN))
}

/// Whether a name stands for this machine by definition.
fn is_localhost(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests;
