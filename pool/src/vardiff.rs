//! The difficulty of each connection, chosen so that the miner finds one share per share interval.
//!
//! The hashrate is estimated from accepted work. A miner's suggestion (`mining.suggest_difficulty`) counts as if the
//! corresponding hashrate had been observed for a few intervals, so a wrong suggestion is soon outweighed.

use std::time::{Duration, Instant};

use command_line::{difficulty, duration};
use hasher::Target;

use crate::accounts::HashrateMeter;

/// In the estimate of a miner's hashrate, the weight of a share falls to 1/e within this number of share intervals. If the
/// miner finds one share per interval on average, the standard deviation of the estimate is 12 %.
const MEMORY: f64 = 32.0;
/// In the estimate of a miner's hashrate, the difficulty that the miner suggests counts as much as an observation over this
/// number of share intervals.
const SUGGESTION_WEIGHT: f64 = 8.0;
/// In the estimate of a miner's hashrate, the start difficulty counts as much as an observation over this number of share
/// intervals.
const START_WEIGHT: f64 = 2.0;
/// The difficulty of a connection is not changed while it is within this factor of the ideal one, because each change costs a new
/// job.
const TOLERANCE: f64 = 1.5;
/// Minimum number of share intervals between two changes of a connection's difficulty, unless the difficulty differs from
/// the ideal one by more than the factor [`RUNAWAY`].
const PATIENCE: f64 = 4.0;
/// A connection's difficulty that differs from the ideal one by more than this factor is changed immediately.
const RUNAWAY: f64 = 4.0;

/// How the difficulty of a connection is chosen.
#[derive(Clone, Copy, Debug, PartialEq, clap::Args)]
pub struct VardiffConfig {
    /// Time between two shares of one miner; the difficulty follows the miner's hashrate
    #[arg(long, value_name = "TIME", env = "MINER_SHARE_INTERVAL", default_value = "1s", value_parser = duration)]
    pub share_interval: Duration,
    /// Difficulty for a miner that suggests none
    #[arg(long, value_name = "DIFFICULTY", env = "MINER_START_DIFFICULTY", default_value = "0.001", value_parser = difficulty)]
    pub start_difficulty: f64,
    /// Lowest difficulty, unless the chain's is lower
    #[arg(long, value_name = "DIFFICULTY", env = "MINER_MINIMUM_DIFFICULTY", default_value = "0.000001", value_parser = difficulty)]
    pub minimum_difficulty: f64,
    /// Highest difficulty, unless a miner itself wants a higher one; without this option, only the chain's difficulty is a
    /// limit
    #[arg(long, value_name = "DIFFICULTY", env = "MINER_MAXIMUM_DIFFICULTY", value_parser = difficulty)]
    pub maximum_difficulty: Option<f64>,
}

impl Default for VardiffConfig {
    fn default() -> Self {
        VardiffConfig {
            share_interval: Duration::from_secs(1),
            start_difficulty: 0.001,
            minimum_difficulty: 1e-6,
            maximum_difficulty: None,
        }
    }
}

impl VardiffConfig {
    /// The nearest difficulty within the configured limits. If the minimum exceeds the maximum, the minimum wins.
    fn clamp(&self, difficulty: f64) -> f64 {
        difficulty.min(self.maximum_difficulty.unwrap_or(f64::INFINITY)).max(self.minimum_difficulty)
    }
}

/// A connection's difficulty, and the estimate of the miner's hashrate from which the difficulty is computed.
#[derive(Clone, Debug)]
pub struct Vardiff {
    config: VardiffConfig,
    fixed: Option<f64>,
    difficulty: f64,
    changed: Instant,
    meter: HashrateMeter,
}

impl Vardiff {
    /// Begins with the configured start difficulty, because nothing is known about the miner yet.
    pub fn new(config: VardiffConfig, now: Instant) -> Self {
        let mut vardiff = Vardiff {
            config,
            fixed: None,
            difficulty: config.start_difficulty,
            changed: now,
            meter: HashrateMeter::new(MEMORY * config.share_interval.as_secs_f64(), now),
        };
        vardiff.assume(config.start_difficulty, START_WEIGHT, now);
        vardiff
    }

    /// The difficulty in force.
    pub fn difficulty(&self) -> f64 {
        self.difficulty
    }

