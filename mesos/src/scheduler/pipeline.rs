//! Many calls on the way at once.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::HeaderValue;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{SchedulerClient, Session, Shared, calls};
use crate::error::CallError;
use crate::http::{Line, LineEvent, Outgoing, meaning};
use crate::v1::scheduler::Call;

/// A connection without calls is closed after this time: what lies between might forget it and say nothing.
const IDLE: Duration = Duration::from_secs(30);

/// How many calls a pipeline has on the way at most: connections × calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PipelineSettings {
    /// Connections. They are opened when they are needed. 32.
    pub connections: usize,
    /// Calls on one of them at once. 8.
    pub calls: usize,
    /// Fewer calls than this do not go over several connections. 4.
    pub together: usize,
}

impl Default for PipelineSettings {
    /// A peer that answers the calls of a connection one after the other, each after 2 ms, is sent 16,000 calls/s.
    fn default() -> Self {
        Self { connections: 32, calls: 8, together: 4 }
    }
}

/// A call as it goes over the wire. Clones share the bytes.
#[derive(Debug, Clone)]
pub struct EncodedCall {
    name: &'static str,
    body: Bytes,
}

impl From<&Call> for EncodedCall {
    fn from(call: &Call) -> Self {
        Self { name: calls::name(call), body: calls::encode(call) }
    }
}

impl EncodedCall {
    /// The name of the call's type.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// What has become of a call.
#[derive(Debug)]
pub enum Outcome {
    /// It is well-formed and has arrived; whether it works shows in events, or not at all.
    Taken,
    /// The master has not seen it, because the connection was about to end. Send it again.
    NotSent,
    /// As of [`SchedulerClient::call`]. After an error of the connection nobody knows which of the other calls on the
    /// way were taken.
    Failed(CallError),
}

/// Sends calls of one subscription without awaiting each answer, over several connections and several at once on each
/// (RFC 9112, section 9.3.2). Calls may arrive in any order: one that must not overtake another is sent once that one is
/// answered.
///
/// Mesos answers the calls of a connection in their order. It needs few system calls a call: one for some calls rather
/// than two for each.
pub struct Pipeline {
    shared: Arc<Shared>,
    session: Arc<Session>,
    head: Bytes,
    settings: PipelineSettings,
    lines: Vec<Line<Sent>>,
    on_the_way: usize,
    timer: Option<std::pin::Pin<Box<Sleep>>>,
    events: Vec<LineEvent<Sent>>,
}

/// A call on the way, and its number.
#[derive(Debug, Clone, Copy)]
struct Sent(u64, &'static str);

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pipeline({}, {} on the way)", self.session.endpoint.address, self.on_the_way)
    }
}

impl SchedulerClient {
    /// A pipeline for the calls of the present subscription.
    ///
    /// # Errors
    /// When there is no subscription.
    pub fn pipeline(&self, settings: PipelineSettings) -> Result<Pipeline, CallError> {
        let session = self.session().clone().ok_or(CallError::NotSubscribed)?;
        let head = self.shared.http.head(&session.endpoint, &session.stream_id);
        let lines = (0..settings.connections.max(1)).map(|_| Line::new()).collect();
        let shared = self.shared.clone();
        Ok(Pipeline {
            shared,
            session,
            head,
            settings,
            lines,
            on_the_way: 0,
            timer: None,
            events: Vec::new(),
        })
    }
}

impl Pipeline {
    /// How many calls can be sent now.
    pub fn room(&self) -> usize {
        self.lines.iter().filter(|line| line.is_free()).count() * self.settings.calls
    }

    /// How many calls wait for their answers.
    pub fn on_the_way(&self) -> usize {
        self.on_the_way
    }

    /// Sends calls, each with a number that comes back with its answer; at most as many as there is
    /// [room](Self::room) for. They leave when [`answers`](Self::answers) is awaited.
    pub fn send(&mut self, calls: Vec<(u64, EncodedCall)>) {
        self.close_idle();
        let free = self.lines.iter().filter(|line| line.is_free()).count().max(1);
        let fewest = self.settings.together.min(self.settings.calls);
        let batch = calls.len().div_ceil(free).clamp(fewest.max(1), self.settings.calls.max(1));
        self.on_the_way += calls.len();
        let mut calls = calls.into_iter().peekable();
        for open in [true, false] {
            for line in self.lines.iter_mut().filter(|line| line.is_free() && line.is_open() == open) {
                if calls.peek().is_none() {
                    return;
                }
                if line.is_closed() {
                    let (shared, session) = (self.shared.clone(), self.session.clone());
                    line.open(Box::pin(async move { shared.http.transport(&session.endpoint).await }));
                }
                for (number, call) in calls.by_ref().take(batch) {
                    line.push(Sent(number, call.name), &self.head, &call.body);
                }
            }
        }
        debug_assert!(calls.peek().is_none(), "more calls than there is room for");
    }

