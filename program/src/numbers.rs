//! Whole numbers on a command line.

use std::ops::RangeInclusive;

/// Reads whole numbers of this range.
///
/// # Errors
/// The function's, where a text is none: which numbers there are.
pub fn whole<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
            let most = if *range.end() == u64::MAX { String::new() } else { format!(" to {}", range.end()) };
            format!("write a whole number from {}{most}", range.start())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_range_is_told_the_range() {
        assert_eq!(whole::<u16>(0..=65535)("65535"), Ok(65535));
        assert_eq!(whole::<u64>(1..=u64::MAX)("18446744073709551615"), Ok(u64::MAX));
        for text in ["", "0", "101", "-1", "x", "1s", "1.5", "18446744073709551616"] {
            assert_eq!(
                whole::<u32>(1..=100)(text),
                Err("write a whole number from 1 to 100".into()),
                "{text}"
            );
        }
        assert_eq!(whole::<u64>(1..=u64::MAX)("0"), Err("write a whole number from 1".into()));
    }
}
