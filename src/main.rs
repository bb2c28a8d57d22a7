//! mesos-miner
fn main() {}
