//! Tests this crate with recorded bytes of a real Mesos 1.11, and with peers that misbehave.

mod calls;
mod fields;
mod ipv6;
mod large;
mod odd_peers;
mod pipeline;
mod recorded;
mod replay;
mod scripted;
mod streams;
mod tls;
mod typed;
