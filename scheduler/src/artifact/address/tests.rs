use super::*;

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));

fn address(told: Option<&str>, listen: Option<&str>) -> Result<ArtifactAddress, AddressError> {
    let (told, listen) = (told.map(told_address).transpose()?, listen.map(listen_at).transpose()?);
    ArtifactAddress::new(told, listen)
}

/// Returns `BOUND → TOLD`: the addresses to listen on, and the address that agents are told. Port 0 in `TOLD` stands for the
/// port that is bound.
fn both(told: &str, listen: &str) -> String {
    let given = |text: &str| if text.is_empty() { None } else { Some(text.to_owned()) };
    let address = address(given(told).as_deref(), given(listen).as_deref()).unwrap();
    let Endpoints { bind, host, port } = address.endpoints(LOCAL).unwrap();
    let bind: Vec<_> = bind.iter().map(ToString::to_string).collect();
    format!("{} → {}", bind.join(" or "), HostPort { host, port: port.unwrap_or(0) })
}

#[test]
fn what_is_bound_is_derived_from_what_agents_are_told_unless_it_is_given() {
    for (told, listen, expected) in [
        ("", "", "10.0.0.9:0 → 10.0.0.9:0"),
        ("10.0.0.1", "", "10.0.0.1:0 → 10.0.0.1:0"),
        ("10.0.0.1:80", "", "10.0.0.1:80 → 10.0.0.1:80"),
        ("::1", "", "[::1]:0 → [::1]:0"),
        ("[::1]:80", "", "[::1]:80 → [::1]:80"),
        ("localhost:80", "", "127.0.0.1:80 or [::1]:80 → localhost:80"),
        ("localhost", "0.0.0.0:80", "0.0.0.0:80 → localhost:0"),
        ("miner.example:80", "", "[::]:80 or 0.0.0.0:80 → miner.example:80"),
        ("nat.example:80", "0.0.0.0:8080", "0.0.0.0:8080 → nat.example:80"),
        ("nat.example:80", "10.0.0.9", "10.0.0.9:80 → nat.example:80"),
        ("nat.example", "[::]:8080", "[::]:8080 → nat.example:0"),
        ("192.0.2.1", "::", "[::]:0 → 192.0.2.1:0"),
        ("[2001:db8::1]:80", "0.0.0.0:8080", "0.0.0.0:8080 → [2001:db8::1]:80"),
        ("", "0.0.0.0:8080", "0.0.0.0:8080 → 10.0.0.9:0"),
        ("", "::ffff:0.0.0.0", "0.0.0.0:0 → 10.0.0.9:0"),
        ("", "[::ffff:0.0.0.0]:80", "0.0.0.0:80 → 10.0.0.9:0"),
        ("nat.example:80", "169.254.1.1", "169.254.1.1:80 → nat.example:80"),
        ("", "10.0.0.7:8080", "10.0.0.7:8080 → 10.0.0.7:0"),
        ("", "10.0.0.7:0", "10.0.0.7:0 → 10.0.0.7:0"),
    ] {
        assert_eq!(both(told, listen), expected, "{told:?} {listen:?}");
    }
}

#[test]
fn nothing_is_told_that_nobody_can_reach() {
    for (told, what) in [
        ("0.0.0.0:80", "--artifact-listen"),
        ("0.0.0.0", "give 0.0.0.0 as --artifact-listen"),
        ("::", "--artifact-listen"),
        ("[::]:80", "give [::]:80 as --artifact-listen"),
        ("::ffff:0.0.0.0", "all of a machine's addresses"),
        ("0.1.2.3", "of no machine"),
        ("224.0.0.1:80", "multicast"),
        ("[ff02::1]:80", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("fe80::1", "link-local"),
        ("[fe80::1%eth0]:80", "link-local"),
        ("169.254.1.1:80", "link-local"),
        ("0", "neither a host name nor an IP address"),
        ("0x0", "neither a host name nor an IP address"),
        ("0X0", "neither a host name nor an IP address"),
        ("0x0.", "neither a host name nor an IP address"),
        ("0x0:8080", "neither a host name nor an IP address"),
        ("0.0.0.0x0:80", "neither a host name nor an IP address"),
        ("0.0.0.0.0x0", "neither a host name nor an IP address"),
        ("00.0x0.0", "neither a host name nor an IP address"),
        ("256.256.256.256", "neither a host name nor an IP address"),
        ("127.1:80", "neither a host name nor an IP address"),
        ("host:0", "bad port"),
    ] {
        let error = told_address(told).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains(&format!("{told:?}")), "{told}: {error}");
    }
    for wrong in ["", ":80", "a:b", "a:99999", "a b", "http://a"] {
        assert!(matches!(told_address(wrong), Err(AddressError::Told { .. })), "{wrong}");
    }
}

#[test]
fn an_address_that_nobody_can_reach_is_not_told_either_where_no_address_is_given() {
    for (listen, what) in [
        ("fe80::1", "link-local"),
        ("[fe80::1]:80", "link-local"),
        ("169.254.1.1", "link-local"),
        ("::ffff:224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255:80", "broadcast"),
        ("0.1.2.3", "of no machine"),
    ] {
        let error = address(None, Some(listen)).unwrap_err().to_string();
        for part in ["--artifact-listen", what, "--artifact-address"] {
            assert!(error.contains(part), "{listen}: {error}");
        }
    }
    for (listen, local) in [(None, "fe80::1"), (Some("[::]:80"), "fe80::1"), (None, "169.254.1.1")] {
        let address = address(None, listen).unwrap();
        let error = address.endpoints(local.parse().unwrap()).unwrap_err().to_string();
        for part in [local, "link-local", "--artifact-address"] {
            assert!(error.contains(part), "{listen:?} {local}: {error}");
        }
    }
}

#[test]
fn only_addresses_are_bound_and_a_told_port_needs_a_bound_one() {
    for wrong in ["", "localhost:80", ":80", "80", "1.2.3.4:99999", "[::1", "x"] {
        let error = listen_at(wrong).unwrap_err().to_string();
        assert!(error.contains("--artifact-listen") && error.contains("0.0.0.0:8080"), "{error}");
    }
    let error = address(Some("nat.example:80"), Some("0.0.0.0:0")).unwrap_err().to_string();
    assert!(error.contains("0.0.0.0:0") && error.contains("port 80"), "{error}");
    let any = address(None, Some("0.0.0.0")).unwrap();
    let error = any.endpoints("2001:db8::1".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("2001:db8::1") && error.contains("[::]"), "{error}");
}

#[test]
fn loopback_is_known_by_name_and_by_address() {
    for host in ["localhost", "LOCALHOST.", "127.0.0.2", "::1", "::ffff:127.0.0.1"] {
        assert!(is_loopback(host), "{host}");
    }
    for host in ["localhost.example", "10.0.0.1", "fe80::1"] {
        assert!(!is_loopback(host), "{host}");
    }
}
