//! What the master has sent in this subscription and waits for an answer to.

use std::collections::HashMap;
use std::time::Instant;

use mesos::scheduler;

use super::delays::Wait;
use crate::event::Call;

/// When the offers and updates that are not answered yet were received: by the id of the offer, or the uuid of the update.
#[derive(Debug, Default)]
pub(super) struct Received(HashMap<Box<[u8]>, Instant>);

impl Received {
    /// Remembers what is to be answered. An update that the agent repeats has waited since it came first.
    pub fn add(&mut self, event: &scheduler::Event, now: Instant) {
        let mut add = |id: &[u8]| {
            self.0.entry(id.into()).or_insert(now);
        };
        match event {
            scheduler::Event::Offers(offers) => {
                offers.iter().for_each(|offer| add(offer.id.value.as_bytes()))
            }
            scheduler::Event::Update(status) if status.needs_acknowledgement() => {
                status.uuid.as_deref().into_iter().for_each(add);
            }
            scheduler::Event::Rescind(offer) => drop(self.0.remove(offer.value.as_bytes())),
            _ => {}
        }
    }

    /// The wait that a call ends; `None` if nothing waits for it, or if it declines.
    pub fn answer(&mut self, call: &Call) -> Option<Wait> {
        match call {
            Call::Acknowledge { uuid, .. } => self.0.remove(uuid.as_slice()).map(Wait::Update),
            Call::Accept { offers, .. } => self.remove(offers).map(Wait::Offer),
            Call::Decline { offers, .. } => {
                self.remove(offers);
                None
            }
            _ => None,
        }
    }

    /// When the oldest of these offers was received.
    fn remove(&mut self, offers: &[String]) -> Option<Instant> {
        offers.iter().filter_map(|offer| self.0.remove(offer.as_bytes())).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mesos::v1::{Offer, TaskStatus};

    use super::*;

    fn offers(ids: &[&str]) -> scheduler::Event {
        scheduler::Event::Offers(
            ids.iter().map(|id| Offer { id: (*id).into(), ..Offer::default() }).collect(),
        )
    }

    fn update(uuid: &[u8]) -> scheduler::Event {
        scheduler::Event::Update(Box::new(TaskStatus { uuid: Some(uuid.to_vec()), ..TaskStatus::default() }))
    }

    fn acknowledge(uuid: &[u8]) -> Call {
        Call::Acknowledge { task: "t".into(), agent: "a".into(), uuid: uuid.to_vec() }
    }

    fn accept(offers: &[&str]) -> Call {
        let offers = offers.iter().map(|id| (*id).to_owned()).collect();
        Call::Accept { offers, tasks: Vec::new(), refuse: Duration::ZERO }
    }

    #[test]
    fn a_call_ends_the_wait_since_the_oldest_that_it_answers() {
        let mut received = Received::default();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        received.add(&offers(&["o1", "o2"]), at(1));
        received.add(&offers(&["o3"]), at(2));
        received.add(&update(b"u"), at(3));
        received.add(&update(b"u"), at(4));
        received.add(&update(b""), at(4));
        assert_eq!(received.answer(&accept(&["o3", "o2"])), Some(Wait::Offer(at(1))));
        assert_eq!(received.answer(&acknowledge(b"u")), Some(Wait::Update(at(3))), "repeated");
        assert_eq!(received.answer(&acknowledge(b"u")), None, "answered before");
        assert_eq!(received.answer(&Call::Revive), None);
        assert_eq!(received.0.len(), 1);
    }

    #[test]
    fn offers_that_are_declined_or_rescinded_do_not_wait() {
        let mut received = Received::default();
        let now = Instant::now();
        received.add(&offers(&["o1", "o2", "o3"]), now);
        received.add(&scheduler::Event::Rescind("o1".into()), now);
        let decline = Call::Decline { offers: vec!["o2".into(), "o1".into()], refuse: Duration::ZERO };
        assert_eq!(received.answer(&decline), None);
        assert_eq!(received.answer(&accept(&["o1"])), None);
        assert_eq!(received.answer(&accept(&["o3"])), Some(Wait::Offer(now)));
        assert!(received.0.is_empty());
    }
}
