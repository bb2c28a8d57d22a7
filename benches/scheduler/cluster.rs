//! The simulated cluster: what a Mesos master knows of its agents, and executors that play workers and a pool server.
//!
//! Calls and the time come in, events go out to the subscription. It follows the rules of a real master that matter to
//! a scheduler's cost: filters of declined offers, updates of one task one by one, repeated until acknowledged, answers
//! to RECONCILE without a uuid, and no offers while they are suppressed.

mod agent;
mod events;
mod executors;
mod fetch;
mod offers;
mod reconcile;
mod task;
mod updates;

use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mesos::v1::scheduler::Call;
use mesos::v1::scheduler::call::Type;
use tokio::sync::mpsc;

pub use self::agent::AgentSettings;
use self::agent::{Agent, Amount};
pub use self::fetch::{Fetch, FetchSettings, Fetched};
use self::offers::Watched;
pub use self::task::Sums;
use self::task::{Task, Timer};

/// How often a master that has nothing to say sends a heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Ids of a real master begin with one of these.
const MASTER_ID: &str = "6d3bd2ef-6f0c-4f57-a5b0-20260e0cb5ca";

/// What the cluster is made of, and how it behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    pub agents: usize,
    pub agent: AgentSettings,
    /// What is left of an agent is offered even when it has no CPU, as Mesos does unless `--min_allocatable_resources`
    /// says otherwise.
    pub leftovers: bool,
    /// Time between two allocations.
    pub allocation_interval: Duration,
    /// Shares in each report; `None`: one for each second since the last one.
    pub rows: Option<u32>,
    pub fetch: FetchSettings,
}

/// What was counted since the cluster began.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Calls by type.
    pub calls: BTreeMap<&'static str, u64>,
    /// Calls that a real master would have answered with an error, or not have understood.
    pub bad_calls: u64,
    pub offers_sent: u64,
    /// ACCEPTed, DECLINEd, or void.
    pub offers_answered: u64,
    pub last_offers: Option<Instant>,
    pub last_answer: Option<Instant>,
    pub last_accept: Option<Instant>,
    /// Worker tasks, all that were ever launched.
    pub workers: u64,
    /// Launches that failed: on void offers, or on too little.
    pub failed_launches: u64,
    /// Updates with a uuid, each counted once.
    pub updates: u64,
    /// How often one was sent once more.
    pub resent: u64,
    pub acknowledged: u64,
    pub last_acknowledgement: Option<Instant>,
    /// Acknowledgements of what had been acknowledged, or was never sent.
    pub duplicates: u64,
    /// Workers whose TASK_RUNNING is acknowledged.
    pub running: u64,
    pub messages: u64,
    /// Bytes of these events, of updates and of offers, with RecordIO's frame; of calls, without HTTP's head.
    pub message_bytes: u64,
    pub update_bytes: u64,
    pub offer_bytes: u64,
    pub call_bytes: BTreeMap<&'static str, u64>,
    pub kills: u64,
    /// MESSAGE calls.
    pub instructions: u64,
    /// Tasks that failed because their agents had not fetched the executor in time.
    pub not_fetched: u64,
    /// Executors that were fetched.
    pub fetched: u64,
    pub last_fetched: Option<Instant>,
    /// Bytes of executors that came, of those that were given up, too.
    pub fetched_bytes: u64,
}

/// Where the events of a subscription go.
struct Stream {
    id: String,
    events: mpsc::Sender<Bytes>,
    heartbeat: Instant,
}

/// See above.
pub struct Cluster {
    settings: Settings,
    fetches: mpsc::UnboundedSender<Fetch>,
    framework: String,
    stream: Option<Stream>,
    subscriptions: u64,
    suppressed: bool,
    agents: Vec<Agent>,
    tasks: Vec<Task>,
    by_id: HashMap<String, usize>,
    /// By their numbers: the agent, and what is offered of it.
    offers: HashMap<u64, (usize, Amount)>,
    next_offer: u64,
    watched: Option<Watched>,
    next_allocation: Instant,
    next_update: u64,
    /// What is sent once more if it is not acknowledged by then: task, update, and the pause that follows.
    resends: VecDeque<(Instant, usize, u64)>,
    timers: BinaryHeap<std::cmp::Reverse<(Instant, usize, Timer)>>,
    /// Whether tasks send live messages and reports by themselves.
    lively: bool,
    /// Whether a server that is launched says at once that it runs.
    server_comes_up: bool,
    server: Option<usize>,
    /// Tasks that were asked for, or told of without being asked for, since the last subscription.
    reconciled: usize,
    /// Tasks that have not ended, or whose end is not acknowledged.
    live: usize,
    /// An update that shows by its acknowledgement how far the scheduler is, and when that came.
    marker: Option<(u64, Option<Instant>)>,
    counters: Counters,
    /// Milliseconds from each update to its acknowledgement, since they were last taken.
    latencies: Vec<f64>,
    subscribed: Option<Instant>,
}

