//! Watches one node: carries out what [`TipWatch`] decides, and gets templates.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::{BlockHash, Network};
use tokio::time::{sleep, sleep_until};

use super::answers::{Answer, counted, polled, waited};
use super::calls::Calls;
use super::load::TipFlood;
use super::slot::Slot;
use super::slowness::OVERDUE;
use super::subscription::Subscription;
use super::tip_watch::{Effect, Event, TipWatch, WaitForm};
use super::{FetchedTemplate, NodeNews, NodeState, TemplateFetchError, TemplateTiming};
use crate::clock::BootTime;
use crate::rpc::{RpcClient, RpcError};
use crate::template::{TipFacts, empty_template};
use logging::{Repeats, error_chain};
use net::Backoff;

/// After a node has worked for this time, the pauses after a failure begin with the shortest again, and its failure is told at
/// once. A node that fails again and again soon after its first template is asked less and less often.
const SETTLED: Duration = Duration::from_secs(60);
/// The first and the longest pause before a node is asked again that was too busy. They are random, so that its clients do not
/// all come back at once.
const BUSY_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// A node that is too busy for its first template is told as one that does not work after this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a call without an answer is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Watches a node; never returns.
pub(super) async fn watch(
    client: Arc<RpcClient>,
    network: Network,
    timing: TemplateTiming,
    publish: impl Fn(NodeNews) + Send + Sync,
) {
    let mut backoff = Backoff::new(timing.retry.0, timing.retry.1);
    let mut repeats = Repeats::default();
    loop {
        let calls = Calls::new(client.clone(), network);
        let (Err(error), worked) = run(&calls, timing, &publish).await;
        if worked {
            backoff.reset();
            repeats.clear();
        }
        let text = error_chain(&error);
        if repeats.print(&text, Instant::now()).is_some() {
            tracing::warn!(error = text, "no templates from this node");
        }
        let pause = backoff.delay().min(timing.longest_pause(error.rpc()));
        publish(NodeNews::Slow(None));
        publish(NodeNews::State(NodeState::Down(Arc::new(error))));
        tokio::select! {
            () = sleep(pause) => {}
            // The node has answered another call, so it is back.
            () = client.block_judged() => {}
            () = client.new_credentials() => backoff.reset(),
        }
    }
}

/// The first template of a node. A node that is too busy is asked again for a while.
async fn start(calls: &Calls) -> Result<Arc<FetchedTemplate>, TemplateFetchError> {
    let (begun, mut pauses) = (Instant::now(), Backoff::new(BUSY_PAUSES.0, BUSY_PAUSES.1));
    loop {
        let first = async {
            calls.check_network().await?;
            calls.template(None).await
        };
        match first.await {
            Err(error) if error.is_busy() && begun.elapsed() < PATIENCE => sleep(pauses.delay()).await,
            result => return result,
        }
    }
}

/// Watches a node until it fails. Returns the error, and whether the node had worked for a while before it failed.
async fn run(
    calls: &Calls,
    timing: TemplateTiming,
    publish: &(impl Fn(NodeNews) + Send + Sync),
) -> (Result<Infallible, TemplateFetchError>, bool) {
    let first = match start(calls).await {
        Ok(first) => first,
        Err(error) => return (Err(error), false),
    };
    tracing::info!(node = %calls.client.url(), height = first.template.height, "node works");
    calls.client.say_back();
    publish(NodeNews::State(NodeState::Up(first.clone())));
    let better = calls.better_way(first.template.longpoll_id.is_some()).await;
    let (tips, effects) = TipWatch::new(better, first.template.prev_hash, Instant::now());
    tracing::debug!(node = %calls.client.url(), ?better, "the way to watch this node");
    let mut watch = NodeWatch {
        calls,
        publish,
        tips,
        subscription: calls.publisher().await.map(Subscription::begin),
        current: first,
        new_tip_at: Instant::now(),
        poll_at: Instant::now(),
        poll_again: false,
        poll_begun: Instant::now(),
        overdue_at: Instant::now(),
        flood: TipFlood::default(),
        busy: Backoff::new(BUSY_PAUSES.0, BUSY_PAUSES.1),
        poll: Slot::empty(),
        wait: Slot::empty(),
        count: Slot::empty(),
        long_poll: Slot::empty(),
        facts: Slot::empty(),
        fetch: Slot::empty(),
        refresh: timing.refresh,
        refresh_at: Instant::now() + timing.refresh,
    };
    watch.carry_out(effects);
    let begun = Instant::now();
    let result = watch.run().await;
    (result, begun.elapsed() >= SETTLED)
}

