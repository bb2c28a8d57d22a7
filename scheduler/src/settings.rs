//! The settings that decisions depend on.

use crate::offers::Placement;
use crate::options::FrameworkOptions;
use crate::task_info::TaskTemplate;

/// The settings on which the framework's decisions depend.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The part of the `TaskInfo` that all tasks have in common.
    pub template: TaskTemplate,
    /// The options for running the framework.
    pub options: FrameworkOptions,
    /// Where tasks may run, and with how much CPU.
    pub placement: Placement,
    /// The seed of the generator of random numbers, for choices that are made at random.
    pub seed: u64,
}

impl Settings {
    /// The server's CPU, in thousandths.
    pub fn server_cpus_milli(&self) -> u64 {
        self.template.options.server_cpus_milli()
    }
}
