//! Compares our .proto files with the names and numbers of Mesos 1.11.

use std::collections::BTreeSet;

use protox::prost_reflect::{Cardinality, DescriptorPool, FieldDescriptor, Kind};

const FACTS: &str = include_str!("../data/mesos-1.11-fields.tsv");

fn ours() -> BTreeSet<String> {
    let roots = ["mesos/v1/scheduler/scheduler.proto", "mesos/v1/executor/executor.proto"];
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    let files = protox::compile(roots, [folder]).expect("valid .proto files");
    let pool = DescriptorPool::from_file_descriptor_set(files).expect("resolved names");
    let mut lines = BTreeSet::new();
    for message in pool.all_messages() {
        for field in message.fields() {
            let (name, number) = (field.name(), field.number());
            lines.insert(format!("{}\t{number}\t{name}\t{}", message.full_name(), describe(&field)));
        }
    }
    for kind in pool.all_enums() {
        for value in kind.values() {
            lines.insert(format!("{}\t{}\t{}\tvalue", kind.full_name(), value.number(), value.name()));
        }
    }
    lines
}

fn describe(field: &FieldDescriptor) -> String {
    let label = match field.cardinality() {
        Cardinality::Optional => "optional",
        Cardinality::Required => "required",
        Cardinality::Repeated => "repeated",
    };
    let kind = match field.kind() {
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(kind) => kind.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    format!("{label} {kind}")
}

#[test]
fn every_field_has_the_number_and_type_that_mesos_gave_it() {
    let (ours, theirs) = (ours(), FACTS.lines().map(str::to_owned).collect::<BTreeSet<_>>());
    let missing: Vec<_> = theirs.difference(&ours).collect();
    let made_up: Vec<_> = ours.difference(&theirs).collect();
    assert!(missing.is_empty() && made_up.is_empty(), "missing: {missing:#?}\nmade up: {made_up:#?}");
}