/// Why a template is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    /// There is a new tip.
    NewTip,
    /// It is time to pick up fees and the present time.
    Refresh,
}

/// A node that works.
struct NodeWatch<'a, P> {
    calls: &'a Calls,
    publish: &'a P,
    tips: TipWatch,
    subscription: Option<Subscription>,
    /// The newest template.
    current: Arc<FetchedTemplate>,
    /// When the node last told of a new tip.
    new_tip_at: Instant,
    poll_at: Instant,
    /// Whether to poll again as soon as the poll in progress has ended.
    poll_again: bool,
    /// When the poll in progress, or the last one, was begun.
    poll_begun: Instant,
    /// When to look next at whether the poll in progress has taken too long.
    overdue_at: Instant,
    flood: TipFlood,
    /// The pauses before a template is asked for again that the node was too busy for.
    busy: Backoff,
    poll: Slot<Answer<BlockHash>>,
    wait: Slot<(WaitForm, Result<BlockHash, RpcError>)>,
    count: Slot<Answer<usize>>,
    long_poll: Slot<Answer<Arc<FetchedTemplate>, TemplateFetchError>>,
    facts: Slot<(Instant, Option<TipFacts>)>,
    fetch: Slot<(Reason, Answer<Arc<FetchedTemplate>, TemplateFetchError>)>,
    refresh: Duration,
    refresh_at: Instant,
}

