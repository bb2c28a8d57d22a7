//! The master as a pure state machine: an [`Event`] and the time go in, [`Effect`]s come out.
//!
//! The master owns frameworks and offers, and its view of agents and tasks.

mod accept;
mod allocator;
mod calls;
mod framework;
mod reconcile;
mod state_json;
mod subscribe;
mod updates;

#[cfg(test)]
mod tests;

use crate::messages::{Answer, Now, RequestId, ToAgent, ToMaster};
use allocator::Offer;
use framework::Framework;
use mesos::resources::Resources;
use mesos::scheduler;
use mesos::v1::framework_info::capability::Type as Capability;
use mesos::v1::scheduler::Call;
use mesos::v1::{AgentId, AgentInfo, FrameworkId, FrameworkInfo, OfferId, TaskStatus};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Time between two heartbeats to a scheduler.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// Maximum number of completed tasks per framework, and of completed frameworks, that the master remembers.
const MAX_COMPLETED: usize = 200;

/// The settings of the master.
#[derive(Clone, Debug)]
pub struct Config {
    /// The master's id.
    pub id: String,
    /// The address that the master listens on.
    pub address: SocketAddr,
    /// Time between two allocations of free resources.
    pub allocation_interval: Duration,
    /// An offer without an answer is rescinded after this time; `None`: never.
    pub offer_timeout: Option<Duration>,
}

/// An event for the master.
#[derive(Debug)]
pub enum Event {
    /// A scheduler's call.
    Call {
        /// The id of the HTTP request, for the answer.
        request: RequestId,
        /// The Mesos-Stream-Id header of the request.
        stream_id: Option<String>,
        /// The call.
        call: Box<Call>,
    },
    /// A scheduler's event stream has ended.
    Closed(RequestId),
    /// A message from the agent with this index.
    Agent(usize, ToMaster),
    /// A test requests that all outstanding offers are rescinded.
    RescindOffers,
    /// Time has passed: the master does what has become due.
    Tick,
}

/// An action that the master requests.
#[derive(Debug)]
pub enum Effect {
    /// Answer a call.
    Answer(RequestId, Answer),
    /// Send an event to a scheduler.
    Send(RequestId, scheduler::Event),
    /// End an event stream.
    Close(RequestId),
    /// Send a message to the agent with this index.
    Agent(usize, ToAgent),
}

/// A registered agent. Agents stay registered until the cluster ends.
#[derive(Debug)]
struct Agent {
    id: AgentId,
    info: AgentInfo,
    total: Resources,
}

/// The master.
#[derive(Debug)]
pub struct Master {
    config: Config,
    started: Now,
    /// The agents as the master knows them. An agent's position in this list is its index.
    agents: Vec<Agent>,
    frameworks: BTreeMap<FrameworkId, Framework>,
    completed: VecDeque<Framework>,
    offers: BTreeMap<OfferId, Offer>,
    next_framework: u64,
    next_offer: u64,
    next_allocation: Instant,
    effects: Vec<Effect>,
}

impl Master {
    /// A master with these agents and without frameworks. Every `AgentInfo` must have an id.
    pub fn new(config: Config, agents: Vec<AgentInfo>, now: Now) -> Self {
        let agents = agents.into_iter().map(|info| Agent {
            id: info.id.clone().unwrap_or_default(),
            total: info.resources.clone().into(),
            info,
        });
        Self {
            config,
            started: now,
            agents: agents.collect(),
            frameworks: BTreeMap::new(),
            completed: VecDeque::new(),
            offers: BTreeMap::new(),
            next_framework: 0,
            next_offer: 0,
            next_allocation: now.instant,
            effects: Vec::new(),
        }
    }

    /// Handles one event.
    pub fn on_event(&mut self, event: Event, now: Now) -> Vec<Effect> {
        match event {
            Event::Call { request, stream_id, call } => self.on_call(request, stream_id, *call, now),
            Event::Closed(stream) => self.on_closed(stream, now),
            Event::Agent(index, message) => self.on_agent_message(index, message, now),
            Event::RescindOffers => {
                let ids: Vec<OfferId> = self.offers.keys().cloned().collect();
                ids.iter().for_each(|id| self.rescind(id));
                self.next_allocation = now.instant + self.config.allocation_interval;
            }
            Event::Tick => {}
        }
        self.send_heartbeats(now);
        self.expire_frameworks(now);
        self.expire_offers(now);
        if now.instant >= self.next_allocation {
            self.allocate(now);
        }
        std::mem::take(&mut self.effects)
    }

    /// The time of the next [`Event::Tick`].
    pub fn next_deadline(&self) -> Option<Instant> {
        let frameworks = self.frameworks.values().flat_map(Framework::deadlines);
        let offers = self.offers.values().filter_map(|offer| offer.expires);
        frameworks.chain(offers).chain([self.next_allocation]).min()
    }

    fn agent_index(&self, id: &AgentId) -> Option<usize> {
        self.agents.iter().position(|agent| agent.id == *id)
    }

    fn send_to_agent(&mut self, id: &AgentId, message: ToAgent) {
        if let Some(index) = self.agent_index(id) {
            self.effects.push(Effect::Agent(index, message));
        }
    }

    fn send_to_all_agents(&mut self, message: &ToAgent) {
        let all = 0..self.agents.len();
        self.effects.extend(all.map(|index| Effect::Agent(index, message.clone())));
    }

    /// Sends an event to a framework if it is connected.
    fn send(&mut self, framework_id: &FrameworkId, event: scheduler::Event) {
        if let Some(stream) = self.frameworks.get(framework_id).and_then(|f| f.stream) {
            self.effects.push(Effect::Send(stream, event));
        }
    }

    fn send_update(&mut self, framework_id: &FrameworkId, status: TaskStatus) {
        self.send(framework_id, scheduler::Event::Update(Box::new(status)));
    }

    /// The resources of an agent that tasks and executors use.
    fn allocated(&self, agent_id: &AgentId) -> Resources {
        let mut sum = Resources::default();
        self.frameworks.values().for_each(|framework| sum.extend(framework.allocated(Some(agent_id))));
        sum
    }

    /// The total resources of the outstanding offers that `which` selects.
    fn offered(&self, which: impl Fn(&Offer) -> bool) -> Resources {
        let mut sum = Resources::default();
        self.offers.values().filter(|offer| which(offer)).for_each(|o| sum.extend(o.resources.clone()));
        sum
    }
}

/// A framework's roles.
fn roles(info: &FrameworkInfo) -> Vec<String> {
    if crate::messages::has_capability(info, Capability::MultiRole) {
        info.roles.clone()
    } else {
        vec![info.role.clone().unwrap_or_else(|| "*".into())]
    }
}
