//! The one task that owns master and agents: it feeds inputs to them and carries their effects out.

use super::Config;
use super::effects::Streams;
use super::routes;
use crate::agent::{self, Agent, Durable};
use crate::container;
use crate::http::wire::Wire;
use crate::http::{self, Reply};
use crate::link::{Now, RequestId};
use crate::master::{self, Master};
use mesos::v1::{executor, scheduler};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

/// Who answers a request or owns a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Party {
    Master,
    Agent(usize),
}

/// A request that waits for its answer.
pub(super) struct Pending {
    pub wire: Wire,
    pub reply: oneshot::Sender<Reply>,
}

/// What the core is told.
pub(super) enum Message {
    Scheduler { call: Box<scheduler::Call>, stream_id: Option<String>, pending: Pending },
    Executor { place: usize, call: Box<executor::Call>, pending: Pending },
    Closed(Party, RequestId),
    Container { place: usize, container: Uuid, event: container::Event },
    Look(Box<dyn FnOnce(&Core) + Send>),
    Fault(Fault),
    Stop(oneshot::Sender<()>),
}

/// A disturbance.
#[derive(Debug)]
pub(super) enum Fault {
    KillAgent(usize),
    StartAgent(usize),
    StopAgent(usize),
    KillMaster,
    StartMaster,
    RescindOffers,
    DuplicateUpdates(bool),
    KillExecutor(String),
    Revoke(usize),
}

