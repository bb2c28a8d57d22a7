//! The ports that agents offer. All clusters of a machine share its ports, so each claims blocks of its own.

use std::net::{Ipv4Addr, TcpListener};

use crate::cluster::AgentSize;

/// Ports in a block; the last one stands for the claim and is not offered.
const BLOCK: u16 = 100;

/// Blocks that nobody else offers for as long as this value lives.
pub(crate) struct Claims {
    /// Who listens on a block's last port has the block.
    _listeners: Vec<TcpListener>,
}

/// Gives each agent a block that no other cluster has and whose first ports, those that are taken first, are free.
/// Where there are none left, agents keep what they have.
pub(crate) fn claim(agents: &mut [AgentSize]) -> Claims {
    // From Mesos' usual 31000 up to where Linux begins with the ports of outgoing connections, then what is below.
    let mut blocks =
        (31_000..32_700).chain(20_000..31_000).step_by(usize::from(BLOCK)).filter_map(claim_block);
    let mut listeners = Vec::new();
    for agent in agents {
        let Some((ports, listener)) = blocks.next() else { break };
        agent.ports = ports;
        listeners.push(listener);
    }
    Claims { _listeners: listeners }
}

fn claim_block(first: u16) -> Option<((u16, u16), TcpListener)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, first + BLOCK - 1)).ok()?;
    let is_free = |port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
    (first..first + 4).all(is_free).then_some(((first, first + BLOCK - 2), listener))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed(agents: usize) -> (Claims, Vec<(u16, u16)>) {
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
    fn blocks_whose_first_ports_are_taken_are_left_out() {
        let (claims, ports) = claimed(1);
        drop(claims);
        let _taken = TcpListener::bind(("127.0.0.1", ports[0].0));
        assert_ne!(claimed(1).1, ports);
    }
}