    /// The miner's estimated hashrate in H/s.
    pub fn hashrate(&self, now: Instant) -> f64 {
        self.meter.hashrate(now)
    }

    /// Takes a miner's suggestion for its difficulty. Invalid values are ignored.
    pub fn suggest(&mut self, difficulty: f64, now: Instant) {
        if difficulty.is_finite() && difficulty > 0.0 {
            // No miner needs a difficulty above this maximum, and with a much larger number the estimate would become
            // infinite.
            let difficulty = difficulty.min(Target::MAX_DIFFICULTY);
            self.assume(difficulty, SUGGESTION_WEIGHT, now);
            if self.fixed.is_none() {
                self.difficulty = self.config.clamp(difficulty);
            }
        }
    }

    /// Keeps this difficulty from now on. Invalid values are ignored.
    pub fn fix(&mut self, difficulty: f64) {
        if difficulty.is_finite() && difficulty > 0.0 {
            self.difficulty = self.config.clamp(difficulty);
            self.fixed = Some(self.difficulty);
        }
    }

    /// Excludes the time since the last observation from the estimate, because the miner could not send shares in this time.
    pub fn skip_pause(&mut self, now: Instant) {
        self.meter.skip(now);
        self.changed = now;
    }

    /// Counts an accepted share that took this many hashes on average.
    pub fn accepted(&mut self, hashes: f64, now: Instant) {
        self.meter.add(hashes, now);
    }

    /// Raises the minimum difficulty to the one that the miner asks for.
    pub fn raise_minimum(&mut self, minimum: f64) {
        if minimum.is_finite() {
            self.config.minimum_difficulty = self.config.minimum_difficulty.max(minimum);
            self.difficulty = self.difficulty.max(self.config.minimum_difficulty);
        }
    }

    /// Changes the difficulty if a change is due, and returns the difficulty in force. The returned difficulty never
    /// exceeds `network`, the difficulty of a block, since each block must be a share.
    pub fn retarget(&mut self, network: f64, now: Instant) -> f64 {
        let ideal = self.fixed.unwrap_or_else(|| {
            self.config.clamp(self.hashrate(now) * self.interval() / Target::HASHES_PER_DIFFICULTY)
        });
        let ideal = ideal.min(network);
        let factor = (ideal / self.difficulty).max(self.difficulty / ideal);
        let rested = now.saturating_duration_since(self.changed).as_secs_f64() >= PATIENCE * self.interval();
        let due = match self.fixed {
            Some(_) => ideal != self.difficulty,
            None => factor > RUNAWAY || (rested && factor > TOLERANCE),
        };
        if due || self.difficulty > network {
            self.difficulty = ideal;
            self.changed = now;
        }
        self.difficulty
    }

    fn interval(&self) -> f64 {
        self.config.share_interval.as_secs_f64()
    }

