//! Questions to the master's operator API, apart from the event stream and its calls.

use mesos::address::Endpoint;
use tokio::sync::mpsc;

use crate::cluster_view::{Question, inquiry};
use crate::event::Event;

/// Asks the master that the scheduler is subscribed to, and sends its answers as events.
pub(crate) struct Inquiry {
    events: mpsc::UnboundedSender<Event>,
    /// The master of the last subscription; `None` before the first one.
    pub master: Option<Endpoint>,
}

impl Inquiry {
    /// `events` receives the answers.
    pub fn new(events: mpsc::UnboundedSender<Event>) -> Self {
        Self { events, master: None }
    }

    /// Asks in the background. The state machine asks so rarely that the last question has been answered by then.
    pub fn ask(&self, config: mesos::Config, question: Question) {
        let (events, master) = (self.events.clone(), self.master.clone());
        tokio::spawn(async move {
            let view = match master {
                Some(master) => inquiry::ask(&config, &master, question).await,
                None => None,
            };
            // The receiver is gone only when the run has ended.
            let _ = events.send(Event::ClusterViewed(view));
        });
    }
}
