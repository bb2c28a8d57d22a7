//! The addresses of a cluster's masters.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use net::hide_credentials;

use crate::address::{AddressError, DEFAULT_MASTER_PORT, HostPort, Scheme, parse_host_port};
use crate::zookeeper::Ensemble;

/// The masters of a cluster: a list that is tried in order, or the ZooKeeper ensemble that names the leader. Neither `Debug`
/// nor `Display` shows ZooKeeper's password.
///
/// ```
/// use mesos::masters::Masters;
///
/// let masters: Masters = "m1:5050,http://m2,[::1]:5051".parse().unwrap();
/// assert_eq!(masters.to_string(), "m1:5050,m2:5050,[::1]:5051");
/// let masters: Masters = "zk://miner:secret@z1,z2:2182/mesos".parse().unwrap();
/// assert_eq!(masters.to_string(), "zk://…@z1:2181,z2:2182/mesos");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masters(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Listed(Scheme, Vec<HostPort>),
    Elected(Ensemble),
}

impl Masters {
    /// The list; empty if ZooKeeper names the leader.
    pub fn addresses(&self) -> &[HostPort] {
        match &self.0 {
            Kind::Listed(_, addresses) => addresses,
            Kind::Elected(_) => &[],
        }
    }

    /// The ZooKeeper ensemble that names the leader, if any.
    pub fn ensemble(&self) -> Option<&Ensemble> {
        match &self.0 {
            Kind::Listed(..) => None,
            Kind::Elected(ensemble) => Some(ensemble),
        }
    }

    /// The scheme of the masters' URLs; `None` with ZooKeeper, which does not store the scheme.
    pub fn scheme(&self) -> Option<Scheme> {
        match &self.0 {
            Kind::Listed(scheme, _) => Some(*scheme),
            Kind::Elected(_) => None,
        }
    }
}

impl FromStr for Masters {
    type Err = AddressError;

    /// Parses a comma-separated list of `HOST`, `HOST:PORT` and `http://HOST:PORT`, a comma-separated list of
    /// `https://HOST:PORT`, or `zk://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…]/PATH`.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        // A zk:// address may contain commas.
        if let Some(rest) = text.strip_prefix("zk://") {
            return Ensemble::parse(rest).map(|ensemble| Self(Kind::Elected(ensemble)));
        }
        let masters = text.split(',').map(|one| parse_master(one.trim())).collect::<Result<Vec<_>, _>>()?;
        let scheme = masters.first().map_or(Scheme::Http, |(scheme, _)| *scheme);
        if masters.iter().any(|(other, _)| *other != scheme) {
            return Err(AddressError::MixedSchemes(hide_credentials(text)));
        }
        Ok(Self(Kind::Listed(scheme, masters.into_iter().map(|(_, address)| address).collect())))
    }
}

fn parse_master(text: &str) -> Result<(Scheme, HostPort), AddressError> {
    let (scheme, rest) = match text.split_once("://") {
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(("https", rest)) => (Scheme::Https, rest),
        Some(("zk", _)) => return Err(AddressError::ZooKeeperInList(hide_credentials(text))),
        Some(_) => return Err(AddressError::Scheme(hide_credentials(text))),
        None => return Ok((Scheme::Http, parse_host_port(text, Some(DEFAULT_MASTER_PORT))?)),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    Ok((scheme, parse_host_port(authority, Some(DEFAULT_MASTER_PORT))?))
}

impl From<HostPort> for Masters {
    fn from(address: HostPort) -> Self {
        Self(Kind::Listed(Scheme::Http, vec![address]))
    }
}

impl From<SocketAddr> for Masters {
    fn from(address: SocketAddr) -> Self {
        HostPort::from(address).into()
    }
}

impl fmt::Display for Masters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, addresses) = match &self.0 {
            Kind::Elected(ensemble) => return ensemble.fmt(f),
            Kind::Listed(Scheme::Http, addresses) => ("", addresses),
            Kind::Listed(Scheme::Https, addresses) => ("https://", addresses),
        };
        for (index, address) in addresses.iter().enumerate() {
            write!(f, "{}{scheme}{address}", if index > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
