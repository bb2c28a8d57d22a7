//! The Mesos framework: runs one pool server and as many workers as the cluster has room for, and keeps their
//! accounts.

pub mod cli;
pub mod config;
pub mod framework;
pub mod launch;
pub mod ledger;
pub mod offers;
pub mod record;
pub mod store;
pub mod summary;
