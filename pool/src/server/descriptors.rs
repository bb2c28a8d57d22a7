//! File descriptors: each connection takes one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is needed beside the miners' connections: nodes, HTTP, files.
const OTHERS: u64 = 128;

/// Raises this process' limit as far as these many connections need and the system allows.
pub fn allow(connections: usize) {
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None is no limit.
    let Some(current) = current.filter(|current| *current < wanted) else { return };
    let target = maximum.map_or(wanted, |maximum| wanted.min(maximum)).max(current);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(target), maximum });
    let allowed = if raised.is_ok() { target } else { current };
    if allowed < wanted {
        tracing::warn!(
            allowed,
            wanted,
            "the system allows fewer open files than --max-connections needs (`ulimit -n`)"
        );
    }
}
