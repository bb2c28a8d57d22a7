//! File descriptors: each connection takes one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is needed beside the miners' connections: nodes, HTTP, files.
const OTHERS: u64 = 128;

/// Raises this process' limit as far as these many connections need and the system allows; how many it allows.
pub fn allow(connections: usize) -> usize {
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // None is no limit.
    let Some(current) = current.filter(|current| *current < wanted) else { return connections };
    let target = maximum.map_or(wanted, |maximum| wanted.min(maximum)).max(current);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(target), maximum });
    let allowed = if raised.is_ok() { target } else { current };
    let admitted = within(connections, allowed);
    if admitted < connections {
        tracing::warn!(
            allowed,
            wanted,
            admitted,
            "the system allows fewer open files than so many miners need (`ulimit -n`): fewer are admitted"
        );
    }
    admitted
}

/// How many connections are possible with so many descriptors. Where these are not even enough for all else, that has to do
/// with less.
fn within(connections: usize, descriptors: u64) -> usize {
    let most = descriptors.saturating_sub(OTHERS).max(descriptors / 4).max(1);
    usize::try_from(most).map_or(connections, |most| connections.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_admitted_than_there_are_descriptors_for() {
        assert_eq!(within(16_384, 16_384 + OTHERS), 16_384);
        assert_eq!(within(16_384, 4096), 3968);
        assert_eq!(within(100, 4096), 100);
        assert_eq!([within(100, 128), within(100, 8), within(100, 0)], [32, 2, 1]);
    }
}
