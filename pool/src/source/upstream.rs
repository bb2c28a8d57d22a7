//! Gets work from an upstream pool, and submits to it the shares that meet its target.
//!
//! All miners share one connection. The [`client`] maintains this connection, and reports the outcome of each share.

mod event_log;
mod forwarded_shares;
mod rolled_time;
mod stale_shares;
mod state;
mod usefulness;

use std::sync::Arc;
use std::time::Duration;

use client::{Answer, Client, Config, Outcome, Pool};
use command_line::dial_options;
use logging::error_chain;
use net::Dialer;
use problem::{Problem, ProblemKind};
use stratum::PoolUrl;
use task::{BlockSourceSpec, UpstreamSpec};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::event_log::EventLog;
use self::forwarded_shares::ForwardedShares;
use self::rolled_time::{ShareTime, Verdict};
use self::state::{Effect, Event, UpstreamWorkState, is_about_time};
use self::usefulness::Usefulness;
use super::{BlockSourceError, SourceChanges, changed, upstream_problem};
use crate::clock::Now;
use crate::job::ExtranonceLayout;
use crate::pool_state::PoolState;
use crate::share::ForwardRequest;

/// Maximum number of shares that the upstream pool has not answered; further shares are not submitted and count as stale.
/// Normally, miners find only a few shares for the upstream pool during one round trip.
const MAX_IN_FLIGHT: usize = 4_096;
/// How long a stopping pool waits for the upstream pool's answers to the last shares.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Uses the passwords and certificates of `spec` for all further connections.
fn set_access(client: &mut Client, spec: &BlockSourceSpec) {
    let BlockSourceSpec::Upstream(spec) = spec else { return };
    let secure = spec.pools.iter().any(|url| url.parse().is_ok_and(|url: PoolUrl| url.scheme.is_secure()));
    match Dialer::new(&dial_options(&spec.access), secure) {
        Ok(dialer) => client.set_access(dialer, &spec.password),
        Err(error) => tracing::warn!(error = error_chain(&error), "the certificates stay as they were"),
    }
}

/// Upstream pools, of which one has given a first job.
#[derive(derive_more::Debug)]
pub struct UpstreamSource {
    #[debug(skip)]
    client: Client,
    state: UpstreamWorkState,
    #[debug(skip)]
    shares: mpsc::Receiver<ForwardRequest>,
    #[debug(skip)]
    changes: Option<SourceChanges>,
}

