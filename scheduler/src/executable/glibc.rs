//! Versions of glibc, as programs name them in the symbols that they use.

use std::fmt;

/// A version of glibc, such as 2.34.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GlibcVersion {
    major: u16,
    minor: u16,
}

/// The symbol version that programs with packed relocations (DT_RELR) require. It was introduced in glibc 2.36.
const RELATIVE_RELOCATIONS: &str = "GLIBC_ABI_DT_RELR";

impl GlibcVersion {
    /// Parses the name of a symbol version, such as `GLIBC_2.34` or `GLIBC_2.2.5`. `None` if it is not glibc's.
    pub fn parse(name: &str) -> Option<Self> {
        if name == RELATIVE_RELOCATIONS {
            return Some(Self { major: 2, minor: 36 });
        }
        let mut numbers = name.strip_prefix("GLIBC_")?.split('.').map(str::parse);
        Some(Self { major: numbers.next()?.ok()?, minor: numbers.next()?.ok()? })
    }
}

impl fmt::Display for GlibcVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Whether glibc contains the library of this name.
pub(super) fn is_part(library: &str) -> bool {
    const PARTS: [&str; 8] = [
        "libc.so.",
        "libm.so.",
        "libpthread.so.",
        "libdl.so.",
        "librt.so.",
        "libresolv.so.",
        "libutil.so.",
        "ld-linux",
    ];
    PARTS.iter().any(|part| library.starts_with(part))
}
