//! The ports that agents offer. All clusters of a machine share its ports, so each cluster claims blocks of them.

use std::net::{Ipv4Addr, TcpListener};

use crate::cluster::AgentSize;

/// Number of consecutive ports that a cluster claims for one agent, by listening on the last one. The agent offers all of them
/// except the last one.
const BLOCK: u16 = 100;

/// Blocks of ports that belong to one cluster. No other cluster offers these ports until this value is dropped.
pub(crate) struct PortClaims {
    /// Listeners on the last port of each block of ports.
    _listeners: Vec<TcpListener>,
}

/// Gives each agent a block of ports that no other cluster has claimed. The first ports of the block must be free, because tasks
/// use these first. When no block of ports is left, the remaining agents keep the ports that they have.
pub(crate) fn claim(agents: &mut [AgentSize]) -> PortClaims {
    // Try the ports from 31000, Mesos' default, up to those that Linux gives to outgoing connections; then the ports below
    // 31000.
    let mut blocks =
        (31_000..32_700).chain(20_000..31_000).step_by(usize::from(BLOCK)).filter_map(claim_block);
    let mut listeners = Vec::new();
    for agent in agents {
        let Some((ports, listener)) = blocks.next() else { break };
        agent.ports = ports;
        listeners.push(listener);
    }
    PortClaims { _listeners: listeners }
}

fn claim_block(first: u16) -> Option<((u16, u16), TcpListener)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, first + BLOCK - 1)).ok()?;
    let is_free = |port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
    (first..first + 4).all(is_free).then_some(((first, first + BLOCK - 2), listener))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed(agents: usize) -> (PortClaims, Vec<(u16, u16)>) {
        let mut agents: Vec<AgentSize> = (0..agents).map(|i| AgentSize::new(i, 1.0, 1.0)).collect();
        let claims = claim(&mut agents);
        (claims, agents.iter().map(|agent| agent.ports).collect())
    }

    #[test]
    fn no_two_agents_of_a_machine_share_a_block() {
        let ((_one, mut ports), (_other, more)) = (claimed(2), claimed(2));
        ports.extend(more);
        ports.sort_unstable();
        assert!(ports.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ports:?}");
        assert!(ports.iter().all(|(first, last)| last - first == BLOCK - 2), "{ports:?}");
    }

    #[test]
    fn blocks_whose_first_ports_are_taken_are_skipped() {
        let (claims, ports) = claimed(1);
        // While `claims` exists, no other cluster tries these ports, so the test can occupy one.
        let _taken = TcpListener::bind(("127.0.0.1", ports[0].0)).unwrap();
        drop(claims);
        assert!(claim_block(ports[0].0).is_none());
        assert_ne!(claimed(1).1, ports);
    }
}
