//! Extranonce1 of every connection: no two open ones have the same.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is taken at present.
#[derive(Debug)]
pub struct Extranonces(Mutex<State>);

#[derive(Debug)]
struct State {
    next: u32,
    taken: HashSet<(usize, u32)>,
}

impl Default for Extranonces {
    fn default() -> Extranonces {
        Extranonces(Mutex::new(State { next: rand::random(), taken: HashSet::new() }))
    }
}

/// One connection's extranonce1; free for others when it is dropped.
#[derive(Debug)]
pub struct Lease {
    from: Arc<Extranonces>,
    size: usize,
    value: u32,
}

impl Extranonces {
    /// One of `size` bytes (1 to 4) that nobody has, and that nobody had for as long as possible; none if all are taken.
    pub fn take(self: &Arc<Extranonces>, size: usize) -> Option<Lease> {
        let size = size.clamp(1, 4);
        let mask = u32::MAX >> (32 - 8 * size);
        let mut state = self.lock();
        for _ in 0..=u64::from(mask).min(state.taken.len() as u64) {
            let value = state.next & mask;
            state.next = state.next.wrapping_add(1);
            if state.taken.insert((size, value)) {
                return Some(Lease { from: self.clone(), size, value });
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// The extranonce1.
    pub fn bytes(&self) -> Vec<u8> {
        self.value.to_be_bytes()[4 - self.size..].to_vec()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.from.lock().taken.remove(&(self.size, self.value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_shares_and_what_was_given_back_comes_last() {
        let all = Arc::new(Extranonces::default());
        let mut leases: Vec<Lease> = (0..256).map(|_| all.take(1).unwrap()).collect();
        let bytes: HashSet<Vec<u8>> = leases.iter().map(Lease::bytes).collect();
        assert_eq!(bytes.len(), 256);
        assert!(all.take(1).is_none());
        // There is room in another length.
        assert_eq!(all.take(2).unwrap().bytes().len(), 2);

        let freed = leases.swap_remove(77).bytes();
        assert_eq!(all.take(1).unwrap().bytes(), freed);
        drop(leases);
        let first = all.take(4).unwrap().bytes();
        assert_ne!(all.take(4).unwrap().bytes(), first, "it has just been given back");
        assert_eq!(all.lock().taken.len(), 0);
    }
}
