//! Divides the CPUs of this machine among embedded agents.

use crate::cluster::AgentSize;

/// The number of CPUs that a worker needs. With fewer, no worker is launched.
const MIN_WORKER_CPUS: f64 = 0.1;

/// Returns one agent for each worker, each with an equal part of the CPUs; the first agent also has the server's CPUs.
pub(crate) fn agent_sizes(cpus: f64, server_cpus: f64, mem: f64, workers: u16) -> Vec<AgentSize> {
    let each = worker_cpus(cpus, server_cpus, workers);
    (0..usize::from(workers))
        .map(|index| {
            let server = if index == 0 { server_cpus } else { 0.0 };
            AgentSize::new(index, each + server, mem)
        })
        .collect()
}

/// Why workers cannot run; `None` if they can.
pub(crate) fn shortage(cpus: f64, server_cpus: f64, workers: u16) -> Option<String> {
    let each = worker_cpus(cpus, server_cpus, workers);
    (each < MIN_WORKER_CPUS).then(|| {
        format!(
            "no worker will be launched: of {cpus} CPUs the pool server takes {server_cpus}, and {workers} worker(s) \
             would get {each} CPU each, but one needs {MIN_WORKER_CPUS}; give more --cpus, less --server-cpus or \
             fewer --workers"
        )
    })
}

/// A worker's CPUs, rounded down to thousandths, because Mesos counts CPUs in thousandths.
fn worker_cpus(cpus: f64, server_cpus: f64, workers: u16) -> f64 {
    let thousandths = ((cpus - server_cpus) * 1000.0).round().max(0.0) / f64::from(workers);
    thousandths.floor() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus(agents: &[AgentSize]) -> Vec<f64> {
        agents.iter().map(|agent| agent.cpus).collect()
    }

    #[test]
    fn the_first_agent_has_the_servers_share_too() {
        assert_eq!(cpus(&agent_sizes(1.0, 0.1, 1024.0, 1)), [1.0]);
        assert_eq!(cpus(&agent_sizes(2.0, 0.1, 1024.0, 2)), [1.05, 0.95]);
        assert_eq!(cpus(&agent_sizes(1.0, 0.1, 1024.0, 7))[1], 0.128);
        assert_eq!(cpus(&agent_sizes(0.05, 0.1, 1024.0, 1)), [0.1]);
    }

    #[test]
    fn a_shortage_is_explained() {
        assert_eq!(shortage(1.0, 0.1, 9), None);
        assert!(shortage(1.0, 0.1, 10).unwrap().contains("10 worker(s)"));
        assert!(shortage(0.1, 0.1, 1).is_some());
    }
}
