//! The address for browsers that Mesos' page of frameworks links to (`FrameworkInfo.webui_url`).

use std::net::SocketAddr;

/// Maximum length of an address, in bytes.
const LONGEST: usize = 2000;

/// Checks the address that the user gives.
///
/// # Errors
/// If it is no address that a browser can follow.
pub(crate) fn parse(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if rest.is_some_and(|rest| !rest.is_empty()) && is_visible && text.len() <= LONGEST {
        return Ok(text.to_owned());
    }
    Err("write http://HOST:PORT/ or https://HOST:PORT/, in visible ASCII characters".to_owned())
}

/// The address of a server that listens at `listening`, as other machines reach it; `host` is this machine's name. `None` if they cannot:
/// a browser on another machine would take a loopback address for its own.
pub(crate) fn of_server(listening: SocketAddr, secure: bool, host: Option<&str>) -> Option<String> {
    let scheme = if secure { "https" } else { "http" };
    let (ip, port) = (listening.ip(), listening.port());
    if ip.is_loopback() {
        return None;
    }
    if ip.is_unspecified() {
        return host.map(|host| format!("{scheme}://{host}:{port}/"));
    }
    Some(format!("{scheme}://{}/", SocketAddr::new(ip, port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_linked_to_as_other_machines_reach_it() {
        let url = |listening: &str, secure| of_server(listening.parse().unwrap(), secure, Some("miner-1"));
        assert_eq!(url("127.0.0.1:8080", false), None);
        assert_eq!(url("[::1]:8080", false), None);
        assert_eq!(url("0.0.0.0:8080", false).unwrap(), "http://miner-1:8080/");
        assert_eq!(url("[::]:8080", true).unwrap(), "https://miner-1:8080/");
        assert_eq!(url("10.0.0.1:80", true).unwrap(), "https://10.0.0.1:80/");
        assert_eq!(url("[fd00::1]:80", false).unwrap(), "http://[fd00::1]:80/");
        assert_eq!(of_server("0.0.0.0:1".parse().unwrap(), false, None), None);
    }

    #[test]
    fn what_a_user_gives_is_an_address_for_browsers() {
        assert_eq!(parse("https://proxy.example/miner").unwrap(), "https://proxy.example/miner");
        for wrong in ["proxy:80", "http://", "http://a b", "javascript:alert(1)", "http://ä"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
