//! Text that is not UTF-8. Mesos passes on what it is given: an agent's attributes as its operator typed them, the start
//! of an error message that was cut within a character. One such piece of text must not cost a whole event, let alone
//! every event of that kind.

use bytes::Buf;

/// What a field is made of, as far as it matters.
#[derive(Debug, Clone, Copy)]
enum Part {
    Text,
    /// Its place in the table.
    Message(usize),
}

/// The fields of a message that are made of such parts, by number.
type Shape = &'static [(u32, Part)];

include!(concat!(env!("OUT_DIR"), "/shapes.rs"));

/// As deep as messages are decoded.
const DEEPEST: usize = 100;

/// The same message, but with U+FFFD wherever its text is not UTF-8. `None` if `name` (such as
/// `mesos.v1.scheduler.Event`) is unknown, or the bytes are no message.
pub(crate) fn replaced(name: &str, message: &[u8]) -> Option<Vec<u8>> {
    let place = SHAPES.binary_search_by_key(&name, |(name, _)| name).ok()?;
    copy(place, message, DEEPEST)
}

fn copy(place: usize, mut from: &[u8], deep: usize) -> Option<Vec<u8>> {
    let (_, shape) = SHAPES.get(place)?;
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
                let part = shape.iter().find(|(known, _)| *known == number).map(|(_, part)| *part);
                let changed = match part {
                    Some(Part::Text) => String::from_utf8_lossy(value).into_owned().into_bytes(),
                    Some(Part::Message(place)) => self::copy(place, value, deep.checked_sub(1)?)?,
                    None => value.to_vec(),
                };
                prost::encode_length_delimiter(changed.len(), &mut copy).ok()?;
                copy.extend(changed);
            }
            // Groups: Mesos has none.
            _ => return None,
        }
    }
    Some(copy)
}

/// Moves a number, and tells it.
fn varint(from: &mut &[u8], to: &mut Vec<u8>) -> Option<usize> {
    let before = *from;
    let number = prost::decode_length_delimiter(&mut *from).ok()?;
    to.extend_from_slice(&before[..before.len() - from.len()]);
    Some(number)
}

/// Moves so many bytes.
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
    fn other_text_is_replaced_wherever_it_stands_and_nothing_else_is() {
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
        assert_eq!(read.update.unwrap().status.data(), b"M\xfc", "bytes are no text");
        assert_eq!(replaced(EVENT, &bytes), Some(bytes));
    }

    #[test]
    fn what_is_no_message_is_none() {
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
        fn what_can_be_read_is_read_the_same(place in 0usize..200, byte in any::<u8>()) {
            let mut bytes = offers().encode_to_vec();
            let place = place % bytes.len();
            bytes[place] = byte;
            if let Some(replaced) = replaced(EVENT, &bytes) && Event::decode(bytes.as_slice()).is_ok() {
                prop_assert_eq!(Event::decode(replaced.as_slice()).ok(), Event::decode(bytes.as_slice()).ok());
            }
        }
    }
}
