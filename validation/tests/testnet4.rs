//! Bitcoin Core takes the first blocks of testnet4 as the pool assembles them.

use validation::{Core, Net, Wallet, draft, mine_from};

/// A block of testnet4 takes 2^32 hashes, so it was searched for once: time, extranonce and nonce of the first blocks.
/// All else is made anew each time. Should the pool make other coinbases one day, the search begins here and goes on
/// until there is a block, which takes minutes, and the test says what to write here.
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
        "the blocks are good, but had to be searched for: write down where they are"
    );
}
