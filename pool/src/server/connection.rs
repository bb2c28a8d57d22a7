//! One miner's connection: it reads messages, lets the [`Session`] decide, and carries out the effects.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::Outcome;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use logging::error_chain;
use stratum::connection::{MINER_LINE_LIMIT, Reader, Writer};
use stratum::{ReadError, WriteError};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::bans::Conduct;
use crate::clock::Now;
use crate::current_job::CurrentJob;
use crate::miner_sessions::MinerSessionGuard;
use crate::operator_log::HEALTH_CHECK_USER;
use crate::pool_state::PoolState;
use crate::session::{CloseReason, Effect, Event, MinerMessage, Request, Session};
use crate::share::{ForwardRequest, UpstreamShare};
use crate::stats::ConnectionStatsGuard;
use crate::stratum_v1::{self, Decoded, PendingRequest};

/// How long a miner may leave the pool's messages unread before the pool ends the connection.
const WRITE_WITHIN: Duration = Duration::from_secs(20);
/// After this number of lines in a row that are no messages, the pool ends the connection: its peer is no miner.
const MAX_UNREADABLE: u32 = 10;

/// How long the answer to a candidate waits at most until there is something to search for. Miners wait longer for a verdict.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The same while the operator wants no block yet: then no verdict is awaited, and every answer would take that long.
const ANSWER_WITHIN_HELD: Duration = Duration::from_secs(1);

