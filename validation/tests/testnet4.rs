//! Bitcoin Core accepts the first blocks of testnet4 as the pool assembles them.

use validation::{Core, Net, Wallet, draft, mine_from};

/// Time, extranonce and nonce of the first blocks. A block of testnet4 takes 2^32 hashes, so these values were searched for
/// once; each run computes the rest of the blocks. If the pool ever makes other coinbases, the search continues from here
/// for some minutes, and the test prints the new values.
const FOUND_ON_TESTNET4: [(u32, u64, u32); 2] =
    [(1_714_778_460, 1, 964_310_735), (1_714_779_060, 0, 3_300_805_116)];

#[test]
fn first_blocks_of_testnet4() {
    let core = Core::new(Net::Testnet4).unwrap();
    let mut found = Vec::new();
    for (time, extranonce, nonce) in FOUND_ON_TESTNET4 {
        let draft = draft(core.template(time, &[]).unwrap(), Wallet::new(1).script()).unwrap();
        assert_eq!(draft.template.bits.to_consensus(), 0x1d00_ffff);
        let mined = mine_from(core.net(), &draft, (extranonce, nonce)).unwrap();
        core.submit(&mined.block).unwrap();
        found.push((time, mined.extranonce, mined.nonce));
    }
    assert_eq!(core.height(), 2);
    assert_eq!(
        found, FOUND_ON_TESTNET4,
        "the blocks are valid, but were searched for: update FOUND_ON_TESTNET4"
    );
}
