//! The master as a pure state machine: [`Input`] in, [`Effect`]s out.
//!
//! It owns frameworks, offers and what is known of agents and tasks. Time comes in with each input.

mod accept;
mod agents;
mod allocator;
mod calls;
mod framework;
mod orders;
mod reconcile;
mod subscribe;
pub mod view;

#[cfg(test)]
mod tests;

use crate::link::{Answer, Now, RequestId, ToAgent, ToMaster};
use crate::operator::master as api;
use crate::resources::Bundle;
use agents::Agent;
use allocator::Offer;
use framework::Framework;
use mesos::v1::{self, FrameworkInfo, MasterInfo, TaskStatus, scheduler};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use uuid::Uuid;

pub use orders::{Standing, is_change};

/// The version of Mesos whose behaviour this is.
pub const VERSION: &str = "1.11.0";
/// How often a scheduler hears something.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// How many ended tasks and frameworks are remembered.
const REMEMBERED: usize = 200;

/// How the master behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub address: SocketAddr,
    /// How often free resources are offered.
    pub allocation_interval: Duration,
    /// After this an unanswered offer is rescinded; none: never.
    pub offer_timeout: Option<Duration>,
    /// How long an agent may be away before its tasks are unreachable.
    pub agent_timeout: Duration,
}

/// What happens to the master.
#[derive(Debug)]
pub enum Input {
    /// A scheduler's call.
    Call {
        /// To answer it.
        request: RequestId,
        /// The Mesos-Stream-Id that came with it.
        stream_id: Option<String>,
        /// The call.
        call: Box<scheduler::Call>,
    },
    /// An operator's call that changes something.
    Operate {
        /// To answer it.
        request: RequestId,
        /// The call.
        call: Box<api::Call>,
    },
    /// A scheduler's event stream has ended.
    Closed(RequestId),
    /// A message of the agent in that place.
    Agent(usize, ToMaster),
    /// The agent in that place does not answer any more.
    AgentLost(usize),
    /// Takes back all offers, as a fault.
    RescindAll,
    /// Time has passed.
    Tick,
}

/// What the master wants done.
#[derive(Debug)]
pub enum Effect {
    /// Answer a call.
    Answer(RequestId, Answer),
    /// Send an event.
    Event(RequestId, Box<scheduler::Event>),
    /// End an event stream.
    Close(RequestId),
    /// Tell the agent in that place.
    Agent(usize, ToAgent),
}

/// The master.
#[derive(Debug)]
pub struct Master {
    config: Config,
    id: String,
    started: Now,
    agents: BTreeMap<String, Agent>,
    /// Agents that a former life of the master knew and that are not back yet.
    awaited: BTreeMap<String, Standing>,
    frameworks: BTreeMap<String, Framework>,
    completed: VecDeque<Framework>,
    offers: BTreeMap<String, Offer>,
    numbers: Numbers,
    next_allocation: Instant,
    effects: Vec<Effect>,
}

/// Numbers given so far.
#[derive(Debug, Default)]
struct Numbers {
    agents: u64,
    frameworks: u64,
    offers: u64,
}

impl Master {
    /// A master that knows nothing, except which agents a former life of it had.
    pub fn new(config: Config, awaited: BTreeMap<String, Standing>, now: Now) -> Self {
        Self {
            config,
            id: Uuid::new_v4().to_string(),
            started: now,
            agents: BTreeMap::new(),
            awaited,
            frameworks: BTreeMap::new(),
            completed: VecDeque::new(),
            offers: BTreeMap::new(),
            numbers: Numbers::default(),
            next_allocation: now.instant,
            effects: Vec::new(),
        }
    }

    /// Handles one input.
    pub fn handle(&mut self, input: Input, now: Now) -> Vec<Effect> {
        match input {
            Input::Call { request, stream_id, call } => self.on_call(request, stream_id, *call, now),
            Input::Operate { request, call } => self.on_operator(request, *call, now),
            Input::Closed(stream) => self.on_closed(stream, now),
            Input::Agent(place, message) => self.on_agent(place, message, now),
            Input::AgentLost(place) => self.on_agent_lost(place, now),
            Input::RescindAll => {
                let ids: Vec<String> = self.offers.keys().cloned().collect();
                ids.iter().for_each(|id| self.rescind(id));
                self.next_allocation = now.instant + self.config.allocation_interval;
            }
            Input::Tick => {}
        }
        self.on_time(now);
        std::mem::take(&mut self.effects)
    }

    /// When [`Input::Tick`] is due at the latest.
    pub fn deadline(&self) -> Instant {
        let frameworks = self.frameworks.values().flat_map(Framework::deadlines);
        let agents =
            self.agents.values().filter_map(|agent| agent.lost_at.map(|at| at + self.config.agent_timeout));
        let offers = self.offers.values().filter_map(|offer| offer.expires);
        frameworks
            .chain(agents)
            .chain(offers)
            .chain([self.next_allocation])
            .min()
            .unwrap_or(self.next_allocation)
    }

