//! One miner's connection: reads, lets the [`Session`] decide, and does what it says.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use stratum::connection::{Reader, Writer};
use stratum::{Id, ReadError, WriteError};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::admission::Lease;
use crate::clock::Now;
use crate::current_job::CurrentJob;
use crate::pool_state::PoolState;
use crate::session::{Effect, Session, SessionId, Why};
use crate::share::{ForwardRequest, Reply, UpstreamShare};
use crate::stats::ConnectionStatsGuard;

/// Why a connection ended, other than by the miner's or the pool's will.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("the miner does not read what it is sent")]
    Stuck,
    #[error("it has not subscribed and authorized a worker in time")]
    Unauthorized,
    #[error("there is no work")]
    NoWork,
    #[error("its extranonces don't fit into the new work")]
    Extranonces,
    #[error("the upstream pool leaves no room for another connection")]
    Full,
    #[error("its address is banned for too many rejected shares")]
    Banned,
}

/// Serves one connection until either side ends it.
pub async fn serve(stream: TcpStream, peer: SocketAddr, shared: Arc<PoolState>, stop: CancellationToken) {
    net::dial::set_socket_options(&stream);
    let (read, write) = stream.into_split();
    let mut connection = Connection {
        reader: Reader::new(read, shared.config.limits.line_bytes),
        writer: Writer::new(write),
        budget: Budget::new(shared.config.limits.messages_per_second, Instant::now()),
        presence: ConnectionStatsGuard::new(shared.connections.clone()),
        replies: FuturesUnordered::new(),
        peer: peer.ip(),
        shared,
    };
    tracing::debug!(%peer, "connected");
    match stop.run_until_cancelled(connection.run()).await {
        None | Some(Ok(())) => tracing::debug!(%peer, "disconnected"),
        Some(Err(error)) => {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(%peer, error, "connection ended");
        }
    }
}

struct Connection {
    reader: Reader<OwnedReadHalf>,
    writer: Writer<OwnedWriteHalf>,
    budget: Budget,
    presence: ConnectionStatsGuard,
    /// Shares that an upstream pool is judging.
    replies: FuturesUnordered<BoxFuture<'static, (Id, Reply)>>,
    peer: IpAddr,
    shared: Arc<PoolState>,
}

/// A session and the extranonce1 that goes with it.
struct Seat {
    session: Session,
    lease: Lease,
}

impl Connection {
    async fn run(&mut self) -> Result<(), ConnectionError> {
        let shared = self.shared.clone();
        let mut presents = shared.jobs.subscribe();
        let present = presents.borrow_and_update().clone();
        let layout = present.layout().ok_or(ConnectionError::NoWork)?;
        let lease = shared.lease(layout.extranonce1).ok_or(ConnectionError::Full)?;
        let job = present.job().cloned();
        let (settings, id) = (shared.settings(), rand::random());
        let session = Session::new(settings, id, lease.bytes(), layout, job, Now::read());
        let mut seat = Seat { session, lease };
        let ended = self.converse(&mut seat, &mut presents).await;
        if let (false, Seat { session, lease }) = (matches!(ended, Err(ConnectionError::Banned)), seat)
            && let Some(parked) = session.park()
        {
            shared.parking.park(parked, lease, Instant::now());
        }
        ended
    }

    async fn converse(
        &mut self,
        seat: &mut Seat,
        presents: &mut watch::Receiver<CurrentJob>,
    ) -> Result<(), ConnectionError> {
        let write_within = self.shared.config.limits.write_within;
        loop {
            let session = &mut seat.session;
            let next_tick = session.next_tick();
            let readable_at = self.budget.available_at();
            let throttled = readable_at > Instant::now();
            // Nothing new is taken while something waits to be sent: a slow miner gets the latest job, not all.
            let effects = tokio::select! {
                biased;
                _ = presents.changed() => {
                    let present = presents.borrow_and_update().clone();
                    match present {
                        CurrentJob::Job(job) => session.on_job(job, Now::read()),
                        CurrentJob::Idle(_) => session.on_idle(),
                        // Without work a miner does better elsewhere, and it goes there only if we end it.
                        CurrentJob::Nothing => return Err(ConnectionError::NoWork),
                    }
                }
                Some((id, reply)) = self.replies.next() => session.on_reply(id, &reply),
                message = self.reader.read(), if !throttled => {
                    let Some(message) = message? else { return Ok(()) };
                    let now = Now::read();
                    self.budget.spend(now.at);
                    let mut effects = session.on_message(message, now);
                    stamp(&mut effects, now.at.elapsed());
                    effects
                }
                () = sleep_until(readable_at.into()), if throttled => Vec::new(),
                () = sleep_until(next_tick.into()) => session.on_tick(Now::read()),
            };
            for effect in effects {
                self.carry_out(effect, seat).await?;
            }
            let sent = timeout(write_within, self.writer.flush()).await;
            sent.map_err(|_| ConnectionError::Stuck)??;
        }
    }

