//! Bitcoin Core accepts the blocks that the pool assembles.

use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::{Amount, Block, OutPoint, Transaction};
use validation::{Core, Mined, Net, Wallet, draft, mine};

/// Number of blocks after which a coinbase may be spent (consensus).
const MATURITY: u32 = 100;

fn now() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as u32
}

/// Mines the next block with these transactions and fees, and has Core accept it.
fn extend(core: &Core, wallet: &Wallet, transactions: &[(Transaction, u64)]) -> Block {
    let template = core.template(now(), transactions).unwrap();
    let Mined { block, .. } = mine(core.net(), &draft(template, wallet.script()).unwrap()).unwrap();
    core.submit(&block).unwrap();
    block
}

fn first_output(transaction: &Transaction) -> (OutPoint, Amount) {
    (OutPoint::new(transaction.compute_txid(), 0), transaction.output[0].value)
}

#[test]
fn a_chain_on_regtest_with_transactions() {
    let core = Core::new(Net::Regtest).unwrap();
    let wallet = Wallet::new(1);
    let mut coinbases: Vec<Transaction> = Vec::new();
    for height in 1..=MATURITY + 20 {
        let mut transactions = Vec::new();
        // The number of transactions grows with the chain: one spends a coinbase that has matured, and each of the others
        // spends an output of the transaction before it in the same block.
        if height > MATURITY {
            let matured = &coinbases[(height - MATURITY) as usize - 1];
            let mut spent = first_output(matured);
            for fee in 0..height - MATURITY {
                let transaction = wallet.split(spent.0, spent.1, fee.into());
                spent = first_output(&transaction);
                transactions.push((transaction, fee.into()));
            }
        }
        let block = extend(&core, &wallet, &transactions);
        assert_eq!((core.height(), block.txdata.len()), (height, transactions.len() + 1));
        coinbases.push(block.txdata[0].clone());
    }
    // The blocks must pay to the script that the pool derives from the wallet's address.
    let address = wallet.address(core.net().network()).to_string();
    let script = node::network::payout_script(&address, core.net().network()).unwrap();
    assert!(coinbases.iter().all(|coinbase| coinbase.output[0].script_pubkey == script));
}

#[test]
fn a_chain_on_a_signet_that_needs_no_key() {
    let core = Core::new(Net::Signet).unwrap();
    for height in 1..=3 {
        extend(&core, &Wallet::new(1), &[]);
        assert_eq!(core.height(), height);
    }
}
