//! Addresses of host names.
//!
//! A dynamic build asks the system (`getaddrinfo`), so whatever `/etc/nsswitch.conf` names on this machine is asked, such as mDNS
//! or LDAP. A static build must not ask it: the modules that `/etc/nsswitch.conf` names are libraries for the machine's own C
//! library, and loading them into a program that contains another one may crash it. So a static build reads `/etc/hosts` and asks
//! the name servers of `/etc/resolv.conf`, and needs nothing else of the machine.

mod files;
mod http;
mod name_server;
mod numeric;

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::lookup_host;

use self::files::ResolverFiles;
pub(crate) use self::http::HttpResolver;
use self::numeric::numeric;

/// The IP address that a host is, in any notation that the C library knows (`127.1`, `0x7f000001`); `None` if the host is a name.
/// The network interface of a link-local address (`%eth0`) is left out.
pub fn ip_address(host: &str) -> Option<IpAddr> {
    let address = host.split_once('%').map_or(host, |(address, _)| address);
    numeric(address, 0)?.ok().map(|found| found.ip())
}

/// The addresses of a host, each with this port; at least one. A host is a name or an IP address, which may be in any notation
/// that the C library knows (`127.1`); IPv6 without brackets, perhaps with the network interface (`fe80::1%eth0`).
///
/// # Errors
/// If the name has no address, or no name server answers, or there is no such network interface. The error names the host.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = if let Some(address) = numeric(host, port) {
        address.map(|address| vec![address])
    } else if cfg!(target_feature = "crt-static") {
        let addresses = ResolverFiles::system().addresses(host).await;
        addresses.map(|found| found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect::<Vec<_>>())
    } else {
        lookup_host((host, port)).await.map(Iterator::collect)
    };
    let found =
        found.map_err(|error| io::Error::new(error.kind(), format!("cannot resolve {host:?}: {error}")))?;
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("{host:?} has no address")));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_are_returned_as_they_are() {
        assert_eq!(resolve("192.0.2.1", 80).await.unwrap(), ["192.0.2.1:80".parse().unwrap()]);
        assert_eq!(resolve("2001:db8::1", 80).await.unwrap(), ["[2001:db8::1]:80".parse().unwrap()]);
        assert_eq!(ip_address("0x7f.1"), Some("127.0.0.1".parse().unwrap()));
        assert_eq!(ip_address("fe80::1%none"), Some("fe80::1".parse().unwrap()));
        assert_eq!(ip_address("localhost"), None);
        assert!(resolve("localhost", 80).await.unwrap().iter().all(|found| found.ip().is_loopback()));
    }
}
