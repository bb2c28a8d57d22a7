//! Decides which calls may be sent now. Several calls are in flight at the same time on different connections and may arrive in
//! any order, so a call that must not overtake another one waits until that one is answered.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::RandomState;

use super::footprint::{Footprint, Key, Priority, Use};
use super::lane::{Lane, Position};
use crate::event::Call;

/// One in every `OLDEST_EVERY` calls is chosen by its age, not by its priority, so that no call waits for ever.
const OLDEST_EVERY: usize = 8;
/// When all calls are answered and the collections have room for more calls than this, their memory is freed.
const KEPT_CAPACITY: usize = 1024;

/// The unanswered calls. `T` is the encoded form of a call.
#[derive(Debug)]
pub(super) struct CallOrder<T> {
    hasher: RandomState,
    calls: Vec<Option<PendingCall<T>>>,
    /// The indexes in `calls` that have no call and may be used again.
    unused: Vec<usize>,
    lanes: HashMap<Key, Lane>,
    /// The calls that may be sent: for each priority, the call's index in `calls` and its number. A call whose priority was
    /// raised has two entries, of which only the one with the higher priority is valid.
    ready: [VecDeque<(usize, u64)>; Priority::COUNT],
    ready_count: usize,
    /// The number of calls that were ever added. It is also the number of the last added call.
    added: u64,
    /// How often a call was chosen to be sent. This number decides when the oldest call is chosen ([`OLDEST_EVERY`]).
    sent: usize,
}

#[derive(Debug)]
struct PendingCall<T> {
    content: T,
    number: u64,
    /// The call's own priority, or a higher one that it got because a call of that priority waits for it.
    priority: Priority,
    /// For each key that the call uses: the call's position among the calls with the same key. Keys that it uses as
    /// [`Use::After`] are left out.
    keys: Vec<(Key, Position)>,
    /// The number of the call's keys that earlier calls still block. When it is 0, the call may be sent.
    waits: usize,
    sent: bool,
}

impl<T> CallOrder<T> {
    pub fn new() -> Self {
        CallOrder {
            hasher: RandomState::new(),
            calls: Vec::new(),
            unused: Vec::new(),
            lanes: HashMap::new(),
            ready: Default::default(),
            ready_count: 0,
            added: 0,
            sent: 0,
        }
    }

    /// Determines a call's priority, and which calls it must not overtake. [`add`](Self::add) needs both.
    pub fn footprint(&self, call: &Call) -> Footprint {
        Footprint::of(call, &self.hasher)
    }

    /// Adds a call in its encoded form.
    pub fn add(&mut self, footprint: Footprint, content: T) {
        let Footprint { priority, keys } = footprint;
        let index = self.unused.pop().unwrap_or_else(|| {
            self.calls.push(None);
            self.calls.len() - 1
        });
        let (mut waits, mut held) = (0, Vec::with_capacity(keys.len()));
        for (key, how) in keys {
            let (must_wait, position) = match self.lanes.entry(key) {
                Entry::Occupied(mut lane) => lane.get_mut().add(index, how),
                // There is no earlier call to wait for, and later calls do not wait for this one.
                Entry::Vacant(_) if how == Use::After => (false, Position::default()),
                Entry::Vacant(lane) => {
                    lane.insert(Lane::begun_by(index, how));
                    (false, Position::default())
                }
            };
            waits += usize::from(must_wait);
            if how != Use::After {
                held.push((key, position));
            }
        }
        self.added += 1;
        let number = self.added;
        self.calls[index] = Some(PendingCall { content, number, priority, keys: held, waits, sent: false });
        if waits == 0 {
            self.ready[priority as usize].push_back((index, number));
            self.ready_count += 1;
        } else if priority != Priority::Other {
            self.raise_earlier_calls(index);
        }
    }

    /// If this call waits for calls of lower priority, raises their priority to its own. Only [`Use::Exclusive`] calls are
    /// considered, because no other calls can block a call of high priority.
    fn raise_earlier_calls(&mut self, index: usize) {
        let mut waiting = vec![index];
        while let Some(Some(call)) = waiting.pop().and_then(|index| self.calls.get(index)) {
            let (number, priority) = (call.number, call.priority);
            let lanes = call.keys.iter().filter_map(|(key, _)| self.lanes.get(key));
            let before: Vec<usize> = lanes.flat_map(Lane::exclusive).collect();
            for index in before {
                let Some(Some(call)) = self.calls.get_mut(index) else { continue };
                if call.number >= number || call.priority <= priority {
                    continue;
                }
                call.priority = priority;
                if call.waits > 0 {
                    waiting.push(index);
                } else if !call.sent {
                    self.ready[priority as usize].push_back((index, call.number));
                }
            }
        }
    }

