//! Peers of tests: servers with certificates of their own, and a SOCKS5 proxy.

#![allow(dead_code)] // several test programs share it, and none needs all of it

pub mod authority;
pub mod socks;
