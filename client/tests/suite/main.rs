//! The client against scripted pools, whose messages are literal JSON lines.

mod extranonce;
mod failover;
mod harness;
mod peers;
mod resume;
mod scripted;
mod secure;
mod waiting;