    /// Waits for answers, in any order. Cancelling the future loses nothing. Without calls on the way it waits for ever.
    pub async fn answers(&mut self) -> Vec<(u64, Outcome)> {
        std::future::poll_fn(|cx| self.poll_answers(cx)).await
    }

    fn poll_answers(&mut self, cx: &mut Context<'_>) -> Poll<Vec<(u64, Outcome)>> {
        for line in self.lines.iter_mut().filter(|line| !line.is_closed()) {
            line.poll(cx, &mut self.events);
        }
        let mut answers = Vec::with_capacity(self.events.len());
        for event in std::mem::take(&mut self.events) {
            self.take(event, &mut answers);
        }
        if answers.is_empty() {
            self.check_time(cx, &mut answers);
        }
        self.on_the_way -= answers.len();
        if answers.is_empty() { Poll::Pending } else { Poll::Ready(answers) }
    }

    fn take(&mut self, event: LineEvent<Sent>, answers: &mut Vec<(u64, Outcome)>) {
        let endpoint = &self.session.endpoint;
        let not_sent = |calls: Vec<Sent>| calls.into_iter().map(|Sent(number, _)| (number, Outcome::NotSent));
        let first = |calls: std::collections::VecDeque<Sent>, error| {
            calls.front().map(|Sent(number, _)| (*number, Outcome::Failed(error)))
        };
        match event {
            LineEvent::Answered(Sent(number, _), received) if received.status.is_success() => {
                answers.push((number, Outcome::Taken));
            }
            LineEvent::Answered(Sent(number, _), received) if received.status.is_redirection() => {
                answers.push((number, Outcome::Failed(CallError::Moved { endpoint: endpoint.clone() })));
            }
            LineEvent::Answered(Sent(number, name), received) => {
                let stream_id: Option<HeaderValue> = Some(self.session.stream_id.clone());
                let call = Outgoing { name, body: Bytes::new(), stream_id };
                let error = meaning(endpoint, &call, &self.shared.http.config.auth, &received);
                answers.push((number, Outcome::Failed(error)));
            }
            LineEvent::NotSent(calls) => answers.extend(not_sent(calls)),
            LineEvent::NotOpened(calls, error) => {
                // Somebody on the way may allow only so many.
                let open = self.lines.iter().filter(|line| !line.is_closed()).count();
                if open == 0 {
                    answers.extend(first(calls.into(), error));
                } else {
                    tracing::debug!(%error, open, "no further connections");
                    answers.extend(not_sent(calls));
                    self.forget_closed();
                }
            }
            LineEvent::Broken(calls, source) => {
                let source = source.into();
                answers.extend(first(calls, CallError::Broken { endpoint: endpoint.clone(), source }));
            }
            LineEvent::Malformed(calls, why) => {
                let source = format!("its answer is not HTTP ({})", why.0).into();
                answers.extend(first(calls, CallError::Broken { endpoint: endpoint.clone(), source }));
            }
        }
    }

    /// There will be no more connections than now.
    fn forget_closed(&mut self) {
        self.lines.retain(|line| !line.is_closed());
    }

    fn close_idle(&mut self) {
        let now = Instant::now();
        let idle = |line: &&mut Line<Sent>| {
            line.is_free() && line.is_open() && now.duration_since(line.since()) > IDLE
        };
        self.lines.iter_mut().filter(idle).for_each(|line| drop(line.close()));
    }

    /// One timer for all: it runs out when the call that has waited longest might be overdue, and looks again.
    fn check_time(&mut self, cx: &mut Context<'_>, answers: &mut Vec<(u64, Outcome)>) {
        let after = self.shared.http.config.call_timeout;
        loop {
            let waiting = self.lines.iter().filter(|line| !line.is_free());
            let Some(deadline) = waiting.map(|line| line.since() + after).min() else { return };
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if timer.as_mut().poll(cx).is_pending() {
                return;
            }
            self.timer = None;
            let now = Instant::now();
            let overdue = |line: &&mut Line<Sent>| !line.is_free() && line.since() + after <= now;
            if let Some(line) = self.lines.iter_mut().find(overdue) {
                let endpoint = self.session.endpoint.clone();
                let error = CallError::Timeout { endpoint, after };
                answers.extend(line.close().front().map(|Sent(number, _)| (*number, Outcome::Failed(error))));
                return;
            }
        }
    }
}
