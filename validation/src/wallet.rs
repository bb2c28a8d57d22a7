//! A wallet with one key: blocks pay to the wallet, and transactions spend its coins.

use bitcoin::secp256k1::{All, Message, Secp256k1, SecretKey};
use bitcoin::sighash::{EcdsaSighashType, SighashCache};
use bitcoin::transaction::Version;
use bitcoin::{
    Address, Amount, CompressedPublicKey, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut,
    Witness, absolute,
};

/// A wallet with one key, whose address has segwit's version 0 (P2WPKH).
pub struct Wallet {
    secp: Secp256k1<All>,
    secret: SecretKey,
    public: CompressedPublicKey,
}

impl Wallet {
    /// The wallet whose secret key repeats the byte `seed` 32 times; `seed` must not be zero.
    pub fn new(seed: u8) -> Self {
        let secp = Secp256k1::new();
        let secret = SecretKey::from_slice(&[seed; 32]).expect("a number within the group's order");
        let public = CompressedPublicKey(secret.public_key(&secp));
        Wallet { secp, secret, public }
    }

    /// The wallet's address on a network.
    pub fn address(&self, network: Network) -> Address {
        Address::p2wpkh(&self.public, network)
    }

    /// The script that pays to the wallet.
    pub fn script(&self) -> ScriptBuf {
        ScriptBuf::new_p2wpkh(&self.public.wpubkey_hash())
    }

    /// Spends an output of the wallet: splits it into two new ones of the wallet, and leaves `fee` satoshi to the miner.
    pub fn split(&self, spent: OutPoint, value: Amount, fee: u64) -> Transaction {
        let left = value - Amount::from_sat(fee);
        let output = |value| TxOut { value, script_pubkey: self.script() };
        let half = left / 2;
        let mut transaction = Transaction {
            version: Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: vec![TxIn {
                previous_output: spent,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::MAX,
                witness: Witness::new(),
            }],
            output: vec![output(half), output(left - half)],
        };
        let hash = SighashCache::new(&transaction)
            .p2wpkh_signature_hash(0, &self.script(), value, EcdsaSighashType::All)
            .expect("there is an input");
        let signature = self.secp.sign_ecdsa(&Message::from(hash), &self.secret);
        let signature = bitcoin::ecdsa::Signature::sighash_all(signature);
        transaction.input[0].witness = Witness::p2wpkh(&signature, &self.public.0);
        transaction
    }
}
