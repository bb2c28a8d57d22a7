//! The scheduler alone.
fn main() {}
