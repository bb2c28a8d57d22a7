//! Which calls may be sent now. Calls come in the order in which they were decided, but several are on the way at once,
//! on different connections, and may arrive in any order: what must not overtake another call waits until that one is
//! answered.
//!
//! Work is in proportion to the keys of a call, however many calls there are.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::RandomState;

use super::footprint::{Footprint, Importance, Key, Use};
use super::lane::Lane;
use crate::event::Call;

/// So often, one of the calls sent is the one that came first, however unimportant.
const OLDEST_EVERY: usize = 8;
/// Room for more entries than this is given back when all calls are done.
const KEPT: usize = 1024;

/// Calls that are not done. `T` is what is sent for a call.
#[derive(Debug)]
pub(super) struct Order<T> {
    hasher: RandomState,
    calls: Vec<Option<Waiting<T>>>,
    /// Unused places among `calls`.
    unused: Vec<usize>,
    lanes: HashMap<Key, Lane>,
    /// By importance, what need not wait for another call.
    ready: [VecDeque<usize>; Importance::COUNT],
    ready_count: usize,
    /// How many calls ever came.
    came: u64,
    /// How many were ever sent.
    sent: usize,
}

#[derive(Debug)]
struct Waiting<T> {
    content: T,
    number: u64,
    importance: Importance,
    /// What it uses and gives back, with the number of its group there.
    keys: Vec<(Key, u32)>,
    /// For so many keys it waits.
    waits: usize,
}

impl<T> Order<T> {
    pub fn new() -> Self {
        Order {
            hasher: RandomState::new(),
            calls: Vec::new(),
            unused: Vec::new(),
            lanes: HashMap::new(),
            ready: Default::default(),
            ready_count: 0,
            came: 0,
            sent: 0,
        }
    }

    /// What [`add`](Self::add) must know of a call.
    pub fn footprint(&self, call: &Call) -> Footprint {
        Footprint::of(call, &self.hasher)
    }

    /// Takes a call in, with what is to be sent.
    pub fn add(&mut self, footprint: Footprint, content: T) {
        let Footprint { importance, keys } = footprint;
        let place = self.unused.pop().unwrap_or_else(|| {
            self.calls.push(None);
            self.calls.len() - 1
        });
        let (mut waits, mut held) = (0, Vec::with_capacity(keys.len()));
        for (key, how) in keys {
            let (must_wait, group) = match self.lanes.entry(key) {
                Entry::Occupied(mut lane) => lane.get_mut().add(place, how),
                // Nothing came before, and nothing is held up.
                Entry::Vacant(_) if how == Use::After => (false, 0),
                Entry::Vacant(lane) => {
                    lane.insert(Lane::begun_by(how));
                    (false, 0)
                }
            };
            waits += usize::from(must_wait);
            if how != Use::After {
                held.push((key, group));
            }
        }
        self.came += 1;
        self.calls[place] = Some(Waiting { content, number: self.came, importance, keys: held, waits });
        if waits == 0 {
            self.ready[importance as usize].push_back(place);
            self.ready_count += 1;
        }
    }

    /// Whether all calls are done.
    pub fn is_empty(&self) -> bool {
        self.unused.len() == self.calls.len()
    }

    /// How many calls are not done, those that were sent included.
    pub fn len(&self) -> usize {
        self.calls.len() - self.unused.len()
    }

    /// How many may be sent now.
    pub fn ready(&self) -> usize {
        self.ready_count
    }

    /// The most important call that may be sent, or now and then the oldest; its number is for
    /// [`done`](Self::done) and [`put_back`](Self::put_back).
    pub fn next(&mut self) -> Option<(u64, &T)> {
        let place = self.pop()?;
        self.ready_count -= 1;
        let call = self.calls.get(place)?.as_ref()?;
        Some((place as u64, &call.content))
    }

    /// What is to be sent for a call that is not done.
    pub fn content(&self, number: u64) -> Option<&T> {
        let call = self.calls.get(usize::try_from(number).ok()?)?.as_ref()?;
        Some(&call.content)
    }

    fn pop(&mut self) -> Option<usize> {
        let calls = &self.calls;
        let number =
            |place: Option<&usize>| place.and_then(|&place| Some(calls.get(place)?.as_ref()?.number));
        let waiting = self.ready.iter_mut().filter(|queue| !queue.is_empty());
        self.sent = self.sent.wrapping_add(1);
        let queue = if self.sent.is_multiple_of(OLDEST_EVERY) {
            waiting.min_by_key(|queue| number(queue.front()))
        } else {
            waiting.into_iter().next()
        };
        queue?.pop_front()
    }

    /// A call was not taken: it is sent again before others of its importance, and those that wait for it go on waiting.
    pub fn put_back(&mut self, number: u64) {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(Some(call)) = self.calls.get(place) {
            self.ready[call.importance as usize].push_front(place);
            self.ready_count += 1;
        }
    }

    /// A call that was sent is answered.
    pub fn done(&mut self, number: u64) {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        let Some(call) = self.calls.get_mut(place).and_then(Option::take) else { return };
        self.unused.push(place);
        let mut free = Vec::new();
        for (key, group) in call.keys {
            if let Entry::Occupied(mut lane) = self.lanes.entry(key)
                && lane.get_mut().done(group, &mut free)
            {
                lane.remove();
            }
        }
        for place in free {
            if let Some(call) = self.calls[place].as_mut() {
                call.waits -= 1;
                if call.waits == 0 {
                    self.ready[call.importance as usize].push_back(place);
                    self.ready_count += 1;
                }
            }
        }
        if self.is_empty() && self.calls.capacity().max(self.lanes.capacity()) > KEPT {
            *self = Order { came: self.came, sent: self.sent, ..Order::new() };
        }
    }
}

/// One of the orders in which a master may get these calls.
#[cfg(test)]
pub(crate) fn arrivals(calls: Vec<Call>, random: &mut rand::rngs::StdRng) -> Vec<Call> {
    use rand::RngExt;
    let (mut order, mut on_the_way, mut arrived) = (Order::new(), Vec::new(), Vec::new());
    for call in calls {
        order.add(order.footprint(&call), call);
    }
    loop {
        while let Some((number, call)) = order.next() {
            on_the_way.push((number, call.clone()));
        }
        if on_the_way.is_empty() {
            return arrived;
        }
        let (number, call) = on_the_way.swap_remove(random.random_range(0..on_the_way.len()));
        arrived.push(call);
        order.done(number);
    }
}

#[cfg(test)]
pub(super) mod tests;
