//! Watches one node: carries out what [`TipWatch`] decides, and gets templates.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitcoin::{BlockHash, Network};
use tokio::time::{sleep, sleep_until};

use super::calls::Calls;
use super::slot::Slot;
use super::subscription::Subscription;
use super::tip_watch::{Effect, Event, TipWatch, WaitForm};
use super::{FetchedTemplate, NodeNews, NodeState, TemplateFetchError, TemplateTiming};
use crate::clock::BootTime;
use crate::network::NetworkError;
use crate::rpc::{RpcClient, RpcError};
use crate::template::{TipFacts, empty_template};
use logging::{Repeats, error_chain};
use net::Backoff;

/// Watches a node; never returns.
pub(super) async fn watch(
    client: Arc<RpcClient>,
    network: Network,
    timing: TemplateTiming,
    publish: impl Fn(NodeNews) + Send + Sync,
) {
    let mut backoff = Backoff::new(timing.retry.0, timing.retry.1);
    let mut repeats = Repeats::default();
    let calls = Calls::new(client.clone(), network);
    loop {
        let (Err(error), worked) = run(&calls, timing, &publish).await;
        if worked {
            backoff.reset();
            repeats.clear();
        }
        let text = error_chain(&error);
        if repeats.print(&text, Instant::now()).is_some() {
            tracing::warn!(error = text, "no templates from this node");
        }
        let pause = timing.pause_after(&error, backoff.delay());
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

/// Watches a node until it fails. Returns the error, and whether the node gave a template before it failed.
async fn run(
    calls: &Calls,
    timing: TemplateTiming,
    publish: &(impl Fn(NodeNews) + Send + Sync),
) -> (Result<Infallible, TemplateFetchError>, bool) {
    let start = async {
        calls.check_network().await?;
        calls.template(None).await
    };
    let first = match start.await {
        Ok(first) => first,
        Err(error) => return (Err(error), false),
    };
    tracing::info!(node = %calls.client.url(), height = first.template.height, "node works");
    calls.client.say_back();
    publish(NodeNews::State(NodeState::Up(first.clone())));
    let abilities = calls.abilities(first.template.longpoll_id.is_some()).await;
    let (tips, effects) = TipWatch::new(abilities, first.template.prev_hash, Instant::now());
    tracing::debug!(node = %calls.client.url(), ?abilities, "the way to watch this node");
    let mut watch = NodeWatch {
        calls,
        publish,
        tips,
        subscription: calls.publisher().await.map(Subscription::begin),
        current: first,
        new_tip_at: Instant::now(),
        poll_at: Instant::now(),
        poll_again: false,
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
    (watch.run().await, true)
}

/// A call's answer, with the time at which it was called.
struct Answer<T, E = RpcError> {
    asked: Instant,
    result: Result<T, E>,
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
                () = sleep_until(self.poll_at.into()), if !self.poll.is_busy() => { self.begin_poll(); None }
                () = self.calls.client.refresh_wanted(), if !self.fetch.is_busy() => {
                    self.begin_fetch(Reason::Refresh);
                    None
                }
                () = sleep_until(self.refresh_at.into()), if !self.fetch.is_busy() => {
                    self.begin_fetch(Reason::Refresh);
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
                    self.facts.begin(async move { (asked, calls.facts(tip).await) });
                }
                Effect::Slow(took) => (self.publish)(NodeNews::Slow(took)),
            }
        }
    }

    fn begin_poll(&mut self) {
        let calls = self.calls.clone();
        self.poll.begin(async move {
            let asked = Instant::now();
            Answer { asked, result: calls.tip().await }
        });
    }

    fn begin_fetch(&mut self, reason: Reason) {
        let (calls, previous) = (self.calls.clone(), self.current.clone());
        self.fetch.begin(async move {
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
        // A template that is being fetched may be that of the tip before; its end decides.
        if !self.fetch.is_busy() {
            self.begin_fetch(Reason::NewTip);
        }
    }

    fn on_template(
        &mut self,
        reason: Reason,
        Answer { asked, result }: Answer<Arc<FetchedTemplate>, TemplateFetchError>,
    ) -> Result<Option<Event>, TemplateFetchError> {
        let fetched = result?;
        let tip = fetched.template.prev_hash;
        if tip != self.tips.tip() && asked < self.new_tip_at {
            if !self.facts.is_busy() {
                self.begin_fetch(Reason::NewTip);
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

fn polled(Answer { asked, result }: Answer<BlockHash>) -> Result<Event, RpcError> {
    match result {
        Ok(tip) => Ok(Event::Polled { tip, asked }),
        Err(error) if error.is_busy() => Ok(Event::PollRefused { asked }),
        Err(error) => Err(error),
    }
}

fn waited(form: WaitForm, result: Result<BlockHash, RpcError>) -> Result<Event, RpcError> {
    match result {
        Ok(tip) => Ok(Event::Waited { tip }),
        Err(error) if error.is_busy() => Ok(Event::WaitFailed),
        Err(error) if error.lacks_method() => Ok(Event::WaitRefused { form: None }),
        // Before version 30, Bitcoin Core answers a second argument with its help and code -1.
        Err(RpcError::Refused { .. }) => {
            let form = (form == WaitForm::KnownTip).then_some(WaitForm::TimeLimit);
            Ok(Event::WaitRefused { form })
        }
        Err(error) => Err(error),
    }
}

fn counted(Answer { asked, result }: Answer<usize>) -> Result<Event, RpcError> {
    match result {
        Ok(waits) => Ok(Event::Counted { waits: Some(waits), asked }),
        Err(error) if error.is_busy() => Ok(Event::Counted { waits: Some(usize::MAX), asked }),
        Err(RpcError::Refused { .. } | RpcError::Result { .. }) => Ok(Event::Counted { waits: None, asked }),
        Err(error) if error.lacks_method() => Ok(Event::Counted { waits: None, asked }),
        Err(error) => Err(error),
    }
}

impl TemplateTiming {
    /// The pause before a node that has failed with `error` is asked again.
    pub(super) fn pause_after(&self, error: &TemplateFetchError, pause: Duration) -> Duration {
        match error {
            TemplateFetchError::Network(NetworkError::Rpc(error)) if error.is_absent() => {
                pause.min(self.absent)
            }
            _ => pause,
        }
    }
}
