//! Logs the events of the upstream pools' client.

use client::Event;
use logging::{Repeats, error_chain};
use stratum::PoolUrl;
use text::InWords;
use tokio::time::Instant;

/// What is yet to be logged, or not again.
#[derive(Default)]
pub struct EventLog {
    repeats: Repeats,
    /// The pool that has authorized us, but has given no work that can be used yet.
    authorized_by: Option<PoolUrl>,
}

impl EventLog {
    /// Logs an event. A loss that is repeated is logged once a minute, until there is a job again.
    pub fn log(&mut self, event: &Event) {
        match event {
            Event::Authorized { pool, .. } => {
                tracing::debug!(%pool, "authorized");
                self.authorized_by = Some(pool.clone());
            }
            Event::Lost { error, retry_in, .. } => {
                self.authorized_by = None;
                let error = error_chain(error);
                if self.repeats.print(&error, Instant::now().into_std()).is_some() {
                    let retry_in = InWords(*retry_in);
                    tracing::warn!(error, %retry_in, "not connected to an upstream pool");
                }
            }
            Event::Waiting { pool, awaited } => {
                tracing::warn!(%pool, %awaited, "the upstream pool is silent");
            }
            Event::Unfit { error } => {
                tracing::warn!(error = error_chain(error), "the upstream pool is of no use");
            }
            Event::Message(text) => tracing::info!(text, "message from the upstream pool"),
            event => {
                if matches!(event, Event::Job { .. }) {
                    self.repeats.clear();
                    if let Some(pool) = self.authorized_by.take() {
                        tracing::info!(%pool, "mining for");
                    }
                }
                tracing::debug!(?event, "upstream");
            }
        }
    }
}
