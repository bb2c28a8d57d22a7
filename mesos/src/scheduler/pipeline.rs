//! Sends many calls without waiting for each response.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{SchedulerClient, Session, Shared};
use crate::connect;
use crate::error::CallError;
use crate::http::{ConnectionEvent, EncodedCall, PipelinedConnection};

/// Limits the number of calls that a pipeline has in flight to connections × calls per connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PipelineSettings {
    /// Maximum number of connections. A connection is opened when it is needed. Default: 32.
    pub connections: usize,
    /// Maximum number of calls in flight on one connection. Default: 8.
    pub calls_per_connection: usize,
    /// Of the calls that are sent together, a connection gets at least this many before another connection is used. Default: 4.
    pub min_batch: usize,
}

impl Default for PipelineSettings {
    /// Suppose that the peer handles the calls of a connection one by one, and needs 2 ms for each. Then 32 connections allow
    /// 16,000 calls/s.
    fn default() -> Self {
        Self { connections: 32, calls_per_connection: 8, min_batch: 4 }
    }
}

/// The outcome of a call.
#[derive(Debug)]
pub enum CallOutcome {
    /// The call is well-formed and has arrived. Any effect becomes visible through later events.
    Accepted,
    /// The connection was about to end, and the master has not seen the call. Send it again.
    NotSent,
    /// The error that [`SchedulerClient::call`] would return. After an error of the connection, the master may or may not have
    /// received the other calls in flight.
    Failed(CallError),
}

/// Sends the calls of one subscription without waiting for each response: over several connections, with several calls
/// in flight on each (RFC 9112, section 9.3.2). Calls may arrive in any order. To keep two calls in order, send the
/// second one after the response to the first.
///
/// Mesos handles the calls of a connection in order.
pub struct Pipeline {
    shared: Arc<Shared>,
    session: Arc<Session>,
    head: Bytes,
    settings: PipelineSettings,
    connections: Vec<PipelinedConnection<SentCall>>,
    in_flight: usize,
    timer: Option<std::pin::Pin<Box<Sleep>>>,
    events: Vec<ConnectionEvent<SentCall>>,
}

/// A call in flight.
#[derive(Debug, Clone, Copy)]
struct SentCall {
    number: u64,
    name: &'static str,
}

/// For each call: its number and its outcome.
type Outcomes = Vec<(u64, CallOutcome)>;

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pipeline({}, {} in flight)", self.session.endpoint.address, self.in_flight)
    }
}

impl SchedulerClient {
    /// A pipeline for the calls of the current subscription.
    ///
    /// # Errors
    /// When there is no subscription.
    pub fn pipeline(&self, settings: PipelineSettings) -> Result<Pipeline, CallError> {
        let session = self.session()?;
        let shared = self.shared.clone();
        Ok(Pipeline {
            head: shared.http.head(&session.endpoint, Some(&session.stream_id)),
            connections: (0..settings.connections.max(1)).map(|_| PipelinedConnection::closed()).collect(),
            shared,
            session,
            settings,
            in_flight: 0,
            timer: None,
            events: Vec::new(),
        })
    }
}

impl Pipeline {
    /// The number of calls that [`send`](Self::send) accepts now.
    pub fn free_capacity(&self) -> usize {
        self.idle_connections() * self.settings.calls_per_connection
    }

    /// The number of calls without a response yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Queues calls, at most [`free_capacity`](Self::free_capacity). Each call's number is returned with its outcome. The calls
    /// are written while [`outcomes`](Self::outcomes) is awaited.
    pub fn send(&mut self, calls: Vec<(u64, EncodedCall)>) {
        self.connections.iter_mut().filter(|connection| connection.is_stale()).for_each(|connection| {
            connection.close();
        });
        let most = self.settings.calls_per_connection;
        let fewest = self.settings.min_batch.min(most);
        let batch = calls.len().div_ceil(self.idle_connections().max(1)).clamp(fewest.max(1), most.max(1));
        self.in_flight += calls.len();
        let mut calls = calls.into_iter().peekable();
        // Use open connections first.
        for open in [true, false] {
            let idle = |it: &&mut PipelinedConnection<SentCall>| it.is_idle() && it.is_open() == open;
            for connection in self.connections.iter_mut().filter(idle) {
                if calls.peek().is_none() {
                    return;
                }
                if connection.is_closed() {
                    let (shared, session) = (self.shared.clone(), self.session.clone());
                    connection.open(Box::pin(async move {
                        connect::open(&shared.http.config, &session.endpoint).await
                    }));
                }
                for (number, call) in calls.by_ref().take(batch) {
                    connection.push(SentCall { number, name: call.name() }, &self.head, &call.body);
                }
            }
        }
        debug_assert!(calls.peek().is_none(), "more calls than there is capacity for");
    }

