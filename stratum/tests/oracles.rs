//! Runs the oracles of the fuzz targets on a limited number of random cases. `fuzz/` runs them without a limit.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

#[path = "../../fuzz/oracles/line.rs"]
mod line;
#[path = "../../fuzz/oracles/notify.rs"]
mod notify;

/// Pieces of messages, so that some of the random lines are messages.
const PIECES: &[&str] = &[
    "\n",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "1e400",
    "\"id\"",
    "\"method\"",
    "\"params\"",
    "\"result\"",
    "\"error\"",
    "{\"id\":1,\"result\":true,\"error\":null}\n",
    "{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[1e-8]}\n",
    "{\"method\":\"x\",\"id\":340282366920938463463374607431768211456}\r\n",
    "[0,\"\",20,\"\",2,2]\n",
    "{\"id\":7.0,\"result\":null,\"error\":[21,\"\u{0}\",null]}\n",
];

fn lines() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..40),
    ];
    (any::<u8>(), vec(piece, 0..30)).prop_map(|(at, pieces)| [vec![at], pieces.concat()].concat())
}

/// Fuzzing found that this array was once read as a message.
#[test]
fn arrays_are_not_messages() {
    let line = r#"[0,"mining.ping",[],null,null,null]"#;
    assert!(stratum::Message::from_line(line).is_err());
    line::check(format!("\x07{line}\n{line}").as_bytes());
}

proptest! {
    #[test]
    fn lines_are_serde_json_s(bytes in lines()) {
        line::check(&bytes);
    }

    #[test]
    fn headers_are_the_bitcoin_crate_s(bytes in vec(any::<u8>(), 0..1500)) {
        notify::check(&bytes);
    }
}
