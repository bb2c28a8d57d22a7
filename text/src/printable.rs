//! Text of peers (names, reasons, messages), made safe to show.
//!
//! A peer chooses its own name and its own words. Shown raw on a terminal, control characters would move the cursor, rewrite what
//! is on the screen or set the window's title; characters that change the writing direction would let a text read as another one;
//! and invisible ones would make two different names look alike.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a terminal shows the character as it is: it is none of the control characters (C0, DEL and C1), the format characters
/// (Unicode's category Cf: direction overrides and isolates, zero-width characters, tags), the separators of lines and paragraphs,
/// the spaces other than `' '`, and the code points without an assigned character.
pub fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    // The standard library has Unicode's table of what cannot be printed, and uses it for `{:?}`. The `a` in front of the character
    // keeps accents and vowel signs, which are escaped only at the beginning of a text.
    let mut buffer = [b'a'; 5];
    let end = 1 + c.encode_utf8(&mut buffer[1..]).len();
    let text = std::str::from_utf8(&buffer[..end]).unwrap_or_default();
    text.escape_debug().eq(text.chars())
}

/// The text on one line and safe to show: characters that are not printable become visible escapes such as `\u{202e}` or `\n`. At
/// most about `longest` characters of the result are kept; a longer one ends in `…`.
pub fn printable(text: &str, longest: usize) -> Cow<'_, str> {
    // Most texts are safe. A text has at most as many characters as bytes.
    if text.len() <= longest && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::new();
    let mut left = longest;
    for c in text.chars() {
        let before = safe.len();
        if is_printable(c) {
            safe.push(c);
        } else {
            safe.extend(c.escape_default());
        }
        let width = safe[before..].chars().count();
        if width > left {
            safe.truncate(before);
            safe.push('…');
            break;
        }
        left -= width;
    }
    Cow::Owned(safe)
}

/// Like [`printable`], for a text of several lines: line breaks stay. `longest` is the limit of each line.
pub fn printable_lines(text: &str, longest: usize) -> Cow<'_, str> {
    let mut lines = text.split('\n');
    match (lines.next(), lines.next()) {
        (Some(only), None) => printable(only, longest),
        _ => Cow::Owned(text.split('\n').map(|line| printable(line, longest)).collect::<Vec<_>>().join("\n")),
    }
}

/// A JSON text of the same meaning in which characters that are not printable are escaped (`\u202e`). JSON itself requires this
/// only of some of them.
pub fn escape_json(json: &str) -> Cow<'_, str> {
    // White space between the values stays. Within strings, JSON has escaped these characters already.
    let stays = |c: char| is_printable(c) || matches!(c, '\n' | '\r' | '\t');
    if json.chars().all(stays) {
        return Cow::Borrowed(json);
    }
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if stays(c) {
            safe.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(safe, "\\u{unit:04x}");
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_controls_a_terminal_or_hides_becomes_visible() {
        for (raw, shown) in [
            ("\x1b[2J\x07", r"\u{1b}[2J\u{7}"),
            ("\u{9b}31m\x7f", r"\u{9b}31m\u{7f}"),
            ("a\u{202e}b\u{2066}c\u{200f}d", r"a\u{202e}b\u{2066}c\u{200f}d"),
            ("zero\u{200b}width\u{feff}\u{2060}\u{ad}", r"zero\u{200b}width\u{feff}\u{2060}\u{ad}"),
            ("line\u{2028}paragraph\u{2029}", r"line\u{2028}paragraph\u{2029}"),
            ("one\ntwo\r\tthree", r"one\ntwo\r\tthree"),
            ("tag\u{e0041}", r"tag\u{e0041}"),
            ("\u{61c}\u{fff9}\u{1d173}\u{110bd}", r"\u{61c}\u{fff9}\u{1d173}\u{110bd}"),
        ] {
            assert_eq!(printable(raw, 100), shown);
        }
    }

    #[test]
    fn what_people_write_stays() {
        for text in
            ["plain", "it's \"quoted\" \\ {}", "größer 矿池 ⛏ пул", "e\u{301}", "\u{301}e", "หิน", "हिन्दी", ""]
        {
            assert_eq!(printable(text, 100), text);
        }
    }

    #[test]
    fn no_character_that_is_shown_is_harmful() {
        for c in char::MIN..=char::MAX {
            if is_printable(c) {
                let format =
                    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
                assert!(!c.is_control() && !format && c != '\u{feff}', "{c:?}");
            }
        }
    }

    #[test]
    fn the_length_is_bounded_and_no_escape_is_cut() {
        assert_eq!(printable("abcdef", 6), "abcdef");
        assert_eq!(printable("abcdefg", 6), "abcdef…");
        assert_eq!(printable("äöüß", 4), "äöüß");
        assert_eq!(printable("abc\u{202e}d", 6), "abc…");
        assert!(printable(&"\x1b".repeat(100_000), 50).chars().count() <= 51);
    }

    #[test]
    fn line_breaks_of_a_text_with_several_lines_stay() {
        assert_eq!(printable_lines("one\ntwo\x1b\n", 20), "one\ntwo\\u{1b}\n");
        assert_eq!(printable_lines("one\r", 20), "one\\r");
    }

    #[test]
    fn json_keeps_its_meaning() {
        assert_eq!(escape_json("{\"a\": \"b\u{202e}\u{7f}ä\"}\n"), "{\"a\": \"b\\u202e\\u007fä\"}\n");
        assert_eq!(escape_json("\"\u{e0041}\""), r#""\udb40\udc41""#);
    }
}
