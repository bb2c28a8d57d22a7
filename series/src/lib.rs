//! Figures over time: hashrate, shares by verdict, workers and blocks, in rings of bounded size.
//!
//! | step | kept for | points at most |
//! |---|---|---|
//! | 10 s | an hour | 360 |
//! | 1 min | a day | 1,440 |
//! | 15 min | a month | 2,976 |
//!
//! The owner records a [`Sample`] about every ten seconds. All three rings together take at most 0.5 MB, whatever is recorded.
//! Nothing here reads a clock: each sample comes with its time.

mod handle;
mod ring;
mod sample;
mod series;
mod step;

pub use handle::SeriesHandle;
pub use ring::Point;
pub use sample::{Counters, Figures, Sample};
pub use series::Series;
pub use step::{Step, UnknownStep};
