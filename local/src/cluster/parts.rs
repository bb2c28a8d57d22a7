//! Master and agents, dead or alive.

use crate::agent::{self, Agent, Durable};
use crate::container;
use crate::http::server::Server;
use crate::master::Master;
use std::net::SocketAddr;
use std::sync::Arc;

/// All of them.
#[derive(Default)]
pub(super) struct Parts {
    /// None while it is dead.
    pub master: Option<Master>,
    pub places: Vec<Place>,
}

/// An agent's place in the cluster.
pub(super) struct Place {
    pub address: SocketAddr,
    pub life: Life,
    /// What answers at its address while it lives.
    pub server: Option<Server>,
    /// Files that its executors share.
    pub cache: Arc<container::Cache>,
    /// What happened to containers while the agent was dead.
    pub missed: Vec<agent::Input>,
}

/// How an agent is.
pub(super) enum Life {
    Alive(Box<Agent>),
    Dead(Box<Durable>),
    /// Left for good; ends when its executors have.
    Left(Box<Agent>),
}

impl Parts {
    /// The master, unless it is dead.
    pub fn master(&self) -> Option<&Master> {
        self.master.as_ref()
    }

    /// The agent in that place, unless it is dead.
    pub fn agent(&self, place: usize) -> Option<&Agent> {
        match &self.places.get(place)?.life {
            Life::Alive(agent) | Life::Left(agent) => Some(agent),
            Life::Dead(_) => None,
        }
    }

    /// All agents that are not dead.
    pub fn agents(&self) -> impl Iterator<Item = &Agent> {
        (0..self.places.len()).filter_map(|place| self.agent(place))
    }

    /// Whether the agent in that place has left and ended all its executors.
    pub fn has_left(&self, place: usize) -> bool {
        self.places.get(place).is_none_or(|place| matches!(&place.life, Life::Left(agent) if agent.is_idle()))
    }
}
