//! Reads the ZooKeeper nodes in which masters describe themselves.

use std::net::Ipv4Addr;

use serde_json::Value;

use crate::address::HostPort;

/// The prefix of the name of the node by which a master stands for election. ZooKeeper appends a sequence number. Other nodes
/// belong to the replicated log, or to masters older than 0.24, which use another encoding.
const PREFIX: &str = "json.info_";

/// The leading master as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leader {
    /// The address that the master listens on.
    pub address: HostPort,
    /// The master's host name, for certificates and messages.
    pub hostname: Option<String>,
    /// The id of the master process; a restarted master has a new one.
    pub id: String,
}

/// The name of the leader's node: the candidate with the lowest sequence number.
pub(super) fn first(nodes: &[String]) -> Option<&str> {
    let number = |node: &str| node.strip_prefix(PREFIX)?.parse::<i64>().ok();
    let candidates = nodes.iter().filter_map(|node| Some((number(node)?, node.as_str())));
    candidates.min().map(|(_, node)| node)
}

/// Reads a candidate's node: a `MasterInfo` in JSON.
pub(super) fn read(data: &[u8], by_name: bool) -> Result<Leader, String> {
    let info: Value = serde_json::from_slice(data).map_err(|error| format!("not JSON: {error}"))?;
    let text = |place: &str| info.pointer(place).and_then(Value::as_str).filter(|text| !text.is_empty());
    let hostname = text("/address/hostname").or_else(|| text("/hostname"));
    // `ip` is the address in network byte order, read as a little-endian number.
    let number = || info.pointer("/ip")?.as_u64().and_then(|ip| u32::try_from(ip).ok());
    let host = if by_name { hostname } else { None }
        .or_else(|| text("/address/ip"))
        .or(hostname)
        .map(str::to_owned)
        .or_else(|| number().map(|ip| Ipv4Addr::from(ip.to_le_bytes()).to_string()))
        .ok_or("no address.ip in it")?;
    let port = info.pointer("/address/port").or_else(|| info.pointer("/port")).and_then(Value::as_u64);
    let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    let port = port.ok_or("no address.port from 1 to 65535 in it")?;
    // Checks that the host is a valid host name or IP address.
    let shown = HostPort { host, port };
    let address = HostPort::parse(&shown.to_string(), None).map_err(|error| error.to_string())?;
    Ok(Leader {
        address,
        hostname: hostname.map(str::to_owned),
        id: text("/id").unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_candidate_with_the_lowest_number_leads() {
        let nodes = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        assert_eq!(first(&[]), None);
        assert_eq!(first(&nodes(&["log_replicas", "info_0000000001", "json.info_x", "json.info_"])), None);
        let mixed =
            nodes(&["json.info_0000000012", "json.info_0000000003", "log_replicas", "info_0000000001"]);
        assert_eq!(first(&mixed), Some("json.info_0000000003"));
        // Sequence numbers are compared as numbers, not as text.
        assert_eq!(
            first(&nodes(&["json.info_10000000000", "json.info_9999999999"])),
            Some("json.info_9999999999")
        );
    }

    #[test]
    fn reads_what_masters_write() {
        // A real Mesos 1.11 wrote this node.
        let leader = read(
            br#"{"address":{"hostname":"localhost","ip":"127.0.0.1","port":5050},"capabilities":[{"type":"AGENT_UPDATE"},
            {"type":"AGENT_DRAINING"},{"type":"QUOTA_V2"}],"hostname":"localhost","id":"9a1c","ip":16777343,
            "pid":"master@127.0.0.1:5050","port":5050,"version":"1.11.0"}"#,
            false,
        );
        let expected = Leader {
            address: "127.0.0.1:5050".parse().unwrap(),
            hostname: Some("localhost".into()),
            id: "9a1c".into(),
        };
        assert_eq!(leader, Ok(expected));
        for (json, address) in [
            (r#"{"id":"x","ip":16777343,"port":5050}"#, "127.0.0.1:5050"),
            (r#"{"address":{"ip":"fe80::1","port":1}}"#, "[fe80::1]:1"),
            (r#"{"address":{"hostname":"m1","port":1}}"#, "m1:1"),
        ] {
            assert_eq!(read(json.as_bytes(), false).unwrap().address.to_string(), address);
        }
    }

    #[test]
    fn prefers_names_for_certificates() {
        let read = |json: &str| read(json.as_bytes(), true).unwrap().address.to_string();
        assert_eq!(read(r#"{"address":{"hostname":"m1","ip":"127.0.0.1","port":5050}}"#), "m1:5050");
        assert_eq!(read(r#"{"address":{"ip":"127.0.0.1","port":5050}}"#), "127.0.0.1:5050");
    }

    #[test]
    fn refuses_nodes_that_do_not_describe_a_master() {
        for json in [
            "",
            "[]",
            "{}",
            r#"{"address":{"ip":"127.0.0.1"}}"#,
            r#"{"address":{"ip":"127.0.0.1","port":65536}}"#,
            r#"{"address":{"ip":"127.0.0.1","port":0}}"#,
            r#"{"address":{"ip":"a b","port":1}}"#,
            r#"{"address":{"ip":"a/b:80/","port":1}}"#,
            r#"{"address":7,"ip":-1,"port":1}"#,
        ] {
            assert!(read(json.as_bytes(), false).is_err(), "{json}");
        }
    }
}
