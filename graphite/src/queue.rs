//! Figures that wait to be sent.

use std::collections::VecDeque;

/// The most that waits, in bytes: about three hours of a scheduler's figures, which are 4 KiB every ten seconds.
const CAPACITY: usize = 4 << 20;

/// The lines of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch(pub String);

/// Batches in the order of their times, bounded in size. The oldest are dropped for newer ones, and the lines that are lost so are
/// counted.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    batches: VecDeque<Batch>,
    bytes: usize,
    dropped: u64,
}

impl Queue {
    /// Adds the newest batch. It stays even if it is larger than the whole queue may be.
    pub fn push(&mut self, batch: Batch) {
        self.bytes += batch.0.len();
        self.batches.push_back(batch);
        self.shrink();
    }

    /// Takes out the oldest batch.
    pub fn take(&mut self) -> Option<Batch> {
        let batch = self.batches.pop_front()?;
        self.bytes -= batch.0.len();
        Some(batch)
    }

    /// Gives back a batch that was taken and not sent.
    pub fn put_back(&mut self, batch: Batch) {
        self.bytes += batch.0.len();
        self.batches.push_front(batch);
        self.shrink();
    }

    /// How many lines were dropped since this was asked for the last time.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    fn shrink(&mut self) {
        while self.bytes > CAPACITY && self.batches.len() > 1 {
            let oldest = self.take().unwrap_or_default();
            self.dropped += oldest.0.lines().count() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(number: usize, bytes: usize) -> Batch {
        Batch(format!("{number}\n{}\n", "x".repeat(bytes)))
    }

    #[test]
    fn batches_leave_in_their_order_and_an_unsent_one_comes_back_first() {
        let mut queue = Queue::default();
        (0..3).for_each(|number| queue.push(batch(number, 10)));
        let first = queue.take().unwrap();
        assert_eq!(first, batch(0, 10));
        queue.put_back(first);
        for number in 0..3 {
            assert_eq!(queue.take(), Some(batch(number, 10)));
        }
        assert_eq!((queue.take(), queue.bytes, queue.take_dropped()), (None, 0, 0));
    }

    #[test]
    fn the_oldest_are_dropped_for_newer_ones_and_counted_once() {
        let mut queue = Queue::default();
        (0..100).for_each(|number| queue.push(batch(number, CAPACITY / 10)));
        assert!(queue.bytes <= CAPACITY, "{}", queue.bytes);
        assert_eq!(queue.take_dropped(), 2 * 91);
        assert_eq!(queue.take_dropped(), 0);
        let oldest = queue.take().unwrap();
        assert_eq!(oldest, batch(91, CAPACITY / 10));
        queue.push(batch(100, CAPACITY / 10));
        queue.put_back(oldest);
        assert_eq!((queue.take(), queue.take_dropped()), (Some(batch(92, CAPACITY / 10)), 2));
    }

    #[test]
    fn the_newest_stays_whatever_its_size() {
        let mut queue = Queue::default();
        queue.push(batch(0, 10));
        queue.push(batch(1, 2 * CAPACITY));
        assert_eq!(queue.take_dropped(), 2);
        assert_eq!(queue.take(), Some(batch(1, 2 * CAPACITY)));
        assert_eq!(queue.bytes, 0);
    }
}
