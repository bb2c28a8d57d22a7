//! How fast a search runs, in figures that can be compared.
//!
//! Hashes per second move with the clock of the core; cycles per hash and the ratio to a *yardstick* that ran a moment
//! ago do not. The yardstick is what one gets without effort: the `sha2` crate, with the first block's state kept.

use std::hint::black_box;
use std::time::{Duration, Instant};

use sha2::block_api::compress256;

use crate::sha256::IV;
use crate::{Backend, Cursor, Header, HitBuffer, MAX_VERSIONS, Target, Work};

/// What was hashed in some time.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Measurement {
    /// Headers hashed.
    pub hashes: u64,
    /// Wall-clock time it took.
    pub elapsed: Duration,
}

impl Measurement {
    /// Hashes per second.
    pub fn rate(&self) -> f64 {
        self.hashes as f64 / self.elapsed.as_secs_f64()
    }

    /// Core clock cycles per hash, if the core ran at `hertz` meanwhile ([`clock_hertz`]).
    pub fn cycles_per_hash(&self, hertz: f64) -> f64 {
        hertz / self.rate()
    }
}

impl Backend {
    /// Measures the search with some versions rolled, 1 for none, for about `time` on this thread.
    ///
    /// `versions` is brought into the range 1 to [`MAX_VERSIONS`]. The target is that of difficulty 1, which a search
    /// practically never meets.
    pub fn measure(self, versions: usize, time: Duration) -> Measurement {
        let versions: Vec<u32> =
            (0..versions.clamp(1, MAX_VERSIONS) as u32).map(|i| 0x2000_0000 | i << 13).collect();
        let work = Work::new(&Header::genesis(), &versions, &Target::from_difficulty(1.0))
            .expect("the versions are distinct and not too many");
        let (mut hits, mut cursor) = (HitBuffer::new(), Cursor::default());
        repeat(time, || {
            let progress = self.scan(&work, cursor, &mut hits);
            hits.clear();
            cursor = progress.next.unwrap_or_default();
            progress.hashes
        })
    }
}

/// Measures the yardstick for about `time` on this thread: `sha2` with midstate and `compress256`, two compressions a
/// header.
pub fn yardstick(time: Duration) -> Measurement {
    let header = Header::genesis().to_bytes();
    let mut midstate = IV;
    let mut first = [0; 64];
    first.copy_from_slice(&header[..64]);
    compress256(&mut midstate, &[first]);
    let mut second = [0; 64];
    second[..16].copy_from_slice(&header[64..]);
    second[16] = 0x80;
    second[62..].copy_from_slice(&640u16.to_be_bytes());
    let mut third = [0; 64];
    third[32] = 0x80;
    third[62..].copy_from_slice(&256u16.to_be_bytes());
    let mut nonce = 0u32;
    repeat(time, || {
        for _ in 0..YARDSTICK_CHUNK {
            second[12..16].copy_from_slice(&nonce.to_le_bytes());
            nonce = nonce.wrapping_add(1);
            let mut state = midstate;
            compress256(&mut state, &[second]);
            for (bytes, word) in third.chunks_exact_mut(4).zip(state) {
                bytes.copy_from_slice(&word.to_be_bytes());
            }
            let mut state = IV;
            compress256(&mut state, &[third]);
            black_box(state[7] == 0);
        }
        YARDSTICK_CHUNK
    })
}

/// Hashes between two looks at the clock: some 20 µs, as in a scan.
const YARDSTICK_CHUNK: u64 = 256;

/// Calls a function that returns how many hashes it did, until the time is up.
fn repeat(time: Duration, mut chunk: impl FnMut() -> u64) -> Measurement {
    let start = Instant::now();
    let mut hashes = 0;
    loop {
        hashes += chunk();
        let elapsed = start.elapsed();
        if elapsed >= time {
            return Measurement { hashes, elapsed };
        }
    }
}

/// Estimates the clock of the core that this thread runs on, now, in some 100 µs: the rate of additions that depend on
/// each other, which take a cycle each. `None` on architectures for which this is not written.
///
/// The time-stamp counter would not do: it runs at a rate of its own. The fastest of a few tries is the one that was
/// not interrupted.
pub fn clock_hertz() -> Option<f64> {
    const ADDITIONS: u64 = 100_000;
    const TRIES: usize = 5;
    let fastest = (0..TRIES)
        .map(|_| {
            let start = Instant::now();
            dependent_additions(ADDITIONS).then(|| start.elapsed())
        })
        .min()??;
    Some(ADDITIONS as f64 / fastest.as_secs_f64())
}

/// Performs `count` additions, a multiple of 100, each waiting for the one before; false where it cannot.
#[cfg(target_arch = "x86_64")]
fn dependent_additions(count: u64) -> bool {
    // SAFETY: only the two named registers and the flags change.
    #[allow(unsafe_code)]
    unsafe {
        std::arch::asm!(
            "2:",
            ".rept 50", // Two forms in turn: some cores merge additions of constants to one register.
            "add {sum}, 1",
            "add {sum}, {sum}",
            ".endr",
            "dec {left}",
            "jnz 2b",
            left = inout(reg) count / 100 => _,
            sum = inout(reg) 0u64 => _,
            options(nomem, nostack),
        );
    }
    true
}

/// Performs nothing: no such loop is written for this architecture.
#[cfg(not(target_arch = "x86_64"))]
fn dependent_additions(_count: u64) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_hashes_and_time() {
        let time = Duration::from_millis(2);
        for measurement in
            [Backend::portable().measure(3, time), yardstick(time), Backend::portable().measure(0, time)]
        {
            assert!(measurement.hashes > 0 && measurement.elapsed >= time, "{measurement:?}");
        }
        let measurement = Measurement { hashes: 50, elapsed: Duration::from_secs(2) };
        assert_eq!((measurement.rate(), measurement.cycles_per_hash(100.0)), (25.0, 4.0));
    }

    #[test]
    fn estimates_a_plausible_clock() {
        assert_eq!(clock_hertz().is_some(), cfg!(target_arch = "x86_64"));
        assert!(clock_hertz().is_none_or(|hertz| (1e7..1e11).contains(&hertz)));
    }
}
