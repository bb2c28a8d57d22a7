//! The storage of tasks: they are found by id or key at a constant cost, and listed in the order in which they were added.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::task::Task;

/// The key of a task. The order of keys is the order in which the tasks were added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TaskKey {
    order: u64,
    slot: usize,
}

/// All tasks. The key of a removed task finds nothing, even if another task has taken its slot.
#[derive(Debug, Default)]
pub(super) struct TaskSlab {
    /// A slot has a task and the `order` of the task's [`TaskKey`]. The key of a task that was removed from this slot has another
    /// `order`. Tasks are boxed, since a growing vector reserves up to twice the space and moves its elements.
    slots: Vec<Option<(u64, Box<Task>)>>,
    free: Vec<usize>,
    next: u64,
    names: HashMap<Arc<str>, TaskKey>,
    keys: BTreeSet<TaskKey>,
}

impl TaskSlab {
    pub fn key(&self, name: &str) -> Option<TaskKey> {
        self.names.get(name).copied()
    }

    pub fn get(&self, key: TaskKey) -> Option<&Task> {
        let (order, task) = self.slots.get(key.slot)?.as_ref()?;
        (*order == key.order).then_some(task)
    }

    pub fn get_mut(&mut self, key: TaskKey) -> Option<&mut Task> {
        let (order, task) = self.slots.get_mut(key.slot)?.as_mut()?;
        (*order == key.order).then_some(task)
    }

    pub fn keys(&self) -> impl DoubleEndedIterator<Item = TaskKey> + '_ {
        self.keys.iter().copied()
    }

    /// Adds a task. No other task may have the same id.
    pub fn insert(&mut self, task: Task) -> TaskKey {
        let slot = self.free.pop().unwrap_or(self.slots.len());
        let key = TaskKey { order: self.next, slot };
        self.next += 1;
        self.names.insert(Arc::clone(task.shared_id()), key);
        self.keys.insert(key);
        if slot == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[slot] = Some((key.order, Box::new(task)));
        key
    }

    pub fn remove(&mut self, name: &str) -> Option<(TaskKey, Task)> {
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
