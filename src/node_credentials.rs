//! The credentials for the nodes of a server task, which the scheduler may replace while the task runs.

use command_line::CookieFiles;
use pool::SourceChanges;
use task::{BlockSourceSpec, Instruction, NodeAccess};
use tokio::sync::watch;

/// The credentials in use.
#[derive(Debug)]
pub struct NodeCredentials {
    source: watch::Sender<(BlockSourceSpec, CookieFiles)>,
    revision: u64,
}

impl NodeCredentials {
    /// The credentials of the task's specification. The pool gets later ones by the receiver.
    pub fn new(source: BlockSourceSpec) -> (Self, SourceChanges) {
        let (source, changes) = watch::channel((source, CookieFiles::default()));
        (NodeCredentials { source, revision: 0 }, changes)
    }

    /// The number that the scheduler has given to the credentials in use; 0 for those of the specification.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Uses the credentials in this instruction. Returns whether the instruction has any.
    pub fn obey(&mut self, instruction: Instruction) -> bool {
        let Instruction::SetNodeCredentials { revision, nodes } = instruction else {
            tracing::debug!("ignored an instruction that is not for a server");
            return false;
        };
        self.revision = revision;
        self.source.send_if_modified(|(source, _)| set(source, nodes));
        true
    }
}

/// Sets user and password of each node in the source that is among `nodes`. Returns whether anything has changed.
fn set(source: &mut BlockSourceSpec, nodes: Vec<NodeAccess>) -> bool {
    let BlockSourceSpec::Node(spec) = source else { return false };
    let mut changed = false;
    for node in nodes {
        for known in spec.nodes.iter_mut().filter(|known| known.url == node.url && **known != node) {
            tracing::info!(node = node.url, "using new credentials from the scheduler");
            *known = node.clone();
            changed = true;
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use task::{Intervals, NodeSpec};

    use super::*;

    fn node(url: &str, password: &str) -> NodeAccess {
        NodeAccess { url: url.into(), user: Some("__cookie__".into()), password: Some(password.into()) }
    }

    #[test]
    fn new_credentials_go_to_the_nodes_that_they_are_for() {
        let spec =
            NodeSpec { nodes: vec![node("http://a:1", "1"), node("http://b:1", "1")], ..NodeSpec::default() };
        let (mut access, mut changes) = NodeCredentials::new(BlockSourceSpec::Node(spec));
        assert_eq!(access.revision(), 0);
        let nodes = vec![node("http://b:1", "2"), node("http://c:1", "2")];
        assert!(access.obey(Instruction::SetNodeCredentials { revision: 7, nodes: nodes.clone() }));
        assert_eq!(access.revision(), 7);
        assert!(changes.has_changed().unwrap());
        let (BlockSourceSpec::Node(now), _) = changes.borrow_and_update().clone() else { panic!() };
        assert_eq!(now.nodes, [node("http://a:1", "1"), node("http://b:1", "2")]);
        // The same again, with another number.
        assert!(access.obey(Instruction::SetNodeCredentials { revision: 8, nodes }));
        assert_eq!((access.revision(), changes.has_changed().unwrap()), (8, false));
        let second = std::time::Duration::from_secs(1);
        assert!(!access.obey(Instruction::SetIntervals(Intervals::new(second, second))));
        assert_eq!(access.revision(), 8);
    }
}
