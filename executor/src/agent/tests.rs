//! The state machine, event by event, and the whole executor against a small agent.

mod events;
mod machine;
mod process;
