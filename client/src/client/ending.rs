//! The end of a client: no share goes without an answer.

use tokio::time::{Instant, timeout_at};

use super::{Client, Main};
use crate::event::{Answer, Event};

impl Client {
    /// The next event, if one comes before the deadline and the client goes on for so long: for those who wait for the last
    /// answers.
    pub async fn next_until(&mut self, deadline: Instant) -> Option<Event> {
        // The clock is asked, too: where something is always to be read, a timeout never comes to its turn.
        if Instant::now() >= deadline {
            return None;
        }
        timeout_at(deadline, self.next()).await.ok()?.ok()
    }

    /// Ends all connections. What was waiting for an answer is answered now; answers that nobody has fetched from
    /// [`Client::next`] are among them.
    pub fn close(mut self) -> Vec<Answer> {
        self.settle_limbo();
        self.settle_old();
        if let Main::Line(line) = &mut self.main {
            let left = line.pending.take();
            self.give_up(left);
        }
        let answers = self.events.into_iter().filter_map(|event| match event {
            Event::Answer(answer) => Some(answer),
            _ => None,
        });
        answers.collect()
    }
}
