//! Disturbances: deaths and returns of master and agents.

use super::core::{Core, Input};
use super::message::{Fault, Party};
use super::parts::Life;
use crate::agent::{self, Agent};
use crate::http::server::Server;
use crate::link::{Now, ToMaster};
use crate::master::{self, Master};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tracing::{info, warn};

impl Core {
    pub(super) async fn on_fault(&mut self, fault: Fault) {
        info!(?fault, "a fault, as asked");
        match fault {
            Fault::KillAgent(place) => self.kill_agent(place).await,
            Fault::StartAgent(place) => self.start_agent(place).await,
            Fault::StopAgent(place) => self.stop_agent(place),
            Fault::KillMaster => self.kill_master().await,
            Fault::StartMaster => self.start_master().await,
            Fault::RescindOffers => self.queue.push_back(Input::Master(master::Input::RescindAll)),
            Fault::DuplicateUpdates(on) => self.streams.duplicate_updates = on,
            Fault::Revoke(place) => self.queue.push_back(Input::Agent(place, agent::Input::Revoke)),
            Fault::KillExecutor(id) => {
                let doomed = self.parts.agents().flat_map(|agent| agent.containers_of(&id));
                doomed.for_each(|container| self.kill(&container));
            }
        }
    }

    async fn kill_agent(&mut self, index: usize) {
        let Some(place) = self.parts.places.get_mut(index) else { return };
        let Life::Alive(agent) = &mut place.life else { return };
        let durable = agent.take_durable();
        place.life = Life::Dead(Box::new(durable));
        stop(&mut place.server).await;
        self.streams.forget(Party::Agent(index));
        self.queue.push_back(Input::Master(master::Input::AgentLost(index)));
    }

    /// Starts the agent's next life if it is dead or has left.
    pub(super) async fn start_agent(&mut self, index: usize) {
        let Some(place) = self.parts.places.get_mut(index) else { return };
        let durable = match &mut place.life {
            Life::Alive(_) => return,
            Life::Dead(durable) => durable.take(),
            Life::Left(agent) if agent.is_idle() => agent.take_durable(),
            // Its executors are still ending; once they have, it may come back.
            Life::Left(_) => return,
        };
        let address = place.address;
        // One that has left still answered.
        stop(&mut place.server).await;
        place.life = Life::Alive(Box::new(Agent::recover(durable, Now::read())));
        let missed = std::mem::take(&mut place.missed);
        self.queue.extend(missed.into_iter().map(|input| Input::Agent(index, input)));
        self.queue.push_back(Input::Agent(index, agent::Input::Reconnect));
        if let Some(listener) = bind_again(address).await {
            self.serve(Party::Agent(index), listener);
        }
    }

    fn stop_agent(&mut self, index: usize) {
        let Some(place) = self.parts.places.get_mut(index) else { return };
        let Life::Alive(agent) = &place.life else { return };
        let empty = Box::new(agent.empty_durable());
        if let Life::Alive(agent) = std::mem::replace(&mut place.life, Life::Dead(empty)) {
            place.life = Life::Left(agent);
        }
        self.queue.push_back(Input::Master(master::Input::Agent(index, ToMaster::Unregister)));
        self.queue.push_back(Input::Agent(index, agent::Input::Stop));
    }

    async fn kill_master(&mut self) {
        let Some(master) = self.parts.master.take() else { return };
        self.registry = master.registry();
        stop(&mut self.master_server).await;
        self.streams.forget(Party::Master);
    }

    async fn start_master(&mut self) {
        if self.parts.master.is_some() {
            return;
        }
        let config = self.config.master(self.address);
        let awaited = std::mem::take(&mut self.registry);
        self.parts.master = Some(Master::new(config, awaited, Now::read()));
        self.reconnect_at = Some(Instant::now() + self.config.agent_timeout);
        if let Some(listener) = bind_again(self.address).await {
            self.serve(Party::Master, listener);
        }
    }
}

/// Connections are refused from then on, before anybody sees a stream end.
async fn stop(server: &mut Option<Server>) {
    if let Some(server) = server.take() {
        server.stop().await;
    }
}

/// Binds an address that was just given up; its last owner may need a moment to let go.
async fn bind_again(address: SocketAddr) -> Option<TcpListener> {
    let mut failure = None;
    for _ in 0..200 {
        match TcpListener::bind(address).await {
            Ok(listener) => return Some(listener),
            Err(error) => failure = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    warn!(%address, ?failure, "cannot listen again");
    None
}
