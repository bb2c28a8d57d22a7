//! Parses hosts that are IP addresses. They need no name server.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket};

/// The address of a host with this port, if the host is an IP address in a notation that the C library knows:
///
/// - `10.0.0.1`, and the older forms with fewer, octal (`0…`) or hexadecimal (`0x…`) parts, such as `127.1`;
/// - `2001:db8::1`, and `fe80::1%eth0` or `fe80::1%2`, which names the network interface of a link-local address.
///
/// # Errors
/// If the machine has no such network interface.
pub(super) fn numeric(host: &str, port: u16) -> Option<io::Result<SocketAddr>> {
    if let Some((address, zone)) = host.split_once('%') {
        let address: Ipv6Addr = address.parse().ok()?;
        return Some(interface(zone).map(|index| SocketAddrV6::new(address, port, 0, index).into()));
    }
    let address = host.parse::<IpAddr>().ok().or_else(|| older_ipv4(host).map(IpAddr::V4))?;
    Some(Ok(SocketAddr::new(address, port)))
}

/// The index of a network interface, which is named by its name or its index.
pub(super) fn interface(zone: &str) -> io::Result<u32> {
    if let Ok(index) = zone.parse() {
        return Ok(index);
    }
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    name_to_index(any, zone).map_err(|error| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("this machine has no network interface {zone:?}: {error}"))
    })
}

/// An IPv4 address in any form that `inet_aton` reads: one to four parts, of which the last one fills the bytes that are left.
fn older_ipv4(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u32> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    let bits_left = 32 - 8 * u32::try_from(first.len()).ok().filter(|count| *count < 4)?;
    if u64::from(*last) >> bits_left != 0 {
        return None;
    }
    let mut address = *last;
    for (part, shift) in first.iter().zip([24, 16, 8]) {
        address |= u32::from(u8::try_from(*part).ok()?) << shift;
    }
    Some(address.into())
}

fn number(text: &str) -> Option<u32> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match hexadecimal {
        Some(digits) => (digits, 16),
        None if text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    // `from_str_radix` alone would accept a plus sign.
    let plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    u32::from_str_radix(digits, radix).ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use tokio::net::lookup_host;

    use super::*;

    #[tokio::test]
    async fn addresses_are_read_as_the_c_library_reads_them() {
        for host in [
            "10.0.0.1",
            "127.1",
            "127.0.257",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "010.0.0.1",
            "0",
            "255.255.255.255",
            "::1",
            "::ffff:10.0.0.1",
            "2001:DB8::1",
            "fe80::1",
            "fe80::1%1",
            "fe80::1%lo",
        ] {
            let expected: Vec<SocketAddr> = lookup_host((host, 80)).await.expect(host).collect();
            assert_eq!([numeric(host, 80).expect(host).expect(host)], expected.as_slice(), "{host}");
        }
    }

    #[test]
    fn other_texts_are_names() {
        for host in [
            "",
            ".",
            "1.",
            ".1",
            "1..2",
            "1.2.3.4.5",
            "256.1",
            "1.256.1",
            "4294967296",
            "1.16777216",
            "08",
            "0x",
            "0xg",
            "+1",
            "-1",
            "1 ",
            "a",
            "localhost",
            "::1::",
            "a%lo",
        ] {
            assert!(numeric(host, 80).is_none(), "{host}");
        }
        let error = numeric("fe80::1%none", 80).unwrap().unwrap_err();
        assert!(error.to_string().starts_with("this machine has no network interface \"none\""), "{error}");
    }
}