/// Why the pool ended a connection, or how the connection broke.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("it has sent {MAX_UNREADABLE} lines in a row that are no messages; the last one was")]
    Noise(#[source] ReadError),
    #[error("the miner does not read the pool's messages")]
    Stuck,
    #[error(transparent)]
    Closed(#[from] CloseReason),
    #[error("there is no work")]
    NoWork,
    #[error("all extranonce1 of the upstream pool's jobs are taken")]
    NoExtranonce,
    #[error("too many of its shares are rejected")]
    Banned,
}

/// Serves one connection until either side ends it.
pub async fn serve(stream: TcpStream, peer: SocketAddr, state: Arc<PoolState>, stop: CancellationToken) {
    net::dial::set_socket_options(&stream);
    let (read, write) = stream.into_split();
    let mut connection = Connection {
        reader: Reader::new(read, MINER_LINE_LIMIT),
        writer: Writer::new(write),
        rate_limit: MessageRateLimit::new(state.config.limits.messages_per_second, Instant::now()),
        unreadable: 0,
        conduct: Conduct::default(),
        stats: ConnectionStatsGuard::new(state.connections.clone()),
        miner: MinerSessionGuard::new(state.miners.clone(), peer, Now::read().unix_ms),
        forwarded: FuturesUnordered::new(),
        peer,
        state,
        worker: None,
    };
    tracing::debug!(%peer, "connected");
    let reason = match stop.run_until_cancelled(connection.run()).await {
        // A pool that is stopped need not name all its miners.
        None => return tracing::debug!(%peer, "disconnected"),
        Some(Ok(())) => "it has closed the connection".to_owned(),
        Some(Err(error)) => error_chain(&error),
    };
    tracing::debug!(%peer, reason, "disconnected");
    connection.end(&reason);
}

struct Connection {
    reader: Reader<OwnedReadHalf>,
    writer: Writer<OwnedWriteHalf>,
    rate_limit: MessageRateLimit,
    /// The number of lines that are no messages since the last message.
    unreadable: u32,
    conduct: Conduct,
    stats: ConnectionStatsGuard,
    miner: MinerSessionGuard,
    /// Requests whose shares an upstream pool is judging, and candidates that are answered with the next job.
    forwarded: FuturesUnordered<BoxFuture<'static, (PendingRequest, Outcome)>>,
    peer: SocketAddr,
    state: Arc<PoolState>,
    /// The first worker, once it is authorized.
    worker: Option<Arc<str>>,
}

impl Connection {
    /// Ends the connection, and tells the operator why.
    fn end(self, reason: &str) {
        let Connection { state, stats, worker, peer, .. } = self;
        drop(stats);
        if let Some(worker) = worker {
            state.operator_log.left(&worker, peer, state.connections.authorized(), reason);
        }
    }

    async fn run(&mut self) -> Result<(), ConnectionError> {
        let state = self.state.clone();
        let mut jobs = state.jobs.subscribe();
        let current = jobs.borrow_and_update().clone();
        let layout = current.layout().ok_or(ConnectionError::NoWork)?;
        let lease = state.lease(layout.extranonce1).ok_or(ConnectionError::NoExtranonce)?;
        let (id, job) = (rand::random(), current.job().cloned());
        let (config, pays_users) = (state.config, state.pays_users.get().copied());
        let mut session = Session::new(config, pays_users, id, lease, layout, job, Now::read());
        let ended = self.converse(&mut session, &mut jobs).await;
        if !matches!(ended, Err(ConnectionError::Banned))
            && let Some(session) = session.suspend()
        {
            state.suspended.insert(session, Instant::now());
        }
        ended
    }

    /// Lets the session decide about each event until either side ends the connection.
    async fn converse(
        &mut self,
        session: &mut Session,
        jobs: &mut watch::Receiver<CurrentJob>,
    ) -> Result<(), ConnectionError> {
        while let Some((event, request)) = self.next_event(session.next_deadline(), jobs).await? {
            if let Event::Request(Request::Subscribe { user_agent: Some(agent), .. }) = &event {
                self.miner.set_user_agent(agent);
            }
            let now = Now::read();
            let mut effects = session.on_event(event, now);
            if let [Effect::Resume(id)] = effects[..] {
                let former = self.state.suspended.take(&id, now.at);
                effects = session.on_event(Event::Resume(former), now);
            }
            self.carry_out(effects, request, now.at.elapsed()).await?;
            self.flush().await?;
        }
        Ok(())
    }

    /// Waits for an event. Returns the event and the request that caused it, if any; `None` if the miner has closed the
    /// connection.
    ///
    /// The caller writes all messages to the miner before it calls this function again. If several jobs are published during
    /// a slow write, the miner gets only the last of them.
    async fn next_event(
        &mut self,
        deadline: Option<Instant>,
        jobs: &mut watch::Receiver<CurrentJob>,
    ) -> Result<Option<(Event, PendingRequest)>, ConnectionError> {
        loop {
            let readable_at = self.rate_limit.available_at();
            let throttled = readable_at > Instant::now();
            tokio::select! {
                biased;
                _ = jobs.changed() => {
                    let event = match jobs.borrow_and_update().clone() {
                        CurrentJob::Job(job) => Event::Job(job),
                        CurrentJob::Idle(_) => Event::NoWork,
                        // The miner switches to another pool only when its connection ends.
                        CurrentJob::Nothing => return Err(ConnectionError::NoWork),
                    };
                    return Ok(Some((event, PendingRequest::default())));
                }
                Some((request, outcome)) = self.forwarded.next() => {
                    return Ok(Some((Event::UpstreamVerdict(outcome), request)));
                }
                message = self.reader.read(), if !throttled => {
                    self.rate_limit.spend(Instant::now());
                    let message = match message {
                        Ok(None) => return Ok(None),
                        Ok(Some(message)) => message,
                        Err(error) => {
                            self.on_unreadable(error).await?;
                            continue;
                        }
                    };
                    self.unreadable = 0;
                    match stratum_v1::decode(message) {
                        Decoded::Request(pending, request) => {
                            return Ok(Some((Event::Request(request), pending)));
                        }
                        Decoded::Answer(line) => {
                            self.writer.queue(&line)?;
                            self.flush().await?;
                        }
                        Decoded::Ignored => {}
                    }
                }
                () = sleep_until(readable_at.into()), if throttled => {}
                () = sleep_until(deadline.unwrap_or(readable_at).into()), if deadline.is_some() => {
                    return Ok(Some((Event::Tick, PendingRequest::default())));
                }
            }
        }
    }

    /// Tells the miner what is wrong with its line. Fails if no more lines can be read, or if too many were unreadable.
    async fn on_unreadable(&mut self, error: ReadError) -> Result<(), ConnectionError> {
        if let Some(line) = stratum_v1::answer_unreadable(&error) {
            self.writer.queue(&line)?;
            self.flush().await?;
        }
        if error.is_fatal() {
            return Err(error.into());
        }
        tracing::debug!(peer = %self.peer, error = error_chain(&error), "a line is no message");
        self.unreadable += 1;
        if self.unreadable >= MAX_UNREADABLE { Err(ConnectionError::Noise(error)) } else { Ok(()) }
    }

    /// Carries out the effects of an event that `request` caused. `took` is the time that the session took to decide.
    async fn carry_out(
        &mut self,
        effects: Vec<Effect>,
        request: PendingRequest,
        took: Duration,
    ) -> Result<(), ConnectionError> {
        let (mut to_upstream, mut solved, mut banned) = (None, None, false);
        for effect in effects {
            match effect {
                Effect::Send(message) => {
                    if let MinerMessage::SetDifficulty(difficulty) = &message {
                        self.miner.set_difficulty(*difficulty);
                    }
                    if let Some(line) = stratum_v1::encode(&message, &request) {
                        self.writer.queue(&line)?;
                    }
                }
                Effect::CountShare(mut judged) => {
                    judged.row.round_trip = took;
                    self.state.count(judged);
                }
                Effect::FoundBlock(found) => self.state.block_found(found).await,
                Effect::Forward(share) => to_upstream = Some(*share),
                Effect::AnswerWithNextJob(job) => solved = Some(job),
                Effect::ForwardEasyBlock(share) => {
                    if let Some(upstream) = &self.state.forward {
                        // Sending fails only when the pool ends.
                        let _ = upstream.send(ForwardRequest { share: *share, reply: None }).await;
                    }
                }
                Effect::CountForBan { accepted } => {
                    banned |= self.state.bans.count_share(
                        self.peer.ip(),
                        &mut self.conduct,
                        accepted,
                        Instant::now(),
                    );
                }
                // `converse` has already handled it.
                Effect::Resume(_) => {}
                Effect::InvalidBlock(error) => {
                    tracing::error!(%error, "a share met the network target, but its block is invalid")
                }
                Effect::WorkerAdded(worker) => {
                    if &*worker != HEALTH_CHECK_USER {
                        self.miner.add_worker(worker);
                    }
                }
                Effect::Authorized(worker) => {
                    self.stats.authorize();
                    if &*worker != HEALTH_CHECK_USER {
                        let miners = self.state.connections.authorized();
                        self.state.operator_log.joined(&worker, self.peer, miners);
                        self.worker = Some(worker);
                    }
                }
                Effect::HashrateChanged(hashrate) => self.stats.set_hashrate(hashrate),
                Effect::Close(reason) => return Err(reason.into()),
            }
        }
        if let Some(share) = to_upstream {
            self.forward(request, share).await;
        } else if let Some(solved) = solved {
            let mut jobs = self.state.jobs.subscribe();
            let limit = if solved.is_held() { ANSWER_WITHIN_HELD } else { ANSWER_WITHIN };
            self.forwarded.push(Box::pin(async move {
                // A node's verdict may take seconds. Meanwhile, new templates on the solved tip change nothing.
                let _ = timeout(limit, jobs.wait_for(|current| current.goes_on_after(&solved))).await;
                (request, Outcome::Accepted)
            }));
        }
        if banned {
            // The miner gets the answer to its last share.
            self.flush().await?;
            return Err(ConnectionError::Banned);
        }
        Ok(())
    }

    /// Queues a share for the upstream pool. Waits while the queue is full, which slows down the miner.
    async fn forward(&mut self, request: PendingRequest, share: UpstreamShare) {
        let (reply, outcome) = oneshot::channel();
        if let Some(upstream) = &self.state.forward {
            // Sending fails only when the pool ends.
            let _ = upstream.send(ForwardRequest { share, reply: Some(reply) }).await;
        }
        self.forwarded.push(Box::pin(async move { (request, outcome.await.unwrap_or(Outcome::Unanswered)) }));
    }

    async fn flush(&mut self) -> Result<(), ConnectionError> {
        let flushed = timeout(WRITE_WITHIN, self.writer.flush()).await;
        flushed.map_err(|_| ConnectionError::Stuck)?.map_err(ConnectionError::from)
    }
}

/// Limits the messages per second. Further messages wait in the socket, which slows down their sender.
struct MessageRateLimit {
    per_message: Duration,
    burst: Duration,
    /// When the miner may again send a whole burst of messages, if it sends none until then.
    full_at: Instant,
}

impl MessageRateLimit {
    fn new(per_second: u32, now: Instant) -> Self {
        let per_message = Duration::from_secs(1) / per_second.max(1);
        MessageRateLimit { per_message, burst: Duration::from_secs(1), full_at: now }
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
    fn a_burst_passes_and_then_the_rate() {
        // Ten seconds are added, because the limit subtracts a second from `now`, and an `Instant` cannot be earlier than
        // the machine's start.
        let now = Instant::now() + Duration::from_secs(10);
        let mut limit = MessageRateLimit::new(10, now);
        let mut passed = 0;
        while limit.available_at() <= now {
            limit.spend(now);
            passed += 1;
        }
        assert_eq!(passed, 11);
        assert_eq!(limit.available_at(), now + Duration::from_millis(100));
        // After a pause, at most one burst is allowed.
        let later = now + Duration::from_secs(3600);
        let passed = (0..).find(|_| {
            limit.spend(later);
            limit.available_at() > later
        });
        assert_eq!(passed, Some(10));
    }
}
