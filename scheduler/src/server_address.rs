//! The addresses at which workers reach the server: the host name of its agent, then the agent's IP address.
//!
//! An agent calls itself what its operator chose (`--hostname` of `mesos-agent`), and other machines may not be able to resolve
//! that name. The master knows the IP address from its connection to the agent; offers have both.

use std::net::IpAddr;

use clap::ValueEnum;
use mesos::v1::Offer;
use net::HostPort;

use crate::journal::TaskRecord;

/// The kind of address to which workers connect, if the user has chosen one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PinnedAddress {
    /// Only the host name of the server's agent.
    Hostname,
    /// Only the IP address of the server's agent.
    Ip,
}

/// The URLs of one pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolUrls {
    /// The preferred URL.
    pub pool: String,
    /// Further URLs, for when `pool` cannot be reached.
    pub alternatives: Vec<String>,
}

/// The agent's URL in an offer, as text; `None` if there is none. The host in the URL is the agent's IP address if the offer has
/// it, or else the agent's host name.
pub fn agent_url(offer: &Offer) -> Option<String> {
    let url = offer.url.as_ref()?;
    let ip = url.address.ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok()).map(|ip| ip.to_string());
    let host = ip.or_else(|| url.address.hostname.as_deref().and_then(HostPort::parse_host))?;
    let address = HostPort { host, port: u16::try_from(url.address.port).ok()? };
    Some(format!("{}://{address}{}", url.scheme, url.path.as_deref().unwrap_or_default()))
}

/// The URL in an offer of the agent on which a task runs, if the URL has an IP address that the task's record does not have.
pub fn new_agent_url(task: &TaskRecord, offer: &Offer) -> Option<String> {
    let url = agent_url(offer).filter(|_| offer.agent_id.value == task.agent)?;
    let offered = ip(&url)?;
    let known = task.agent_url.as_deref().and_then(ip);
    (known != Some(offered)).then_some(url)
}

/// Whether workers should connect to a server by its agent's IP address, but this address is not known.
pub fn lacks_ip(server: &TaskRecord, pinned: Option<PinnedAddress>) -> bool {
    pinned == Some(PinnedAddress::Ip) && server.agent_url.as_deref().and_then(ip).is_none()
}

/// The hosts at which workers reach a server on an agent, best first. There is at least one. IPv6 addresses have no brackets.
/// `name` is the agent's host name, and `agent_url` its URL, if that is known.
pub fn hosts(name: &str, agent_url: Option<&str>, pinned: Option<PinnedAddress>) -> Vec<String> {
    let ip = agent_url.and_then(ip);
    let name_only = || vec![name.to_owned()];
    match (pinned, ip) {
        (Some(PinnedAddress::Hostname), _) | (_, None) => name_only(),
        (Some(PinnedAddress::Ip), Some(ip)) => vec![ip.to_string()],
        (None, Some(ip)) if is_of(name, ip) => name_only(),
        // Where every agent calls itself `localhost`, a worker on another machine would connect to its own machine.
        (None, Some(ip)) if is_loopback(name) && !ip.is_loopback() => vec![ip.to_string()],
        (None, Some(ip)) => vec![name.to_owned(), ip.to_string()],
    }
}

/// The URLs at which workers reach a server task; `None` if the server's address is not known.
pub fn pool_urls(server: &TaskRecord, pinned: Option<PinnedAddress>) -> Option<PoolUrls> {
    let address = server.address.as_ref()?;
    let url = server.agent_url.as_deref();
    // The host in `address` may be the agent's IP address, for instance after a launch with `--server-address=ip`.
    let reported = url.and_then(ip).is_none_or(|ip| !is_of(&address.host, ip));
    let name = if reported { &address.host } else { &server.host };
    let mut urls = hosts(name, url, pinned).into_iter().map(|host| stratum_url(&host, address.stratum_port));
    Some(PoolUrls { pool: urls.next()?, alternatives: urls.collect() })
}

/// The Stratum URL of a host and a port. An IPv6 address may be in brackets or not.
pub fn stratum_url(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("stratum+tcp://[{host}]:{port}")
    } else {
        format!("stratum+tcp://{host}:{port}")
    }
}

/// The IP address in an agent's URL. An agent that listens on all addresses may tell 0.0.0.0, which leads nowhere.
fn ip(agent_url: &str) -> Option<IpAddr> {
    let (_, rest) = agent_url.split_once("://")?;
    let authority = rest.split('/').next().unwrap_or_default();
    let host = HostPort::parse(authority, Some(1)).ok()?.host;
    host.parse().ok().filter(|ip: &IpAddr| !ip.is_unspecified())
}

/// Whether a host is this IP address.
fn is_of(host: &str, ip: IpAddr) -> bool {
    HostPort::parse_host(host).and_then(|host| host.parse().ok()) == Some(ip)
}

/// Whether a host is a loopback address, or a name such as `localhost`.
fn is_loopback(host: &str) -> bool {
    match HostPort::parse_host(host).and_then(|host| host.parse::<IpAddr>().ok()) {
        Some(ip) => ip.is_loopback(),
        None => {
            let name = host.to_ascii_lowercase();
            name == "localhost" || name.starts_with("localhost.") || name.ends_with(".localhost")
        }
    }
}

