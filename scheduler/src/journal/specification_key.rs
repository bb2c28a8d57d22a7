//! The key for the fingerprints of tasks' specifications.

use sha2::{Digest, Sha256};

/// The block size of SHA-256 in bytes. HMAC pads its key with zeros to this size.
const BLOCK: usize = 64;

/// A random key, which is generated once and kept with the records. The fingerprint of a task's specification is a hash with
/// this key. So nobody without the key can check a guess of a specification.
#[derive(Clone, PartialEq, Eq, derive_more::Debug)]
pub struct SpecificationKey(#[debug("…")] [u8; 32]);

impl SpecificationKey {
    /// A new key.
    pub fn random() -> Self {
        SpecificationKey(rand::random())
    }

    /// The key as text, for storage.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Reads the text that [`Self::to_hex`] returns.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut key = [0; 32];
        hex::decode_to_slice(text, &mut key).ok()?;
        Some(SpecificationKey(key))
    }

    /// The fingerprint of a specification: HMAC-SHA-256 as hexadecimal text.
    pub fn fingerprint(&self, specification: &[u8]) -> String {
        let pad = |byte: u8| {
            let mut pad = [byte; BLOCK];
            pad.iter_mut().zip(self.0).for_each(|(pad, key)| *pad ^= key);
            pad
        };
        let inner = Sha256::new().chain_update(pad(0x36)).chain_update(specification).finalize();
        hex::encode(Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Test case 2 of RFC 4231. Its key is shorter than ours, so it is padded with zeros, as in HMAC.
    #[test]
    fn fingerprints_are_hmac() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        assert_eq!(
            SpecificationKey(key).fingerprint(b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn a_key_is_stored_as_text_and_never_shown() {
        let key = SpecificationKey::random();
        assert_eq!(SpecificationKey::from_hex(&key.to_hex()), Some(key.clone()));
        assert_eq!(SpecificationKey::from_hex("abc"), None);
        assert_ne!(key.fingerprint(b"x"), SpecificationKey::random().fingerprint(b"x"));
        assert!(!format!("{key:?}").contains(&key.to_hex()[..8]));
    }
}
