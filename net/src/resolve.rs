//! Addresses of host names.
//!
//! A dynamic build asks the system (`getaddrinfo`), so whatever `/etc/nsswitch.conf` names on this machine is asked, such as mDNS
//! or LDAP. A static build must not ask it: the modules that `/etc/nsswitch.conf` names are libraries for the machine's own C
//! library, and loading them into a program that contains another one may crash it. So a static build reads `/etc/hosts` and asks
//! the name servers of `/etc/resolv.conf`, and needs nothing else of the machine.

mod files;
mod http;

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::lookup_host;

use self::files::ResolverFiles;
pub use self::http::HttpResolver;

/// The addresses of a host, which is a name or an IP address (IPv6 without brackets), each with this port; at least one.
///
/// # Errors
/// If the name has no address, or nobody can be asked. The error names the host.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let found = if cfg!(target_feature = "crt-static") {
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
        assert!(resolve("localhost", 80).await.unwrap().iter().all(|found| found.ip().is_loopback()));
    }
}
