//! Where the executor is served: the address that agents are told, and the one that is bound. They differ behind NAT and for a
//! container whose ports are published.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use net::{HostPort, HostPortError, all_interfaces};
use thiserror::Error;

/// An address that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The address for agents is neither HOST nor HOST:PORT.
    #[error("{address:?} (--artifact-address): {error}")]
    Told {
        /// The given address.
        address: String,
        /// The error in the address.
        error: HostPortError,
    },
    /// No agent can connect to the address that agents are told.
    #[error(
        "{address:?} (--artifact-address) is {what}, which no agent can reach: give the name or address at which agents reach \
         this machine{}",
        listen_instead(*.bindable, address)
    )]
    Unreachable {
        /// The given address.
        address: String,
        /// What kind of address it is.
        what: &'static str,
        /// Whether it may be bound.
        bindable: bool,
    },
    /// Without `--artifact-address`, agents are told the `--artifact-listen` address. No agent can connect to the given address.
    #[error(
        "--artifact-listen {listen} is {what}, which no agent can reach: say with --artifact-address what agents are told"
    )]
    ListenUnreachable {
        /// The address to listen on.
        listen: ListenAt,
        /// What kind of address it is.
        what: &'static str,
    },
    /// Without `--artifact-address`, agents are told the address from which this machine connects to the master. No agent can
    /// connect to that address.
    #[error(
        "this machine's address on the route to the master, {local}, is {what}, which no agent can reach: say with \
         --artifact-address what agents are told"
    )]
    LocalUnreachable {
        /// The address that agents would be told.
        local: IpAddr,
        /// What kind of address it is.
        what: &'static str,
    },
    /// The text is neither an IP address nor an IP address with a port.
    #[error(
        "{0:?} (--artifact-listen) is not an address to listen on: write ADDRESS or ADDRESS:PORT, such as 0.0.0.0:8080 for all \
         of this machine's IPv4 addresses, or [::]:8080"
    )]
    Listen(String),
    /// Only IPv4 addresses are bound, but agents are told an IPv6 address.
    #[error(
        "--artifact-listen {listen} binds IPv4 addresses, but this machine's address on the route to the master is {local}: \
         listen on [::], or say with --artifact-address what agents are told"
    )]
    OtherFamily {
        /// The address to listen on.
        listen: ListenAt,
        /// The address that agents would be told.
        local: IpAddr,
    },
    /// Agents are told a fixed port, but the port to listen on is 0, which stands for any free port.
    #[error(
        "--artifact-listen {listen} binds any free port, but --artifact-address tells agents port {told}: say \
         with --artifact-listen on which port connections to port {told} arrive"
    )]
    AnyPort {
        /// The address to listen on.
        listen: ListenAt,
        /// The port that agents are told.
        told: u16,
    },
}

fn listen_instead(bindable: bool, address: &str) -> String {
    if bindable { format!(", and give {address} as --artifact-listen") } else { String::new() }
}

/// The address at which agents fetch the executor. Without `port`, they use the port on which the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldAddress {
    host: String,
    port: Option<u16>,
}

/// What is bound: an IP address of this machine, and a port, of which 0 means any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAt {
    ip: IpAddr,
    port: Option<u16>,
}

impl fmt::Display for ListenAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

/// Parses `--artifact-address`.
///
/// # Errors
/// If the text is neither HOST nor HOST:PORT, or no agent can reach this host.
pub fn told_address(text: &str) -> Result<ToldAddress, AddressError> {
    let told = match HostPort::parse_host(text) {
        Some(host) => ToldAddress { host, port: None },
        None => match text.parse() {
            Ok(HostPort { host, port }) => ToldAddress { host, port: Some(port) },
            Err(error) => return Err(AddressError::Told { address: text.to_owned(), error }),
        },
    };
    match unreachable(&told.host) {
        None => Ok(told),
        Some((what, bindable)) => Err(AddressError::Unreachable { address: text.to_owned(), what, bindable }),
    }
}

/// Why no agent can connect to this host, and whether a server can listen on it. `None` if agents may be able to connect.
fn unreachable(host: &str) -> Option<(&'static str, bool)> {
    // In `fe80::1%eth0`, the address ends at the `%`, and `eth0` is a network interface.
    if let Ok(ip) = host.split('%').next().unwrap_or(host).parse::<IpAddr>() {
        return unreachable_ip(ip);
    }
    let name = host.trim_end_matches('.');
    // Programs read `0`, `0x0` and `127.1` as IPv4 addresses. Some refuse `256.1`, because a name cannot end in a number.
    let last = name.rsplit('.').next().unwrap_or(name);
    let ends_in_number = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    let is_address = net::ip_address(name).is_some() || net::ip_address(last).is_some();
    (is_address || ends_in_number).then_some(("neither a host name nor an IP address", false))
}

fn unreachable_ip(ip: IpAddr) -> Option<(&'static str, bool)> {
    let link_local = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    match ip.to_canonical() {
        ip if ip.is_unspecified() => Some(("the address for all of a machine's addresses", true)),
        IpAddr::V4(ip) if ip.octets()[0] == 0 => Some(("an address of no machine", false)),
        ip if ip.is_multicast() => Some(("a multicast address", false)),
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some(("the broadcast address", false)),
        ip if link_local(ip) => {
            Some(("a link-local address, which means another machine on each network", false))
        }
        _ => None,
    }
}

