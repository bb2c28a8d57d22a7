//! When the first thread searches the first nonce of a job.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::sync::watch;

/// The first hash of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstHash {
    /// The generation, as [`Engine::mine`](super::Engine::mine) returned it.
    pub generation: u64,
    /// When a thread was about to search the first nonce. It is told after the first chunk, some 20 µs later.
    pub at: Instant,
}

/// Tells the owner of the engine of the first hash of each generation.
#[derive(Debug)]
pub(super) struct FirstHashes {
    /// The last generation that a thread has begun to search.
    begun: AtomicU64,
    told: watch::Sender<FirstHash>,
}

impl Default for FirstHashes {
    fn default() -> Self {
        let none = FirstHash { generation: 0, at: Instant::now() };
        FirstHashes { begun: AtomicU64::new(0), told: watch::Sender::new(none) }
    }
}

impl FirstHashes {
    pub fn subscribe(&self) -> watch::Receiver<FirstHash> {
        self.told.subscribe()
    }

    /// A thread is about to search this generation. Returns what to [`tell`](Self::tell) after the first chunk, to the first thread
    /// only.
    pub fn begin(&self, generation: u64) -> Option<FirstHash> {
        // Most threads see here that they are not the first, so that they need not write to memory that all of them read.
        if self.begun.load(Ordering::Relaxed) >= generation {
            return None;
        }
        let at = Instant::now();
        (self.begun.fetch_max(generation, Ordering::Relaxed) < generation)
            .then_some(FirstHash { generation, at })
    }

    /// Tells of a first hash, unless a later generation was told of already.
    pub fn tell(&self, first: FirstHash) {
        self.told.send_if_modified(|told| {
            let later = first.generation > told.generation;
            if later {
                *told = first;
            }
            later
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_thread_of_a_generation_tells() {
        let hashes = FirstHashes::default();
        let mut told = hashes.subscribe();
        assert_eq!(told.borrow_and_update().generation, 0);
        let first = hashes.begin(1).expect("the first");
        assert_eq!(hashes.begin(1), None);
        hashes.tell(first);
        assert!(told.has_changed().expect("a sender") && *told.borrow_and_update() == first);
    }

    #[test]
    fn a_thread_that_is_late_does_not_hide_a_later_generation() {
        let hashes = FirstHashes::default();
        let told = hashes.subscribe();
        let (first, second) = (hashes.begin(1).expect("the first"), hashes.begin(2).expect("the second"));
        hashes.tell(second);
        hashes.tell(first);
        assert_eq!(*told.borrow(), second);
        assert_eq!(hashes.begin(1), None, "that generation is over");
    }
}
