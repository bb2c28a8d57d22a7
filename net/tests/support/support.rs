//! Peers for tests: servers with certificates, and a SOCKS5 proxy.

#![allow(dead_code)] // Several test programs share this module, and none uses all of it.

pub mod authority;
pub mod der;
pub mod socks;
