//! The async task that owns master and agents: it passes them events, and carries out their effects.

use super::message::{Member, MemberEvent, Members, Message};
use super::streams::Streams;
use crate::agent::{self, Agent, ContainerEvent, ContainerSpec};
use crate::container::{self, FetchCache};
use crate::master::{self, Master};
use crate::messages::Now;
use mesos::v1::{executor, scheduler};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

/// The owner of master and agents. It does all their input and output.
pub(super) struct Core {
    members: Members,
    /// The caches of fetched files, one for each agent, in the order of the agents' indexes.
    caches: Vec<Arc<FetchCache>>,
    streams: Streams,
    /// The running containers. Cancelling a token kills its container.
    containers: HashMap<Uuid, CancellationToken>,
    /// One asynchronous task for each running container.
    running: JoinSet<()>,
    queue: VecDeque<MemberEvent>,
    sender: mpsc::WeakUnboundedSender<Message>,
    receiver: mpsc::UnboundedReceiver<Message>,
    stopping: Option<oneshot::Sender<()>>,
}

impl Core {
    pub fn new(
        master: master::Config,
        agents: Vec<agent::Config>,
        sender: mpsc::WeakUnboundedSender<Message>,
        receiver: mpsc::UnboundedReceiver<Message>,
    ) -> Self {
        let cache = |config: &agent::Config| Arc::new(FetchCache::new(config.work_dir.join("fetch")));
        let infos = agents.iter().map(agent::Config::info).collect();
        Self {
            caches: agents.iter().map(cache).collect(),
            members: Members {
                master: Master::new(master, infos, Now::read()),
                agents: agents.into_iter().map(Agent::new).collect(),
            },
            streams: Streams::new(sender.clone()),
            containers: HashMap::new(),
            running: JoinSet::new(),
            queue: VecDeque::new(),
            sender,
            receiver,
            stopping: None,
        }
    }

    /// Runs until the core is stopped and all containers have ended, or until every handle is dropped.
    pub async fn run(mut self) {
        loop {
            let wake = tokio::time::Instant::from_std(self.next_deadline());
            tokio::select! {
                message = self.receiver.recv() => match message {
                    Some(message) => self.on_message(message),
                    None => return,
                },
                () = tokio::time::sleep_until(wake) => {
                    self.queue.push_back(MemberEvent::Master(master::Event::Tick));
                    self.queue_for_all_agents(|| agent::Event::Tick);
                }
                Some(ended) = self.running.join_next() => if let Err(error) = ended {
                    warn!(%error, "internal error: a container's async task panicked");
                },
            }
            self.settle();
            if self.containers.is_empty()
                && let Some(done) = self.stopping.take()
            {
                // The cluster's owner may have stopped waiting.
                let _ = done.send(());
                return;
            }
        }
    }

    fn next_deadline(&self) -> Instant {
        let agents = self.members.agents.iter().filter_map(Agent::next_deadline);
        let at_the_latest = Instant::now() + Duration::from_secs(60);
        agents.chain(self.members.master.next_deadline()).fold(at_the_latest, Instant::min)
    }

    fn queue_for_all_agents(&mut self, event: impl Fn() -> agent::Event) {
        let all = 0..self.members.agents.len();
        self.queue.extend(all.map(|index| MemberEvent::Agent(index, event())));
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::SchedulerCall { call, stream_id, pending } => {
                let request = self.streams.open(Member::Master, pending);
                let event = master::Event::Call { request, stream_id, call };
                self.queue.push_back(MemberEvent::Master(event));
            }
            Message::ExecutorCall { agent, call, pending } => {
                let request = self.streams.open(Member::Agent(agent), pending);
                self.queue.push_back(MemberEvent::Agent(agent, agent::Event::Call(request, call)));
            }
            Message::Closed(member, stream) => {
                self.streams.close(stream);
                self.queue.push_back(match member {
                    Member::Master => MemberEvent::Master(master::Event::Closed(stream)),
                    Member::Agent(agent) => MemberEvent::Agent(agent, agent::Event::Closed(stream)),
                });
            }
            Message::Container { agent, id, event } => {
                if !matches!(event, ContainerEvent::Started(_)) {
                    self.containers.remove(&id);
                }
                self.queue.push_back(MemberEvent::Agent(agent, agent::Event::Container(id, event)));
            }
            Message::Inspect(inspect) => inspect(&self.members),
            Message::Fault(event) => self.queue.push_back(event),
            Message::Stop { at_once, done } => {
                self.stopping = Some(done);
                self.queue_for_all_agents(|| agent::Event::Stop);
                if at_once {
                    self.containers.values().for_each(CancellationToken::cancel);
                }
            }
        }
    }

    /// Passes the queued events to the master and the agents, and carries out the effects, until no event is left.
    fn settle(&mut self) {
        while let Some(event) = self.queue.pop_front() {
            let now = Now::read();
            match event {
                MemberEvent::Master(event) => {
                    let effects = self.members.master.on_event(event, now);
                    effects.into_iter().for_each(|effect| self.on_master_effect(effect));
                }
                MemberEvent::Agent(index, event) => {
                    let Some(agent) = self.members.agents.get_mut(index) else { continue };
                    let effects = agent.on_event(event, now);
                    effects.into_iter().for_each(|effect| self.on_agent_effect(index, effect));
                }
            }
        }
    }

    fn on_master_effect(&mut self, effect: master::Effect) {
        match effect {
            master::Effect::Answer(request, answer) => self.streams.answer(request, answer),
            master::Effect::Send(stream, event) => {
                self.streams.send(stream, &scheduler::Event::from(event));
            }
            master::Effect::Close(stream) => self.streams.close(stream),
            master::Effect::Agent(index, message) => {
                self.queue.push_back(MemberEvent::Agent(index, agent::Event::Master(message)));
            }
        }
    }

    fn on_agent_effect(&mut self, index: usize, effect: agent::Effect) {
        match effect {
            agent::Effect::Master(message) => {
                self.queue.push_back(MemberEvent::Master(master::Event::Agent(index, message)));
            }
            agent::Effect::Answer(request, answer) => self.streams.answer(request, answer),
            agent::Effect::Send(stream, event) => {
                self.streams.send(stream, &executor::Event::from(event));
            }
            agent::Effect::Close(stream) => self.streams.close(stream),
            agent::Effect::Start(spec) => self.start(index, *spec),
            agent::Effect::Kill(id) => {
                if let Some(kill) = self.containers.get(&id) {
                    kill.cancel();
                }
            }
        }
    }

    fn start(&mut self, agent: usize, spec: ContainerSpec) {
        let (kill, id, sender) = (CancellationToken::new(), spec.id, self.sender.clone());
        self.containers.insert(id, kill.clone());
        let report = move |event| {
            if let Some(sender) = sender.upgrade() {
                // The send fails if the cluster has ended.
                let _ = sender.send(Message::Container { agent, id, event });
            }
        };
        self.running.spawn(container::run(spec, self.caches[agent].clone(), kill, report));
    }
}
