//! Decides which miners are admitted, and gives each connection its extranonce1.

mod bans;
mod extranonce;

pub use self::bans::{BanRules, Bans};
pub use self::extranonce::{ExtranonceLease, Extranonces};
