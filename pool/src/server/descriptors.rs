//! The limit on file descriptors; each connection takes one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Number of file descriptors that are not for miners' connections, but for everything else: nodes, HTTP, files.
const OTHERS: u64 = 128;

/// Raises this process's limit on file descriptors so that it allows `connections`, if possible. Returns the number of
/// connections that the system allows.
pub fn allow(connections: usize) -> usize {
    let needed = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHERS);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // `None` means that there is no limit.
    let Some(current) = current.filter(|current| *current < needed) else { return connections };
    let target = maximum.map_or(needed, |maximum| needed.min(maximum)).max(current);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(target), maximum });
    let allowed = if raised.is_ok() { target } else { current };
    let admitted = within(connections, allowed);
    if admitted < connections {
        tracing::warn!(
            allowed,
            needed,
            admitted,
            "the open-file limit (`ulimit -n`) is too low for this many miners: admitting fewer"
        );
    }
    admitted
}

/// The number of connections that can be admitted with `descriptors` file descriptors, at most `connections`. Even if there are
/// very few descriptors, at least a quarter of them is for miners.
fn within(connections: usize, descriptors: u64) -> usize {
    let most = descriptors.saturating_sub(OTHERS).max(descriptors / 4).max(1);
    usize::try_from(most).map_or(connections, |most| connections.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_connections_are_admitted_than_there_are_descriptors_for() {
        assert_eq!(within(16_384, 16_384 + OTHERS), 16_384);
        assert_eq!(within(16_384, 4096), 3968);
        assert_eq!(within(100, 4096), 100);
        assert_eq!([within(100, 128), within(100, 8), within(100, 0)], [32, 2, 1]);
    }
}
