//! Runs the oracle of the fuzz target on a bounded number of random cases; `fuzz/` runs it without a bound.

use proptest::collection::vec;
use proptest::prelude::*;

#[path = "../../fuzz/oracles/template.rs"]
mod template;

proptest! {
    #[test]
    fn blocks_are_valid_to_the_bitcoin_crate(bytes in vec(any::<u8>(), 0..600)) {
        template::check(&bytes);
    }
}
