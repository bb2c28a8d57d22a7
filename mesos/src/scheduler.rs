//! The scheduler's side: a framework and the master.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use mesos::scheduler::{self, Event, SchedulerClient};
//! use mesos::v1::FrameworkInfo;
//!
//! let client = SchedulerClient::new("127.0.0.1:5050".parse()?);
//! let info = FrameworkInfo { user: "nobody".into(), name: "idle".into(), ..Default::default() };
//! let mut events = client.subscribe(&scheduler::subscribe(info)).await?;
//! let mut id = None;
//! while let Some(event) = events.next().await? {
//!     match event {
//!         Event::Subscribed(subscribed) => id = Some(subscribed.framework_id),
//!         Event::Offers(offers) => {
//!             let Some(id) = &id else { continue };
//!             let ids = offers.into_iter().map(|offer| offer.id).collect();
//!             client.call(&scheduler::decline(id, ids, None)).await?;
//!         }
//!         _ => {}
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! To stay subscribed, whatever ends a stream. A call that fails with [`CallError::needs_subscription`] is a reason to
//! leave the inner loop, too.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use mesos::backoff::Backoff;
//! use mesos::scheduler::{self, Event, SchedulerClient};
//! use mesos::v1::FrameworkInfo;
//!
//! async fn run(client: SchedulerClient, mut info: FrameworkInfo) -> Result<(), Box<dyn std::error::Error>> {
//!     let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
//!     loop {
//!         let why = match client.subscribe(&scheduler::subscribe(info.clone())).await {
//!             Ok(mut events) => loop {
//!                 match events.next().await {
//!                     Ok(Some(Event::Subscribed(subscribed))) => {
//!                         backoff.reset();
//!                         info.id = Some(subscribed.framework_id); // the same framework the next time
//!                     }
//!                     Ok(Some(Event::Error(message))) => return Err(message.into()),
//!                     Ok(Some(event)) => println!("{event:?}"),
//!                     Ok(None) => break "the stream has ended".to_owned(),
//!                     Err(error) => break error.to_string(),
//!                 }
//!             },
//!             Err(error) if error.is_transient() => error.to_string(),
//!             Err(error) => return Err(error.into()),
//!         };
//!         eprintln!("{why}");
//!         // A new leader ends the pause.
//!         let changed = client.detector().changed();
//!         let _ = tokio::time::timeout(backoff.delay(), changed).await;
//!     }
//! }
//! ```

mod calls;
mod event;
pub mod operation;
mod pipeline;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::header::HeaderValue;

pub use self::calls::{
    accept, accept_inverse_offers, acknowledge, acknowledge_operation_status, decline,
    decline_inverse_offers, kill, message, reconcile, reconcile_operations, request, revive, shutdown,
    subscribe, subscribe_with, suppress, teardown, update_framework,
};
pub use self::event::Event;
pub use self::pipeline::{EncodedCall, Outcome, Pipeline, PipelineSettings};
use crate::address::{Endpoint, Scheme};
use crate::detector::Detector;
use crate::error::CallError;
use crate::http::{Config, Http, Opened, Outgoing, STREAM_ID};
use crate::masters::Masters;
use crate::subscription::{Moves, SessionGuard, Subscription};
use crate::v1::scheduler::Call;

const PATH: &str = "/api/v1/scheduler";

/// Talks to the leading master. Clones share connections and subscription.
///
/// It neither sleeps nor tries again: [`CallError::is_transient`] and [`Backoff`](crate::backoff::Backoff) are
/// what the caller needs for that. Must be used within a tokio runtime.
#[derive(Debug, Clone)]
pub struct SchedulerClient {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    http: Http,
    detector: Detector,
    /// Which master of a list to ask first: the one that last knew the leader.
    first: AtomicUsize,
    session: Mutex<Option<Arc<Session>>>,
}

/// What ties calls to the latest subscription.
#[derive(Debug)]
struct Session {
    endpoint: Endpoint,
    stream_id: HeaderValue,
}

impl SchedulerClient {
    /// With default settings. Does nothing yet.
    pub fn new(masters: Masters) -> Self {
        Self::with_config(masters, Config::default())
    }

