//! The settings that decisions depend on.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::offers::Placement;
use crate::task_info::TaskTemplate;

/// The settings that decisions depend on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What all tasks have in common.
    pub template: TaskTemplate,
    /// A running task is replaced if it has stopped sending live messages for so long, or for three of its intervals if that is
    /// longer.
    pub silence_timeout: Duration,
    /// How many live messages all workers together send each second.
    pub live_messages_per_second: NonZeroU32,
    /// How many reports all workers together send each second.
    pub reports_per_second: NonZeroU32,
    /// Thousandths of a CPU for the server.
    pub server_cpus_milli: u64,
    /// Where tasks may run, and with how much CPU.
    pub placement: Placement,
    /// What becomes of the workers when their server is gone.
    pub on_server_loss: OnServerLoss,
    /// Whether the shutdown ends all tasks and the framework.
    pub teardown: bool,
    /// After this time the scheduler shuts down.
    pub duration: Option<Duration>,
    /// After so many blocks the scheduler shuts down.
    pub blocks: Option<u64>,
    /// The seed for random times.
    pub seed: u64,
}

/// What becomes of the workers when their server is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum OnServerLoss {
    /// They are killed, and new ones are launched for the next server.
    #[default]
    Kill,
    /// They are kept, and redirected to the next server.
    Repoint,
}
