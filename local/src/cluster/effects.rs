//! Feeds inputs to master and agents, and carries out what they want: answers, events, processes.

use super::core::{Core, Input};
use super::message::Message;
use super::parts::Life;
use crate::agent::{self, Effect as AgentEffect, Start};
use crate::container;
use crate::link::{Now, ToMaster};
use crate::master::{self, Effect as MasterEffect};
use mesos::v1::scheduler;
use tokio_util::sync::CancellationToken;

impl Core {
    /// Carries inputs and effects out until nothing is left to do.
    pub(super) fn settle(&mut self) {
        while let Some(input) = self.queue.pop_front() {
            let now = Now::read();
            match input {
                Input::Master(input) => {
                    let Some(master) = &mut self.parts.master else { continue };
                    for effect in master.handle(input, now) {
                        self.on_master_effect(effect);
                    }
                }
                Input::Agent(place, input) => self.on_agent_input(place, input, now),
            }
        }
    }

    fn on_agent_input(&mut self, index: usize, input: agent::Input, now: Now) {
        let Some(place) = self.parts.places.get_mut(index) else { return };
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

    fn on_master_effect(&mut self, effect: MasterEffect) {
        match effect {
            MasterEffect::Answer(request, answer) => self.streams.answer(request, answer),
            MasterEffect::Event(stream, event) => {
                self.streams.send(stream, &*event);
                let update = event.r#type() == scheduler::event::Type::Update;
                if update && self.streams.duplicate_updates {
                    self.streams.send(stream, &*event);
                }
            }
            MasterEffect::Close(stream) => self.streams.close(stream),
            MasterEffect::Agent(place, message) => {
                self.queue.push_back(Input::Agent(place, agent::Input::Master(message)));
            }
        }
    }

    /// An agent that has left only ends its executors: the master does not hear of it.
    fn on_agent_effect(&mut self, place: usize, effect: AgentEffect, left: bool) {
        match effect {
            AgentEffect::Master(message) => {
                if !left || matches!(message, ToMaster::Unregister) {
                    self.queue.push_back(Input::Master(master::Input::Agent(place, message)));
                }
            }
            AgentEffect::Answer(request, answer) => self.streams.answer(request, answer),
            AgentEffect::Event(stream, event) => self.streams.send(stream, &*event),
            AgentEffect::Close(stream) => self.streams.close(stream),
            AgentEffect::Start(start) => self.start(place, *start),
            AgentEffect::Kill(container) => self.kill(&container),
        }
    }

    fn start(&mut self, place: usize, start: Start) {
        let Some(cache) = self.parts.places.get(place).map(|place| place.cache.clone()) else { return };
        let kill = CancellationToken::new();
        let container = start.container;
        self.containers.insert(container, kill.clone());
        let sender = self.sender.clone();
        let report = move |event: container::Event| {
            if let Some(sender) = sender.upgrade() {
                // Without a core nobody needs to know.
                let _ = sender.send(Message::Container { place, container, event });
            }
        };
        self.running.spawn(container::run(start, cache, kill, report));
    }
}
