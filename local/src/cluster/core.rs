//! The one task that owns master and agents, and what it can do with sockets and containers. What it does with what it
//! is told is in [`effects`](super::effects), [`faults`](super::faults) and [`run`](super::run).

use super::config::ClusterConfig;
use super::message::{Message, Party};
use super::parts::{Life, Parts, Place};
use super::routes;
use super::streams::Streams;
use crate::agent::{self, Agent};
use crate::container;
use crate::http::server::Server;
use crate::link::Now;
use crate::master::{self, Master};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Something for one of the state machines.
pub(super) enum Input {
    Master(master::Input),
    Agent(usize, agent::Input),
}

/// The core.
pub(super) struct Core {
    pub config: ClusterConfig,
    pub sender: mpsc::WeakUnboundedSender<Message>,
    pub receiver: mpsc::UnboundedReceiver<Message>,
    pub address: SocketAddr,
    /// What answers at its address while it lives.
    pub master_server: Option<Server>,
    /// Agents known to the dead master.
    pub registry: BTreeMap<String, master::Standing>,
    /// When the agents notice a new master.
    pub reconnect_at: Option<Instant>,
    pub parts: Parts,
    pub streams: Streams,
    /// What kills them.
    pub containers: HashMap<Uuid, CancellationToken>,
    pub running: JoinSet<()>,
    pub queue: VecDeque<Input>,
    pub stopping: Option<oneshot::Sender<()>>,
}

impl Core {
    pub fn new(
        config: ClusterConfig,
        sender: mpsc::WeakUnboundedSender<Message>,
        receiver: mpsc::UnboundedReceiver<Message>,
        master: (TcpListener, SocketAddr),
        agents: Vec<(TcpListener, SocketAddr)>,
    ) -> Self {
        let mut core = Self {
            streams: Streams::new(sender.clone()),
            address: master.1,
            parts: Parts::default(),
            master_server: None,
            registry: BTreeMap::new(),
            reconnect_at: None,
            containers: HashMap::new(),
            running: JoinSet::new(),
            queue: VecDeque::new(),
            stopping: None,
            config,
            sender,
            receiver,
        };
        if core.config.dormant {
            core.sleep_at_first(agents);
            return core;
        }
        core.parts.master = Some(Master::new(core.config.master(core.address), BTreeMap::new(), Now::read()));
        core.serve(Party::Master, master.0);
        for (index, (listener, address)) in agents.into_iter().enumerate() {
            let size = &core.config.agents[index];
            let agent = Agent::new(core.config.agent(index, size, address));
            let life = Life::Alive(Box::new(agent));
            core.add_place(address, life);
            core.serve(Party::Agent(index), listener);
            core.queue.push_back(Input::Agent(index, agent::Input::Reconnect));
        }
        core
    }

    /// Nobody lives yet; the listeners go, so that connections are refused.
    fn sleep_at_first(&mut self, agents: Vec<(TcpListener, SocketAddr)>) {
        for (index, (_, address)) in agents.into_iter().enumerate() {
            let agent = Agent::new(self.config.agent(index, &self.config.agents[index], address));
            let life = Life::Dead(Box::new(agent.empty_durable()));
            self.add_place(address, life);
        }
    }

    fn add_place(&mut self, address: SocketAddr, life: Life) {
        let folder = self.config.work_dir.join(format!("agent{}", self.parts.places.len() + 1)).join("fetch");
        let cache = Arc::new(container::Cache::new(folder));
        self.parts.places.push(Place { address, life, server: None, cache, missed: Vec::new() });
    }

    /// Answers the requests to a party from now on.
    pub fn serve(&mut self, party: Party, listener: TcpListener) {
        let Some(sender) = self.sender.upgrade() else { return };
        let server = Server::start(listener, routes::handler(party, sender.downgrade()));
        match party {
            Party::Master => self.master_server = Some(server),
            Party::Agent(place) => self.parts.places[place].server = Some(server),
        }
    }

    /// Tells all agents the same.
    pub fn all_agents(&mut self, input: impl Fn() -> agent::Input) {
        for place in 0..self.parts.places.len() {
            self.queue.push_back(Input::Agent(place, input()));
        }
    }

    /// Kills a container, if it is there.
    pub fn kill(&self, container: &Uuid) {
        if let Some(kill) = self.containers.get(container) {
            kill.cancel();
        }
    }
}
