//! The executor alone.
fn main() {}
