//! A Stratum client that stays connected: it delivers jobs and submits shares across reconnects and changes of pool.
//!
//! The owner drives a [`Client`]: [`Client::next`] connects, reads, writes and waits until there is an [`Event`]. Its future
//! may be dropped at any time, as `select!` does. [`Client::submit`] queues a share and returns immediately. The client
//! starts no task, so nothing happens while `next` is not awaited. The shares may come from the threads of a miner or from
//! the workers of a pool.
//!
//! ```no_run
//! use client::{Client, Config, Event, Pool};
//! use stratum::Share;
//!
//! # async fn search(_: &stratum::Job) -> Share { unimplemented!() }
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool { url: "stratum+tcp://pool.example:3333".parse()?, user: "me.rig".into(), password: "x".into() };
//! let mut client = Client::new(Config::new(vec![pool]));
//! let mut current: Option<std::sync::Arc<stratum::Job>> = None;
//! loop {
//!     let job = current.clone();
//!     tokio::select! {
//!         event = client.next() => match event? {
//!             Event::Job { job, .. } => current = Some(job),
//!             Event::Lost { .. } => current = None,
//!             Event::Answer(answer) => println!("{:?}: {:?}", answer.ticket, answer.outcome),
//!             _ => {}
//!         },
//!         share = async { search(job.as_ref().expect("a job")).await }, if job.is_some() => {
//!             // `None`: the share is stale and was not sent. Otherwise exactly one `Event::Answer` follows.
//!             let _ticket = client.submit(job.as_ref().expect("a job"), share);
//!         }
//!     }
//! }
//! # }
//! ```
//!
//! Guarantees:
//!
//! - A job is self-contained ([`stratum::Job`]): it has the target, version mask and extranonces that were in force when it
//!   was received. The owner passes the job's `Arc` with each share, so equal job ids of two pools are never confused.
//! - After [`Event::Lost`] there is no work until the next [`Event::Job`]. A switch to a better pool causes no `Lost`, only a
//!   job of the other pool.
//! - Every [`Ticket`] gets exactly one [`Answer`], from [`Event::Answer`] or from [`Client::close`].
//! - When a connection ends, its unanswered shares wait until the session is resumed. They are then submitted again, and the
//!   answer "duplicate" counts as accepted. If the session is not resumed, their outcome is [`Outcome::Unanswered`].
//!
//! Modules: [`config`]: settings; [`event`]: events and outcomes; [`error`]: errors;
//! `awaited`: what a silent pool owes; `client`: the client; `connection`: one connection to a pool; `dialect`: which requests a
//! pool does not survive; `failover`: which pool to try next; `fitness`: whether a pool that gives work is of use; `shares`:
//! submitted shares and their outcomes.

mod awaited;
mod client;
pub mod config;
mod connection;
mod dialect;
pub mod error;
pub mod event;
mod failover;
mod fitness;
mod shares;

pub use awaited::Awaited;
pub use client::Client;
pub use config::{Config, Pool};
pub use error::ClientError;
pub use event::{Answer, Event, Outcome, Ticket};
