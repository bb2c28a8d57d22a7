//! Where tasks are kept: found by name or key at a fixed cost, and in the order in which they came.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::task::Task;

/// A task that is there. Keys are in the order in which tasks came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    order: u64,
    slot: usize,
}

/// The tasks. The key of a task that was removed finds nothing, also when another task is in its slot.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Boxed: a list that grows has twice the room that it needs, and moves all that is in it.
    slots: Vec<Option<(u64, Box<Task>)>>,
    free: Vec<usize>,
    next: u64,
    names: HashMap<Arc<str>, Key>,
    keys: BTreeSet<Key>,
}

impl Table {
    pub fn key(&self, name: &str) -> Option<Key> {
        self.names.get(name).copied()
    }

    pub fn get(&self, key: Key) -> Option<&Task> {
        let (order, task) = self.slots.get(key.slot)?.as_ref()?;
        (*order == key.order).then_some(task)
    }

    pub fn get_mut(&mut self, key: Key) -> Option<&mut Task> {
        let (order, task) = self.slots.get_mut(key.slot)?.as_mut()?;
        (*order == key.order).then_some(task)
    }

    pub fn keys(&self) -> impl DoubleEndedIterator<Item = Key> + '_ {
        self.keys.iter().copied()
    }

    /// Takes one in; one of the same name must not be there.
    pub fn insert(&mut self, task: Task) -> Key {
        let slot = self.free.pop().unwrap_or(self.slots.len());
        let key = Key { order: self.next, slot };
        self.next += 1;
        self.names.insert(Arc::clone(task.shared_id()), key);
        self.keys.insert(key);
        if slot == self.slots.len() {
            self.slots.push(Some((key.order, Box::new(task))));
        } else {
            self.slots[slot] = Some((key.order, Box::new(task)));
        }
        key
    }

    pub fn remove(&mut self, name: &str) -> Option<(Key, Task)> {
        let key = self.names.remove(name)?;
        self.keys.remove(&key);
        let (_, task) = self.slots.get_mut(key.slot)?.take()?;
        self.free.push(key.slot);
        Some((key, *task))
    }

    pub fn for_each_mut(&mut self, mut change: impl FnMut(&mut Task)) {
        self.slots.iter_mut().flatten().for_each(|(_, task)| change(task));
    }
}
