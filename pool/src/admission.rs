//! Which miners are admitted, and with which extranonce1.

mod bans;
mod extranonce;

pub use self::bans::{BanRules, Bans};
pub use self::extranonce::{ExtranonceLease, Extranonces};
