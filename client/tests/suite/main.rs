//! The client against scripted pools, whose messages are literal JSON lines.

mod dialect;
mod extranonce;
mod failover;
mod harness;
mod odd_lines;
mod peers;
mod resume;
mod scripted;
mod secure;
mod survival;
mod unfit;
mod waiting;
