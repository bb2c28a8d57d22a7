//! What the names of a program's figures begin with.

use std::fmt;
use std::str::FromStr;

use crate::lines::component;

/// The longest prefix that a user may give, in bytes.
const LONGEST: usize = 200;

/// The beginning of all names, without a dot at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

/// Why a text cannot be a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixError;

impl Prefix {
    /// `mesos_miner.HOST.PROGRAM`, with this machine's name. Dots in it become underscores, as they would part the name.
    pub fn of_program(program: &str) -> Self {
        let host = rustix::system::uname();
        let host = component(&host.nodename().to_string_lossy());
        Prefix(format!("mesos_miner.{host}.{program}"))
    }

    /// The prefix as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let fits =
            text.len() <= LONGEST && text.split('.').all(|part| !part.is_empty() && component(part) == part);
        fits.then(|| Prefix(text.to_owned())).ok_or(PrefixError)
    }
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "give words of letters, digits, _ and -, joined by dots, such as mining.rack7; at most {LONGEST} characters"
        )
    }
}

impl std::error::Error for PrefixError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_words_joined_by_dots() {
        for good in ["a", "mining.rack-7.x_y", &"a".repeat(LONGEST)] {
            assert_eq!(good.parse::<Prefix>().unwrap().as_str(), good);
        }
        for bad in
            ["", ".", "a.", ".a", "a..b", "a b", "a/b", "ä", "a;tag=1", "a\n", &"a".repeat(LONGEST + 1)]
        {
            assert_eq!(bad.parse::<Prefix>(), Err(PrefixError), "{bad:?}");
        }
    }

    #[test]
    fn the_default_names_host_and_program() {
        let prefix = Prefix::of_program("pool");
        assert!(
            prefix.as_str().starts_with("mesos_miner.") && prefix.as_str().ends_with(".pool"),
            "{prefix:?}"
        );
        assert_eq!(prefix.as_str().split('.').count(), 3, "{prefix:?}");
        assert_eq!(prefix.as_str().parse(), Ok(prefix));
    }
}