    /// Restarts the estimate, as if one share of this difficulty had come in each of `intervals` share intervals.
    fn assume(&mut self, difficulty: f64, intervals: f64, now: Instant) {
        let hashrate = difficulty * Target::HASHES_PER_DIFFICULTY / self.interval();
        self.meter.assume(hashrate, self.interval() * intervals, now);
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn config() -> VardiffConfig {
        VardiffConfig::default()
    }

    /// Mines for a time at a steady hashrate, without the randomness of real shares.
    fn mine(vardiff: &mut Vardiff, from: Instant, seconds: f64, hashrate: f64) -> (Instant, u32) {
        let (mut at, mut shares) = (0.0, 0);
        let end = from + Duration::from_secs_f64(seconds);
        loop {
            at += vardiff.difficulty() * Target::HASHES_PER_DIFFICULTY / hashrate;
            if at > seconds {
                return (end, shares);
            }
            let now = from + Duration::from_secs_f64(at);
            vardiff.accepted(vardiff.difficulty() * Target::HASHES_PER_DIFFICULTY, now);
            vardiff.retarget(f64::INFINITY, now);
            shares += 1;
        }
    }

    #[test]
    fn difficulty_settles_at_one_share_per_interval() {
        for hashrate in [1e5, 1e7, 4e9, 1e14] {
            let now = Instant::now();
            let mut vardiff = Vardiff::new(config(), now);
            // A slow miner sends no share at first, so its difficulty falls without any share.
            let mut start = now;
            for second in 1..300 {
                start = now + Duration::from_secs(second);
                vardiff.retarget(f64::INFINITY, start);
                if vardiff.difficulty() * Target::HASHES_PER_DIFFICULTY < hashrate * 4.0 {
                    break;
                }
            }
            let (now, early) = mine(&mut vardiff, start, 300.0, hashrate);
            assert!(early < 2_000, "{hashrate} H/s: {early} shares in the first 300 s");
            let (now, shares) = mine(&mut vardiff, now, 100.0, hashrate);
            assert!((60..=160).contains(&shares), "{hashrate} H/s: {shares} shares in 100 s");
            assert!(
                (vardiff.hashrate(now) / hashrate).ln().abs() < 0.3,
                "{} for {hashrate}",
                vardiff.hashrate(now)
            );
        }
    }

    #[test]
    fn luck_rarely_changes_the_difficulty_and_a_pause_is_made_up_for() {
        let (hashrate, mut random) = (1e8, StdRng::seed_from_u64(1));
        let mut now = Instant::now();
        let mut vardiff = Vardiff::new(config(), now);
        vardiff.suggest(hashrate / Target::HASHES_PER_DIFFICULTY, now);
        let mut run = |vardiff: &mut Vardiff, now: &mut Instant, shares: u32| {
            let mut changes = 0;
            for _ in 0..shares {
                let before = vardiff.difficulty();
                let luck = -(1.0 - random.random::<f64>()).ln();
                *now += Duration::from_secs_f64(luck * before * Target::HASHES_PER_DIFFICULTY / hashrate);
                vardiff.accepted(before * Target::HASHES_PER_DIFFICULTY, *now);
                changes += u32::from(vardiff.retarget(f64::INFINITY, *now) != before);
            }
            changes
        };
        let changes = run(&mut vardiff, &mut now, 10_000);
        assert!(changes < 100, "{changes} changes in 10,000 shares of a steady miner");
        for _ in 0..20 {
            // The miner pauses for two minutes, without any share.
            for _ in 0..30 {
                now += Duration::from_secs(4);
                vardiff.retarget(f64::INFINITY, now);
            }
            let back = now;
            run(&mut vardiff, &mut now, 100);
            let seconds = (now - back).as_secs_f64();
            assert!(seconds > 1.0, "100 shares in {seconds} s after a rest");
            run(&mut vardiff, &mut now, 200);
            let off = vardiff.hashrate(now) / hashrate;
            assert!((0.5..2.0).contains(&off), "{off} times its hashrate");
        }
    }

    #[test]
    fn a_suggestion_is_taken_and_a_wrong_one_is_outweighed() {
        let now = Instant::now();
        let mut vardiff = Vardiff::new(config(), now);
        vardiff.suggest(2.0, now);
        assert_eq!(vardiff.difficulty(), 2.0);
        assert_eq!(vardiff.retarget(f64::INFINITY, now), 2.0);
        assert!((vardiff.hashrate(now) - 2.0 * Target::HASHES_PER_DIFFICULTY).abs() < 1.0);
        for second in 1..=120 {
            vardiff.retarget(f64::INFINITY, now + Duration::from_secs(second));
        }
        assert!(vardiff.difficulty() < 0.05, "{}", vardiff.difficulty());
    }

    #[test]
    fn nonsense_is_ignored() {
        let now = Instant::now();
        let mut vardiff = Vardiff::new(config(), now);
        for difficulty in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            vardiff.suggest(difficulty, now);
            vardiff.fix(difficulty);
            assert_eq!(vardiff.difficulty(), 0.001);
        }
        vardiff.suggest(1e-300, now);
        assert_eq!(vardiff.difficulty(), 1e-6);
    }

    #[test]
    fn a_miner_cannot_lower_the_minimum_difficulty() {
        let now = Instant::now();
        let mut vardiff = Vardiff::new(config(), now);
        vardiff.raise_minimum(1e-30);
        vardiff.suggest(1e-30, now);
        assert_eq!(vardiff.difficulty(), config().minimum_difficulty);
        // If the minimum exceeds the maximum, the minimum wins.
        let mut vardiff = Vardiff::new(
            VardiffConfig { minimum_difficulty: 5.0, maximum_difficulty: Some(2.0), ..config() },
            now,
        );
        vardiff.suggest(1.0, now);
        assert_eq!(vardiff.difficulty(), 5.0);
    }