    /// With other settings.
    pub fn with_config(masters: Masters, config: Config) -> Self {
        let (first, session) = (AtomicUsize::new(0), Mutex::default());
        // Certificates are for names rather than for IP addresses.
        let detector = if config.tls.is_some() { Detector::by_name(masters) } else { Detector::new(masters) };
        let http = Http::new(config);
        Self { shared: Arc::new(Shared { http, detector, first, session }) }
    }

    /// For the same masters with other settings, such as a secret that was replaced. It shares what finds the leader with
    /// this client, but neither connections nor a subscription. Whether there is TLS must stay as it is.
    #[must_use]
    pub fn reconfigured(&self, config: Config) -> Self {
        let (detector, session) = (self.shared.detector.clone(), Mutex::default());
        let first = AtomicUsize::new(self.shared.first.load(Ordering::Relaxed));
        Self { shared: Arc::new(Shared { http: Http::new(config), detector, first, session }) }
    }

    /// What finds the leader. A change of the leader is a good reason to subscribe before a pause is over.
    pub fn detector(&self) -> &Detector {
        &self.shared.detector
    }

    /// Subscribes, by a call of [`subscribe`]: asks one master after the other, or the one that ZooKeeper names,
    /// and follows them to the leader. The calls of this client belong to its latest subscription.
    ///
    /// # Errors
    /// When ZooKeeper names no leader in time, or no master takes it: then the error of the last one asked. An error that is not transient comes at
    /// once, without asking other masters.
    pub async fn subscribe(&self, call: &Call) -> Result<Subscription<Event>, CallError> {
        let outgoing = Outgoing { name: calls::name(call), body: calls::encode(call), stream_id: None };
        let scheme = self.scheme();
        let within = self.shared.http.config.call_timeout;
        let addresses = self.shared.detector.candidates(within).await.map_err(CallError::NoLeader)?;
        let moves = Moves { detector: self.detector().clone(), known: self.detector().leader() };
        let first = self.shared.first.load(Ordering::Relaxed);
        let mut last = CallError::NotSubscribed;
        for index in (0..addresses.len()).map(|step| (first + step) % addresses.len()) {
            let start = Endpoint { scheme, address: addresses[index].clone(), path: PATH.to_owned() };
            match self.shared.http.subscribe(&start, &outgoing).await {
                Ok(opened) => {
                    self.shared.first.store(index, Ordering::Relaxed);
                    return Ok(self.begin(opened)?.until(moves));
                }
                Err(error) if error.is_transient() => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Sends a call. `Ok` means only that it is well-formed and has arrived; whether it works shows in events,
    /// or not at all.
    ///
    /// # Errors
    /// When there is no subscription, the master cannot be reached, or refuses the call.
    pub async fn call(&self, call: &Call) -> Result<(), CallError> {
        let session = self.session().clone().ok_or(CallError::NotSubscribed)?;
        let stream_id = Some(session.stream_id.clone());
        let outgoing = Outgoing { name: calls::name(call), body: calls::encode(call), stream_id };
        self.shared.http.call(&session.endpoint, &outgoing).await
    }

    fn begin(&self, opened: Opened) -> Result<Subscription<Event>, CallError> {
        let Some(stream_id) = opened.response.headers().get(STREAM_ID).cloned() else {
            let found = "it answers SUBSCRIBE without a Mesos-Stream-Id".to_owned();
            return Err(CallError::NotMesos { endpoint: opened.endpoint, found });
        };
        let text = String::from_utf8_lossy(stream_id.as_bytes()).into_owned();
        let session = Arc::new(Session { endpoint: opened.endpoint.clone(), stream_id });
        *self.session() = Some(session.clone());
        let client = self.clone();
        let end = SessionGuard(Box::new(move || {
            let mut current = client.session();
            if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &session)) {
                *current = None;
            }
        }));
        Ok(Subscription::new(opened, Some(text), &self.shared.http.config, Some(end)))
    }

    /// ZooKeeper does not tell whether masters talk TLS: they do if we are prepared for it.
    fn scheme(&self) -> Scheme {
        let prepared = if self.shared.http.config.tls.is_some() { Scheme::Https } else { Scheme::Http };
        self.detector().masters().scheme().unwrap_or(prepared)
    }

    fn session(&self) -> std::sync::MutexGuard<'_, Option<Arc<Session>>> {
        self.shared.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