    /// Whether all calls are answered.
    pub fn is_empty(&self) -> bool {
        self.unused.len() == self.calls.len()
    }

    /// The number of unanswered calls, including those in flight.
    pub fn len(&self) -> usize {
        self.calls.len() - self.unused.len()
    }

    /// The number of calls that may be sent now.
    pub fn ready(&self) -> usize {
        self.ready_count
    }

    /// Chooses the next call to send: the one with the highest priority or, from time to time, the oldest one. Returns its
    /// content and the number to pass to [`done`](Self::done) or [`put_back`](Self::put_back).
    pub fn next(&mut self) -> Option<(u64, &T)> {
        let index = self.pop()?;
        self.ready_count -= 1;
        let call = self.calls.get_mut(index)?.as_mut()?;
        call.sent = true;
        Some((index as u64, &call.content))
    }

    /// The encoded form of an unanswered call.
    pub fn content(&self, number: u64) -> Option<&T> {
        let call = self.calls.get(usize::try_from(number).ok()?)?.as_ref()?;
        Some(&call.content)
    }

    fn pop(&mut self) -> Option<usize> {
        for (priority, queue) in self.ready.iter_mut().enumerate() {
            let counts = |&(index, number): &(usize, u64)| {
                let call = self.calls.get(index).and_then(Option::as_ref);
                call.is_some_and(|call| {
                    call.number == number && !call.sent && call.priority as usize == priority
                })
            };
            while queue.front().is_some_and(|entry| !counts(entry)) {
                queue.pop_front();
            }
        }
        let waiting = self.ready.iter_mut().filter(|queue| !queue.is_empty());
        self.sent = self.sent.wrapping_add(1);
        let queue = if self.sent.is_multiple_of(OLDEST_EVERY) {
            waiting.min_by_key(|queue| queue.front().map(|(_, number)| *number))
        } else {
            waiting.into_iter().next()
        };
        queue?.pop_front().map(|(index, _)| index)
    }

    /// Puts a refused call back: it is sent again before others of its priority, and calls that wait for it keep waiting.
    pub fn put_back(&mut self, number: u64) {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(Some(call)) = self.calls.get_mut(index) {
            call.sent = false;
            self.ready[call.priority as usize].push_front((index, call.number));
            self.ready_count += 1;
        }
    }

    /// Registers the answer to a call.
    pub fn done(&mut self, number: u64) {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        let Some(call) = self.calls.get_mut(index).and_then(Option::take) else { return };
        self.unused.push(index);
        let mut free = Vec::new();
        for (key, position) in call.keys {
            if let Entry::Occupied(mut lane) = self.lanes.entry(key)
                && lane.get_mut().done(position, &mut free)
            {
                lane.remove();
            }
        }
        for index in free {
            if let Some(call) = self.calls[index].as_mut() {
                call.waits -= 1;
                if call.waits == 0 {
                    self.ready[call.priority as usize].push_back((index, call.number));
                    self.ready_count += 1;
                }
            }
        }
        if self.is_empty() && self.calls.capacity().max(self.lanes.capacity()) > KEPT_CAPACITY {
            *self = CallOrder { added: self.added, sent: self.sent, ..CallOrder::new() };
        }
    }
}

/// A random order in which these calls may arrive at the master.
#[cfg(test)]
pub(crate) fn arrivals(calls: Vec<Call>, random: &mut rand::rngs::StdRng) -> Vec<Call> {
    use rand::RngExt;
    let (mut order, mut in_flight, mut arrived) = (CallOrder::new(), Vec::new(), Vec::new());
    for call in calls {
        order.add(order.footprint(&call), call);
    }
    loop {
        while let Some((number, call)) = order.next() {
            in_flight.push((number, call.clone()));
        }
        if in_flight.is_empty() {
            return arrived;
        }
        let (number, call) = in_flight.swap_remove(random.random_range(0..in_flight.len()));
        arrived.push(call);
        order.done(number);
    }
}

#[cfg(test)]
pub(super) mod tests;
