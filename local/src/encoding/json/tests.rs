//! Compares the JSON encoding with that of prost-reflect.

use std::sync::LazyLock;

use proptest::prelude::*;
use prost_reflect::prost::Message as _;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor,
    ReflectMessage, SerializeOptions, Value,
};
use serde_json::json;

use super::*;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let files = ["mesos/v1/scheduler/scheduler.proto", "mesos/v1/executor/executor.proto"];
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../mesos/proto");
    let files = protox::compile(files, [folder]).expect("valid .proto files");
    DescriptorPool::from_file_descriptor_set(files).expect("resolved names")
});

const ROOTS: [(&str, Message); 4] = [
    ("mesos.v1.scheduler.Call", table::SCHEDULER_CALL),
    ("mesos.v1.scheduler.Event", table::SCHEDULER_EVENT),
    ("mesos.v1.executor.Call", table::EXECUTOR_CALL),
    ("mesos.v1.executor.Event", table::EXECUTOR_EVENT),
];

/// Random numbers that are all 0 at the end, so that a message that is made of them ends.
struct Choices(std::vec::IntoIter<u8>);

impl Choices {
    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.0.next().unwrap_or(0)) % bound
    }

    fn number(&mut self) -> u64 {
        let few_bits = self.below(8) * 8;
        (0..8).fold(0, |number, _| number << 8 | self.below(256) as u64) >> few_bits
    }

    fn text(&mut self) -> String {
        let length = self.below(5);
        (0..length).map(|_| ['a', '0', '"', '\\', '\n', '\u{7f}', 'ü', '\u{1f600}'][self.below(8)]).collect()
    }

    fn message(&mut self, descriptor: MessageDescriptor) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        for field in descriptor.fields() {
            if self.below(3) == 1 {
                let value = self.field(&field);
                message.set_field(&field, value);
            }
        }
        message
    }

    fn field(&mut self, field: &FieldDescriptor) -> Value {
        if field.is_map() {
            let entry = field.kind().as_message().expect("an entry").clone();
            let length = self.below(3);
            let mut pair =
                || (MapKey::String(self.text()), self.value(&entry.map_entry_value_field().kind()));
            return Value::Map((0..length).map(|_| pair()).collect());
        }
        if field.is_list() {
            let length = self.below(4);
            return Value::List((0..length).map(|_| self.value(&field.kind())).collect());
        }
        self.value(&field.kind())
    }

    fn value(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Bool => Value::Bool(self.below(2) == 1),
            Kind::Int32 => Value::I32(self.number() as i32),
            Kind::Int64 => Value::I64(self.number() as i64),
            Kind::Uint32 => Value::U32(self.number() as u32),
            Kind::Uint64 => Value::U64(self.number()),
            Kind::Double => Value::F64(match self.below(4) {
                0 => self.number() as f64 / 8.0,
                1 => [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -0.0][self.below(4)],
                _ => f64::from_bits(self.number()),
            }),
            Kind::String => Value::String(self.text()),
            Kind::Bytes => Value::Bytes(self.text().into_bytes().into()),
            // Some numbers have no name.
            Kind::Enum(kind) => match kind.values().nth(self.below(20)) {
                Some(value) => Value::EnumNumber(value.number()),
                None => Value::EnumNumber(self.number() as i32),
            },
            Kind::Message(message) => Value::Message(self.message(message.clone())),
            other => panic!("Mesos' messages have no {other:?}"),
        }
    }

    /// Replaces parts of a JSON value.
    fn spoil(&mut self, json: &mut serde_json::Value) {
        if self.below(6) == 5 {
            let others = [
                json!(null),
                json!(true),
                json!(-1),
                json!(1e300),
                json!("x"),
                json!([{}, null]),
                json!({"value": {"value": [7]}}),
            ];
            *json = others[self.below(7)].clone();
        }
        match json {
            serde_json::Value::Array(items) => items.iter_mut().for_each(|item| self.spoil(item)),
            serde_json::Value::Object(members) => members.values_mut().for_each(|item| self.spoil(item)),
            _ => {}
        }
    }
}

/// A message of one of the protocols.
fn messages() -> impl Strategy<Value = (usize, DynamicMessage)> {
    (0..ROOTS.len(), prop::collection::vec(any::<u8>(), 0..400)).prop_map(|(root, choices)| {
        let descriptor = POOL.get_message_by_name(ROOTS[root].0).expect("a message of the protocol");
        (root, Choices(choices.into_iter()).message(descriptor))
    })
}

fn reference_json(message: &DynamicMessage, digits_in_strings: bool) -> serde_json::Value {
    let options =
        SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(digits_in_strings);
    message.serialize_with_options(serde_json::value::Serializer, &options).expect("a JSON form")
}

