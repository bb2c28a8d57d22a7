//! What a search finds.

use std::fmt;

/// A header that met its target: the two fields that the search chose.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Hit {
    /// The header's version, one of those the [`Work`](crate::Work) was built with.
    pub version: u32,
    /// The header's nonce.
    pub nonce: u32,
}

/// Room for the hits of a few [`scan`](crate::Backend::scan)s: a fixed number, so that a search never allocates.
///
/// A scan that finds the buffer full stops and says where to go on, so no hit is ever lost. It appends; the caller
/// drains. The buffer also owns the working memory of a scan, some 45 KB: make one for each thread, not for each scan.
#[derive(Clone)]
pub struct HitBuffer {
    hits: [Hit; HitBuffer::CAPACITY],
    len: usize,
    memory: Box<Memory>,
}

/// Working memory of a backend, which it may use as it likes; what is in it between scans means nothing.
///
/// It lives here rather than on the stack of a scan because clearing it would cost a scan one part in a hundred.
#[derive(Clone)]
#[repr(C, align(64))]
pub(crate) struct Memory([u8; 45 * 1024]);

impl HitBuffer {
    /// How many hits fit: far more than a real target gives in one scan, few enough that the easiest target of all
    /// keeps a scan short, because every hit is checked by scalar code.
    pub const CAPACITY: usize = 32;

    /// Makes an empty buffer.
    pub fn new() -> HitBuffer {
        let hits = [Hit { version: 0, nonce: 0 }; HitBuffer::CAPACITY];
        HitBuffer { hits, len: 0, memory: Box::new(Memory([0; 45 * 1024])) }
    }

    /// The working memory for a scan.
    pub(crate) fn memory(&mut self) -> &mut Memory {
        &mut self.memory
    }

    /// Iterates over the hits, in the order in which they were found.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Hit> + '_ {
        self.hits[..self.len].iter().copied()
    }

    /// Empties the buffer and iterates over what was in it.
    pub fn drain(&mut self) -> impl ExactSizeIterator<Item = Hit> + '_ {
        let len = std::mem::take(&mut self.len);
        self.hits[..len].iter().copied()
    }

    /// Forgets all hits.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// How many hits the buffer holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the buffer holds no hit.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a scan would have to stop before it starts.
    pub fn is_full(&self) -> bool {
        self.len == HitBuffer::CAPACITY
    }

    /// Appends a hit; the caller made sure that there is room.
    pub(crate) fn push(&mut self, hit: Hit) {
        self.hits[self.len] = hit;
        self.len += 1;
    }
}

impl fmt::Debug for HitBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Default for HitBuffer {
    fn default() -> HitBuffer {
        HitBuffer::new()
    }
}
