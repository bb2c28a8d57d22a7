//! A call's relation to other calls: its priority, and which calls it must not overtake.

use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use crate::event::Call;

/// Identifies something that calls affect, such as a task or an offer, by its hash. [`Use`] determines which calls with the same
/// key are kept in order, so a hash collision only makes unrelated calls wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key(u64);

impl Key {
    /// The key of calls that set or clear filters on offers. REVIVE and SUPPRESS affect all earlier filters, but must not affect
    /// later ones.
    const FILTERS: Key = Key(0);
    /// The key of launches. A RECONCILE of all tasks waits for earlier launches.
    const LAUNCHES: Key = Key(1);
    /// The key that every call uses. TEARDOWN uses this key as [`Use::Exclusive`]: it overtakes no call, and no call overtakes
    /// it.
    const ALL: Key = Key(2);

    fn of(hasher: &impl BuildHasher, kind: u8, id: &str) -> Self {
        Key(hasher.hash_one((kind, id)).max(3))
    }
}

/// How a call uses a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// `Shared` calls with the same key may overtake each other. A `Shared` and an `Exclusive` call are kept in order.
    Shared,
    /// The call and any other call that uses the key are kept in order.
    Exclusive,
    /// The call waits for all earlier calls that use the key, but later calls do not wait for this one.
    After,
    /// Later `Exclusive` calls with the same key wait for this call, but this call does not wait for earlier calls.
    Before,
}

/// The priority of a call when not all calls can be sent. The first variant is the highest priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Priority {
    /// ACKNOWLEDGE: Mesos repeats a status update until it is acknowledged, and sends no later update of that task before then.
    Acknowledgement,
    /// KILL and SHUTDOWN. They are urgent, because the task occupies resources until it has ended.
    End,
    /// ACCEPT: the master may rescind the offers while the call waits.
    Launch,
    /// All other calls.
    Other,
}

impl Priority {
    /// The number of priorities.
    pub const COUNT: usize = Priority::Other as usize + 1;
}

/// The relation of a call to other calls.
#[derive(Clone, Debug)]
pub(super) struct Footprint {
    pub priority: Priority,
    pub keys: Vec<(Key, Use)>,
}

impl Footprint {
    /// The footprint of a call. All footprints must be made with the same `hasher`, because the keys are hashes.
    pub fn of(call: &Call, hasher: &impl BuildHasher) -> Self {
        let task = |id: &str| (Key::of(hasher, 0, id), Use::Exclusive);
        let offers = |ids: &[String]| {
            ids.iter().map(|id| (Key::of(hasher, 1, id), Use::Exclusive)).collect::<Vec<_>>()
        };
        let filter = |refuse: &Duration, how| (!refuse.is_zero()).then_some((Key::FILTERS, how));
        let (priority, mut keys) = match call {
            Call::Acknowledge { task: id, .. } => (Priority::Acknowledgement, vec![task(id)]),
            Call::Kill { task: id, .. } | Call::Shutdown { executor: id, .. } => {
                (Priority::End, vec![task(id)])
            }
            Call::Message { executor, .. } => (Priority::Other, vec![task(executor)]),
            Call::Accept { offers: ids, tasks, refuse } => {
                let mut keys = offers(ids);
                keys.extend(tasks.iter().map(|info| task(&info.task_id.value)));
                keys.push((Key::LAUNCHES, Use::Shared));
                // A launch may overtake an earlier REVIVE. Otherwise the launch would have to wait for all the DECLINEs before
                // the REVIVE. The overtaken REVIVE clears all filters, also the one that the launch has set on its unused
                // resources. The only effect is that Mesos immediately offers these resources again.
                keys.extend(filter(refuse, Use::Before));
                (Priority::Launch, keys)
            }
            Call::Decline { offers: ids, refuse } => {
                (Priority::Other, offers(ids).into_iter().chain(filter(refuse, Use::Shared)).collect())
            }
            Call::AcceptInverse(ids) | Call::DeclineInverse(ids) => (Priority::Other, offers(ids)),
            Call::Suppress | Call::Revive => (Priority::Other, vec![(Key::FILTERS, Use::Exclusive)]),
            Call::Reconcile(tasks) if tasks.is_empty() => {
                (Priority::Other, vec![(Key::LAUNCHES, Use::After)])
            }
            Call::Reconcile(tasks) => {
                (Priority::Other, tasks.iter().map(|(id, _)| (task(id).0, Use::After)).collect())
            }
            // TEARDOWN ends all tasks, so it is kept in order with all calls.
            Call::Teardown => (Priority::Other, vec![]),
        };
        let all = if *call == Call::Teardown { Use::Exclusive } else { Use::Shared };
        keys.push((Key::ALL, all));
        // Each key is kept only once, because a call that uses a key twice would wait for itself.
        keys.sort_unstable_by_key(|(key, _)| *key);
        keys.dedup_by_key(|(key, _)| *key);
        Footprint { priority, keys }
    }

    /// The footprint of a mark. A mark is an entry of the queue that is not sent. It is done when all calls queued before it are
    /// answered.
    pub fn of_mark() -> Self {
        Footprint { priority: Priority::Acknowledgement, keys: vec![(Key::ALL, Use::After)] }
    }
}