impl UpstreamSource {
    /// Waits for a first job without a time limit, and logs what it waits for. When the passwords or certificates for the
    /// upstream pools change, `changes` delivers the new ones.
    ///
    /// # Errors
    /// If waiting will not help: see [`BlockSourceError`].
    pub async fn connect(
        spec: UpstreamSpec,
        mut changes: Option<SourceChanges>,
        shares: mpsc::Receiver<ForwardRequest>,
        shared: &PoolState,
    ) -> Result<Self, BlockSourceError> {
        let UpstreamSpec { pools, user, password, access } = spec;
        let pool = |url: PoolUrl| Pool { url, user: user.clone(), password: password.clone() };
        let pools = pools.iter().map(|url| url.parse().map(pool)).collect::<Result<Vec<_>, _>>()?;
        let mut config = Config::new(pools);
        config.set_rules(&access.rules);
        // Some pools begin with a difficulty far above what a few CPUs reach in an hour, and some give no work before a suggestion.
        config.suggest_difficulty = Some(shared.config.vardiff.start_difficulty);
        let secure = config.pools.iter().any(|pool| pool.url.scheme.is_secure());
        config.smallest_extranonce2 = ExtranonceLayout::SMALLEST_SPLIT;
        config.refusals = Config::FEW_REFUSALS;
        config.dialer = Dialer::new(&dial_options(&access), secure)?;
        let mut client = Client::new(config);
        let mut state = UpstreamWorkState::default();
        let mut events = EventLog::default();
        'first_job: loop {
            let event = tokio::select! {
                event = client.next() => event?,
                (spec, _) = changed(&mut changes) => {
                    set_access(&mut client, &spec);
                    continue;
                }
            };
            events.log(&event);
            note_age(shared, &event);
            if let Some(problem) = waits_for(&event) {
                shared.work_health.set(problem);
            }
            for effect in state.on_event(Event::Client(event), Now::read()) {
                match effect {
                    Effect::Publish => break 'first_job,
                    Effect::Warn | Effect::Idle => {}
                }
            }
        }
        shared.work_health.clear();
        Ok(Self { client, state, shares, changes })
    }

    /// Publishes the first job.
    pub(super) fn prepare(&mut self, shared: &PoolState) {
        self.carry_out(Effect::Publish, shared, None);
    }

    /// Publishes jobs and submits shares until `stop`; then waits a little for the last answers.
    pub(super) async fn run(mut self, shared: Arc<PoolState>, stop: CancellationToken) {
        let mut in_flight = ForwardedShares::default();
        let mut events = EventLog::default();
        let mut usefulness = Usefulness::of(self.state.pool());
        // Why the client was last not connected to an upstream pool.
        let mut problem = None;
        while !stop.is_cancelled() {
            let deadline = self.state.next_deadline();
            // The branches are polled in random order, so that a pool that sends without a pause does not keep shares from
            // being submitted.
            let event = tokio::select! {
                event = self.client.next() => match event {
                    Ok(event) => {
                        if usefulness.on_event(&event, Instant::now().into_std()) {
                            show_usefulness(&shared, &usefulness);
                        }
                        events.log(&event);
                        note_age(&shared, &event);
                        problem = waits_for(&event).or(problem);
                        match event {
                            client::Event::Answer(answer) => settle(&shared, &mut in_flight, answer),
                            event => Some(Event::Client(event)),
                        }
                    }
                    // The client returns an error only when no pool is left to try.
                    Err(error) => {
                        tracing::error!(error = error_chain(&error), "no upstream pool is left to try");
                        break;
                    }
                },
                Some(request) = self.shares.recv() => {
                    self.submit(&shared, &mut in_flight, request);
                    None
                }
                () = sleep_until(deadline.map_or_else(Instant::now, Into::into)), if deadline.is_some() => {
                    Some(Event::Tick)
                }
                (spec, _) = changed(&mut self.changes) => {
                    set_access(&mut self.client, &spec);
                    None
                }
                () = stop.cancelled() => break,
            };
            for effect in event.map(|event| self.state.on_event(event, Now::read())).unwrap_or_default() {
                self.carry_out(effect, &shared, problem.as_ref());
            }
            shared.set_upstream(self.state.pool(), in_flight.counts());
        }
        self.finish(&shared, in_flight).await;
    }

    fn carry_out(&mut self, effect: Effect, shared: &PoolState, problem: Option<&Problem>) {
        match effect {
            Effect::Publish => {
                if let Some(pool) = self.state.pool() {
                    shared.set_work_from(&format!("upstream pool {pool}"));
                }
                if let Some(job) = self.state.job() {
                    shared.jobs.publish(job);
                }
                if shared.work_health.clear() {
                    tracing::info!("an upstream pool works again");
                }
            }
            Effect::Warn => {
                set_health(shared, problem, "; miners keep their last job, which may be outdated")
            }
            Effect::Idle => {
                tracing::error!(
                    "all upstream pools have been down for too long: miners stay connected, but have no work"
                );
                set_health(shared, problem, "; there is no work");
                shared.jobs.idle();
            }
        }
    }

    /// Submits a share, unless it is known that the pool rejects it. A candidate may be a block, so it is submitted all the same.
    fn submit(
        &mut self,
        shared: &PoolState,
        in_flight: &mut ForwardedShares<client::Ticket>,
        request: ForwardRequest,
    ) {
        let share = &request.share;
        let is_in_vain = !share.judged.candidate && self.state.is_in_vain(ShareTime::of(share), share.epoch);
        let goes = in_flight.len() < MAX_IN_FLIGHT && !is_in_vain;
        match goes.then(|| self.client.submit(&share.job, share.share.clone())).flatten() {
            Some(ticket) => in_flight.submitted(ticket, request),
            None => shared.settle(in_flight.not_submitted(request), Duration::ZERO),
        }
    }

    /// Submits the remaining shares, and waits a little for answers.
    async fn finish(mut self, shared: &PoolState, mut in_flight: ForwardedShares<client::Ticket>) {
        while let Ok(request) = self.shares.try_recv() {
            self.submit(shared, &mut in_flight, request);
        }
        let deadline = Instant::now() + ANSWER_WITHIN;
        while !in_flight.is_empty()
            && let Some(event) = self.client.next_until(deadline).await
        {
            if let client::Event::Answer(answer) = event {
                settle(shared, &mut in_flight, answer);
            }
        }
        for answer in self.client.close() {
            settle(shared, &mut in_flight, answer);
        }
        shared.set_upstream(None, in_flight.counts());
    }
}

