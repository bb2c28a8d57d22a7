//! Events in their wire form: protobuf, each in a RecordIO record.

use std::time::Duration;

use bytes::Bytes;
use mesos::recordio;
use mesos::v1::scheduler::Event;
use mesos::v1::scheduler::event::{self, Type};
use mesos::v1::{MasterInfo, Offer, TaskStatus};
use prost::Message;

use super::MASTER_ID;

fn frame(kind: Type, event: Event) -> Bytes {
    recordio::encode(&Event { r#type: Some(kind.into()), ..event }.encode_to_vec()).into()
}

pub(super) fn subscribed(framework: &str, heartbeat: Duration) -> Bytes {
    let master_info = MasterInfo {
        id: MASTER_ID.to_owned(),
        ip: u32::from_le_bytes([127, 0, 0, 1]),
        port: 5050,
        version: Some("1.11.0".to_owned()),
        ..MasterInfo::default()
    };
    let subscribed = event::Subscribed {
        framework_id: framework.into(),
        heartbeat_interval_seconds: Some(heartbeat.as_secs_f64()),
        master_info: Some(master_info),
    };
    frame(Type::Subscribed, Event { subscribed: Some(subscribed), ..Event::default() })
}

pub(super) fn heartbeat() -> Bytes {
    frame(Type::Heartbeat, Event::default())
}

pub(super) fn offers(offers: Vec<Offer>) -> Bytes {
    frame(Type::Offers, Event { offers: Some(event::Offers { offers }), ..Event::default() })
}

pub(super) fn rescind(offer: u64) -> Bytes {
    let rescind = event::Rescind { offer_id: format!("{MASTER_ID}-O{offer}").into() };
    frame(Type::Rescind, Event { rescind: Some(rescind), ..Event::default() })
}

pub(super) fn update(status: TaskStatus) -> Bytes {
    frame(Type::Update, Event { update: Some(event::Update { status }), ..Event::default() })
}

pub(super) fn message(agent: &str, executor: &str, data: Vec<u8>) -> Bytes {
    let message = event::Message { agent_id: agent.into(), executor_id: executor.into(), data };
    frame(Type::Message, Event { message: Some(message), ..Event::default() })
}

/// Creates the FAILURE event of a lost agent.
pub(super) fn agent_failure(agent: &str) -> Bytes {
    let failure = event::Failure { agent_id: Some(agent.into()), ..event::Failure::default() };
    frame(Type::Failure, Event { failure: Some(failure), ..Event::default() })
}
