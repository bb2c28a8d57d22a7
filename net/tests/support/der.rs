//! Certificates that the library for making them cannot make: its own ones with other contents, signed again.

use rcgen::SigningKey;

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
/// The tags of the version and the extensions in a certificate (RFC 5280, section 4.1).
const VERSION: u8 = 0xA0;
const EXTENSIONS: u8 = 0xA3;

/// A copy of a certificate in DER form with only the fields of version 1, signed with `key`.
pub fn version_1(certificate: &[u8], key: &impl SigningKey) -> Vec<u8> {
    signed_again(certificate, key, |fields| fields.retain(|field| ![VERSION, EXTENSIONS].contains(&field[0])))
}

/// A copy of a certificate of version 3 with another public key (`SubjectPublicKeyInfo`), signed with `key`.
pub fn with_public_key(certificate: &[u8], public_key: &[u8], key: &impl SigningKey) -> Vec<u8> {
    signed_again(certificate, key, |fields| fields[6] = public_key.to_vec())
}

/// A copy of a certificate whose fields, from the version to the extensions, are changed. It is signed with `key`.
fn signed_again(
    certificate: &[u8],
    key: &impl SigningKey,
    change: impl FnOnce(&mut Vec<Vec<u8>>),
) -> Vec<u8> {
    let parts = elements(content(certificate));
    let mut fields = elements(content(&parts[0]));
    change(&mut fields);
    let to_be_signed = element(SEQUENCE, &fields.concat());
    let signature = [[0].as_slice(), &key.sign(&to_be_signed).unwrap()].concat();
    element(SEQUENCE, &[to_be_signed, parts[1].clone(), element(BIT_STRING, &signature)].concat())
}

/// The number of bytes before the content of an element, and of the whole element.
fn lengths(element: &[u8]) -> (usize, usize) {
    let more = usize::from(element[1].saturating_sub(0x80));
    let length = if more == 0 { &element[1..2] } else { &element[2..2 + more] };
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    (2 + more, 2 + more + length)
}

fn content(element: &[u8]) -> &[u8] {
    let (start, end) = lengths(element);
    &element[start..end]
}

fn elements(mut content: &[u8]) -> Vec<Vec<u8>> {
    let mut elements = Vec::new();
    while !content.is_empty() {
        let (element, rest) = content.split_at(lengths(content).1);
        elements.push(element.to_vec());
        content = rest;
    }
    elements
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    // DER has exactly one form for each length.
    let length = match (high, low) {
        (0, 0..0x80) => vec![low],
        (0, _) => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [[tag].as_slice(), &length, content].concat()
}
