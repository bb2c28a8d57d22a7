//! Sizes as people write them on a command line.

/// A maximum size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeLimit {
    /// The maximum size in bytes; `None` for no limit.
    pub bytes: Option<u64>,
}

/// The text is not a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size: write it like 500MiB, 1.5GiB, 20GB, 0 or none")]
pub struct SizeError(String);

const UNITS: [(&str, f64); 9] = [
    ("", 1.0),
    ("kb", 1e3),
    ("mb", 1e6),
    ("gb", 1e9),
    ("tb", 1e12),
    ("kib", (1u64 << 10) as f64),
    ("mib", (1u64 << 20) as f64),
    ("gib", (1u64 << 30) as f64),
    ("tib", (1u64 << 40) as f64),
];

/// Reads `500MiB`, `1.5GiB`, `20GB`, a number of bytes, or `none`.
///
/// # Errors
/// If the text is none of these.
pub fn size_limit(text: &str) -> Result<SizeLimit, SizeError> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(SizeLimit { bytes: None });
    }
    let error = || SizeError(text.to_owned());
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let name = text[digits.len()..].to_ascii_lowercase();
    let (_, unit) = UNITS.iter().find(|(unit, _)| *unit == name).ok_or_else(error)?;
    let bytes = digits.parse::<f64>().map_err(|_| error())? * unit;
    // A larger number is probably a typing error.
    if !(0.0..=1e18).contains(&bytes) || digits.starts_with('-') {
        return Err(error());
    }
    Ok(SizeLimit { bytes: Some(bytes as u64) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("1.5kB", 1500),
            ("500MiB", 500 << 20),
            ("4GiB", 4 << 30),
            ("20gb", 20_000_000_000),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(size_limit(text), Ok(SizeLimit { bytes: Some(bytes) }), "{text}");
        }
        assert_eq!(size_limit("none"), Ok(SizeLimit { bytes: None }));
        for text in ["", "GiB", "-1", "-0", "4Gi", "4G", "1e30TiB", "inf", "NaN", "four"] {
            let error = size_limit(text).unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("500MiB"), "{error}");
        }
    }
}
