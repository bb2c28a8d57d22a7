//! Memory and disk that the scheduler takes.

use crate::disk;
use crate::report::Row;
use crate::run::Run;
use crate::suite::machine::resident;

/// What it takes at this time.
pub fn rows(run: &Run<'_>, time: &str) -> [Row; 2] {
    let memory = resident(run.scheduler().id()) as f64;
    let each = memory / run.master.cluster().counters().workers.max(1) as f64;
    let memory = format!("{:.1} MB; {:.1} kB a worker", memory / 1e6, each / 1e3);
    let folder = format!("{:.1} MB", disk::size(&run.state_dir()) as f64 / 1e6);
    [
        Row::new(format!("resident memory, {time}"), run.agents, memory),
        Row::new(format!("state folder, {time}"), run.agents, folder),
    ]
}
