//! Work from an upstream pool, and the shares that it wants to it.
//!
//! One connection for all miners; the [`client`] keeps it, and says what becomes of each share.

mod in_flight;
mod state;

use std::sync::Arc;
use std::time::Duration;

use client::{Answer, Client, ClientError, Config, Event, Pool};
use command_line::dial_options;
use net::Dialer;
use net::tls::TlsError;
use stratum::{PoolUrl, PoolUrlError};
use task::UpstreamSpec;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::in_flight::InFlightShares;
use self::state::{Effect, UpstreamWorkState};
use crate::job::TooSmall;
use crate::share::{ForwardRequest, Reply};
use crate::shared::PoolState;

/// Shares on their way from the connections to here.
const FORWARD_QUEUE: usize = 256;
/// Shares without an answer; beyond these none is sent. There is about one per share interval of the upstream pool and
/// its round trip.
const MAX_OPEN: usize = 4_096;
/// Time at the pool's end for the upstream pool to answer the last shares.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Upstream pools that can't be mined for as wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// A pool's address cannot be used.
    #[error(transparent)]
    Url(#[from] PoolUrlError),
    /// There is no pool to turn to any more.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There are no certificates to trust.
    #[error("can't speak to a stratum+ssl pool")]
    Tls(#[from] TlsError),
    /// What a pool leaves to us is too little to be shared out.
    #[error("the upstream pool can't be shared out among workers")]
    TooSmall(#[from] TooSmall),
}

/// Upstream pools, of which one has given a first job.
pub struct UpstreamSource {
    client: Client,
    relay: UpstreamWorkState,
    sender: mpsc::Sender<ForwardRequest>,
    shares: mpsc::Receiver<ForwardRequest>,
}

impl std::fmt::Debug for UpstreamSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamSource").field("relay", &self.relay).finish_non_exhaustive()
    }
}

impl UpstreamSource {
    /// Waits for a first job, for ever, and says in the log what it waits for.
    ///
    /// # Errors
    /// If waiting won't help: see [`UpstreamError`].
    pub async fn connect(spec: UpstreamSpec) -> Result<UpstreamSource, UpstreamError> {
        let UpstreamSpec { pools, user, password, access } = spec;
        let pool = |url: PoolUrl| Pool { url, user: user.clone(), password: password.clone() };
        let pools = pools.iter().map(|url| url.parse().map(pool)).collect::<Result<Vec<_>, _>>()?;
        let mut config = Config::new(pools);
        let secure = config.pools.iter().any(|pool| pool.url.scheme.is_secure());
        config.dialer = Dialer::new(&dial_options(&access), secure)?;
        let mut client = Client::new(config);
        let mut relay = UpstreamWorkState::default();
        loop {
            let event = client.next().await?;
            log(&event);
            match relay.on_event(event, Instant::now().into_std()) {
                Some(Effect::Publish) => break,
                Some(Effect::Unusable(error)) => return Err(error.into()),
                Some(Effect::Warn | Effect::Idle) | None => {}
            }
        }
        let (sender, shares) = mpsc::channel(FORWARD_QUEUE);
        Ok(UpstreamSource { client, relay, sender, shares })
    }

    /// Where the shares go that an upstream pool wants.
    pub(super) fn forward(&self) -> mpsc::Sender<ForwardRequest> {
        self.sender.clone()
    }

    /// Publishes the first job.
    pub(super) fn prepare(&mut self, shared: &PoolState) {
        self.carry_out(Effect::Publish, shared);
    }

    /// Publishes jobs and sends shares until told to stop; then waits a little for the last answers.
    pub(super) async fn run(mut self, shared: Arc<PoolState>, stop: CancellationToken) {
        let mut table = InFlightShares::default();
        loop {
            let due = self.relay.due();
            if stop.is_cancelled() {
                break;
            }
            // In no fixed order: a pool that talks without a pause must not keep shares from being submitted.
            let effect = tokio::select! {
                event = self.client.next() => match event {
                    Ok(Event::Answer(answer)) => {
                        settle(&shared, &mut table, answer);
                        None
                    }
                    Ok(event) => {
                        log(&event);
                        self.relay.on_event(event, std::time::Instant::now())
                    }
                    // It tries for ever, so this can't be but for want of a pool.
                    Err(error) => {
                        tracing::error!(error = logging::error_chain(&error), "there is no upstream pool any more");
                        break;
                    }
                },
                Some(forward) = self.shares.recv() => {
                    submit(&mut self.client, &shared, &mut table, forward);
                    None
                }
                () = sleep_until(due.unwrap_or_else(std::time::Instant::now).into()), if due.is_some() => {
                    self.relay.on_time(std::time::Instant::now())
                }
                () = stop.cancelled() => break,
            };
            if let Some(effect) = effect {
                self.carry_out(effect, &shared);
            }
            shared.set_upstream(self.relay.pool(), table.counts());
        }
        self.finish(&shared, table).await;
    }

    fn carry_out(&mut self, effect: Effect, shared: &PoolState) {
        match effect {
            Effect::Publish => {
                if let Some(borrowed) = self.relay.borrowed() {
                    shared.publish(borrowed);
                }
                if shared.trouble.clear() {
                    tracing::info!("an upstream pool works again");
                }
            }
            Effect::Warn => shared.trouble.set("no upstream pool works: the last job may be outdated"),
            Effect::Idle => {
                tracing::error!(
                    "no upstream pool works for too long: miners stay connected, but have no work"
                );
                shared.trouble.set("no upstream pool works: there is no work");
                shared.idle();
            }
            Effect::Unusable(error) => {
                tracing::error!(%error, "the upstream pool can't be shared out among workers");
                shared.trouble.set("the upstream pool can't be shared out among workers");
                shared.idle();
            }
        }
    }

    /// Sends what is left, and waits a little for answers.
    async fn finish(mut self, shared: &PoolState, mut table: InFlightShares<client::Ticket>) {
        while let Ok(forward) = self.shares.try_recv() {
            submit(&mut self.client, shared, &mut table, forward);
        }
        let deadline = Instant::now() + ANSWER_WITHIN;
        while !table.is_empty()
            && let Some(event) = self.client.next_until(deadline).await
        {
            if let Event::Answer(answer) = event {
                settle(shared, &mut table, answer);
            }
        }
        for answer in self.client.close() {
            settle(shared, &mut table, answer);
        }
        shared.set_upstream(None, table.counts());
    }
}

fn submit(
    client: &mut Client,
    shared: &PoolState,
    table: &mut InFlightShares<client::Ticket>,
    forward: ForwardRequest,
) {
    let ticket = (table.len() < MAX_OPEN)
        .then(|| client.submit(&forward.wanted.job, forward.wanted.share.clone()))
        .flatten();
    match ticket {
        Some(ticket) => table.sent(ticket, forward),
        None => shared.settle(table.refused(forward), Duration::ZERO),
    }
}

fn settle(shared: &PoolState, table: &mut InFlightShares<client::Ticket>, answer: Answer) {
    if let Some(done) = table.answered(answer.ticket, Reply::from(answer.outcome)) {
        shared.settle(done, answer.round_trip);
    }
}

fn log(event: &Event) {
    match event {
        Event::Authorized { pool } => tracing::info!(%pool, "mining for"),
        Event::Lost { error, retry_in } => {
            tracing::warn!(error = logging::error_chain(error), retry_in = ?retry_in, "no upstream pool");
        }
        Event::Message(text) => tracing::info!(text, "the upstream pool says"),
        event => tracing::debug!(?event, "upstream"),
    }
}
