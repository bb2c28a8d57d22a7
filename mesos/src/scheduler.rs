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
//! To stay subscribed when a stream ends, subscribe again in a loop. A call that fails with
//! [`CallError::needs_subscription`] is a reason to leave the inner loop, too.
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
//!         // A change of the leader ends the pause early.
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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hyper::header::HeaderValue;

pub use self::calls::{
    accept, accept_inverse_offers, acknowledge, acknowledge_operation_status, decline,
    decline_inverse_offers, kill, message, reconcile, reconcile_operations, request, revive, shutdown,
    subscribe, subscribe_with, suppress, teardown, update_framework,
};
pub use self::event::Event;
pub use self::pipeline::{CallOutcome, Pipeline, PipelineSettings};
use crate::address::{Endpoint, Scheme};
use crate::config::Config;
use crate::detector::Detector;
use crate::error::CallError;
pub use crate::http::EncodedCall;
use crate::http::{Http, OpenStream, STREAM_ID};
use crate::masters::Masters;
use crate::subscription::{LeaderWatch, Subscription};
use crate::v1::scheduler::Call;

const PATH: &str = "/api/v1/scheduler";

/// Talks to the leading master. Clones share the connections and the subscription.
///
/// The client neither sleeps nor retries. To retry, use [`CallError::is_transient`] and [`Backoff`](crate::backoff::Backoff).
/// Must be used within a tokio runtime.
#[derive(Debug, Clone)]
pub struct SchedulerClient {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    http: Http,
    detector: Detector,
    /// The index of the master to try first: the one that last led or redirected to the leader.
    first: AtomicUsize,
    /// The session of the latest subscription. The [`Subscription`] owns the session, so the session ends when the
    /// `Subscription` is dropped.
    session: Mutex<Weak<Session>>,
}

/// Identifies the subscription that calls belong to.
#[derive(Debug, Clone)]
struct Session {
    endpoint: Endpoint,
    stream_id: HeaderValue,
}

impl SchedulerClient {
    /// A client with the default settings. Does no I/O yet.
    pub fn new(masters: Masters) -> Self {
        Self::with_config(masters, Config::default())
    }

    /// A client with other settings.
    pub fn with_config(masters: Masters, config: Config) -> Self {
        // With TLS, connect to host names, because certificates usually do not contain IP addresses.
        let detector = if config.tls.is_some() { Detector::by_name(masters) } else { Detector::new(masters) };
        Self::with_detector(detector, 0, config)
    }

    fn with_detector(detector: Detector, first: usize, config: Config) -> Self {
        let (http, first, session) = (Http::new(config), AtomicUsize::new(first), Mutex::default());
        Self { shared: Arc::new(Shared { http, detector, first, session }) }
    }

    /// A client for the same masters with other settings, such as a new secret. The two clients share the detector, but
    /// neither connections nor a subscription. TLS cannot be turned on or off.
    #[must_use]
    pub fn reconfigured(&self, config: Config) -> Self {
        Self::with_detector(self.shared.detector.clone(), self.shared.first.load(Ordering::Relaxed), config)
    }

    /// The detector that finds the leading master. A change of the leader is a good reason to end a pause early and subscribe.
    pub fn detector(&self) -> &Detector {
        &self.shared.detector
    }

    /// Subscribes with `call`, which the function [`subscribe`] creates. Tries the masters of the list in turn, or the master
    /// that ZooKeeper names, and follows redirects to the leader. The calls of this client belong to its latest subscription.
    ///
    /// # Errors
    /// When ZooKeeper names no leader in time. When every master fails, returns the error of the last one. An error that is not
    /// transient is returned immediately, without trying other masters.
    pub async fn subscribe(&self, call: &Call) -> Result<Subscription<Event>, CallError> {
        let call = EncodedCall::from(call);
        let scheme = self.scheme();
        let within = self.shared.http.config.call_timeout;
        let addresses = self.shared.detector.candidates(within).await.map_err(CallError::NoLeader)?;
        let leader = LeaderWatch { detector: self.detector().clone(), known: self.detector().leader() };
        let first = self.shared.first.load(Ordering::Relaxed);
        let mut last = CallError::NotSubscribed;
        for index in (0..addresses.len()).map(|step| (first + step) % addresses.len()) {
            let start = Endpoint { scheme, address: addresses[index].clone(), path: PATH.to_owned() };
            match self.shared.http.subscribe(&start, &call).await {
                Ok(opened) => {
                    self.shared.first.store(index, Ordering::Relaxed);
                    return self.begin(opened, leader);
                }
                Err(error) if error.is_transient() => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    /// Sends a call. `Ok` means only that the call is well-formed and has arrived. Any effect becomes visible through later
    /// events.
    ///
    /// # Errors
    /// When there is no subscription, or when the master cannot be reached or refuses the call.
    pub async fn call(&self, call: &Call) -> Result<(), CallError> {
        let session = self.session()?;
        self.shared.http.call(&session.endpoint, &call.into(), Some(&session.stream_id)).await
    }

    fn begin(&self, opened: OpenStream, leader: LeaderWatch) -> Result<Subscription<Event>, CallError> {
        let Some(stream_id) = opened.response.headers().get(STREAM_ID).cloned() else {
            let found = "it answers SUBSCRIBE without a Mesos-Stream-Id".to_owned();
            return Err(CallError::NotMesos { endpoint: opened.endpoint, found });
        };
        let text = String::from_utf8_lossy(stream_id.as_bytes()).into_owned();
        let session = Arc::new(Session { endpoint: opened.endpoint.clone(), stream_id });
        *self.latest_session() = Arc::downgrade(&session);
        let subscription = Subscription::new(opened, &self.shared.http.config);
        Ok(subscription.of_session(text, session).until_leader_changes(leader))
    }

    /// ZooKeeper does not store whether masters use TLS. If this client is configured for TLS, it assumes that they do.
    fn scheme(&self) -> Scheme {
        let configured = if self.shared.http.config.tls.is_some() { Scheme::Https } else { Scheme::Http };
        self.detector().masters().scheme().unwrap_or(configured)
    }

    /// Returns a copy of the latest session. Only the subscription owns the session itself, so calls fail once the subscription
    /// is dropped.
    fn session(&self) -> Result<Arc<Session>, CallError> {
        let session = self.latest_session().upgrade().ok_or(CallError::NotSubscribed)?;
        Ok(Arc::new(Session::clone(&session)))
    }

    fn latest_session(&self) -> MutexGuard<'_, Weak<Session>> {
        self.shared.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