/// Counts a share with its outcome. Returns what the outcome tells about the upstream pool, if anything.
fn settle(
    shared: &PoolState,
    in_flight: &mut ForwardedShares<client::Ticket>,
    answer: Answer,
) -> Option<Event> {
    let done = in_flight.answered(answer.ticket, answer.outcome)?;
    let told = told_by(&done);
    shared.settle(done, answer.round_trip);
    told
}

/// What the outcome of a share tells about the upstream pool, if anything.
fn told_by((request, outcome): &(ForwardRequest, Outcome)) -> Option<Event> {
    let epoch = request.share.epoch;
    let verdict = match outcome {
        Outcome::Rejected(_) if request.reply.is_none() => return Some(Event::EasyBlockRejected(epoch)),
        Outcome::Accepted => Verdict::Accepted,
        Outcome::Rejected(reason) if is_about_time(reason) => Verdict::RejectedForTime,
        Outcome::Rejected(reason) if !reason.is_duplicate() => Verdict::Rejected,
        Outcome::Rejected(_) | Outcome::Stale(_) | Outcome::Unanswered => return None,
    };
    Some(Event::Verdict(ShareTime::of(&request.share), epoch, verdict))
}

/// Notes when the pool has sent its job, and anything at all.
fn note_age(shared: &PoolState, event: &client::Event) {
    let now = std::time::Instant::now();
    match event {
        client::Event::Lost { .. } | client::Event::Waiting { .. } | client::Event::Unfit { .. } => return,
        client::Event::Answer(Answer { outcome: Outcome::Unanswered | Outcome::Stale(None), .. }) => return,
        client::Event::Job { .. } => shared.source.set_given(now),
        _ => {}
    }
    shared.source.set_answered(now);
}

/// Why an upstream pool gives no work, if the event says so.
fn waits_for(event: &client::Event) -> Option<Problem> {
    match event {
        client::Event::Lost { error, .. } => upstream_problem(error),
        client::Event::Waiting { pool, awaited } => {
            let text = format!("{pool} is silent: still waiting for {awaited}");
            Some(Problem::new(ProblemKind::UpstreamUnreachable, text))
        }
        _ => None,
    }
}

/// Sets the health to what is wrong with the upstream pools; `result` says what follows for the miners.
fn set_health(shared: &PoolState, problem: Option<&Problem>, result: &str) {
    let (kind, why) = match problem {
        Some(Problem { kind, text }) => (*kind, format!(": {text}")),
        None => (ProblemKind::UpstreamUnreachable, String::new()),
    };
    shared.work_health.set(Problem::new(kind, format!("no upstream pool works{why}{result}")));
}

/// Sets the health to whether the upstream pool that gives work is of any use.
fn show_usefulness(shared: &PoolState, usefulness: &Usefulness) {
    match usefulness.problem() {
        Some(problem) => shared.upstream_health.set(problem.clone()),
        None => {
            if shared.upstream_health.clear() {
                tracing::info!("the upstream pool is of use again");
            }
        }
    }
}
