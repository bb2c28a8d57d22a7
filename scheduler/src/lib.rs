//! The Mesos framework: runs one pool server and as many workers as the cluster has room for, and keeps their
//! accounts.

pub mod ledger;
pub mod record;
pub mod store;
pub mod summary;
