//! What the user wants, as far as decisions depend on it.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::offers::Placement;
use crate::task_info::Template;

/// What the user wants, as far as decisions depend on it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What all tasks have in common.
    pub template: Template,
    /// A running task that has sent live messages and sends none for so long is replaced, or for three
    /// of its intervals, if that is longer.
    pub silence_timeout: Duration,
    /// Live messages of all workers together, each second.
    pub live_messages_per_second: NonZeroU32,
    /// Reports of all workers together, each second.
    pub reports_per_second: NonZeroU32,
    /// The server's CPU, thousandths.
    pub server_cpus_milli: u64,
    /// Where tasks may run, and with how much CPU.
    pub placement: Placement,
    /// What becomes of the workers when their server is gone.
    pub on_server_loss: OnServerLoss,
    /// End all tasks at the end.
    pub teardown: bool,
    /// End after this time.
    pub duration: Option<Duration>,
    /// End after so many blocks.
    pub blocks: Option<u64>,
    /// For jitter.
    pub seed: u64,
}

/// What becomes of the workers when their server is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OnServerLoss {
    /// They are killed, and all starts over.
    #[default]
    Kill,
    /// They stay, and are sent to the new server.
    Repoint,
}