impl<P: Fn(NodeNews)> NodeWatch<'_, P> {
    /// Runs until the node fails.
    async fn run(&mut self) -> Result<Infallible, TemplateFetchError> {
        loop {
            let event = tokio::select! {
                answer = self.poll.end() => Some(polled(answer)?),
                (form, result) = self.wait.end() => Some(waited(form, result)?),
                answer = self.count.end() => Some(counted(answer)?),
                answer = self.long_poll.end() => Some(self.on_long_poll(answer)),
                (asked, facts) = self.facts.end() => { self.on_facts(asked, facts); None }
                (reason, answer) = self.fetch.end() => self.on_template(reason, answer)?,
                event = next(&mut self.subscription) => Some(event),
                () = self.calls.client.block_judged() => Some(Event::BlockSubmitted),
                () = sleep_until(self.poll_at.into()), if !self.poll.is_busy() => {
                    self.begin_poll();
                    None
                }
                () = sleep_until(self.overdue_at.into()), if self.poll.is_busy() => Some(self.overdue()),
                () = self.calls.client.refresh_wanted(), if !self.fetch.is_busy() => {
                    self.begin_fetch(Reason::Refresh, Duration::ZERO);
                    None
                }
                () = sleep_until(self.refresh_at.into()), if !self.fetch.is_busy() => {
                    self.begin_fetch(Reason::Refresh, Duration::ZERO);
                    None
                }
            };
            if let Some(event) = event {
                let effects = self.tips.on_event(event, Instant::now());
                self.carry_out(effects);
            }
            if !self.poll.is_busy() && std::mem::take(&mut self.poll_again) {
                self.poll_at = Instant::now();
            }
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let calls = self.calls.clone();
            match effect {
                Effect::Poll { after } => {
                    self.poll_at = Instant::now() + after;
                    self.poll_again |= after.is_zero() && self.poll.is_busy();
                }
                Effect::Wait { form, limit } => {
                    let tip = self.tips.tip();
                    self.wait.begin(async move { (form, calls.wait(form, limit, tip).await) });
                }
                Effect::Count { after } => self.count.begin(async move {
                    sleep(after).await;
                    let _turn = calls.turn().await;
                    let asked = Instant::now();
                    Answer { asked, result: calls.active_waits().await }
                }),
                Effect::LongPoll => self.begin_long_poll(),
                Effect::Unsubscribe => {
                    tracing::warn!(node = %calls.client.url(), "the node does not publish its new tips as it says: asking for them");
                    self.subscription = None;
                }
                Effect::NewTip(tip) => {
                    self.new_tip_at = Instant::now();
                    let asked = self.new_tip_at;
                    // A call in progress is not given up, because the node would answer it in any case.
                    if self.flood.on_tip(asked) && !self.facts.is_busy() {
                        let at_once = self.tips.is_told();
                        self.facts.begin(async move { (asked, calls.facts(tip, at_once).await) });
                    } else {
                        self.fetch_new_tip();
                    }
                }
                Effect::Slow(took) => (self.publish)(NodeNews::Slow(took)),
            }
        }
    }

    fn begin_poll(&mut self) {
        let calls = self.calls.clone();
        self.poll_begun = Instant::now();
        self.overdue_at = self.poll_begun + OVERDUE;
        self.poll.begin(async move {
            let _turn = calls.turn().await;
            let asked = Instant::now();
            Answer { asked, result: calls.tip().await }
        });
    }

    /// The poll in progress has taken too long.
    fn overdue(&mut self) -> Event {
        let now = Instant::now();
        self.overdue_at = now + LOOK_AGAIN;
        Event::Overdue {
            so_far: now - self.poll_begun,
            silent: now.saturating_duration_since(self.calls.client.last_answer()),
        }
    }

    /// Asks for the template of a new tip. A template that is being fetched may be that of the tip before; its end decides.
    fn fetch_new_tip(&mut self) {
        if !self.fetch.is_busy() {
            self.begin_fetch(Reason::NewTip, Duration::ZERO);
        }
    }

    fn begin_fetch(&mut self, reason: Reason, after: Duration) {
        let (calls, previous) = (self.calls.clone(), self.current.clone());
        self.fetch.begin(async move {
            sleep(after).await;
            let _turn = calls.turn().await;
            let asked = Instant::now();
            (reason, Answer { asked, result: calls.template(Some(previous)).await })
        });
    }

    fn begin_long_poll(&mut self) {
        let (calls, previous) = (self.calls.clone(), self.current.clone());
        self.long_poll.begin(async move {
            let asked = Instant::now();
            let id = previous.template.longpoll_id.clone().unwrap_or_default();
            Answer { asked, result: calls.next_template(&id, previous).await }
        });
    }

    /// Publishes the empty template of a new tip, if it can be made, and asks for the full one.
    fn on_facts(&mut self, asked: Instant, facts: Option<TipFacts>) {
        let last = &self.current;
        let now = last.clock.at(BootTime::now());
        let facts = facts.filter(|facts| facts.hash == self.tips.tip());
        let empty = facts.and_then(|facts| {
            let template = empty_template(&facts, &last.template, self.calls.network(), now)?;
            let parent_time = last.parent_time.is_some().then_some(facts.time);
            let (template, clock) = (Arc::new(template), last.clock);
            Some(Arc::new(FetchedTemplate { template, parent_time, clock, asked, full: false }))
        });
        if let Some(empty) = empty {
            self.publish(empty);
        }
        self.fetch_new_tip();
    }

    fn on_template(
        &mut self,
        reason: Reason,
        Answer { asked, result }: Answer<Arc<FetchedTemplate>, TemplateFetchError>,
    ) -> Result<Option<Event>, TemplateFetchError> {
        let fetched = match result {
            // Work goes on with the template at hand.
            Err(error) if error.is_busy() => {
                let pause = self.busy.delay();
                self.begin_fetch(reason, pause);
                return Ok(None);
            }
            result => result?,
        };
        self.busy.reset();
        let tip = fetched.template.prev_hash;
        if tip != self.tips.tip() && asked < self.new_tip_at {
            if !self.facts.is_busy() {
                self.begin_fetch(Reason::NewTip, Duration::ZERO);
            }
            return Ok(None);
        }
        self.take(fetched, reason == Reason::Refresh);
        Ok(Some(Event::Template { tip }))
    }

    fn on_long_poll(
        &mut self,
        Answer { asked, result }: Answer<Arc<FetchedTemplate>, TemplateFetchError>,
    ) -> Event {
        match result {
            Ok(fetched) => {
                let (tip, lasted) = (fetched.template.prev_hash, asked.elapsed());
                let changed = self.take(fetched, false);
                Event::LongPolled { tip, lasted, changed }
            }
            // Perhaps only the long poll has failed, for example at a proxy with a short time limit. If the node has failed,
            // the next poll shows it.
            Err(fault) => {
                tracing::debug!(%fault, "long poll failed");
                Event::LongPollFailed
            }
        }
    }

    /// Takes a template over, and publishes it if it differs from the last one in more than its time, or if `always`. Returns
    /// whether it differs.
    fn take(&mut self, fetched: Arc<FetchedTemplate>, always: bool) -> bool {
        self.refresh_at = Instant::now() + self.refresh;
        let differs = !fetched.template.is_same_work(&self.current.template);
        if differs || always {
            self.publish(fetched);
        } else {
            self.current = fetched;
        }
        differs
    }

    fn publish(&mut self, fetched: Arc<FetchedTemplate>) {
        self.current = fetched.clone();
        (self.publish)(NodeNews::State(NodeState::Up(fetched)));
    }
}

async fn next(subscription: &mut Option<Subscription>) -> Event {
    match subscription {
        Some(subscription) => subscription.next().await,
        None => std::future::pending().await,
    }
}
