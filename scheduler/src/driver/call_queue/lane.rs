//! The calls that use one key, as far as they are not done.

use std::collections::VecDeque;

use super::footprint::Use;

/// Phases, of which the first is under way: one call that has the key to itself, or any number that share it.
#[derive(Debug)]
pub(super) struct Lane {
    first: Phase,
    later: VecDeque<Phase>,
}

/// Calls that may be under way at the same time.
#[derive(Debug)]
struct Phase {
    shared: bool,
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
    fn of(shared: bool) -> Self {
        let group = Group { open: 1, after: Vec::new() };
        Self { shared, waiting: Vec::new(), group, number: 0, before: VecDeque::new() }
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

    /// A call is done. Whether all are.
    fn done(&mut self, group: u32, free: &mut Vec<usize>) -> bool {
        let back = (self.number - group) as usize;
        if let Some(index) = self.before.len().checked_sub(back)
            && let Some(before) = self.before.get_mut(index)
        {
            before.open -= 1;
        } else {
            self.group.open -= 1;
        }
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
    /// With its first call, of group 0, which need not wait.
    pub fn begun_by(how: Use) -> Self {
        Lane { first: Phase::of(how == Use::Shared), later: VecDeque::new() }
    }

    /// Adds a call; whether it has to wait, and the number of its group.
    pub fn add(&mut self, call: usize, how: Use) -> (bool, u32) {
        let waits = !self.later.is_empty();
        let last = self.later.back_mut().unwrap_or(&mut self.first);
        match how {
            Use::After => {
                last.group.after.push(call);
                (true, 0)
            }
            Use::Shared if last.shared => {
                last.join();
                if waits {
                    last.waiting.push(call);
                }
                (waits, last.number)
            }
            Use::Shared | Use::Exclusive => {
                let mut phase = Phase::of(how == Use::Shared);
                phase.waiting.push(call);
                self.later.push_back(phase);
                (true, 0)
            }
        }
    }

    /// A call of the first phase is done: those that need not wait for this lane any more are added to `free`. Whether
    /// the lane is empty.
    pub fn done(&mut self, group: u32, free: &mut Vec<usize>) -> bool {
        if !self.first.done(group, free) {
            return false;
        }
        let Some(next) = self.later.pop_front() else { return true };
        self.first = next;
        free.append(&mut self.first.waiting);
        false
    }
}
