//! Text that people read.
//!
//! - [`printable`], [`printable_lines`] and [`escape_json`] make text that came from others safe to show on a terminal;
//! - [`InWords`] shows a duration as people write it.

mod in_words;
mod printable;

pub use in_words::InWords;
pub use printable::{escape_json, is_printable, printable, printable_lines};
