//! The coinbase transaction, cut where the extranonces go.

use bitcoin::consensus::encode;
use bitcoin::script::{Builder, PushBytesBuf};
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, absolute};

use crate::template::Template;

/// The longest script of a coinbase's input in bytes (consensus).
const MAX_SCRIPT_SIZE: usize = 100;
/// Maximum number of data bytes of a push whose opcode is a single byte that also gives the length.
const MAX_SHORT_PUSH: usize = 75;

/// The content of a coinbase that the template does not determine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoinbasePlan {
    /// The script that receives the whole subsidy and all fees.
    pub payout: ScriptBuf,
    /// Bytes for the end of the input's script, such as the pool's name; cut to fit.
    pub tag: Vec<u8>,
    /// Number of bytes left free between the coinbase's parts, 1 to [`CoinbasePlan::MAX_EXTRANONCE_SIZE`].
    pub extranonce_size: usize,
}

/// A coinbase serialized without its witness, as it is hashed to the txid, in two parts: before and after the extranonces.
/// Stratum calls the two parts coinb1 and coinb2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoinbaseParts {
    /// The bytes before the extranonces.
    pub prefix: Vec<u8>,
    /// The bytes after the extranonces.
    pub suffix: Vec<u8>,
}

/// Why no coinbase can be made from a [`CoinbasePlan`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CoinbaseError {
    /// There is no room for the extranonces, or their size is zero.
    #[error(
        "{size} bytes of extranonces: a coinbase has room for 1 to {}",
        CoinbasePlan::MAX_EXTRANONCE_SIZE
    )]
    ExtranonceSize {
        /// The number of extranonce bytes in the plan.
        size: usize,
    },
}

impl CoinbasePlan {
    /// Maximum number of extranonce bytes that fit into a coinbase.
    pub const MAX_EXTRANONCE_SIZE: usize = MAX_SHORT_PUSH;

    /// Makes the transaction for a template, and cuts it at the extranonces.
    ///
    /// The node's data for the script ([`Template::coinbase_aux`]) come before the tag. Data that do not fit are left out.
    ///
    /// # Errors
    /// If the extranonces do not fit.
    pub fn cut(&self, template: &Template) -> Result<CoinbaseParts, CoinbaseError> {
        let size = self.extranonce_size;
        if size == 0 || size > Self::MAX_EXTRANONCE_SIZE {
            return Err(CoinbaseError::ExtranonceSize { size });
        }
        // The height takes at most 5 bytes. With the push of the extranonces, the script has at least the 2 bytes that
        // consensus demands.
        let height = height_script(template.height);
        let mut script = Builder::from(height.to_bytes()).push_slice(push(&vec![0; size]));
        for aux in &template.coinbase_aux {
            if !aux.is_empty() && aux.len() <= room(&script) {
                script = script.push_slice(push(aux));
            }
        }
        let tag = self.tag.get(..room(&script)).unwrap_or(&self.tag);
        if !tag.is_empty() {
            script = script.push_slice(push(tag));
        }
        let bytes = encode::serialize(&self.transaction(template, script.into_script()));
        // The cut comes after version, number of inputs, outpoint, length of the script (one byte, since it is at most
        // 100), height, and the opcode that pushes the extranonces.
        let cut = 4 + 1 + 36 + 1 + height.len() + 1;
        Ok(CoinbaseParts { prefix: bytes[..cut].to_vec(), suffix: bytes[cut + size..].to_vec() })
    }

    fn transaction(&self, template: &Template, script_sig: ScriptBuf) -> Transaction {
        let payout = TxOut { value: template.coinbase_value, script_pubkey: self.payout.clone() };
        let commitment = template.witness_commitment.clone();
        let commitment = commitment.map(|script_pubkey| TxOut { value: Amount::ZERO, script_pubkey });
        let input = TxIn {
            previous_output: OutPoint::null(),
            script_sig,
            sequence: Sequence::MAX,
            witness: Witness::new(),
        };
        Transaction {
            version: Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: vec![input],
            output: std::iter::once(payout).chain(commitment).collect(),
        }
    }
}

impl CoinbaseParts {
    /// The coinbase with these extranonces, serialized without its witness.
    pub fn join(&self, extranonces: &[u8]) -> Vec<u8> {
        [&self.prefix, extranonces, &self.suffix].concat()
    }
}

/// The beginning of a coinbase's script, which pushes the height (BIP-0034). As in Bitcoin Core, a height below 17 is pushed by a
/// single opcode without data.
pub(crate) fn height_script(height: u32) -> ScriptBuf {
    Builder::new().push_int(height.into()).into_script()
}