    #[test]
    fn small_changes_wait_but_no_share_is_ever_harder_than_a_block() {
        let now = Instant::now();
        let mut vardiff = Vardiff::new(config(), now);
        vardiff.suggest(1.0, now);
        // The miner seems twice as fast. This may be luck, so the next change waits until some time has passed since the
        // last one.
        let seen = 20.0 * Target::HASHES_PER_DIFFICULTY;
        let at = |seconds| now + Duration::from_secs(seconds);
        vardiff.accepted(seen, at(1));
        assert_eq!(vardiff.retarget(f64::INFINITY, at(3)), 1.0);
        let changed = vardiff.retarget(f64::INFINITY, at(4));
        assert!(changed > 1.5, "{changed}");
        vardiff.accepted(2.0 * seen, at(5));
        assert_eq!(vardiff.retarget(f64::INFINITY, at(7)), changed, "it has just been changed");
        assert!(vardiff.retarget(f64::INFINITY, at(8)) > 1.5 * changed);
        let above = vardiff.difficulty() / 1.1;
        assert_eq!(vardiff.retarget(above, at(8)), above);
    }

    #[test]
    fn an_absurd_suggestion_is_forgotten() {
        let now = Instant::now();
        let mut vardiff = Vardiff::new(config(), now);
        vardiff.suggest(f64::MAX, now);
        assert!(vardiff.hashrate(now).is_finite());
        let later = now + Duration::from_secs(3 * 3600);
        assert_eq!(vardiff.retarget(100.0, later), config().minimum_difficulty);
        assert!(vardiff.hashrate(later) < 1.0, "{}", vardiff.hashrate(later));
    }

    #[test]
    fn the_maximum_yields_only_to_a_miner_that_wants_more() {
        let now = Instant::now();
        let mut vardiff = Vardiff::new(VardiffConfig { maximum_difficulty: Some(2.0), ..config() }, now);
        vardiff.suggest(8.0, now);
        assert_eq!(vardiff.retarget(f64::INFINITY, now), 2.0);
        assert_eq!(vardiff.retarget(f64::INFINITY, now + Duration::from_secs(1)), 2.0);
        vardiff.raise_minimum(4.0);
        assert_eq!(vardiff.retarget(f64::INFINITY, now + Duration::from_secs(2)), 4.0);
        let mut vardiff = Vardiff::new(VardiffConfig { maximum_difficulty: Some(2.0), ..config() }, now);
        vardiff.fix(1e9);
        assert_eq!(vardiff.retarget(f64::INFINITY, now), 2.0);
    }

    #[test]
    fn difficulty_is_never_above_the_network_s_and_returns_when_that_rises() {
        let now = Instant::now();
        let mut vardiff = Vardiff::new(config(), now);
        vardiff.suggest(4.0, now);
        assert_eq!(vardiff.retarget(0.5, now), 0.5);
        assert_eq!(vardiff.retarget(0.5, now), 0.5);
        assert_eq!(vardiff.retarget(100.0, now), 4.0);
        // The difficulty is below the minimum only if the network's is, too.
        assert_eq!(vardiff.retarget(1e-9, now), 1e-9);
    }

    #[test]
    fn a_fixed_difficulty_stays() {
        let now = Instant::now();
        let mut vardiff = Vardiff::new(config(), now);
        vardiff.fix(0.25);
        vardiff.suggest(8.0, now);
        for _ in 0..1_000 {
            vardiff.accepted(0.25 * Target::HASHES_PER_DIFFICULTY, now + Duration::from_millis(1));
        }
        assert_eq!(vardiff.retarget(f64::INFINITY, now + Duration::from_secs(60)), 0.25);
        assert_eq!(vardiff.retarget(0.125, now), 0.125);
        assert_eq!(vardiff.retarget(10.0, now), 0.25);
    }

    #[test]
    fn a_burst_of_shares_raises_the_difficulty_at_once() {
        let now = Instant::now();
        let mut vardiff = Vardiff::new(config(), now);
        let mut shares = 0;
        while vardiff.retarget(f64::INFINITY, now + Duration::from_millis(10)) == 0.001 {
            vardiff.accepted(
                vardiff.difficulty() * Target::HASHES_PER_DIFFICULTY,
                now + Duration::from_millis(10),
            );
            shares += 1;
        }
        assert!(shares < 10, "{shares}");
    }
}