proptest! {
    #[test]
    fn messages_have_the_json_of_prost_reflect((root, message) in messages()) {
        let text = to_json(ROOTS[root].1, &message.encode_to_vec()).unwrap();
        let read: serde_json::Value = serde_json::from_slice(&text).unwrap();
        prop_assert_eq!(read, reference_json(&message, false));
    }

    #[test]
    fn json_gives_the_message_of_prost_reflect((root, message) in messages(), digits in any::<bool>()) {
        let bytes = from_json(ROOTS[root].1, &reference_json(&message, digits)).unwrap();
        let read = DynamicMessage::decode(message.descriptor(), bytes.as_slice()).unwrap();
        // Not the messages themselves, because NaN is unequal to itself.
        prop_assert_eq!(reference_json(&read, false), reference_json(&message, false));
    }

    #[test]
    fn spoiled_json_never_panics_and_means_what_prost_reflect_says(
        (root, message) in messages(),
        choices in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut json = reference_json(&message, false);
        Choices(choices.into_iter()).spoil(&mut json);
        let options = DeserializeOptions::new().deny_unknown_fields(false);
        let theirs = DynamicMessage::deserialize_with_options(message.descriptor(), json.clone(), &options);
        let ours = from_json(ROOTS[root].1, &json);
        if let Ok(theirs) = theirs {
            let ours = DynamicMessage::decode(message.descriptor(), ours.unwrap().as_slice()).unwrap();
            prop_assert_eq!(reference_json(&ours, false), reference_json(&theirs, false));
        }
    }

    #[test]
    fn random_bytes_never_panic(root in 0..ROOTS.len(), bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = to_json(ROOTS[root].1, &bytes);
    }

    #[test]
    fn changed_bytes_give_an_error_or_json((root, message) in messages(), place in any::<usize>(), byte: u8) {
        let mut bytes = message.encode_to_vec();
        if !bytes.is_empty() {
            let place = place % bytes.len();
            bytes[place] = byte;
            if let Ok(text) = to_json(ROOTS[root].1, &bytes) {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&text).is_ok());
            }
        }
    }
}

#[test]
fn fields_come_in_the_order_of_their_numbers() {
    let json = json!({"subscribe": {"framework_info": {"user": "u", "name": "n"}}, "type": "SUBSCRIBE"});
    let bytes = from_json(table::SCHEDULER_CALL, &json).unwrap();
    let text = String::from_utf8(to_json(table::SCHEDULER_CALL, &bytes).unwrap()).unwrap();
    assert_eq!(text, r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n"}}}"#);
}

#[test]
fn a_message_in_parts_is_merged() {
    let parts = [json!({"framework_id": {"value": "a"}}), json!({"framework_id": {"value": "b"}})];
    let bytes = parts.map(|part| from_json(table::SCHEDULER_CALL, &part).unwrap()).concat();
    assert_eq!(to_json(table::SCHEDULER_CALL, &bytes).unwrap(), br#"{"framework_id":{"value":"b"}}"#);
}

#[test]
fn errors_name_the_path() {
    let error = |json: serde_json::Value| from_json(table::SCHEDULER_CALL, &json).unwrap_err().to_string();
    assert_eq!(error(json!([])), "the message is not an object");
    assert_eq!(error(json!({"framework_id": {"value": 7}})), "framework_id.value is not a string");
    let operations = json!([{"type": "LAUNCH"}, {"launch": {"task_infos": [{"resources": {}}]}}]);
    assert_eq!(
        error(json!({"accept": {"operations": operations}})),
        "accept.operations[1].launch.task_infos[0].resources is not a list"
    );
    let limits = json!([{"launch": {"task_infos": [{"limits": {"cpus": {"value": "many"}}}]}}]);
    assert_eq!(
        error(json!({"accept": {"operations": limits}})),
        "accept.operations[0].launch.task_infos[0].limits.cpus.value is not a number"
    );
    assert_eq!(error(json!({"acknowledge": {"uuid": "?"}})), "acknowledge.uuid is not base64");
    assert_eq!(error(json!({"type": 1.5})), "type is not an integer, or out of range");
}

/// The JSON of a container in so many others.
fn nested_containers(levels: usize) -> serde_json::Value {
    (0..levels).fold(json!({"value": "c"}), |inner, _| json!({"value": "c", "parent": inner}))
}

#[test]
fn nesting_is_bounded() {
    let event = |levels| {
        let status = json!({"container_status": {"container_id": nested_containers(levels)}});
        json!({"update": {"status": status}})
    };
    let bytes = from_json(table::SCHEDULER_EVENT, &event(90)).unwrap();
    assert!(to_json(table::SCHEDULER_EVENT, &bytes).is_ok());
    let error = from_json(table::SCHEDULER_EVENT, &event(100)).unwrap_err().to_string();
    assert!(error.ends_with("parent is nested too deeply"), "{error}");

    // The fields update, status, container_status, container_id, and then parent, 10,000 times.
    let mut bytes = Vec::new();
    for number in std::iter::repeat_n(2, 10_000).chain([4, 13, 1, 5]) {
        let mut outer = vec![number << 3 | 2];
        prost::encode_length_delimiter(bytes.len(), &mut outer).unwrap();
        outer.append(&mut bytes);
        bytes = outer;
    }
    let error = to_json(table::SCHEDULER_EVENT, &bytes).unwrap_err().to_string();
    assert!(error.starts_with("update.status.") && error.ends_with("parent is nested too deeply"), "{error}");
}
