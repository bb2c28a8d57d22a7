//! Compiles the .proto files without protoc.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use protox::prost_reflect::prost_types::field_descriptor_proto::Type;
use protox::prost_reflect::prost_types::{DescriptorProto, FileDescriptorSet};

/// The files to compile, together with their imports.
const ROOTS: [&str; 3] = [
    "mesos/v1/scheduler/scheduler.proto",
    "mesos/v1/executor/executor.proto",
    "mesos/v1/master/master.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(ROOTS, ["proto"])?;
    let text_fields = PathBuf::from(env::var("OUT_DIR")?).join("text_fields.rs");
    fs::write(text_fields, text_fields_of(&descriptors))?;
    prost_build::Config::new()
        // Mesos compares executor descriptions, so the same description must always give the same bytes. Use ordered maps,
        // because the order of a hash map varies.
        .btree_map(["."])
        .type_attribute(".mesos.v1.FrameworkID", "#[derive(PartialOrd, Ord)]")
        .type_attribute(".mesos.v1.OfferID", "#[derive(PartialOrd, Ord)]")
        .type_attribute(".mesos.v1.AgentID", "#[derive(PartialOrd, Ord)]")
        .type_attribute(".mesos.v1.TaskID", "#[derive(PartialOrd, Ord)]")
        .type_attribute(".mesos.v1.ExecutorID", "#[derive(PartialOrd, Ord)]")
        .type_attribute(".mesos.v1.OperationID", "#[derive(PartialOrd, Ord)]")
        .compile_fds(descriptors)?;
    Ok(())
}

/// Generates the table for `src/utf8.rs`: the fields of each message that are text or other messages.
fn text_fields_of(files: &FileDescriptorSet) -> String {
    let mut messages = BTreeMap::new();
    for file in &files.file {
        collect(&format!(".{}", file.package()), &file.message_type, &mut messages);
    }
    let index: BTreeMap<&str, usize> =
        messages.keys().enumerate().map(|(index, name)| (name.as_str(), index)).collect();
    let mut table = String::from("static MESSAGES: &[(&str, TextFields)] = &[\n");
    for (name, message) in &messages {
        let fields = message.field.iter().filter_map(|field| match field.r#type() {
            Type::String => Some(format!("({}, FieldKind::Text)", field.number())),
            Type::Message => {
                Some(format!("({}, FieldKind::Message({}))", field.number(), index[field.type_name()]))
            }
            _ => None,
        });
        let fields = fields.collect::<Vec<_>>().join(", ");
        table.push_str(&format!("    ({:?}, &[{fields}]),\n", &name[1..]));
    }
    table + "];\n"
}

/// Collects messages under their full names, which begin with a dot.
fn collect<'a>(within: &str, found: &'a [DescriptorProto], all: &mut BTreeMap<String, &'a DescriptorProto>) {
    for message in found {
        let name = format!("{within}.{}", message.name());
        collect(&name, &message.nested_type, all);
        all.insert(name, message);
    }
}
