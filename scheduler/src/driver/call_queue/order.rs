//! Which calls may be sent now. Calls come in the order in which they were decided, but several are on the way at once,
//! on different connections, and may arrive in any order: what must not overtake another call waits until that one is
//! answered.
//!
//! Work is in proportion to the keys of a call, however many calls there are.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::RandomState;

use super::footprint::{Footprint, Importance, Key, Use};
use super::lane::{Lane, Position};
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
    /// By importance, what need not wait for another call: its place and its number. What has become more important
    /// stands there twice; only the more important entry counts.
    ready: [VecDeque<(usize, u64)>; Importance::COUNT],
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
    /// Its own, or that of a more important call that waits for it.
    importance: Importance,
    /// What it uses and gives back, with its position there.
    keys: Vec<(Key, Position)>,
    /// For so many keys it waits.
    waits: usize,
    sent: bool,
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
            let (must_wait, position) = match self.lanes.entry(key) {
                Entry::Occupied(mut lane) => lane.get_mut().add(place, how),
                // Nothing came before, and nothing is held up.
                Entry::Vacant(_) if how == Use::After => (false, Position::default()),
                Entry::Vacant(lane) => {
                    lane.insert(Lane::begun_by(place, how));
                    (false, Position::default())
                }
            };
            waits += usize::from(must_wait);
            if how != Use::After {
                held.push((key, position));
            }
        }
        self.came += 1;
        let number = self.came;
        self.calls[place] = Some(Waiting { content, number, importance, keys: held, waits, sent: false });
        if waits == 0 {
            self.ready[importance as usize].push_back((place, number));
            self.ready_count += 1;
        } else if importance != Importance::Other {
            self.raise_what_is_before(place);
        }
    }

    /// What a call waits for becomes as important as the call. Calls that share a key hold up nothing that is important:
    /// REVIVE, SUPPRESS and TEARDOWN alone wait for them.
    fn raise_what_is_before(&mut self, place: usize) {
        let mut waiting = vec![place];
        while let Some(Some(call)) = waiting.pop().and_then(|place| self.calls.get(place)) {
            let (number, importance) = (call.number, call.importance);
            let lanes = call.keys.iter().filter_map(|(key, _)| self.lanes.get(key));
            let before: Vec<usize> = lanes.flat_map(Lane::exclusive).collect();
            for place in before {
                let Some(Some(call)) = self.calls.get_mut(place) else { continue };
                if call.number >= number || call.importance <= importance {
                    continue;
                }
                call.importance = importance;
                if call.waits > 0 {
                    waiting.push(place);
                } else if !call.sent {
                    self.ready[importance as usize].push_back((place, call.number));
                }
            }
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
        let call = self.calls.get_mut(place)?.as_mut()?;
        call.sent = true;
        Some((place as u64, &call.content))
    }

    /// What is to be sent for a call that is not done.
    pub fn content(&self, number: u64) -> Option<&T> {
        let call = self.calls.get(usize::try_from(number).ok()?)?.as_ref()?;
        Some(&call.content)
    }

    fn pop(&mut self) -> Option<usize> {
        for (importance, queue) in self.ready.iter_mut().enumerate() {
            let counts = |&(place, number): &(usize, u64)| {
                let call = self.calls.get(place).and_then(Option::as_ref);
                call.is_some_and(|call| {
                    call.number == number && !call.sent && call.importance as usize == importance
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
        queue?.pop_front().map(|(place, _)| place)
    }

    /// A call was not taken: it is sent again before others of its importance, and those that wait for it go on waiting.
    pub fn put_back(&mut self, number: u64) {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        if let Some(Some(call)) = self.calls.get_mut(place) {
            call.sent = false;
            self.ready[call.importance as usize].push_front((place, call.number));
            self.ready_count += 1;
        }
    }

    /// A call that was sent is answered.
    pub fn done(&mut self, number: u64) {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        let Some(call) = self.calls.get_mut(place).and_then(Option::take) else { return };
        self.unused.push(place);
        let mut free = Vec::new();
        for (key, position) in call.keys {
            if let Entry::Occupied(mut lane) = self.lanes.entry(key)
                && lane.get_mut().done(position, &mut free)
            {
                lane.remove();
            }
        }
        for place in free {
            if let Some(call) = self.calls[place].as_mut() {
                call.waits -= 1;
                if call.waits == 0 {
                    self.ready[call.importance as usize].push_back((place, call.number));
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
