//! OFFERS events of many agents are handled in pieces, so that pages are answered and launches are written down before all of
//! 50,000 agents are looked at. None is sent before that: what a worker is told depends on how many there are.

use std::collections::{BTreeMap, VecDeque};

use mesos::scheduler::Event;
use mesos::v1::Offer;

/// Agents whose offers are handled at once: some 10 ms.
const AGENTS: usize = 500;

/// Pieces of an event that wait, in order. The master's later events come after them.
#[derive(Debug)]
pub(super) struct Pieces {
    /// Offers are looked at all together: whether an agent may be used depends on the others, as with GROUP_BY.
    together: bool,
    waiting: VecDeque<Vec<Offer>>,
}

impl Pieces {
    pub fn new(together: bool) -> Self {
        Self { together, waiting: VecDeque::new() }
    }

    /// The event, or the first piece of it. Only called when nothing waits.
    pub fn cut(&mut self, event: Event) -> Event {
        match event {
            Event::Offers(offers) if !self.together && offers.len() > AGENTS => {
                self.waiting = by_agents(offers);
                self.next().unwrap_or(Event::Heartbeat)
            }
            event => event,
        }
    }

    /// The next piece.
    pub fn next(&mut self) -> Option<Event> {
        self.waiting.pop_front().map(Event::Offers)
    }
}

/// All offers of an agent are in one piece, as they are used together.
fn by_agents(offers: Vec<Offer>) -> VecDeque<Vec<Offer>> {
    let mut agents: BTreeMap<String, Vec<Offer>> = BTreeMap::new();
    for offer in offers {
        agents.entry(offer.agent_id.value.clone()).or_default().push(offer);
    }
    let mut agents = agents.into_values();
    let piece = || {
        let piece: Vec<Offer> = agents.by_ref().take(AGENTS).flatten().collect();
        (!piece.is_empty()).then_some(piece)
    };
    std::iter::from_fn(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers(agents: usize, each: usize) -> Event {
        let offer = |n: usize| Offer {
            id: format!("o{n}").as_str().into(),
            agent_id: format!("a{}", n % agents).as_str().into(),
            ..Offer::default()
        };
        Event::Offers((0..agents * each).map(offer).collect())
    }

    fn all(pieces: &mut Pieces, event: Event) -> Vec<Vec<Offer>> {
        let first = pieces.cut(event);
        let rest = std::iter::from_fn(|| pieces.next());
        let offers = |event| match event {
            Event::Offers(offers) => offers,
            event => panic!("{event:?}"),
        };
        std::iter::once(first).chain(rest).map(offers).collect()
    }

    #[test]
    fn each_offer_is_in_one_piece_and_those_of_an_agent_are_in_the_same() {
        let mut pieces = Pieces::new(false);
        let cut = all(&mut pieces, offers(2 * AGENTS + 1, 2));
        assert_eq!(cut.iter().map(Vec::len).collect::<Vec<_>>(), [2 * AGENTS, 2 * AGENTS, 2]);
        let mut piece_of: BTreeMap<String, usize> = BTreeMap::new();
        for (number, offer) in
            cut.iter().enumerate().flat_map(|(n, piece)| piece.iter().map(move |it| (n, it)))
        {
            assert_eq!(*piece_of.entry(offer.agent_id.value.clone()).or_insert(number), number);
        }
        assert_eq!(piece_of.len(), 2 * AGENTS + 1);
    }

    #[test]
    fn few_offers_and_those_that_depend_on_each_other_stay_together() {
        assert_eq!(all(&mut Pieces::new(false), offers(AGENTS, 1)).len(), 1);
        assert_eq!(all(&mut Pieces::new(true), offers(3 * AGENTS, 1)).len(), 1);
    }
}
