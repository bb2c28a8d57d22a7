//! The number of workers that our own server task admits, which depends on its memory.

/// The default for the memory of the server's executor and task together, MB.
pub const SERVER_MEM: u64 = 256;
/// The allowed memory of a server, MB.
pub const SERVER_MEM_RANGE: std::ops::RangeInclusive<u64> = 64..=1 << 20;

/// The memory that a server needs without any miner, in bytes: for the program (11.5 MB were measured), pending blocks, and its
/// database.
const BASE: u64 = 32 << 20;
/// The additional memory that a server needs for each miner, in bytes: 12.1 kB were measured (docs/PERFORMANCE.md).
const PER_MINER: u64 = 14_000;
/// One in every `FREE` connections of the server is left free for external miners and for reconnections; the others are for
/// workers.
const FREE: u32 = 16;

/// Maximum number of connections for a server with `mem` MB.
pub fn connections(mem: u64) -> u32 {
    let miners = (mem << 20).saturating_sub(BASE) / PER_MINER;
    u32::try_from(miners).unwrap_or(u32::MAX)
}

/// The memory, in MB, of a server that has room for this many connections and no more.
pub fn memory(connections: u32) -> u64 {
    (u64::from(connections) * PER_MINER + BASE) >> 20
}

/// Maximum number of workers for a server that admits this number of connections. Some connections are left for external miners,
/// and for workers that reconnect before the server has noticed the end of their old connection.
pub fn workers(connections: u32) -> u64 {
    (connections - connections.div_ceil(FREE)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_limits_the_connections_and_some_are_left_free() {
        assert_eq!(connections(SERVER_MEM), 16_777);
        assert_eq!(workers(16_777), 15_728);
        // A server with 768 MB admits 50,000 workers.
        assert!(workers(connections(768)) > 50_000);
        assert_eq!(connections(*SERVER_MEM_RANGE.start()), 2396);
        assert!(connections(*SERVER_MEM_RANGE.end()) > 70_000_000);
        assert_eq!(connections(0), 0);
        for mem in SERVER_MEM_RANGE.step_by(1001) {
            assert!(memory(connections(mem)).abs_diff(mem) <= 1, "{mem} MB");
        }
        assert_eq!([0, 1, 2, 16, 17].map(workers), [0, 0, 1, 15, 15]);
    }
}
