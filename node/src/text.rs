//! Cleans text from peers for our messages.

/// Shortens a text to 200 characters on one line, without control characters, which could move a terminal's cursor.
pub(crate) fn one_line(text: &str) -> String {
    let clean: String = text.chars().take(2000).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None if line.is_empty() => "no text".to_owned(),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_one_line() {
        assert_eq!(one_line(" a\r\n\x1b[2Jb  "), "a [2Jb");
        assert_eq!(one_line("\n"), "no text");
        assert_eq!(one_line(&"ä".repeat(1000)).chars().count(), 201);
    }
}
