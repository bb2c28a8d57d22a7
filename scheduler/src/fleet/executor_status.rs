//! How the process of an executor ended.

use std::fmt;

/// How an executor's process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutorStatus {
    /// There was no process: Mesos' status is -1.
    NeverStarted,
    /// The process has exited.
    Exited(u8),
    /// A signal has ended the process.
    Signaled(u8),
}

impl ExecutorStatus {
    /// Reads a status as wait(2) returns it. Mesos may set meaningless bits above the exit status.
    pub fn of(status: i32) -> Self {
        match (status & 0x7f, (status >> 8 & 0xff) as u8) {
            // -1 has all bits set. No other status of a process that has ended has these seven.
            (0x7f, _) => Self::NeverStarted,
            (0, code) => Self::Exited(code),
            (signal, _) => Self::Signaled(signal as u8),
        }
    }
}

impl fmt::Display for ExecutorStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverStarted => f.write_str("never started"),
            Self::Exited(code) => write!(f, "exit status {code}"),
            Self::Signaled(signal) => write!(f, "signal {signal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The statuses that a real Mesos 1.11 sends.
    #[test]
    fn a_status_is_an_exit_status_or_a_signal_or_says_that_there_was_no_process() {
        for (status, expected) in [
            (-1, "never started"),
            (0, "exit status 0"),
            (256, "exit status 1"),
            (32512, "exit status 127"),
            (256_256, "exit status 233"),
            (9, "signal 9"),
            (139, "signal 11"),
        ] {
            assert_eq!(ExecutorStatus::of(status).to_string(), expected);
        }
    }
}
