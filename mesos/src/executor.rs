//! The executor's side: a custom executor and its agent.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use mesos::env::ExecutorEnv;
//! use mesos::executor::{self, Event, ExecutorClient};
//! use mesos::v1::TaskState;
//! use std::time::SystemTime;
//!
//! let env = ExecutorEnv::from_process()?;
//! let client = ExecutorClient::from_env(&env);
//! let mut events = client.subscribe(&executor::subscribe(&env.identity, vec![], vec![])).await?;
//! while let Some(event) = events.next().await? {
//!     if let Event::Launch(task) = event {
//!         let done = executor::status(&env.identity, task.task_id, TaskState::TaskFinished, SystemTime::now());
//!         client.call(&executor::update(&env.identity, done)).await?;
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! To survive restarts of the agent, keep all tasks and updates that the agent has not acknowledged, and send them with the next
//! SUBSCRIBE. If a call fails, subscribe again, because a restarted agent first expects SUBSCRIBE.
//!
//! ```no_run
//! use std::time::{Instant, SystemTime};
//!
//! use mesos::env::ExecutorEnv;
//! use mesos::executor::{self, Event, ExecutorClient};
//! use mesos::v1::{TaskInfo, TaskState, TaskStatus};
//!
//! async fn run(env: ExecutorEnv) -> Result<(), Box<dyn std::error::Error>> {
//!     let client = ExecutorClient::from_env(&env);
//!     let (mut tasks, mut updates) = (Vec::<TaskInfo>::new(), Vec::<TaskStatus>::new());
//!     let mut lost = Instant::now();
//!     loop {
//!         match client.subscribe(&executor::subscribe(&env.identity, tasks.clone(), updates.clone())).await {
//!             Ok(mut events) => {
//!                 while let Ok(Some(event)) = events.next().await {
//!                     match event {
//!                         Event::Launch(task) => {
//!                             let (id, state) = (task.task_id.clone(), TaskState::TaskRunning);
//!                             let status = executor::status(&env.identity, id, state, SystemTime::now());
//!                             tasks.push(*task);
//!                             updates.push(status.clone());
//!                             if client.call(&executor::update(&env.identity, status)).await.is_err() {
//!                                 break;
//!                             }
//!                         }
//!                         Event::Acknowledged(it) => {
//!                             tasks.retain(|task| task.task_id != it.task_id);
//!                             updates.retain(|update| update.uuid.as_ref() != Some(&it.uuid));
//!                         }
//!                         Event::Shutdown => return Ok(()),
//!                         _ => {}
//!                     }
//!                 }
//!                 lost = Instant::now();
//!             }
//!             Err(error) if error.is_transient() => {}
//!             Err(error) => return Err(error.into()), // for instance, a new agent does not know this executor
//!         }
//!         // The timeout is zero without checkpointing.
//!         if lost.elapsed() >= env.recovery_timeout {
//!             return Err("the agent does not come back".into());
//!         }
//!         tokio::time::sleep(env.subscription_backoff_max / 4).await;
//!     }
//! }
//! ```

pub(crate) mod calls;
mod event;

use std::error::Error;
use std::sync::Arc;

pub use self::calls::{Identity, heartbeat, message, status, subscribe, update};
pub use self::event::Event;
use crate::address::{Endpoint, Scheme};
use crate::config::Config;
use crate::env::ExecutorEnv;
use crate::error::CallError;
use crate::http::Http;
use crate::subscription::Subscription;
use crate::tls::{Tls, TlsError};
use crate::v1::executor::Call;

/// Talks to the agent. Clones share connections.
///
/// The client neither sleeps nor retries. To retry, use [`CallError::is_transient`] and [`Backoff`](crate::backoff::Backoff).
/// Must be used within a tokio runtime.
#[derive(Debug, Clone)]
pub struct ExecutorClient {
    http: Arc<Http>,
    endpoint: Endpoint,
}

/// How an executor gets a client certificate.
const CLIENT_CERTIFICATE: &str = "give the executor's environment LIBPROCESS_SSL_CERT_FILE and LIBPROCESS_SSL_KEY_FILE, as the agent has them";

impl ExecutorClient {
    /// A client for the agent that started this process. Uses the agent's domain socket, TLS and the executor's token if the
    /// environment names them. Does not connect yet. If the certificates cannot be used, logs an error, and every call fails.
    pub fn from_env(env: &ExecutorEnv) -> Self {
        let mut config = Config { auth: env.auth.clone(), ..Config::default() };
        match (env.endpoint.scheme, &env.domain_socket) {
            (Scheme::Http, Some(path)) => config.domain_socket = Some(path.clone()),
            (Scheme::Http, None) => {}
            // A domain socket has no TLS, so an agent with TLS is reached over TCP.
            (Scheme::Https, _) => {
                config.tls = Tls::from_files(&env.tls_files)
                    .map(|tls| tls.client_certificate_advice(CLIENT_CERTIFICATE))
                    .inspect_err(|error| tracing::error!(error = error as &dyn Error, "no TLS to the agent"))
                    .ok();
            }
        }
        Self::with_config(env.endpoint.clone(), config)
    }

    /// Reads the certificate files again. Further connections to the agent use the new certificates. After an error, the old
    /// certificates stay in use. Returns `false` if the client does not use TLS.
    ///
    /// # Errors
    /// If a file cannot be read, or has the wrong content.
    pub fn reread_certificates(&self, env: &ExecutorEnv) -> Result<bool, TlsError> {
        let Some(tls) = &self.http.config.tls else { return Ok(false) };
        tls.replace(&Tls::from_files(&env.tls_files)?);
        Ok(true)
    }

    /// A client with other settings.
    pub fn with_config(endpoint: Endpoint, config: Config) -> Self {
        Self { http: Arc::new(Http::new(config)), endpoint }
    }

    /// Subscribes. Make the call with [`subscribe`].
    ///
    /// # Errors
    /// When the agent cannot be reached, is still starting, or refuses. After a restart of the agent
    /// [`Refusal::UnknownExecutor`](crate::Refusal::UnknownExecutor) means that the executor should exit.
    pub async fn subscribe(&self, call: &Call) -> Result<Subscription<Event>, CallError> {
        let opened = self.http.subscribe(&self.endpoint, &call.into()).await?;
        Ok(Subscription::new(opened, &self.http.config))
    }

    /// Sends a call. `Ok` means that the agent has accepted the call.
    ///
    /// # Errors
    /// When the agent cannot be reached, is still starting, or refuses the call.
    pub async fn call(&self, call: &Call) -> Result<(), CallError> {
        self.http.call(&self.endpoint, &call.into(), None).await
    }
}
