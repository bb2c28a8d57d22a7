//! Difficulties on a command line.

/// Reads a difficulty: positive and finite.
///
/// # Errors
/// If the text is none.
pub fn difficulty(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| format!("{text:?} is no difficulty; it must be a number above zero"))
}