impl Cluster {
    /// What agents have to fetch goes to `fetches`.
    pub fn new(settings: Settings, fetches: mpsc::UnboundedSender<Fetch>, now: Instant) -> Self {
        let agents = (0..settings.agents).map(|number| Agent::new(number, &settings.agent)).collect();
        Self {
            settings,
            fetches,
            framework: format!("{MASTER_ID}-0000"),
            stream: None,
            subscriptions: 0,
            suppressed: false,
            agents,
            tasks: Vec::new(),
            by_id: HashMap::new(),
            offers: HashMap::new(),
            next_offer: 0,
            watched: None,
            next_allocation: now,
            next_update: 0,
            resends: VecDeque::new(),
            timers: BinaryHeap::new(),
            lively: false,
            server_comes_up: false,
            server: None,
            reconciled: 0,
            live: 0,
            marker: None,
            counters: Counters::default(),
            latencies: Vec::new(),
            subscribed: None,
        }
    }

    /// SUBSCRIBE: what was there before is forgotten, as after a failover of the scheduler.
    pub fn subscribe(&mut self, events: mpsc::Sender<Bytes>, now: Instant) -> String {
        self.counters.called(Type::Subscribe);
        self.subscriptions += 1;
        let id = format!("{MASTER_ID}-{}", self.subscriptions);
        self.withdraw_offers();
        self.stream = Some(Stream { id: id.clone(), events, heartbeat: now + HEARTBEAT });
        self.suppressed = false;
        self.agents.iter_mut().for_each(Agent::forget_filter);
        self.tasks.iter_mut().for_each(Task::not_reconciled);
        self.reconciled = 0;
        self.subscribed = Some(now);
        self.send(events::subscribed(&self.framework, HEARTBEAT));
        self.send(events::heartbeat());
        self.resend_all(now);
        self.allocate(now);
        id
    }

    /// The stream with this id has ended.
    pub fn unsubscribed(&mut self, id: &str) {
        if self.stream.as_ref().is_some_and(|stream| stream.id == id) {
            self.stream = None;
            self.withdraw_offers();
        }
    }

    /// Any call but SUBSCRIBE, from whoever knows this stream id.
    ///
    /// # Errors
    /// Why a master would refuse it.
    pub fn call(&mut self, stream: Option<&str>, call: Call, now: Instant) -> Result<(), &'static str> {
        if self.stream.as_ref().is_none_or(|own| Some(own.id.as_str()) != stream) {
            self.counters.bad_calls += 1;
            return Err(
                "The stream ID included in this request didn't match the stream ID currently associated",
            );
        }
        self.counters.called(call.r#type());
        match call.r#type() {
            Type::Accept => self.accept(call.accept.unwrap_or_default(), now),
            Type::Decline => self.decline(call.decline.unwrap_or_default(), now),
            Type::Revive => self.revive(now),
            Type::Suppress => self.suppressed = true,
            Type::Acknowledge => self.acknowledge(call.acknowledge.unwrap_or_default(), now),
            Type::Reconcile => self.reconcile(call.reconcile.unwrap_or_default()),
            Type::Kill => self.kill(&call.kill.unwrap_or_default().task_id.value, now),
            Type::Shutdown => self.kill(&call.shutdown.unwrap_or_default().executor_id.value, now),
            Type::Message => self.instruct(&call.message.unwrap_or_default()),
            _ => self.counters.bad_calls += 1,
        }
        Ok(())
    }

    /// What is due by now.
    pub fn tick(&mut self, now: Instant) {
        if let Some(stream) = self.stream.as_mut().filter(|stream| stream.heartbeat <= now) {
            stream.heartbeat = now + HEARTBEAT;
            self.send(events::heartbeat());
        }
        if self.next_allocation <= now {
            self.allocate(now);
        }
        self.resend_what_is_due(now);
        self.run_timers(now);
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// When there was the last SUBSCRIBE.
    pub fn subscribed(&self) -> Option<Instant> {
        self.subscribed
    }

    /// A call of so many bytes has come.
    pub fn count_call(&mut self, kind: Type, bytes: usize) {
        *self.counters.call_bytes.entry(kind.as_str_name()).or_default() += bytes as u64;
    }

    /// The times from updates to their acknowledgements, in milliseconds; they are not given twice.
    pub fn take_latencies(&mut self) -> Vec<f64> {
        std::mem::take(&mut self.latencies)
    }

    fn send(&mut self, event: Bytes) {
        if let Some(stream) = &self.stream {
            // A stream that has ended says so in its own time.
            let _ = stream.events.try_send(event);
        }
    }
}

impl Counters {
    fn called(&mut self, kind: Type) {
        *self.calls.entry(kind.as_str_name()).or_default() += 1;
    }

    /// All calls.
    pub fn all_calls(&self) -> u64 {
        self.calls.values().sum()
    }
}
