//! Problems: why something does not work, or works badly, as a user is told.
//!
//! Each kind of problem is one row of the [`catalogue`](ProblemKind::ALL): what the user sees, what causes it, and what to do.
//! docs/TROUBLESHOOTING.md shows the same rows. The kinds have ranks, so that the problem that a user can act on is shown first,
//! wherever problems are shown: on the terminal, in `/healthz` and in the JSON.

mod catalogue;
mod kind;

use std::fmt;

pub use self::catalogue::ProblemKind;

/// A problem that exists now. Problems are ordered by rank.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The kind of the problem, which gives its rank, cause and remedy.
    pub kind: ProblemKind,
    /// One sentence for the user, without a full stop at its end. It has the values: hosts, options, and a peer's words.
    pub text: String,
}

impl Problem {
    /// A problem with its text.
    pub fn new(kind: ProblemKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// The problem and what to do about it, in several sentences without a full stop at their end.
    pub fn with_remedy(&self) -> String {
        format!("{}. {}", self.text, self.kind.remedy().trim_end_matches('.'))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
