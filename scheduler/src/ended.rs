//! How a run of the scheduler ended.

use program::Summary;

/// What is left when the scheduler has ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ended {
    /// The figures of the framework's whole life, restarts of the scheduler included.
    pub summary: Summary,
    /// How many tasks were left running, if they were meant to.
    pub left_running: Option<usize>,
    /// What could not be ended as wished.
    pub failure: Option<String>,
}
