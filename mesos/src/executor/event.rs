//! The events of an executor, as an enum.

use std::time::Duration;

use crate::subscription::StreamEvent;
use crate::v1::executor::{Event as Wire, event};
use crate::v1::{TaskGroupInfo, TaskInfo};

/// An event from the agent.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The first event, with the descriptions of executor, framework and agent.
    Subscribed(Box<event::Subscribed>),
    /// Start this task.
    Launch(Box<TaskInfo>),
    /// Start these tasks, all or none.
    LaunchGroup(TaskGroupInfo),
    /// End this task.
    Kill(event::Kill),
    /// The agent has stored the update with this uuid.
    Acknowledged(event::Acknowledged),
    /// A message from the scheduler.
    Message(Vec<u8>),
    /// A call was not valid.
    Error(String),
    /// End all tasks, send their updates, and exit within the grace period.
    Shutdown,
    /// Shows that the agent is alive.
    Heartbeat,
    /// An event of an unknown type, or without the field that its type requires. Ignore it.
    Unknown(Box<Wire>),
}

impl From<Wire> for Event {
    fn from(mut wire: Wire) -> Self {
        use event::Type;
        let known = match wire.r#type() {
            Type::Subscribed => wire.subscribed.take().map(|it| Self::Subscribed(Box::new(it))),
            Type::Launch => wire.launch.take().map(|it| Self::Launch(Box::new(it.task))),
            Type::LaunchGroup => wire.launch_group.take().map(|it| Self::LaunchGroup(it.task_group)),
            Type::Kill => wire.kill.take().map(Self::Kill),
            Type::Acknowledged => wire.acknowledged.take().map(Self::Acknowledged),
            Type::Message => wire.message.take().map(|it| Self::Message(it.data)),
            Type::Error => wire.error.take().map(|it| Self::Error(it.message)),
            Type::Shutdown => Some(Self::Shutdown),
            Type::Heartbeat => Some(Self::Heartbeat),
            Type::Unknown => None,
        };
        known.unwrap_or_else(|| Self::Unknown(Box::new(wire)))
    }
}

/// Embedded clusters and tests use this conversion to send events.
impl From<Event> for Wire {
    fn from(event: Event) -> Self {
        use event::Type;
        let of = |kind: Type| Self { r#type: Some(kind.into()), ..Self::default() };
        match event {
            Event::Subscribed(it) => Self { subscribed: Some(*it), ..of(Type::Subscribed) },
            Event::Launch(task) => Self { launch: Some(event::Launch { task: *task }), ..of(Type::Launch) },
            Event::LaunchGroup(task_group) => {
                Self { launch_group: Some(event::LaunchGroup { task_group }), ..of(Type::LaunchGroup) }
            }
            Event::Kill(it) => Self { kill: Some(it), ..of(Type::Kill) },
            Event::Acknowledged(it) => Self { acknowledged: Some(it), ..of(Type::Acknowledged) },
            Event::Message(data) => Self { message: Some(event::Message { data }), ..of(Type::Message) },
            Event::Error(message) => Self { error: Some(event::Error { message }), ..of(Type::Error) },
            Event::Shutdown => of(Type::Shutdown),
            Event::Heartbeat => of(Type::Heartbeat),
            Event::Unknown(wire) => *wire,
        }
    }
}

impl StreamEvent for Event {
    type Wire = Wire;
    const NAME: &'static str = "mesos.v1.executor.Event";
    /// An agent sends heartbeats only every half hour, and does not announce the interval.
    const FIRST_INTERVAL: Option<Duration> = None;

    fn heartbeat_interval(&self) -> Option<Option<Duration>> {
        None
    }
}
