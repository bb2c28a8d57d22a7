//! The fuzz target's oracle on bounded random cases; `fuzz/` runs it for as long as one likes.

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
