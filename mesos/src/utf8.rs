//! Replaces text that is not UTF-8. Mesos forwards text unchecked, for instance an agent's attributes as typed by its operator,
//! or an error message that was cut within a character. Invalid text must not make the whole event unreadable.

use bytes::Buf;

/// The kinds of fields that can contain text.
#[derive(Debug, Clone, Copy)]
enum FieldKind {
    Text,
    /// The field is a message, whose type has this index in `MESSAGES`.
    Message(usize),
}

/// For each field of a message that can contain text: the field's number and kind.
type TextFields = &'static [(u32, FieldKind)];

include!(concat!(env!("OUT_DIR"), "/text_fields.rs"));

/// Maximum nesting depth of messages. A message with deeper nesting is treated like malformed bytes.
const MAX_DEPTH: usize = 100;

/// Copies a message, with U+FFFD in place of bytes that are not UTF-8. `None` if `name` (such as
/// `mesos.v1.scheduler.Event`) is unknown, or if the bytes are not a message.
pub(crate) fn replaced(name: &str, message: &[u8]) -> Option<Vec<u8>> {
    let index = MESSAGES.binary_search_by_key(&name, |(name, _)| name).ok()?;
    copy(index, message, MAX_DEPTH)
}

fn copy(index: usize, mut from: &[u8], depth: usize) -> Option<Vec<u8>> {
    let (_, fields) = MESSAGES.get(index)?;
    let mut copy = Vec::with_capacity(from.len());
    while from.has_remaining() {
        let key = varint(&mut from, &mut copy)?;
        let number = u32::try_from(key >> 3).ok()?;
        match key & 7 {
            0 => drop(varint(&mut from, &mut copy)?),
            1 => fixed(&mut from, 8, &mut copy)?,
            5 => fixed(&mut from, 4, &mut copy)?,
            2 => {
                let length = prost::decode_length_delimiter(&mut from).ok()?;
                let (value, rest) = from.split_at_checked(length)?;
                from = rest;
                let kind = fields.iter().find(|(known, _)| *known == number).map(|(_, kind)| *kind);
                let changed = match kind {
                    Some(FieldKind::Text) => String::from_utf8_lossy(value).into_owned().into_bytes(),
                    Some(FieldKind::Message(index)) => self::copy(index, value, depth.checked_sub(1)?)?,
                    None => value.to_vec(),
                };
                prost::encode_length_delimiter(changed.len(), &mut copy).ok()?;
                copy.extend(changed);
            }
            // Only groups have another wire type, and Mesos' messages contain no groups.
            _ => return None,
        }
    }
    Some(copy)
}

/// Copies a varint, and returns its value.
fn varint(from: &mut &[u8], to: &mut Vec<u8>) -> Option<usize> {
    let before = *from;
    let number = prost::decode_length_delimiter(&mut *from).ok()?;
    to.extend_from_slice(&before[..before.len() - from.len()]);
    Some(number)
}

/// Copies `length` bytes.
fn fixed(from: &mut &[u8], length: usize, to: &mut Vec<u8>) -> Option<()> {
    let (value, rest) = from.split_at_checked(length)?;
    to.extend_from_slice(value);
    *from = rest;
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::v1::scheduler::{Event, event};
    use crate::v1::value::{Scalar, Text};
    use crate::v1::{Attribute, Offer, TaskStatus};

    const EVENT: &str = "mesos.v1.scheduler.Event";

    fn offers() -> Event {
        let text = |text: &str| Some(Text { value: text.into() });
        let rack = Attribute { name: "rack".into(), text: text("M#nchen"), ..Attribute::default() };
        let power = Attribute { scalar: Some(Scalar { value: 0.5 }), ..rack.clone() };
        let offer = Offer { hostname: "h".into(), attributes: vec![rack, power], ..Offer::default() };
        Event { offers: Some(event::Offers { offers: vec![offer.clone(), offer] }), ..Event::default() }
    }

    #[test]
    fn only_text_that_is_not_utf_8_is_replaced() {
        let mut event = offers();
        let data = Some(b"M#".to_vec());
        event.update = Some(event::Update { status: TaskStatus { data, ..TaskStatus::default() } });
        let bytes = event.encode_to_vec();
        let latin: Vec<u8> = bytes.iter().map(|byte| if *byte == b'#' { 0xfc } else { *byte }).collect();
        assert!(Event::decode(latin.as_slice()).is_err());
        let read = Event::decode(replaced(EVENT, &latin).unwrap().as_slice()).unwrap();
        for offer in read.offers.unwrap().offers {
            assert_eq!(offer.attributes[1].text.as_ref().unwrap().value, "M\u{fffd}nchen");
            assert_eq!(offer.attributes[1].scalar, Some(Scalar { value: 0.5 }));
        }
        assert_eq!(read.update.unwrap().status.data(), b"M\xfc", "a field of bytes is not text");
        assert_eq!(replaced(EVENT, &bytes), Some(bytes));
    }

    #[test]
    fn bytes_that_are_not_a_message_give_none() {
        for bytes in [&b"\xff"[..], b"\x12\x05abc", b"\x13", b"\x09\x00"] {
            assert_eq!(replaced(EVENT, bytes), None, "{bytes:?}");
        }
        assert_eq!(replaced("mesos.v1.Nothing", b""), None);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = replaced(EVENT, &bytes);
        }

        #[test]
        fn readable_messages_stay_the_same(place in 0usize..200, byte in any::<u8>()) {
            let mut bytes = offers().encode_to_vec();
            let place = place % bytes.len();
            bytes[place] = byte;
            if let Some(replaced) = replaced(EVENT, &bytes) && Event::decode(bytes.as_slice()).is_ok() {
                prop_assert_eq!(Event::decode(replaced.as_slice()).ok(), Event::decode(bytes.as_slice()).ok());
            }
        }
    }
}
