//! The framework's decisions: `on_event(event, now) -> effects`. Pure: no clock, no disk, no socket.
//!
//! ```text
//! Event ─▶ fleet, history ─▶ Happening ─▶ policies ─▶ Intent ─▶ fleet, Effect
//!                               ▲                        │
//!                               └────────────────────────┘
//! ```
//!
//! Rules that hold whatever happens:
//! - an update is acknowledged only when its record is on disk, and it changes nothing before that;
//! - a task is launched only when its launch is written down;
//! - there are no more servers than wanted; workers are launched only while theirs runs, and killed when it is gone,
//!   unless they are to be sent to the next one;
//! - a task that should not be there is killed, again and again until Mesos says that it ended.

mod carry_out;
mod outbox;
mod overview;
#[cfg(test)]
pub(crate) mod tests;
mod transition;
mod updates;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use command_line::Summary;

pub use self::overview::{MAX_PAGE, Overview, TaskLine, TaskPage, UnusedReasons};

use self::outbox::Outbox;
use self::transition::Transition;
use crate::event::{Effect, Event};
use crate::fleet::{Fleet, Task};
use crate::history::History;
use crate::journal::{Change, Recovered};
use crate::policy::{Happening, Policy, View, policies};
use crate::session::Session;
use crate::settings::Settings;

/// Rules that have something to do when all is done are asked again. So often at most, lest a rule that never has enough
/// stops the framework.
const ROUNDS: usize = 100;

/// The framework.
#[derive(Debug)]
pub struct State {
    settings: Settings,
    session: Session,
    fleet: Fleet,
    history: History,
    policies: Vec<Box<dyn Policy>>,
    outbox: Outbox,
}

impl State {
    /// Goes on where an earlier run of the scheduler stopped; `age` is how long ago the framework began.
    pub fn new(settings: Settings, mut recovered: Recovered, age: Duration, now: Instant) -> Self {
        let tasks = std::mem::take(&mut recovered.tasks);
        let mut state = Self {
            session: Session::new(now),
            fleet: Fleet::new(&settings.placement.workers),
            history: History::new(recovered, age, now),
            policies: policies(&settings),
            outbox: Outbox::default(),
            settings,
        };
        tasks.into_iter().for_each(|record| state.fleet.insert(Task::found(record, now)));
        let mut transition = state.transition(now);
        transition.take_up_earlier_run();
        let happenings = transition.happenings;
        state.deal_with(happenings, now);
        state
    }

    /// The id to subscribe with.
    pub fn framework(&self) -> Option<&str> {
        self.history.framework.as_deref()
    }

    /// Takes in what has happened; the effects must be carried out in order.
    pub fn on_event(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        let mut transition = self.transition(now);
        transition.on_event(event);
        let happenings = transition.happenings;
        self.deal_with(happenings, now);
        let settled = (0..ROUNDS).any(|_| !self.deal_with([Happening::Settled].into(), now));
        debug_assert!(settled, "a rule wants something again and again");
        self.outbox.take()
    }

    /// The figures of this moment.
    pub fn overview(&self, now: Instant) -> Overview {
        overview::overview(&self.session, &self.fleet, &self.history, now)
    }

    /// At most `limit` tasks, and at most [`MAX_PAGE`], that were launched after a task. That one may be gone: the number
    /// in its id says where to go on.
    pub fn tasks(&self, after: Option<&str>, limit: usize, now: Instant) -> TaskPage {
        overview::tasks(&self.fleet, &self.history.ledger, after, limit, now)
    }

    /// The figures of the framework so far.
    pub fn summary(&self, now: Instant) -> Summary {
        overview::summary(&self.fleet, &self.history, now)
    }

    /// How many tasks there are that may still be running.
    pub fn live_tasks(&self) -> usize {
        self.fleet.count_live()
    }

    /// How many launches are being written down.
    pub fn unsent_launches(&self) -> usize {
        self.fleet.count_unsent()
    }

    /// The master has taken the TEARDOWN, which kills what did not end before. Returns what is to be written down.
    pub fn torn_down(&mut self, now: Instant) -> Vec<Change> {
        self.transition(now).torn_down()
    }

    /// Asks the rules about happenings, and carries out what they want; whether they wanted anything.
    fn deal_with(&mut self, mut happenings: VecDeque<Happening>, now: Instant) -> bool {
        let mut any = false;
        while let Some(happening) = happenings.pop_front() {
            for rule in 0..self.policies.len() {
                let view = View {
                    settings: &self.settings,
                    session: &self.session,
                    fleet: &self.fleet,
                    history: &self.history,
                    unwritten: self.outbox.count_unwritten(),
                };
                let intents = self.policies[rule].on(&view, &happening, now);
                any |= !intents.is_empty();
                let mut transition = self.transition(now);
                intents.into_iter().for_each(|intent| transition.carry_out(intent));
                happenings.append(&mut transition.happenings);
            }
        }
        any
    }

    fn transition(&mut self, now: Instant) -> Transition<'_> {
        Transition {
            settings: &self.settings,
            session: &mut self.session,
            fleet: &mut self.fleet,
            history: &mut self.history,
            outbox: &mut self.outbox,
            happenings: VecDeque::new(),
            now,
        }
    }
}
