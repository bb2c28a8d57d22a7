//! An OFFERS event of many agents is split into chunks, so that queries are answered and launches are written while the offers of
//! 50,000 agents are examined. The launches are sent only after the last chunk, because each launch says how often the worker is
//! to report. That interval depends on the number of all workers.

use std::collections::{BTreeMap, VecDeque};

use mesos::scheduler::Event;
use mesos::v1::Offer;

/// Maximum number of agents whose offers are in one chunk. Handling such a chunk takes some 10 ms.
const AGENTS: usize = 500;

/// The chunks of an OFFERS event that have not been handled yet, in order. They are handled before the master's later events.
#[derive(Debug)]
pub(super) struct OfferChunks {
    /// Whether OFFERS events are not split, because a constraint such as GROUP_BY needs the offers of all agents to decide about
    /// one agent.
    keep_whole: bool,
    waiting: VecDeque<Vec<Offer>>,
}

impl OfferChunks {
    pub fn new(keep_whole: bool) -> Self {
        Self { keep_whole, waiting: VecDeque::new() }
    }

    /// Returns the event, or the first of its chunks. Must not be called while chunks of an earlier event wait.
    pub fn split(&mut self, event: Event) -> Event {
        match event {
            Event::Offers(offers) if !self.keep_whole && offers.len() > AGENTS => {
                self.waiting = by_agents(offers);
                self.next().unwrap_or(Event::Heartbeat)
            }
            event => event,
        }
    }

    /// The next chunk.
    pub fn next(&mut self) -> Option<Event> {
        self.waiting.pop_front().map(Event::Offers)
    }
}

/// Splits offers into chunks. All offers of an agent are in one chunk, because they are used together.
fn by_agents(offers: Vec<Offer>) -> VecDeque<Vec<Offer>> {
    let mut agents: BTreeMap<String, Vec<Offer>> = BTreeMap::new();
    for offer in offers {
        agents.entry(offer.agent_id.value.clone()).or_default().push(offer);
    }
    let mut agents = agents.into_values();
    let chunk = || {
        let chunk: Vec<Offer> = agents.by_ref().take(AGENTS).flatten().collect();
        (!chunk.is_empty()).then_some(chunk)
    };
    std::iter::from_fn(chunk).collect()
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

    fn all(chunks: &mut OfferChunks, event: Event) -> Vec<Vec<Offer>> {
        let first = chunks.split(event);
        let rest = std::iter::from_fn(|| chunks.next());
        let offers = |event| match event {
            Event::Offers(offers) => offers,
            event => panic!("{event:?}"),
        };
        std::iter::once(first).chain(rest).map(offers).collect()
    }

    #[test]
    fn each_offer_is_in_one_chunk_and_those_of_an_agent_are_in_the_same() {
        let mut chunks = OfferChunks::new(false);
        let split = all(&mut chunks, offers(2 * AGENTS + 1, 2));
        assert_eq!(split.iter().map(Vec::len).collect::<Vec<_>>(), [2 * AGENTS, 2 * AGENTS, 2]);
        let mut chunk_of: BTreeMap<String, usize> = BTreeMap::new();
        for (number, offer) in
            split.iter().enumerate().flat_map(|(n, chunk)| chunk.iter().map(move |it| (n, it)))
        {
            assert_eq!(*chunk_of.entry(offer.agent_id.value.clone()).or_insert(number), number);
        }
        assert_eq!(chunk_of.len(), 2 * AGENTS + 1);
    }

    #[test]
    fn few_offers_and_those_that_depend_on_each_other_stay_together() {
        assert_eq!(all(&mut OfferChunks::new(false), offers(AGENTS, 1)).len(), 1);
        assert_eq!(all(&mut OfferChunks::new(true), offers(3 * AGENTS, 1)).len(), 1);
    }
}
