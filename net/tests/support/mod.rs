//! Peers of tests: servers with certificates of their own, and a SOCKS5 proxy.

pub mod authority;
pub mod socks;
