//! A Stratum client that stays connected: jobs in, shares out, whatever happens to the pools.
//!
//! A [`Client`] is a value that its owner drives: [`Client::next`] connects, reads, writes and waits until there is an
//! [`Event`], and may be dropped half-way, as `select!` does; [`Client::submit`] queues a share and returns at once.
//! It starts no task, and does nothing while nobody awaits `next`. It knows nothing of who computes the shares: a miner's
//! threads, or a pool's workers.
//!
//! ```no_run
//! use client::{Client, Config, Event, Pool};
//! use stratum::Share;
//!
//! # async fn search(_: &stratum::Job) -> Share { unimplemented!() }
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool { url: "stratum+tcp://pool.example:3333".parse()?, user: "me.rig".into(), password: "x".into() };
//! let mut client = Client::new(Config::new(vec![pool]));
//! let mut present: Option<std::sync::Arc<stratum::Job>> = None;
//! loop {
//!     let job = present.clone();
//!     tokio::select! {
//!         event = client.next() => match event? {
//!             Event::Job(job) => present = Some(job),
//!             Event::Lost { .. } => present = None,
//!             Event::Answer(answer) => println!("{:?}: {:?}", answer.ticket, answer.fate),
//!             _ => {}
//!         },
//!         share = async { search(job.as_ref().expect("a job")).await }, if job.is_some() => {
//!             // `None`: the share is stale and was not sent. Otherwise exactly one Event::Answer follows.
//!             let _ticket = client.submit(job.as_ref().expect("a job"), share);
//!         }
//!     }
//! }
//! # }
//! ```
//!
//! What holds:
//!
//! - A job is complete in itself ([`stratum::Job`]): its target, version mask and extranonces are those in force when it
//!   came. Shares name it by its `Arc`, so that no pool's job id is ever mistaken for another pool's.
//! - After [`Event::Lost`] there is nothing to work on until the next [`Event::Job`]. A switch to a better pool comes
//!   without `Lost`: just a job of the other pool.
//! - Every [`Ticket`] gets exactly one [`Event::Answer`], or is in what [`Client::close`] returns.
//! - Shares without an answer when a connection ends wait for the session to be resumed and are then submitted again,
//!   where "duplicate" means accepted. If it is not resumed, they are [`Fate::Unanswered`].
//!
//! - [`cli`]: options; [`config`]: pools and patience; [`event`]: what happens; [`error`]: what goes wrong;
//! - `client`: the whole; `line`: one connection; `plan`: which pool next; `shares`: the fate of each share;
//!   `limbo`: shares between two connections.

pub mod cli;
mod client;
pub mod config;
pub mod error;
pub mod event;
mod limbo;
mod line;
mod plan;
mod shares;

pub use client::Client;
pub use config::{Config, Pool};
pub use error::ClientError;
pub use event::{Answer, Event, Fate, Ticket};
