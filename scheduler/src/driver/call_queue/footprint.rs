//! What a call has to do with others: how important it is, and which it must not overtake.

use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use crate::event::Call;

/// Whatever must be kept in order, as a number. Two that get the same number by chance are kept in order for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key(u64);

impl Key {
    /// Filters on offers. REVIVE lifts all there are, SUPPRESS goes with it; those that are set later must stand.
    const FILTERS: Key = Key(0);
    /// All launches.
    const LAUNCHES: Key = Key(1);
    /// All calls.
    const ALL: Key = Key(2);

    fn of(hasher: &impl BuildHasher, kind: u8, id: &str) -> Self {
        Key(hasher.hash_one((kind, id)).max(3))
    }
}

/// How a call uses a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// In any order with other shared uses, and in order with exclusive ones.
    Shared,
    /// In order with all others.
    Exclusive,
    /// After what came before; what comes later need not wait for it.
    After,
    /// Before the exclusive uses that come later; it need not wait for what came before.
    Before,
}

/// Which calls go first when not all can; the first is the most important.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Importance {
    /// Mesos repeats what is not acknowledged, and sends nothing newer of that task.
    Acknowledgement,
    /// KILL and SHUTDOWN: what is to end costs resources.
    End,
    /// ACCEPT: an offer may be withdrawn.
    Launch,
    /// The rest.
    Other,
}

impl Importance {
    /// How many there are.
    pub const COUNT: usize = Importance::Other as usize + 1;
}

/// See above.
#[derive(Clone, Debug)]
pub(super) struct Footprint {
    pub importance: Importance,
    pub keys: Vec<(Key, Use)>,
}

impl Footprint {
    /// `hasher` must be the same for all calls.
    pub fn of(call: &Call, hasher: &impl BuildHasher) -> Self {
        let task = |id: &str| (Key::of(hasher, 0, id), Use::Exclusive);
        let offers = |ids: &[String]| {
            ids.iter().map(|id| (Key::of(hasher, 1, id), Use::Exclusive)).collect::<Vec<_>>()
        };
        let filter = |refuse: &Duration, how| (!refuse.is_zero()).then_some((Key::FILTERS, how));
        let (importance, mut keys) = match call {
            Call::Acknowledge { task: id, .. } => (Importance::Acknowledgement, vec![task(id)]),
            Call::Kill { task: id, .. } | Call::Shutdown { executor: id, .. } => {
                (Importance::End, vec![task(id)])
            }
            Call::Message { executor, .. } => (Importance::Other, vec![task(executor)]),
            Call::Accept { offers: ids, tasks, refuse } => {
                let mut keys = offers(ids);
                keys.extend(tasks.iter().map(|info| task(&info.task_id.value)));
                keys.push((Key::LAUNCHES, Use::Shared));
                // A REVIVE that it overtakes brings offers of what the launch has left once more, and no harm is done: a
                // launch does not wait for the DECLINEs that the REVIVE waits for.
                keys.extend(filter(refuse, Use::Before));
                (Importance::Launch, keys)
            }
            Call::Decline { offers: ids, refuse } => {
                (Importance::Other, offers(ids).into_iter().chain(filter(refuse, Use::Shared)).collect())
            }
            Call::AcceptInverse(ids) | Call::DeclineInverse(ids) => (Importance::Other, offers(ids)),
            Call::Suppress | Call::Revive => (Importance::Other, vec![(Key::FILTERS, Use::Exclusive)]),
            Call::Reconcile(tasks) if tasks.is_empty() => {
                (Importance::Other, vec![(Key::LAUNCHES, Use::After)])
            }
            Call::Reconcile(tasks) => {
                (Importance::Other, tasks.iter().map(|(id, _)| (task(id).0, Use::After)).collect())
            }
            // It would make an end of what others are about.
            Call::Teardown => (Importance::Other, vec![]),
        };
        let all = if *call == Call::Teardown { Use::Exclusive } else { Use::Shared };
        keys.push((Key::ALL, all));
        // A call must not wait for itself.
        keys.sort_unstable_by_key(|(key, _)| *key);
        keys.dedup_by_key(|(key, _)| *key);
        Footprint { importance, keys }
    }

    /// Of what is to be known when all calls before it are answered. Nothing waits for it.
    pub fn of_mark() -> Self {
        Footprint { importance: Importance::Acknowledgement, keys: vec![(Key::ALL, Use::After)] }
    }
}
