#![doc = include_str!("../README.md")]

pub mod address;
pub mod auth;
mod config;
mod connect;
pub mod detector;
pub mod duration;
pub mod env;
pub mod error;
pub mod executor;
pub mod files;
pub mod heartbeat;
mod http;
mod ids;
pub mod masters;
pub mod operator;
pub mod recordio;
pub mod resources;
pub mod scheduler;
mod subscription;
pub mod token;
mod utf8;
pub mod v1;
pub mod zookeeper;

pub use config::Config;
pub use error::{CallError, Refusal, StreamError};
pub use net::{backoff, tls};
pub use subscription::{StreamEvent, Subscription};
