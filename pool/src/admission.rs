//! Whom the pool lets in, and which part of the work each gets so that no two search the same.

mod bans;
mod lease;

pub use self::bans::{BanRules, Bans};
pub use self::lease::{Extranonces, Lease};
