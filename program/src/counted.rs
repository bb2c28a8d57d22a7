//! How many of what.

use std::fmt::Display;

/// `1 task`, `2 tasks`; for nouns whose plural ends in a mere s.
pub fn counted(count: impl Display + PartialEq + From<u8>, noun: &str) -> String {
    let plural = if count == 1.into() { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_not_many() {
        assert_eq!(counted(0u64, "task"), "0 tasks");
        assert_eq!(counted(1usize, "task"), "1 task");
        assert_eq!(counted(2u32, "worker"), "2 workers");
    }
}