/// How many data bytes one more push can append to the coinbase's input script. The size of this script is limited.
fn room(script: &Builder) -> usize {
    MAX_SCRIPT_SIZE.saturating_sub(script.as_bytes().len() + 1).min(MAX_SHORT_PUSH)
}

fn push(bytes: &[u8]) -> PushBytesBuf {
    PushBytesBuf::try_from(bytes.to_vec()).expect("shorter than the longest script")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    fn plan(tag: &[u8], extranonce_size: usize) -> CoinbasePlan {
        CoinbasePlan { payout: ScriptBuf::from_bytes(vec![0x51]), tag: tag.to_vec(), extranonce_size }
    }

    fn script_sig(template: &Template, plan: &CoinbasePlan) -> Vec<u8> {
        let parts = plan.cut(template).unwrap();
        let bytes = parts.join(&vec![0xee; plan.extranonce_size]);
        let coinbase: Transaction = encode::deserialize(&bytes).unwrap();
        assert!(coinbase.is_coinbase());
        coinbase.input[0].script_sig.to_bytes()
    }

    #[test]
    fn heights_are_pushed_as_core_does() {
        let plan = plan(b"", 1);
        for (height, expected) in [
            (0, vec![0x00]),
            (1, vec![0x51]),
            (16, vec![0x60]),
            (17, vec![1, 17]),
            (127, vec![1, 127]),
            (128, vec![2, 128, 0]),
            (32_767, vec![2, 0xff, 0x7f]),
            (32_768, vec![3, 0, 0x80, 0]),
            (840_000, vec![3, 0x40, 0xd1, 0x0c]),
            (0x7fff_ffff, vec![4, 0xff, 0xff, 0xff, 0x7f]),
        ] {
            let template = Template { height, ..testing::template(0) };
            let script = script_sig(&template, &plan);
            assert_eq!(script, [&expected[..], &[1, 0xee]].concat(), "{height}");
            assert!(script.len() >= 2);
        }
    }

    #[test]
    fn pays_all_to_one_script_and_commits_last() {
        let template = testing::template(1);
        let coinbase: Transaction =
            encode::deserialize(&plan(b"/tag/", 8).cut(&template).unwrap().join(&[7; 8])).unwrap();
        assert_eq!(coinbase.output.len(), 2);
        assert_eq!(coinbase.output[0].value, template.coinbase_value);
        assert_eq!(coinbase.output[0].script_pubkey.as_bytes(), [0x51]);
        assert_eq!(Some(&coinbase.output[1].script_pubkey), template.witness_commitment.as_ref());
        assert_eq!(coinbase.output[1].value, Amount::ZERO);
        // Before segwit, a coinbase needs no witness commitment.
        let before = Template { witness_commitment: None, ..template };
        let bytes = plan(b"", 8).cut(&before).unwrap().join(&[7; 8]);
        assert_eq!(encode::deserialize::<Transaction>(&bytes).unwrap().output.len(), 1);
    }

    #[test]
    fn the_node_comes_before_the_tag() {
        let aux = vec![b"mined by bcoin".to_vec(), vec![1; 80]];
        let template = Template { coinbase_aux: aux, ..testing::template(0) };
        let script = script_sig(&template, &plan(&[b't'; 200], 12));
        assert_eq!(script.len(), 100);
        let text = [&[14], &b"mined by bcoin"[..], &[68], &[b't'; 68]].concat();
        assert!(script.ends_with(&text), "{script:?}");
    }

    #[test]
    fn extranonces_must_fit() {
        for size in [0, 76, usize::MAX] {
            let error = plan(b"", size).cut(&testing::template(0)).unwrap_err();
            assert_eq!(error, CoinbaseError::ExtranonceSize { size });
        }
    }

    proptest! {
        #[test]
        fn any_plan_gives_a_coinbase(
            height in 0u32..=i32::MAX as u32, tag: Vec<u8>, aux: Vec<Vec<u8>>, size in 1usize..=75,
        ) {
            let template = Template { height, coinbase_aux: aux, ..testing::template(0) };
            let script = script_sig(&template, &plan(&tag, size));
            prop_assert!((2..=100).contains(&script.len()));
            prop_assert!(script.starts_with(height_script(height).as_bytes()));
            let at = height_script(height).len() + 1;
            prop_assert_eq!(&script[at..at + size], vec![0xee; size]);
        }
    }
}
