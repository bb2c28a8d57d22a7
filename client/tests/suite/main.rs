//! The client against pools that are a few literal lines of JSON.

mod failover;
mod peers;
mod resume;
mod rig;
mod scripted;
mod secure;
