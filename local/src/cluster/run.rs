//! The core's loop: what it is told, and what the time brings.

use super::core::{Core, Input};
use super::message::{Message, Party, Pending};
use crate::agent::{self, Agent};
use crate::container;
use crate::link::RequestId;
use crate::master::{self, Master};
use std::time::{Duration, Instant};
use tracing::warn;

impl Core {
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
                self.master_server = None;
                self.parts.places.iter_mut().for_each(|place| place.server = None);
                if let Some(done) = self.stopping.take() {
                    // Whoever asked may have lost patience.
                    let _ = done.send(());
                }
                return;
            }
        }
    }

    fn deadline(&self) -> Instant {
        let agents = self.parts.agents().filter_map(Agent::deadline);
        let master = self.parts.master().map(Master::deadline);
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

    async fn on_message(&mut self, message: Message) {
        match message {
            Message::Scheduler { call, stream_id, pending } => {
                let Some(request) = self.open_at_master(pending) else { return };
                self.queue.push_back(Input::Master(master::Input::Call { request, stream_id, call }));
            }
            Message::Operator { call, pending } => {
                let Some(request) = self.open_at_master(pending) else { return };
                self.queue.push_back(Input::Master(master::Input::Operate { request, call }));
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
            Message::Look(look) => look(&self.parts),
            Message::Fault(fault) => self.on_fault(fault).await,
            Message::Stop { at_once, done } => {
                self.stopping = Some(done);
                self.stop(at_once).await;
            }
        }
    }

    /// None if it is dead: the connection breaks.
    fn open_at_master(&mut self, pending: Pending) -> Option<RequestId> {
        self.parts.master().is_some().then(|| self.streams.open(Party::Master, pending))
    }

    async fn stop(&mut self, at_once: bool) {
        for place in 0..self.parts.places.len() {
            self.start_agent(place).await;
        }
        self.all_agents(|| agent::Input::Stop);
        if at_once {
            self.containers.values().for_each(|kill| kill.cancel());
        } else {
            self.kill_forgotten();
        }
    }

    /// Kills containers of which no agent knows any more: nobody else would end them.
    fn kill_forgotten(&self) {
        let known = |id| self.parts.agents().any(|agent| agent.has_container(id));
        self.containers.iter().filter(|(id, _)| !known(**id)).for_each(|(_, kill)| kill.cancel());
    }
}