    /// The ids of all agents that it would wait for after a restart, and what operators want of them.
    pub fn registry(&self) -> BTreeMap<String, Standing> {
        let known = self.agents.iter().map(|(id, agent)| (id, &agent.standing));
        known.chain(&self.awaited).map(|(id, standing)| (id.clone(), standing.clone())).collect()
    }

    /// How many agents are registered, connected, and not deactivated.
    pub fn active_agents(&self) -> usize {
        self.agents.values().filter(|agent| agent.is_active()).count()
    }

    /// How many agents are registered and connected.
    fn connected_agents(&self) -> usize {
        self.agents.values().filter(|agent| agent.is_connected()).count()
    }

    fn on_time(&mut self, now: Now) {
        self.heartbeats(now);
        self.expire_frameworks(now);
        self.expire_agents(now);
        self.expire_offers(now);
        if now.instant >= self.next_allocation {
            self.allocate(now);
        }
    }

    /// Sends an event to a framework, if it is connected.
    fn send(&mut self, framework_id: &str, event: scheduler::Event) {
        if let Some(stream) = self.frameworks.get(framework_id).and_then(|f| f.stream) {
            self.effects.push(Effect::Event(stream, Box::new(event)));
        }
    }

    fn send_update(&mut self, framework_id: &str, status: TaskStatus) {
        self.send(framework_id, event::update(status));
    }

    fn master_info(&self) -> MasterInfo {
        let ip = self.config.address.ip().to_string();
        let number = match self.config.address.ip() {
            std::net::IpAddr::V4(v4) => u32::from_le_bytes(v4.octets()),
            std::net::IpAddr::V6(_) => 0,
        };
        let capability = |kind: v1::master_info::capability::Type| v1::master_info::Capability {
            r#type: Some(kind as i32),
        };
        MasterInfo {
            id: self.id.clone(),
            ip: number,
            port: u32::from(self.config.address.port()),
            pid: Some(format!("master@{}", self.config.address)),
            hostname: Some(ip.clone()),
            version: Some(VERSION.into()),
            address: Some(v1::Address {
                hostname: Some(ip.clone()),
                ip: Some(ip),
                port: i32::from(self.config.address.port()),
            }),
            capabilities: vec![capability(v1::master_info::capability::Type::AgentUpdate)],
            ..Default::default()
        }
    }

    /// What of an agent is in use, by tasks and executors.
    fn allocated(&self, agent_id: &str) -> Bundle {
        let mut sum = Bundle::default();
        for framework in self.frameworks.values() {
            sum.add(&framework.allocated(Some(agent_id)));
        }
        sum
    }
}

/// A framework's roles.
fn roles(info: &FrameworkInfo) -> Vec<String> {
    if framework::has_capability(info, v1::framework_info::capability::Type::MultiRole) {
        info.roles.clone()
    } else {
        vec![info.role.clone().unwrap_or_else(|| "*".into())]
    }
}

/// Events by their parts.
mod event {
    use super::{TaskStatus, v1};
    use v1::scheduler::{Event, event, event::Type};

    fn of(kind: Type) -> Event {
        Event { r#type: Some(kind as i32), ..Default::default() }
    }

    pub fn heartbeat() -> Event {
        of(Type::Heartbeat)
    }

    pub fn subscribed(framework_id: &str, master_info: v1::MasterInfo) -> Event {
        let subscribed = event::Subscribed {
            framework_id: v1::FrameworkId { value: framework_id.to_owned() },
            heartbeat_interval_seconds: Some(super::HEARTBEAT.as_secs_f64()),
            master_info: Some(master_info),
        };
        Event { subscribed: Some(subscribed), ..of(Type::Subscribed) }
    }

    pub fn error(message: impl Into<String>) -> Event {
        Event { error: Some(event::Error { message: message.into() }), ..of(Type::Error) }
    }

    pub fn offers(offers: Vec<v1::Offer>) -> Event {
        Event { offers: Some(event::Offers { offers }), ..of(Type::Offers) }
    }

    pub fn rescind(offer_id: &str) -> Event {
        let offer_id = v1::OfferId { value: offer_id.to_owned() };
        Event { rescind: Some(event::Rescind { offer_id }), ..of(Type::Rescind) }
    }

    pub fn update(status: TaskStatus) -> Event {
        Event { update: Some(event::Update { status }), ..of(Type::Update) }
    }

    pub fn message(agent_id: &str, executor_id: String, data: Vec<u8>) -> Event {
        let message = event::Message {
            agent_id: v1::AgentId { value: agent_id.to_owned() },
            executor_id: v1::ExecutorId { value: executor_id },
            data,
        };
        Event { message: Some(message), ..of(Type::Message) }
    }

    pub fn failure(agent_id: &str, executor: Option<(String, i32)>) -> Event {
        let failure = event::Failure {
            agent_id: Some(v1::AgentId { value: agent_id.to_owned() }),
            status: executor.as_ref().map(|(_, status)| *status),
            executor_id: executor.map(|(value, _)| v1::ExecutorId { value }),
        };
        Event { failure: Some(failure), ..of(Type::Failure) }
    }
}
