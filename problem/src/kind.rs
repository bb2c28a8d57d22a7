//! What a row of the catalogue says, and how the kinds of problems are made of the rows.

use crate::ProblemKind;

/// Defines the kinds, each with its row of the catalogue.
macro_rules! catalogue {
    ($($kind:ident { $($field:ident: $value:expr,)* })*) => {
        /// A kind of problem. The order is that of the ranks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ProblemKind {
            $(
                #[doc = concat!("See the row `", stringify!($kind), "` of the catalogue.")]
                $kind,
            )*
        }

        impl ProblemKind {
            /// All kinds, the highest rank first.
            pub const ALL: &'static [ProblemKind] = &[$(ProblemKind::$kind,)*];

            pub(crate) const fn row(self) -> &'static Row {
                match self {
                    $(ProblemKind::$kind => &Row { $($field: $value,)* ..Row::PASSING },)*
                }
            }
        }
    };
}

pub(crate) use catalogue;

/// What the catalogue says about one kind of problem.
pub(crate) struct Row {
    pub code: &'static str,
    pub symptom: &'static str,
    pub cause: &'static str,
    pub remedy: &'static str,
    pub permanent: bool,
    pub unhealthy: bool,
    pub one_agent: bool,
}

impl Row {
    /// The defaults: the problem may end by itself, and does not make a program unhealthy while workers mine.
    pub const PASSING: Row = Row {
        code: "",
        symptom: "",
        cause: "",
        remedy: "",
        permanent: false,
        unhealthy: false,
        one_agent: false,
    };
}

impl ProblemKind {
    /// A short name for programs, in kebab case. It never changes its meaning.
    pub const fn code(self) -> &'static str {
        self.row().code
    }

    /// The kind with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.code() == code)
    }

    /// The rank, from 1. Of two problems, the one with the lower number is shown first.
    pub const fn rank(self) -> usize {
        self as usize + 1
    }

    /// What the user sees.
    pub const fn symptom(self) -> &'static str {
        self.row().symptom
    }

    /// What causes it.
    pub const fn cause(self) -> &'static str {
        self.row().cause
    }

    /// What the user can do.
    pub const fn remedy(self) -> &'static str {
        self.row().remedy
    }

    /// Whether the problem stays until somebody changes something, so that further tries are in vain.
    pub const fn is_permanent(self) -> bool {
        self.row().permanent
    }

    /// Whether the program is unhealthy with this problem even while workers mine.
    pub const fn is_unhealthy(self) -> bool {
        self.row().unhealthy
    }

    /// Whether such a problem concerns one agent. Where others mine, it is usually as intended.
    pub const fn is_of_one_agent(self) -> bool {
        self.row().one_agent
    }
}
