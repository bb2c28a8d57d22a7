//! The calls that use one key, as far as they are not done.

use std::collections::VecDeque;

use super::footprint::Use;

/// Phases, of which the first is under way: one call that has the key to itself, or any number that share it.
#[derive(Debug)]
pub(super) struct Lane {
    first: Phase,
    later: VecDeque<Phase>,
    /// The number of the first phase.
    number: u32,
}

/// Where a call stands in a lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    phase: u32,
    group: u32,
}

/// Calls that may be under way at the same time.
#[derive(Debug)]
struct Phase {
    /// The call that has the key to itself; `None` if calls share it.
    exclusive: Option<usize>,
    /// Those that wait for the phase before.
    waiting: Vec<usize>,
    group: Group,
    /// The number of `group`.
    number: u32,
    /// The groups before it, as long as a call of theirs is not done. Most phases have none.
    before: VecDeque<Group>,
}

/// Calls that came without one in between that waits for them.
#[derive(Debug, Default)]
struct Group {
    /// How many are not done.
    open: usize,
    /// Those that wait until these and all before them are done, and hold nobody up.
    after: Vec<usize>,
}

impl Phase {
    fn of(call: usize, how: Use) -> Self {
        let group = Group { open: 1, after: Vec::new() };
        let exclusive = (how == Use::Exclusive).then_some(call);
        Self { exclusive, waiting: Vec::new(), group, number: 0, before: VecDeque::new() }
    }

    /// Adds a call that shares the key.
    fn join(&mut self) {
        if !self.group.after.is_empty() {
            // Those are not to wait for this one.
            self.before.push_back(std::mem::take(&mut self.group));
            self.number += 1;
        }
        self.group.open += 1;
    }

    /// A call is done.
    fn done(&mut self, group: u32) {
        let back = (self.number - group) as usize;
        let before = self.before.len().checked_sub(back).and_then(|index| self.before.get_mut(index));
        before.unwrap_or(&mut self.group).open -= 1;
    }

    /// Frees those that wait for groups of which all calls are done; whether all calls are. The phases before are over.
    fn settle(&mut self, free: &mut Vec<usize>) -> bool {
        while self.before.front().is_some_and(|group| group.open == 0)
            && let Some(group) = self.before.pop_front()
        {
            free.extend(group.after);
        }
        let all = self.before.is_empty() && self.group.open == 0;
        if all {
            free.append(&mut self.group.after);
        }
        all
    }
}

impl Lane {
    /// With its first call, which need not wait.
    pub fn begun_by(call: usize, how: Use) -> Self {
        Lane { first: Phase::of(call, how), later: VecDeque::new(), number: 0 }
    }

    /// Adds a call; whether it has to wait, and its position.
    pub fn add(&mut self, call: usize, how: Use) -> (bool, Position) {
        let number = self.number.wrapping_add(self.later.len() as u32);
        let is_first = self.later.is_empty();
        let last = self.later.back_mut().unwrap_or(&mut self.first);
        match how {
            Use::After => {
                last.group.after.push(call);
                (true, Position::default())
            }
            Use::Shared | Use::Before if last.exclusive.is_none() => {
                last.join();
                let waits = how == Use::Shared && !is_first;
                if waits {
                    last.waiting.push(call);
                }
                (waits, Position { phase: number, group: last.number })
            }
            Use::Shared | Use::Before | Use::Exclusive => {
                let mut phase = Phase::of(call, how);
                let waits = how != Use::Before;
                if waits {
                    phase.waiting.push(call);
                }
                self.later.push_back(phase);
                (waits, Position { phase: number.wrapping_add(1), group: 0 })
            }
        }
    }

    /// The calls that have the key to themselves, the first ones first.
    pub fn exclusive(&self) -> impl Iterator<Item = usize> {
        std::iter::once(&self.first).chain(&self.later).filter_map(|phase| phase.exclusive)
    }

    /// A call is done: those that need not wait for this lane any more are added to `free`. Whether the lane is empty.
    pub fn done(&mut self, position: Position, free: &mut Vec<usize>) -> bool {
        match position.phase.wrapping_sub(self.number).checked_sub(1) {
            None => self.first.done(position.group),
            // It did not wait for the phases before.
            Some(later) => {
                if let Some(phase) = self.later.get_mut(later as usize) {
                    phase.done(position.group);
                }
                return false;
            }
        }
        while self.first.settle(free) {
            let Some(next) = self.later.pop_front() else { return true };
            self.number = self.number.wrapping_add(1);
            self.first = next;
            free.append(&mut self.first.waiting);
        }
        false
    }
}