#[cfg(test)]
mod tests {
    use mesos::v1::{Address, Url};
    use task::ServerAddress;

    use super::*;
    use crate::journal::Origin;

    fn offer(hostname: Option<&str>, ip: Option<&str>) -> Offer {
        let [hostname, ip] = [hostname, ip].map(|text| text.map(str::to_owned));
        let address = Address { hostname, ip, port: 5051 };
        let path = Some("/slave(1)".to_owned());
        Offer {
            url: Some(Url { scheme: "http".into(), address, path, ..Url::default() }),
            ..Offer::default()
        }
    }

    #[test]
    fn the_agents_url_has_its_ip_address() {
        for (hostname, ip, expected) in [
            (Some("a.example"), Some("10.0.0.1"), Some("http://10.0.0.1:5051/slave(1)")),
            (Some("a.example"), Some("FD00::1"), Some("http://[fd00::1]:5051/slave(1)")),
            (Some("a.example"), None, Some("http://a.example:5051/slave(1)")),
            (Some("a.example"), Some("a b"), Some("http://a.example:5051/slave(1)")),
            (Some("a/b"), None, None),
            (None, None, None),
        ] {
            assert_eq!(agent_url(&offer(hostname, ip)).as_deref(), expected, "{hostname:?} {ip:?}");
        }
        assert_eq!(agent_url(&Offer::default()), None);
        let mut odd = offer(Some("a"), Some("10.0.0.1"));
        odd.url.as_mut().unwrap().address.port = -1;
        assert_eq!(agent_url(&odd), None);
    }

    #[test]
    fn workers_get_the_name_and_then_the_address_unless_one_is_pinned() {
        use PinnedAddress::{Hostname, Ip};
        for (name, url, pinned, expected) in [
            ("a.example", Some("http://10.0.0.1:5051/slave(1)"), None, &["a.example", "10.0.0.1"][..]),
            ("a.example", Some("http://10.0.0.1:5051/slave(1)"), Some(Hostname), &["a.example"]),
            ("a.example", Some("http://10.0.0.1:5051/slave(1)"), Some(Ip), &["10.0.0.1"]),
            ("a.example", Some("http://[fd00::1]:5051"), None, &["a.example", "fd00::1"]),
            ("10.0.0.1", Some("http://10.0.0.1:5051/slave(1)"), None, &["10.0.0.1"]),
            ("FD00:0::1", Some("http://[fd00::1]:5051"), None, &["FD00:0::1"]),
            ("a.example", Some("http://a.example:5051"), None, &["a.example"]),
            ("a.example", Some("http://a.example:5051"), Some(Ip), &["a.example"]),
            ("a.example", Some("http://0.0.0.0:5051"), None, &["a.example"]),
            ("a.example", Some("rubbish"), Some(Ip), &["a.example"]),
            ("a.example", None, Some(Ip), &["a.example"]),
            ("a.example", None, None, &["a.example"]),
            ("localhost", Some("http://10.0.0.1:5051"), None, &["10.0.0.1"]),
            ("127.0.0.1", Some("http://10.0.0.1:5051"), None, &["10.0.0.1"]),
            ("localhost", Some("http://10.0.0.1:5051"), Some(Hostname), &["localhost"]),
            (
                "localhost.localdomain",
                Some("http://127.0.0.1:5051"),
                None,
                &["localhost.localdomain", "127.0.0.1"],
            ),
        ] {
            assert_eq!(hosts(name, url, pinned), expected, "{name} {url:?} {pinned:?}");
        }
    }

    #[test]
    fn a_server_is_reached_by_the_present_choice_whatever_it_was_launched_with() {
        let server = |host: &str, agent_url: Option<&str>| {
            let origin = Origin::Launched { cpus_milli: 1000 };
            TaskRecord {
                agent_url: agent_url.map(str::to_owned),
                address: Some(ServerAddress { host: host.into(), stratum_port: 31001, http_port: 31000 }),
                ..TaskRecord::new("miner-server-1".into(), "agent".into(), "a.example".into(), origin)
            }
        };
        let urls = |server: &TaskRecord, pinned| {
            let PoolUrls { pool, alternatives } = pool_urls(server, pinned).unwrap();
            [vec![pool], alternatives].concat()
        };
        let (name, ip) = ("stratum+tcp://a.example:31001", "stratum+tcp://[fd00::1]:31001");
        for host in ["a.example", "fd00::1"] {
            let server = server(host, Some("http://[fd00::1]:5051/slave(1)"));
            assert_eq!(urls(&server, None), [name, ip]);
            assert_eq!(urls(&server, Some(PinnedAddress::Hostname)), [name]);
            assert_eq!(urls(&server, Some(PinnedAddress::Ip)), [ip]);
        }
        let older = server("a.example", None);
        assert_eq!(urls(&older, None), [name]);
        assert_eq!(urls(&older, Some(PinnedAddress::Ip)), [name]);
        assert_eq!(pool_urls(&TaskRecord { address: None, ..older }, None), None);
    }
}
