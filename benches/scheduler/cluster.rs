//! The simulated cluster: the state of a Mesos master and its agents, with executors that simulate workers and a pool server.
//!
//! The cluster receives calls and the current time, and sends events to the subscription. It follows the rules of a real
//! master that affect a scheduler's cost: declined offers set filters; the updates of a task are sent one by one, and each is
//! repeated until acknowledged; responses to RECONCILE have no uuid; and no offers are sent while they are suppressed.

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

/// The interval at which the simulated master sends HEARTBEAT events.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// The id of the simulated master. As with a real master, the ids of the framework, the agents and the offers begin with it.
const MASTER_ID: &str = "6d3bd2ef-6f0c-4f57-a5b0-20260e0cb5ca";

/// The size and the behaviour of the cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    pub agents: usize,
    pub agent: AgentSettings,
    /// Whether the rest of an agent's resources is offered even if no CPU is left. Mesos offers it by default
    /// (`--min_allocatable_resources`).
    pub leftovers: bool,
    /// Time from one allocation, in which the master offers free resources, to the next.
    pub allocation_interval: Duration,
    /// The number of new shares in each report of a worker; `None` means one share for each second since the last report.
    pub rows: Option<u32>,
    pub fetch: FetchSettings,
}

/// Counters since the start of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Type of call → the number of received calls.
    pub calls: BTreeMap<&'static str, u64>,
    /// Calls that a real master would have refused.
    pub bad_calls: u64,
    pub offers_sent: u64,
    /// Offers that were accepted, declined or withdrawn.
    pub offers_answered: u64,
    pub last_offers: Option<Instant>,
    pub last_answer: Option<Instant>,
    pub last_accept: Option<Instant>,
    /// Workers that have been launched so far.
    pub workers: u64,
    /// Launches that failed because of a withdrawn offer or too few resources.
    pub failed_launches: u64,
    /// Updates with a uuid. An update that is sent several times counts once.
    pub updates: u64,
    /// Updates that were sent again.
    pub resent: u64,
    pub acknowledged: u64,
    pub last_acknowledgement: Option<Instant>,
    /// Unexpected acknowledgements: the update was already acknowledged, or no such update was ever sent.
    pub duplicates: u64,
    /// Workers whose TASK_RUNNING is acknowledged.
    pub running: u64,
    pub messages: u64,
    /// Bytes that were sent to the scheduler in messages, updates and offers, including the RecordIO framing. `call_bytes` maps
    /// each type of call to the bytes of the scheduler's calls of this type, without the HTTP heads.
    pub message_bytes: u64,
    pub update_bytes: u64,
    pub offer_bytes: u64,
    pub call_bytes: BTreeMap<&'static str, u64>,
    pub kills: u64,
    /// MESSAGE calls, with which the scheduler sends instructions to tasks.
    pub instructions: u64,
    /// Tasks that failed because their agents could not fetch the executor, or not in time.
    pub not_fetched: u64,
    /// Successful fetches of the executor.
    pub fetched: u64,
    pub last_fetched: Option<Instant>,
    /// Bytes that agents received while fetching the executor, including those of failed fetches.
    pub fetched_bytes: u64,
}

/// The scheduler's subscription, and the channel for its events.
struct Stream {
    id: String,
    events: mpsc::Sender<Bytes>,
    heartbeat: Instant,
}

/// The simulated cluster.
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
    /// The offers that are neither answered nor withdrawn. The key is the offer's number. The value is the agent's index and the
    /// offered resources.
    offers: HashMap<u64, (usize, Amount)>,
    next_offer: u64,
    watched: Option<Watched>,
    next_allocation: Instant,
    next_update: u64,
    /// When to send each unacknowledged update again: the time, the task's index and the update's number.
    resends: VecDeque<(Instant, usize, u64)>,
    timers: BinaryHeap<std::cmp::Reverse<(Instant, usize, Timer)>>,
    /// Whether tasks send live messages and reports at their intervals.
    lively: bool,
    /// Whether a launched server sends TASK_RUNNING immediately.
    server_comes_up: bool,
    /// Whether nothing is offered any more.
    is_closed: bool,
    server: Option<usize>,
    /// The number of tasks whose state was sent to the scheduler since the last subscription.
    reconciled: usize,
    /// The number of tasks that have not ended, or whose end is not acknowledged.
    live: usize,
    /// An update whose acknowledgement shows that the scheduler has handled all earlier events, and the time of the
    /// acknowledgement.
    marker: Option<(u64, Option<Instant>)>,
    counters: Counters,
    /// Milliseconds from each update to its acknowledgement, since the last `take_latencies`.
    latencies: Vec<f64>,
    subscribed: Option<Instant>,
}

impl Cluster {
    /// Creates a cluster. When an agent must fetch an executor, the cluster sends a [`Fetch`] to `fetches`.
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
            is_closed: false,
            server: None,
            reconciled: 0,
            live: 0,
            marker: None,
            counters: Counters::default(),
            latencies: Vec::new(),
            subscribed: None,
        }
    }

    /// Handles SUBSCRIBE. The new subscription replaces the previous one, as after a failover of the scheduler.
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

    /// Handles the end of the event stream with this id.
    pub fn unsubscribed(&mut self, id: &str) {
        if self.stream.as_ref().is_some_and(|stream| stream.id == id) {
            self.stream = None;
            self.withdraw_offers();
        }
    }

    /// Handles any call except SUBSCRIBE.
    ///
    /// # Errors
    /// The reason why a real master would refuse the call.
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

    /// Performs all actions that are due.
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

    /// The time of the last SUBSCRIBE.
    pub fn subscribed(&self) -> Option<Instant> {
        self.subscribed
    }

    /// Adds the bytes of a call to the counters.
    pub fn count_call(&mut self, kind: Type, bytes: usize) {
        *self.counters.call_bytes.entry(kind.as_str_name()).or_default() += bytes as u64;
    }

    /// Takes the times between updates and their acknowledgements, in milliseconds.
    pub fn take_latencies(&mut self) -> Vec<f64> {
        std::mem::take(&mut self.latencies)
    }

    fn send(&mut self, event: Bytes) {
        if let Some(stream) = &self.stream {
            // A closed channel is no error here: `unsubscribed` handles the end of the stream.
            let _ = stream.events.try_send(event);
        }
    }
}

impl Counters {
    fn called(&mut self, kind: Type) {
        *self.calls.entry(kind.as_str_name()).or_default() += 1;
    }

    /// The number of all calls.
    pub fn all_calls(&self) -> u64 {
        self.calls.values().sum()
    }
}