    /// Waits for outcomes, which come in any order. The future is cancel-safe. Never completes if no call is in flight.
    pub async fn outcomes(&mut self) -> Outcomes {
        std::future::poll_fn(|cx| self.poll_outcomes(cx)).await
    }

    fn poll_outcomes(&mut self, cx: &mut Context<'_>) -> Poll<Outcomes> {
        for connection in self.connections.iter_mut().filter(|connection| !connection.is_closed()) {
            connection.poll(cx, &mut self.events);
        }
        let mut outcomes = Vec::with_capacity(self.events.len());
        for event in std::mem::take(&mut self.events) {
            self.handle(event, &mut outcomes);
        }
        if outcomes.is_empty() {
            outcomes.extend(self.poll_timeout(cx));
        }
        self.in_flight -= outcomes.len();
        if outcomes.is_empty() { Poll::Pending } else { Poll::Ready(outcomes) }
    }

    fn handle(&mut self, event: ConnectionEvent<SentCall>, outcomes: &mut Outcomes) {
        let context = |name| self.shared.http.context(&self.session.endpoint, name, true);
        match event {
            ConnectionEvent::Response(SentCall { number, name }, response) => {
                let outcome = match context(name).result(&response) {
                    Ok(()) => CallOutcome::Accepted,
                    Err(error) => CallOutcome::Failed(error),
                };
                outcomes.push((number, outcome));
            }
            ConnectionEvent::NotSent(calls) => outcomes.extend(not_sent(calls)),
            ConnectionEvent::NotOpened(calls, error) => {
                let open = self.connections.iter().filter(|connection| !connection.is_closed()).count();
                if open == 0 {
                    outcomes.extend(oldest_failed(&calls, error));
                } else {
                    // A proxy may limit the number of connections. Go on with the open ones: the caller sends these calls again.
                    tracing::debug!(%error, open, "no further connections");
                    outcomes.extend(not_sent(calls));
                    self.connections.retain(|connection| !connection.is_closed());
                }
            }
            ConnectionEvent::Broken(calls, source) => {
                outcomes.extend(oldest_failed(&calls, context("").broken(source)));
            }
            ConnectionEvent::Malformed(calls, source) => {
                outcomes.extend(oldest_failed(&calls, context("").broken(source)));
            }
        }
    }

    fn idle_connections(&self) -> usize {
        self.connections.iter().filter(|connection| connection.is_idle()).count()
    }

    /// Closes a connection if the response to its oldest call is overdue. One timer serves all connections: the timer fires at
    /// the earliest time at which a call could be overdue.
    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Option<(u64, CallOutcome)> {
        let after = self.shared.http.config.call_timeout;
        loop {
            let busy = self.connections.iter_mut().filter(|connection| !connection.is_idle());
            let waiting_longest = busy.min_by_key(|connection| connection.last_activity())?;
            let deadline = waiting_longest.last_activity() + after;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.as_mut().poll(cx).is_pending() {
                return None;
            }
            self.timer = None;
            if deadline <= Instant::now() {
                let error = CallError::Timeout { endpoint: self.session.endpoint.clone(), after };
                return oldest_failed(&waiting_longest.close(), error);
            }
        }
    }
}

fn not_sent(calls: VecDeque<SentCall>) -> impl Iterator<Item = (u64, CallOutcome)> {
    calls.into_iter().map(|call| (call.number, CallOutcome::NotSent))
}

fn oldest_failed(calls: &VecDeque<SentCall>, error: CallError) -> Option<(u64, CallOutcome)> {
    calls.front().map(|call| (call.number, CallOutcome::Failed(error)))
}
