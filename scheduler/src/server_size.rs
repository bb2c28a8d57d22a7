//! How many workers a server task of our own admits, by its memory.

/// Memory of the server's executor and task together unless another size is asked for, MB.
pub const SERVER_MEM: u64 = 256;
/// The least that is of use, and the most that is taken seriously, MB.
pub const SERVER_MEM_RANGE: std::ops::RangeInclusive<u64> = 64..=1 << 20;

/// What the server needs before the first miner: the program itself (11.5 MB were measured), blocks in work, its database.
const BASE: u64 = 32 << 20;
/// What a miner needs of it: 12.1 kB were measured (docs/PERFORMANCE.md).
const PER_MINER: u64 = 14_000;
/// Of so many places one is left free.
const FREE: u32 = 16;

/// Connections at once of a server with so many MB.
pub fn connections(mem: u64) -> u32 {
    let miners = (mem << 20).saturating_sub(BASE) / PER_MINER;
    u32::try_from(miners).unwrap_or(u32::MAX)
}

/// Workers of a server that admits so many connections. Some places are left for workers that connect again before their old
/// connection is known to be gone, and for miners from outside.
pub fn workers(connections: u32) -> u64 {
    (connections - connections.div_ceil(FREE)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_decides_how_many_connect_and_some_places_are_left_free() {
        assert_eq!(connections(SERVER_MEM), 16_777);
        assert_eq!(workers(16_777), 15_728);
        // 50,000 workers.
        assert!(workers(connections(768)) > 50_000);
        assert_eq!(connections(*SERVER_MEM_RANGE.start()), 2396);
        assert!(connections(*SERVER_MEM_RANGE.end()) > 70_000_000);
        assert_eq!(connections(0), 0);
        assert_eq!([0, 1, 2, 16, 17].map(workers), [0, 0, 1, 15, 15]);
    }
}
