//! Compares the nodes' states with the last event of a stream.

use std::borrow::Borrow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use problem::{Problem, ProblemKind};

use super::choice::{NodeChoice, Offer};
use super::{FetchedTemplate, NodeState, NodeView, TemplateEvent, TemplateUpdate};
use crate::rpc::RpcClient;

/// The last event of a stream. The nodes' states are compared to it to find the next event.
#[derive(Debug)]
pub(super) struct LastEvent {
    choice: NodeChoice,
    template: Option<Arc<FetchedTemplate>>,
    main_node: usize,
    /// The kind of the problem because of which no node works; `None` if one works, or if not all have answered.
    all_down: Option<ProblemKind>,
    /// The nodes that are slow, and whether each is silent.
    slow: Vec<(usize, bool)>,
}

impl LastEvent {
    /// No event yet; see [`super::TemplateTiming::settle`].
    pub(super) fn new(settle: Duration) -> Self {
        let choice = NodeChoice::new(settle);
        LastEvent { choice, template: None, main_node: 0, all_down: None, slow: Vec::new() }
    }

    /// When an event may follow although no state has changed.
    pub(super) fn next_change(&self) -> Option<Instant> {
        self.choice.next()
    }

    /// The event that follows from these states; `None` if nothing has changed since the last event.
    pub(super) fn decide<S: Borrow<NodeState>>(
        &mut self,
        states: &[S],
        now: Instant,
    ) -> Option<TemplateEvent> {
        let up = |state: &S| match state.borrow() {
            NodeState::Up(fetched) => Some(fetched.clone()),
            _ => None,
        };
        let templates: Vec<_> = states.iter().map(up).collect();
        let offer =
            |fetched: &Arc<FetchedTemplate>| Offer { height: fetched.template.height, full: fetched.full };
        let offers: Vec<_> = templates.iter().map(|fetched| fetched.as_ref().map(offer)).collect();
        let chosen = self.choice.choose(&offers, now);
        let Some((chosen, fetched)) = chosen.and_then(|it| Some((it, templates.get(it.node)?.as_ref()?)))
        else {
            return self.decide_down(states);
        };
        self.all_down = None;
        let (node, main_node) = (chosen.node, chosen.main);
        let same_main = std::mem::replace(&mut self.main_node, main_node) == main_node;
        if same_main && self.template.as_ref().is_some_and(|last| Arc::ptr_eq(last, fetched)) {
            return None;
        }
        let last = self.template.replace(fetched.clone());
        let clean = last.is_none_or(|last| last.template.prev_hash != fetched.template.prev_hash);
        let FetchedTemplate { template, parent_time, clock, asked, full: _ } = &**fetched;
        let (template, parent_time, clock, asked) = (template.clone(), *parent_time, *clock, *asked);
        let update = TemplateUpdate { template, parent_time, clock, clean, node, main_node, asked };
        Some(TemplateEvent::New(update))
    }

    /// The warning that some nodes are slow, or that none is any more; `None` if these are the same nodes as before.
    pub(super) fn decide_slow(
        &mut self,
        clients: &[Arc<RpcClient>],
        nodes: &[NodeView],
    ) -> Option<TemplateEvent> {
        let slow: Vec<_> =
            nodes.iter().enumerate().filter_map(|(node, view)| Some((node, view.slow?))).collect();
        let kinds: Vec<_> = slow.iter().map(|(node, delay)| (*node, delay.is_silence())).collect();
        if kinds == self.slow {
            return None;
        }
        self.slow = kinds;
        let texts: Vec<_> =
            slow.iter().filter_map(|(node, delay)| Some(delay.text(clients.get(*node)?.url()))).collect();
        let problem = (!texts.is_empty()).then(|| Problem::new(ProblemKind::NodeSlow, texts.join("; ")));
        Some(TemplateEvent::Slow(problem))
    }

    fn decide_down<S: Borrow<NodeState>>(&mut self, states: &[S]) -> Option<TemplateEvent> {
        let faults: Option<Vec<_>> = states
            .iter()
            .map(|state| match state.borrow() {
                NodeState::Down(fault) => Some(fault.clone()),
                _ => None,
            })
            .collect();
        let faults = faults?;
        let problem = faults.iter().map(|fault| fault.problem().kind).min();
        if problem.is_none() || problem == self.all_down {
            return None;
        }
        self.all_down = problem;
        Some(TemplateEvent::AllDown(faults))
    }
}
