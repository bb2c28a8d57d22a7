//! The extranonce1 of each connection: unique among all connections, so that no two miners search the same headers.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The extranonce1 of all connections.
#[derive(Debug)]
pub struct Extranonces(Mutex<State>);

#[derive(Debug)]
struct State {
    next: u32,
    /// Each extranonce1 in use: its size in bytes and its value.
    taken: HashSet<(usize, [u8; 4])>,
}

impl Default for Extranonces {
    fn default() -> Self {
        Extranonces(Mutex::new(State { next: rand::random(), taken: HashSet::new() }))
    }
}

/// The right of one connection to its extranonce1. Dropping the lease frees the extranonce1.
#[derive(Debug)]
pub struct ExtranonceLease {
    from: Arc<Extranonces>,
    size: usize,
    /// The extranonce1 as a big-endian number, with leading zeros.
    value: [u8; 4],
}

impl Extranonces {
    /// Leases a free extranonce1 of `size` bytes (1 to 4); `None` if all are taken. The search continues after the last
    /// leased value, so that a value that has just been freed is not leased again soon.
    pub fn take(self: &Arc<Self>, size: usize) -> Option<ExtranonceLease> {
        let size = size.clamp(1, 4);
        let mask = u32::MAX >> (32 - 8 * size);
        let mut state = self.lock();
        for _ in 0..=u64::from(mask).min(state.taken.len() as u64) {
            let value = (state.next & mask).to_be_bytes();
            state.next = state.next.wrapping_add(1);
            if state.taken.insert((size, value)) {
                return Some(ExtranonceLease { from: self.clone(), size, value });
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ExtranonceLease {
    /// The extranonce1.
    pub fn bytes(&self) -> &[u8] {
        &self.value[4 - self.size..]
    }

    /// A lease of the given bytes, for tests.
    #[cfg(test)]
    pub fn of(bytes: &[u8]) -> Self {
        let mut value = [0; 4];
        value[4 - bytes.len()..].copy_from_slice(bytes);
        ExtranonceLease { from: Arc::default(), size: bytes.len(), value }
    }
}

impl Drop for ExtranonceLease {
    fn drop(&mut self) {
        self.from.lock().taken.remove(&(self.size, self.value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_unique_and_a_freed_extranonce_is_reused_last() {
        let all = Arc::new(Extranonces::default());
        let mut leases: Vec<ExtranonceLease> = (0..256).map(|_| all.take(1).unwrap()).collect();
        let bytes: HashSet<&[u8]> = leases.iter().map(ExtranonceLease::bytes).collect();
        assert_eq!(bytes.len(), 256);
        assert!(all.take(1).is_none());
        // Values of another size are leased independently.
        assert_eq!(all.take(2).unwrap().bytes().len(), 2);

        let freed = leases.swap_remove(77).bytes().to_vec();
        assert_eq!(all.take(1).unwrap().bytes(), freed);
        drop(leases);
        let first = all.take(4).unwrap().bytes().to_vec();
        assert_ne!(all.take(4).unwrap().bytes(), first, "it has just been freed");
        assert_eq!(all.lock().taken.len(), 0);
    }
}
