//! Tests of the state machine, event by event, and of the whole executor against a fake agent.

mod events;
mod machine;
mod process;
