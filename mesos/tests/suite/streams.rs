//! Every recorded stream is read whole, in halves and byte by byte, and every field is decoded.

use bytes::Bytes;
use mesos::recordio::{RecordReader, encode};
use mesos::{executor, scheduler, v1};
use prost::Message;

use crate::recorded::{self, File};

fn records(stream: &[u8], piece: usize) -> Vec<Bytes> {
    let mut reader = RecordReader::default();
    let mut records = Vec::new();
    for piece in stream.chunks(piece) {
        reader.push(piece);
        while let Some(record) = reader.next().expect("RecordIO") {
            records.push(record);
        }
    }
    reader.finish().expect("whole records");
    records
}

/// Reads the stream in pieces of several sizes, and checks that the records are equal.
fn read(file: &File) -> Vec<Bytes> {
    let length = file.bytes.len();
    let whole = records(&file.bytes, length);
    assert!(!whole.is_empty(), "{}", file.name);
    for piece in [length.div_ceil(2), 1] {
        assert_eq!(records(&file.bytes, piece), whole, "{} in pieces of {piece}", file.name);
    }
    let again: Vec<u8> = whole.iter().flat_map(|record| encode(record)).collect();
    assert_eq!(again, file.bytes, "{}", file.name);
    whole
}

/// Decodes and encodes again. Equal bytes mean that no field was lost.
pub fn decode<M: Message + Default>(bytes: &[u8], name: &str) -> M {
    let message = M::decode(bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    // The recorded AgentInfo has a field that Mesos' own v1 .proto files do not name: number 7, which is `checkpoint` in the
    // older API. Here it is always true. It is the only such field, and the last one in its message.
    let again = message.encode_to_vec();
    let unnamed = bytes.len() - again.len();
    assert!(
        unnamed == 0 || unnamed == 2 && bytes.windows(2).any(|it| it == [7 << 3, 1]),
        "{name}: fields got lost"
    );
    assert!(unnamed > 0 || again == bytes, "{name}: fields changed");
    message
}

/// The type of each event. In protobuf, every event must be known, and must survive the conversion to the enum and back.
fn types(file: &File) -> Vec<String> {
    let name = |record: &Bytes| match (file.kind.protobuf, file.kind.executor) {
        (false, _) => {
            let value: serde_json::Value = serde_json::from_slice(record).expect("JSON");
            value["type"].as_str().expect("a type").to_owned()
        }
        (true, false) => {
            let wire: v1::scheduler::Event = decode(record, &file.name);
            let event = scheduler::Event::from(wire.clone());
            assert!(!matches!(event, scheduler::Event::Unknown(_)), "{}: {event:?}", file.name);
            assert_eq!(v1::scheduler::Event::from(event), wire);
            wire.r#type().as_str_name().to_owned()
        }
        (true, true) => {
            let wire: v1::executor::Event = decode(record, &file.name);
            let event = executor::Event::from(wire.clone());
            assert!(!matches!(event, executor::Event::Unknown(_)), "{}: {event:?}", file.name);
            assert_eq!(v1::executor::Event::from(event), wire);
            wire.r#type().as_str_name().to_owned()
        }
    };
    read(file).iter().map(name).collect()
}

#[test]
fn every_recorded_stream_is_decoded() {
    let files = recorded::all(".recordio");
    assert_eq!(files.len(), 61);
    for file in files {
        let types = types(&file);
        let refused = types == ["ERROR"];
        assert!(refused || types[0] == "SUBSCRIBED", "{} begins with {}", file.name, types[0]);
    }
}

#[test]
fn both_encodings_have_the_same_events() {
    for side in ["scheduler", "executor"] {
        let sequence = |encoding: &str| {
            let mut types = types(&recorded::one(&format!("{encoding}/{side}-stream.recordio")));
            // The events of these two types come at random positions.
            types.retain(|name| name != "HEARTBEAT" && name != "OFFERS");
            types
        };
        assert_eq!(sequence("json"), sequence("protobuf"));
        assert!(sequence("json").len() > 5);
    }
}

#[test]
fn every_recorded_call_is_decoded() {
    for file in recorded::all(".body.pb") {
        let name = file.name.rsplit('-').next().and_then(|name| name.split('.').next()).unwrap();
        let found = if file.kind.executor {
            decode::<v1::executor::Call>(&file.bytes, &file.name).r#type().as_str_name()
        } else {
            decode::<v1::scheduler::Call>(&file.bytes, &file.name).r#type().as_str_name()
        };
        assert_eq!(found, name, "{}", file.name);
    }
}

fn scheduler_events() -> Vec<scheduler::Event> {
    let file = recorded::one("protobuf/scheduler-stream.recordio");
    read(&file).iter().map(|record| decode::<v1::scheduler::Event>(record, &file.name).into()).collect()
}

#[test]
fn a_capability_of_a_newer_master_is_kept_as_a_number() {
    let scheduler::Event::Subscribed(subscribed) = &scheduler_events()[0] else { panic!("SUBSCRIBED first") };
    assert_eq!(subscribed.heartbeat_interval_seconds, Some(15.0));
    let master = subscribed.master_info.as_ref().unwrap();
    assert_eq!(master.version(), "1.11.0");
    let kinds: Vec<_> = master.capabilities.iter().map(|it| it.r#type().as_str_name()).collect();
    assert_eq!(kinds[..2], ["AGENT_UPDATE", "AGENT_DRAINING"]);
    // Mesos' own v1 .proto files do not name the third capability.
    assert_eq!(kinds.len(), 3);
    assert_eq!(master.capabilities[2].r#type, Some(3));
    assert_eq!(master.capabilities[2].r#type().as_str_name(), "UNKNOWN");
}

#[test]
fn an_offer_is_read_to_the_last_port() {
    let events = scheduler_events();
    let offers = events.iter().find_map(|event| match event {
        scheduler::Event::Offers(offers) => Some(offers),
        _ => None,
    });
    let offers = offers.expect("OFFERS");
    assert_eq!(offers.len(), 2);
    for offer in offers {
        let resources = mesos::resources::Resources::from(offer.resources.clone());
        assert_eq!(resources.sum("cpus").to_string(), "2");
        assert_eq!(resources.sum("mem").to_string(), "2048");
        assert!(resources.count("ports") == 100);
        assert!(resources.as_slice().iter().all(|piece| piece.allocation_info.is_some()));
    }
}

#[test]
fn only_updates_with_a_uuid_are_acknowledged() {
    let framework = "f".into();
    let (mut with, mut without) = (0, 0);
    for event in scheduler_events() {
        let scheduler::Event::Update(status) = event else { continue };
        match scheduler::acknowledge(&framework, &status) {
            Some(call) => {
                assert_eq!(call.acknowledge.unwrap().uuid.len(), 16);
                with += 1;
            }
            None => {
                assert_eq!(status.known_reason(), Some(v1::task_status::Reason::Reconciliation));
                without += 1;
            }
        }
    }
    assert_eq!((with, without), (9, 4));
}
