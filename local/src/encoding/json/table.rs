//! The messages of the scheduler's and the executor's API, as the build script found them in the .proto files.

/// The fields of a message, in the order of their numbers.
pub type Message = &'static [Field];

/// The numbers and names of an enum.
pub type Enum = &'static [(i32, &'static str)];

/// A field of a message.
pub struct Field {
    /// The name in the .proto files.
    pub name: &'static str,
    /// The number in the protobuf encoding.
    pub number: u32,
    /// Whether the field is a list.
    pub repeated: bool,
    /// The kind of the value, or of each element of the list.
    pub kind: Kind,
}

/// The kind of a value.
#[derive(Clone, Copy)]
pub enum Kind {
    Bool,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Double,
    String,
    Bytes,
    /// An enum, with its position in `ENUMS`.
    Enum(u16),
    /// A message, with its position in `MESSAGES`.
    Message(u16),
    /// A map, with the position of the message that is one entry: fields `key`, a string, and `value`, a string or a message.
    Map(u16),
}

include!(concat!(env!("OUT_DIR"), "/messages.rs"));

/// The message that a [`Kind`] names.
pub fn message(position: u16) -> Message {
    MESSAGES[usize::from(position)]
}

/// The enum that a [`Kind`] names.
pub fn values(position: u16) -> Enum {
    ENUMS[usize::from(position)]
}