    async fn carry_out(&mut self, effect: Effect, seat: &mut Seat) -> Result<(), ConnectionError> {
        match effect {
            Effect::Resume { call, session } => {
                for effect in self.resume(call, &session, seat) {
                    // None of these is of this kind.
                    Box::pin(self.carry_out(effect, seat)).await?;
                }
            }
            Effect::Judged(accepted) => {
                if self.shared.bans.count(self.peer, accepted, Instant::now()) {
                    return Err(ConnectionError::Banned);
                }
            }
            Effect::Send(line) => self.writer.queue(&line)?,
            Effect::Count(judged) => self.shared.count(judged),
            // It fails only when the pool ends.
            Effect::Found(found) => drop(self.shared.found.send(found).await),
            Effect::Forward { id, share } => self.forward(id, *share).await,
            Effect::Broken(error) => tracing::error!(%error, "a solution makes no valid block"),
            Effect::Authorized => self.presence.authorize(),
            Effect::Hashrate(hashrate) => self.presence.set_hashrate(hashrate),
            Effect::Close(Why::Unauthorized) => return Err(ConnectionError::Unauthorized),
            Effect::Close(Why::Extranonces) => return Err(ConnectionError::Extranonces),
        }
        Ok(())
    }

    /// Puts the miner in its former place, if that is free and still fits.
    fn resume(&self, call: Id, id: &SessionId, seat: &mut Seat) -> Vec<Effect> {
        let now = Now::read();
        let former = self.shared.parking.take(id, now.at);
        let former = former.filter(|(parked, _)| seat.session.takes(parked)).map(|(parked, lease)| {
            seat.lease = lease;
            parked
        });
        seat.session.on_resume(call, former, now)
    }

    /// Hands a share to the upstream pool, which may slow down this connection: its answers are waited for.
    async fn forward(&mut self, id: Id, wanted: UpstreamShare) {
        let (reply, answer) = oneshot::channel();
        if let Some(upstream) = &self.shared.forward {
            // It fails only when the pool ends.
            let _ = upstream.send(ForwardRequest { wanted, reply }).await;
        }
        self.replies.push(Box::pin(async move { (id, answer.await.unwrap_or(Reply::Unanswered)) }));
    }
}

/// Writes into the share's row how long its check took.
fn stamp(effects: &mut [Effect], took: Duration) {
    for effect in effects {
        if let Effect::Count(judged) = effect {
            judged.row.round_trip = took;
        }
    }
}

/// Lets so many messages per second pass; the others wait in the socket, which slows down their sender.
struct Budget {
    per_message: Duration,
    burst: Duration,
    /// When the budget would be full again.
    full_at: Instant,
}

impl Budget {
    fn new(per_second: u32, now: Instant) -> Budget {
        let per_message = Duration::from_secs(1) / per_second.max(1);
        Budget { per_message, burst: Duration::from_secs(1), full_at: now }
    }

    fn available_at(&self) -> Instant {
        self.full_at.checked_sub(self.burst).unwrap_or(self.full_at)
    }

    fn spend(&mut self, now: Instant) {
        self.full_at = self.full_at.max(now) + self.per_message;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_passes_a_burst_and_then_the_rate() {
        // Instants can't go below the machine's start.
        let now = Instant::now() + Duration::from_secs(10);
        let mut budget = Budget::new(10, now);
        let mut passed = 0;
        while budget.available_at() <= now {
            budget.spend(now);
            passed += 1;
        }
        assert_eq!(passed, 11);
        assert_eq!(budget.available_at(), now + Duration::from_millis(100));
        // A rest saves up no more than a burst.
        let later = now + Duration::from_secs(3600);
        let passed = (0..).find(|_| {
            budget.spend(later);
            budget.available_at() > later
        });
        assert_eq!(passed, Some(10));
    }
}
