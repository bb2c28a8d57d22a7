//! Makes text from a peer safe to log and to show.

/// Maximum length of a text from a peer, in characters. Longer texts are cut.
const MAX_CHARS: usize = 300;

/// Returns `text` as one line, cut after [`MAX_CHARS`] characters, without control characters, which terminals would interpret.
pub(crate) fn printable(text: &str) -> String {
    let text = text.trim_matches(|c: char| c.is_control() || c.is_whitespace());
    let mut shown: String =
        text.chars().take(MAX_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn control_characters_are_removed_and_long_text_is_cut() {
        assert_eq!(printable(" a\u{1b}[2J\nb "), "a [2J b");
        assert_eq!(printable(&"x".repeat(100_000)).chars().count(), 301);
        assert_eq!(printable(&"ü".repeat(300)), "ü".repeat(300));
    }
}