/// Parses `--artifact-listen`.
///
/// # Errors
/// If the text is neither an IP address nor an IP address with a port.
pub fn listen_at(text: &str) -> Result<ListenAt, AddressError> {
    let ip = HostPort::parse_host(text).and_then(|host| host.parse::<IpAddr>().ok());
    // ::ffff:0.0.0.0 is 0.0.0.0.
    let alone = ip.map(|ip| ListenAt { ip: ip.to_canonical(), port: None });
    let with_port = || {
        let at: SocketAddr = text.parse().ok()?;
        Some(ListenAt { ip: at.ip().to_canonical(), port: Some(at.port()) })
    };
    alone.or_else(with_port).ok_or_else(|| AddressError::Listen(text.to_owned()))
}

/// The two addresses as the user chose them. By default, agents are told the address from which this machine connects to the
/// master.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ArtifactAddress {
    told: Option<ToldAddress>,
    listen: Option<ListenAt>,
}

/// The addresses to listen on, and the address at which agents fetch the executor.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoints {
    /// The candidates to bind; the first that works is bound.
    pub bind: Vec<SocketAddr>,
    /// The host in the URI from which agents fetch the executor.
    pub host: String,
    /// The port in this URI; `None`: the port on which the server listens.
    pub port: Option<u16>,
}

impl ArtifactAddress {
    /// Checks that the two addresses do not contradict each other.
    ///
    /// # Errors
    /// If no agent can reach the address that agents are told. Also if agents are told a fixed port, but the server listens on
    /// any free port.
    pub fn new(told: Option<ToldAddress>, listen: Option<ListenAt>) -> Result<Self, AddressError> {
        match (&told, &listen) {
            (Some(ToldAddress { port: Some(told), .. }), Some(listen)) if listen.port == Some(0) => {
                Err(AddressError::AnyPort { listen: listen.clone(), told: *told })
            }
            (None, Some(listen)) if !listen.ip.is_unspecified() => match unreachable_ip(listen.ip) {
                Some((what, _)) => Err(AddressError::ListenUnreachable { listen: listen.clone(), what }),
                None => Ok(Self { told, listen: Some(listen.clone()) }),
            },
            _ => Ok(Self { told, listen }),
        }
    }

    /// Serves at this address and any port.
    pub fn at(ip: IpAddr) -> Self {
        Self { told: Some(ToldAddress { host: ip.to_string(), port: None }), listen: None }
    }

    /// The addresses to listen on, and the address to tell agents. `local` is the address from which this machine connects to the
    /// master.
    ///
    /// # Errors
    /// If agents would be sent to `local`, but the server does not listen there, or no agent can reach this address.
    pub(super) fn endpoints(&self, local: IpAddr) -> Result<Endpoints, AddressError> {
        if let (None, Some(listen)) = (&self.told, &self.listen)
            && listen.ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED)
            && local.is_ipv6()
        {
            return Err(AddressError::OtherFamily { listen: listen.clone(), local });
        }
        let told_port = self.told.as_ref().and_then(|told| told.port);
        let bind = match (&self.listen, &self.told) {
            (Some(listen), _) => {
                vec![SocketAddr::new(listen.ip, listen.port.or(told_port).unwrap_or(0))]
            }
            (None, Some(told)) => match told.host.parse() {
                Ok(ip) => vec![SocketAddr::new(ip, told.port.unwrap_or(0))],
                // Only agents on this machine can use a loopback name, so only loopback addresses are bound. An agent tries both
                // of them.
                Err(_) if is_loopback(&told.host) => {
                    let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
                    loopback.map(|ip: IpAddr| SocketAddr::new(ip, told.port.unwrap_or(0))).to_vec()
                }
                // A host name may have both IPv4 and IPv6 addresses.
                Err(_) => all_interfaces(told.port.unwrap_or(0)).to_vec(),
            },
            (None, None) => vec![SocketAddr::new(local, 0)],
        };
        let host = match (&self.told, &self.listen) {
            (Some(told), _) => told.host.clone(),
            (None, Some(listen)) if !listen.ip.is_unspecified() => listen.ip.to_string(),
            (None, _) => match unreachable_ip(local) {
                Some((what, _)) => return Err(AddressError::LocalUnreachable { local, what }),
                None => local.to_string(),
            },
        };
        Ok(Endpoints { bind, host, port: told_port })
    }

    /// Advice to the user if the server cannot listen on any of the addresses.
    pub(super) fn advice(&self) -> &'static str {
        match (&self.told, &self.listen) {
            (_, Some(_)) => "--artifact-listen",
            (Some(_), None) => {
                "--artifact-address is bound, too, unless --artifact-listen ADDRESS[:PORT] says what to bind instead (behind \
                 NAT, or in a container whose port is published)"
            }
            (None, None) => "cannot serve the executor; --artifact-listen says where to",
        }
    }
}

/// Whether the host is `localhost` or a loopback address. On every agent it means the agent's own machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests;