/// An agent's place in the cluster.
pub(super) struct Place {
    pub address: SocketAddr,
    pub life: Life,
    /// Cuts its connections.
    pub server: CancellationToken,
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

/// Something for one of the state machines.
pub(super) enum Input {
    Master(master::Input),
    Agent(usize, agent::Input),
}

/// The core.
pub(super) struct Core {
    pub(super) config: Config,
    pub(super) sender: mpsc::WeakUnboundedSender<Message>,
    receiver: mpsc::UnboundedReceiver<Message>,
    pub(super) address: SocketAddr,
    pub(super) master: Option<Master>,
    pub(super) master_server: CancellationToken,
    /// Agents known to the dead master.
    pub(super) registry: BTreeSet<String>,
    /// When the agents notice a new master.
    pub(super) reconnect_at: Option<Instant>,
    pub(super) places: Vec<Place>,
    pub(super) streams: Streams,
    /// What kills them.
    pub(super) containers: HashMap<Uuid, CancellationToken>,
    pub(super) running: JoinSet<()>,
    pub(super) queue: VecDeque<Input>,
    stopping: Option<oneshot::Sender<()>>,
}

impl Core {
    pub fn new(
        config: Config,
        sender: mpsc::WeakUnboundedSender<Message>,
        receiver: mpsc::UnboundedReceiver<Message>,
        master: (TcpListener, SocketAddr),
        agents: Vec<(TcpListener, SocketAddr)>,
    ) -> Self {
        let mut core = Self {
            streams: Streams::new(sender.clone()),
            address: master.1,
            master: Some(Master::new(config.master(master.1), BTreeSet::new(), Now::read())),
            master_server: CancellationToken::new(),
            registry: BTreeSet::new(),
            reconnect_at: None,
            places: Vec::new(),
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
        self.master = None;
        for (index, (_, address)) in agents.into_iter().enumerate() {
            let agent = Agent::new(self.config.agent(index, &self.config.agents[index], address));
            let life = Life::Dead(Box::new(agent.empty_durable()));
            self.add_place(address, life);
        }
    }

    fn add_place(&mut self, address: SocketAddr, life: Life) {
        let folder = self.config.work_dir.join(format!("agent{}", self.places.len() + 1)).join("fetch");
        let cache = Arc::new(container::Cache::new(folder));
        self.places.push(Place {
            address,
            life,
            server: CancellationToken::new(),
            cache,
            missed: Vec::new(),
        });
    }

    /// Whether the agent in that place has left and ended all its executors.
    pub fn has_left(&self, place: usize) -> bool {
        self.places.get(place).is_none_or(|place| matches!(&place.life, Life::Left(agent) if agent.is_idle()))
    }

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

    pub(super) fn serve(&mut self, party: Party, listener: TcpListener) {
        let Some(sender) = self.sender.upgrade() else { return };
        let stop = match party {
            Party::Master => self.master_server.clone(),
            Party::Agent(place) => self.places[place].server.clone(),
        };
        let handler = routes::handler(party, sender.downgrade());
        self.running.spawn(http::serve(listener, handler, stop));
    }

    /// Runs until it is stopped and nothing is left, or until every handle is gone.
    pub async fn run(mut self) {
        self.settle();
        loop {
            let wake = tokio::time::Instant::from_std(self.deadline());
            tokio::select! {
                message = self.receiver.recv() => match message {
                    Some(message) => self.on_message(message).await,
                    None => return,
                },
                () = tokio::time::sleep_until(wake) => self.on_time(),
                // Collects what has ended; panics of a container task end up here, too.
                Some(ended) = self.running.join_next() => if let Err(error) = ended {
                    warn!(%error, "a task of the cluster failed");
                },
            }
            self.settle();
            if self.stopping.is_some() && self.containers.is_empty() {
                self.streams.clear();
                self.master_server.cancel();
                self.places.iter().for_each(|place| place.server.cancel());
                if let Some(done) = self.stopping.take() {
                    // Whoever asked may have lost patience.
                    let _ = done.send(());
                }
                return;
            }
        }
    }

    fn deadline(&self) -> Instant {
        let agents = (0..self.places.len()).filter_map(|place| self.agent(place)?.deadline());
        let master = self.master.as_ref().map(Master::deadline);
        let idle = Instant::now() + Duration::from_secs(60);
        agents.chain(master).chain(self.reconnect_at).min().unwrap_or(idle)
    }

    fn on_time(&mut self) {
        self.queue.push_back(Input::Master(master::Input::Tick));
        if self.reconnect_at.is_some_and(|at| at <= Instant::now()) {
            self.reconnect_at = None;
            self.all_agents(|| agent::Input::Reconnect);
        }
        self.all_agents(|| agent::Input::Tick);
    }

    pub(super) fn all_agents(&mut self, input: impl Fn() -> agent::Input) {
        for place in 0..self.places.len() {
            self.queue.push_back(Input::Agent(place, input()));
        }
    }

    async fn on_message(&mut self, message: Message) {
        match message {
            Message::Scheduler { call, stream_id, pending } => {
                if self.master.is_none() {
                    // The connection breaks, as with a dead process.
                    return;
                }
                let request = self.streams.open(Party::Master, pending);
                self.queue.push_back(Input::Master(master::Input::Call { request, stream_id, call }));
            }
            Message::Executor { place, call, pending } => {
                let request = self.streams.open(Party::Agent(place), pending);
                self.queue.push_back(Input::Agent(place, agent::Input::Call(request, call)));
            }
            Message::Closed(party, stream) => {
                self.streams.close(stream);
                self.queue.push_back(match party {
                    Party::Master => Input::Master(master::Input::Closed(stream)),
                    Party::Agent(place) => Input::Agent(place, agent::Input::Closed(stream)),
                });
            }
            Message::Container { place, container, event } => {
                let input = match event {
                    container::Event::Started(pid) => agent::Input::Started(container, pid),
                    container::Event::Failed(why) => agent::Input::Failed(container, why),
                    container::Event::Exited(status) => agent::Input::Exited(container, status),
                };
                if !matches!(input, agent::Input::Started(..)) {
                    self.containers.remove(&container);
                }
                self.queue.push_back(Input::Agent(place, input));
            }
            Message::Look(look) => look(self),
            Message::Fault(fault) => self.on_fault(fault).await,
            Message::Stop(done) => {
                self.stopping = Some(done);
                for place in 0..self.places.len() {
                    self.start_agent(place).await;
                }
                self.all_agents(|| agent::Input::Stop);
                self.kill_forgotten();
            }
        }
    }

    /// Kills containers of which no agent knows any more: nobody else would end them.
    fn kill_forgotten(&self) {
        let known =
            |id: Uuid| (0..self.places.len()).any(|i| self.agent(i).is_some_and(|a| a.has_container(id)));
        self.containers.iter().filter(|(id, _)| !known(**id)).for_each(|(_, kill)| kill.cancel());
    }

    /// Carries inputs and effects out until nothing is left to do.
    fn settle(&mut self) {
        while let Some(input) = self.queue.pop_front() {
            let now = Now::read();
            match input {
                Input::Master(input) => {
                    let Some(master) = &mut self.master else { continue };
                    for effect in master.handle(input, now) {
                        self.on_master_effect(effect);
                    }
                }
                Input::Agent(place, input) => self.on_agent_input(place, input, now),
            }
        }
    }

    fn on_agent_input(&mut self, index: usize, input: agent::Input, now: Now) {
        let Some(place) = self.places.get_mut(index) else { return };
        let left = matches!(place.life, Life::Left(_));
        let effects = match &mut place.life {
            Life::Alive(agent) | Life::Left(agent) => agent.handle(input, now),
            Life::Dead(_) => {
                let of_container = matches!(
                    input,
                    agent::Input::Started(..) | agent::Input::Failed(..) | agent::Input::Exited(..)
                );
                if of_container {
                    place.missed.push(input);
                }
                return;
            }
        };
        effects.into_iter().for_each(|effect| self.on_agent_effect(index, effect, left));
    }
}
