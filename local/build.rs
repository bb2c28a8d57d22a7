//! Writes the table of the scheduler's and the executor's messages, which the JSON encoding needs: `src/encoding/json/table.rs`
//! has its types.

use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;

use protox::prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

const FILES: [&str; 2] = ["mesos/v1/scheduler/scheduler.proto", "mesos/v1/executor/executor.proto"];
const PROTOS: &str = "../mesos/proto";

/// The messages that are sent and received as a whole, each with the name of its constant.
const ROOTS: [(&str, &str); 4] = [
    ("SCHEDULER_CALL", "mesos.v1.scheduler.Call"),
    ("SCHEDULER_EVENT", "mesos.v1.scheduler.Event"),
    ("EXECUTOR_CALL", "mesos.v1.executor.Call"),
    ("EXECUTOR_EVENT", "mesos.v1.executor.Event"),
];

/// All messages and enums. Others refer to them by their positions in these lists.
struct Definitions {
    messages: Vec<MessageDescriptor>,
    enums: Vec<EnumDescriptor>,
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTOS}");
    let pool = DescriptorPool::from_file_descriptor_set(protox::compile(FILES, [PROTOS])?)?;
    let definitions =
        Definitions { messages: pool.all_messages().collect(), enums: pool.all_enums().collect() };
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    Ok(std::fs::write(out.join("messages.rs"), definitions.table()?)?)
}

impl Definitions {
    fn table(&self) -> Result<String, Box<dyn Error>> {
        let mut table = String::from("static MESSAGES: &[Message] = &[\n");
        for message in &self.messages {
            writeln!(table, "    // {}\n    &[", message.full_name())?;
            let mut fields: Vec<_> = message.fields().collect();
            fields.sort_by_key(FieldDescriptor::number);
            for field in fields {
                let (name, number, repeated) = (field.name(), field.number(), field.is_list());
                let kind = self.kind(&field)?;
                writeln!(
                    table,
                    "        Field {{ name: {name:?}, number: {number}, repeated: {repeated}, kind: Kind::{kind} }},"
                )?;
            }
            table.push_str("    ],\n");
        }
        table.push_str("];\n\nstatic ENUMS: &[Enum] = &[\n");
        for kind in &self.enums {
            let values: Vec<_> =
                kind.values().map(|it| format!("({}, {:?})", it.number(), it.name())).collect();
            writeln!(table, "    // {}\n    &[{}],", kind.full_name(), values.join(", "))?;
        }
        table.push_str("];\n\n");
        for (constant, name) in ROOTS {
            let index = self.message(name)?;
            writeln!(table, "/// `{name}`\npub const {constant}: Message = MESSAGES[{index}];")?;
        }
        Ok(table)
    }

    /// The kind of a field, as a variant of the table's `Kind`. Only those that Mesos uses are there.
    fn kind(&self, field: &FieldDescriptor) -> Result<String, Box<dyn Error>> {
        let unsupported =
            || Err(format!("the JSON encoding has no fields like {}", field.full_name()).into());
        if field.is_packed() || field.is_group() {
            return unsupported();
        }
        Ok(match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let value = entry.map_entry_value_field().kind();
                if entry.map_entry_key_field().kind() != Kind::String
                    || !matches!(value, Kind::String | Kind::Message(_))
                {
                    return unsupported();
                }
                format!("Map({})", self.message(entry.full_name())?)
            }
            Kind::Message(message) => format!("Message({})", self.message(message.full_name())?),
            Kind::Enum(kind) => {
                let index = self.enums.iter().position(|known| *known == kind).ok_or("no such enum")?;
                format!("Enum({index})")
            }
            Kind::Bool => "Bool".to_owned(),
            Kind::Int32 => "Int32".to_owned(),
            Kind::Int64 => "Int64".to_owned(),
            Kind::Uint32 => "Uint32".to_owned(),
            Kind::Uint64 => "Uint64".to_owned(),
            Kind::Double => "Double".to_owned(),
            Kind::String => "String".to_owned(),
            Kind::Bytes => "Bytes".to_owned(),
            _ => return unsupported(),
        })
    }

    /// The position of a message.
    fn message(&self, name: &str) -> Result<usize, String> {
        let position = self.messages.iter().position(|message| message.full_name() == name);
        position.ok_or_else(|| format!("there is no message {name}"))
    }
}
