//! A lane holds the unanswered calls about one thing, such as a task or an offer, and decides which of them have to wait.

use std::collections::VecDeque;

use super::footprint::Use;

/// The unanswered calls that use the same [`Key`](super::footprint::Key), as a sequence of phases. A phase is a single
/// [`Use::Exclusive`] call, or any number of calls that may overtake each other. Only the calls of the first phase may be sent,
/// except for [`Use::Before`] calls, which never wait.
#[derive(Debug)]
pub(super) struct Lane {
    first: Phase,
    later: VecDeque<Phase>,
    /// The phases of a lane are numbered in their order. This is the number of the first phase.
    number: u32,
}

/// Where a call stands in its [`Lane`] of unanswered calls: the numbers of its [`Phase`], and of its [`Group`] in that phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    phase: u32,
    group: u32,
}

/// Calls that may be in flight at the same time.
#[derive(Debug)]
struct Phase {
    /// If the phase is a single [`Use::Exclusive`] call: the index of this call.
    exclusive: Option<usize>,
    /// The indexes of the calls in this phase that must not be sent before all calls of the previous phase are answered.
    waiting: Vec<usize>,
    group: Group,
    /// The groups of a phase are numbered from 0. This is the number of `group`, the newest one.
    number: u32,
    /// The groups of this phase that are older than `group`, the oldest first. A group is removed when all its calls and those of
    /// the older groups are answered.
    before: VecDeque<Group>,
}

/// A part of a [`Phase`]: the calls that were added between two [`Use::After`] calls.
#[derive(Debug, Default)]
struct Group {
    /// The number of unanswered calls in this group.
    open: usize,
    /// The indexes of the [`Use::After`] calls that wait until all calls of this group and the earlier groups are answered.
    after: Vec<usize>,
}

impl Phase {
    fn of(call: usize, how: Use) -> Self {
        let group = Group { open: 1, after: Vec::new() };
        let exclusive = (how == Use::Exclusive).then_some(call);
        Self { exclusive, waiting: Vec::new(), group, number: 0, before: VecDeque::new() }
    }

    /// Adds a [`Use::Shared`] or [`Use::Before`] call.
    fn join(&mut self) {
        if !self.group.after.is_empty() {
            // The calls in `after` wait for all calls of their group. They must not wait for the new call, so it begins a new
            // group.
            self.before.push_back(std::mem::take(&mut self.group));
            self.number += 1;
        }
        self.group.open += 1;
    }

    /// Registers the answer to a call in the group with this number.
    fn done(&mut self, group: u32) {
        let back = (self.number - group) as usize;
        let before = self.before.len().checked_sub(back).and_then(|index| self.before.get_mut(index));
        before.unwrap_or(&mut self.group).open -= 1;
    }

    /// Adds to `free` the [`Use::After`] calls that need not wait any longer, because all calls of their group and of the
    /// earlier groups are answered. Returns whether all calls of the phase are answered. Must be called for the first phase
    /// only.
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
    /// A lane with its first call, which need not wait.
    pub fn begun_by(call: usize, how: Use) -> Self {
        Lane { first: Phase::of(call, how), later: VecDeque::new(), number: 0 }
    }

    /// Adds a call. Returns whether it has to wait, and its position.
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

    /// The indexes of the [`Use::Exclusive`] calls, in their order.
    pub fn exclusive(&self) -> impl Iterator<Item = usize> {
        std::iter::once(&self.first).chain(&self.later).filter_map(|phase| phase.exclusive)
    }

    /// Registers that the call at `position` is answered. Adds to `free` the calls that waited for it, and for no other call of
    /// this lane. Returns whether the lane is empty.
    pub fn done(&mut self, position: Position, free: &mut Vec<usize>) -> bool {
        match position.phase.wrapping_sub(self.number).checked_sub(1) {
            None => self.first.done(position.group),
            // The answered call belongs to a later phase. All waiting calls still wait, because the first phase has unanswered
            // calls.
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
