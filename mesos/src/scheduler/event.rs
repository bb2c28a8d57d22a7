//! The events of a scheduler, as an enum.

use std::time::Duration;

use crate::subscription::StreamEvent;
use crate::v1::scheduler::{Event as Wire, event};
use crate::v1::{InverseOffer, Offer, OfferId, OperationStatus, TaskStatus};

/// An event from the master.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The first event, with the framework's id, the heartbeat interval and the master.
    Subscribed(Box<event::Subscribed>),
    /// Resources are offered.
    Offers(Vec<Offer>),
    /// Mesos asks for resources back, for maintenance.
    InverseOffers(Vec<InverseOffer>),
    /// An offer is no longer valid.
    Rescind(OfferId),
    /// An inverse offer is no longer valid.
    RescindInverseOffer(OfferId),
    /// A status update of a task. Once the update is stored, acknowledge it if [`TaskStatus::needs_acknowledgement`].
    Update(Box<TaskStatus>),
    /// A status update of an operation. Acknowledge it if it has a uuid.
    UpdateOperationStatus(Box<OperationStatus>),
    /// A message from an executor.
    Message(event::Message),
    /// An executor has ended, or (without `executor_id`) an agent is lost.
    Failure(event::Failure),
    /// The last event. The subscription, and usually the framework id, cannot be used any more.
    Error(String),
    /// Shows that the master is alive.
    Heartbeat,
    /// An event of an unknown type, or without the field that its type requires. Ignore it.
    Unknown(Box<Wire>),
}

impl From<Wire> for Event {
    fn from(mut wire: Wire) -> Self {
        use event::Type;
        let known = match wire.r#type() {
            Type::Subscribed => wire.subscribed.take().map(|it| Self::Subscribed(Box::new(it))),
            Type::Offers => wire.offers.take().map(|it| Self::Offers(it.offers)),
            Type::InverseOffers => {
                wire.inverse_offers.take().map(|it| Self::InverseOffers(it.inverse_offers))
            }
            Type::Rescind => wire.rescind.take().map(|it| Self::Rescind(it.offer_id)),
            Type::RescindInverseOffer => {
                wire.rescind_inverse_offer.take().map(|it| Self::RescindInverseOffer(it.inverse_offer_id))
            }
            Type::Update => wire.update.take().map(|it| Self::Update(Box::new(it.status))),
            Type::UpdateOperationStatus => {
                wire.update_operation_status.take().map(|it| Self::UpdateOperationStatus(Box::new(it.status)))
            }
            Type::Message => wire.message.take().map(Self::Message),
            Type::Failure => wire.failure.take().map(Self::Failure),
            Type::Error => wire.error.take().map(|it| Self::Error(it.message)),
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
            Event::Offers(offers) => Self { offers: Some(event::Offers { offers }), ..of(Type::Offers) },
            Event::InverseOffers(inverse_offers) => Self {
                inverse_offers: Some(event::InverseOffers { inverse_offers }),
                ..of(Type::InverseOffers)
            },
            Event::Rescind(offer_id) => {
                Self { rescind: Some(event::Rescind { offer_id }), ..of(Type::Rescind) }
            }
            Event::RescindInverseOffer(inverse_offer_id) => Self {
                rescind_inverse_offer: Some(event::RescindInverseOffer { inverse_offer_id }),
                ..of(Type::RescindInverseOffer)
            },
            Event::Update(status) => {
                Self { update: Some(event::Update { status: *status }), ..of(Type::Update) }
            }
            Event::UpdateOperationStatus(status) => Self {
                update_operation_status: Some(event::UpdateOperationStatus { status: *status }),
                ..of(Type::UpdateOperationStatus)
            },
            Event::Message(it) => Self { message: Some(it), ..of(Type::Message) },
            Event::Failure(it) => Self { failure: Some(it), ..of(Type::Failure) },
            Event::Error(message) => Self { error: Some(event::Error { message }), ..of(Type::Error) },
            Event::Heartbeat => of(Type::Heartbeat),
            Event::Unknown(wire) => *wire,
        }
    }
}

impl StreamEvent for Event {
    type Wire = Wire;
    const NAME: &'static str = "mesos.v1.scheduler.Event";
    const FIRST_INTERVAL: Option<Duration> = Some(Duration::from_secs(15));

    fn heartbeat_interval(&self) -> Option<Option<Duration>> {
        let Self::Subscribed(subscribed) = self else { return None };
        let seconds = subscribed.heartbeat_interval_seconds;
        Some(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).filter(|it| !it.is_zero()))
    }
}
