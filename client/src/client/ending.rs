//! The end of a client: no share goes without an answer.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::{Client, Main};
use crate::event::{Answer, Event};

impl Client {
    /// Sends what is still to be sent and waits so long at most for the answers, then [closes](Client::close). A pool
    /// that is out of reach is not waited for.
    pub async fn finish(mut self, within: Duration) -> Vec<Answer> {
        let deadline = Instant::now() + within;
        let mut answers = Vec::new();
        // The clock is asked, too: where something is always to be read, a timeout never comes to its turn.
        while self.is_connected() && self.outstanding() > 0 && Instant::now() < deadline {
            match timeout_at(deadline, self.next()).await {
                Ok(Ok(Event::Answer(answer))) => answers.push(answer),
                Ok(Ok(event)) => debug!(?event, "while waiting for the last answers"),
                Ok(Err(_)) | Err(_) => break,
            }
        }
        answers.extend(self.close());
        answers
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
