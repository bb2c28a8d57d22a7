//! The lines that the program writes on standard error.

/// The level and the message of a line in the log's style, such as `2026-03-01T12:00:00Z WARN  no work`; `None` for other lines.
pub fn parts(line: &str) -> Option<(&str, &str)> {
    let (time, rest) = line.split_once(' ')?;
    let digits = |c: char| if c.is_ascii_digit() { '0' } else { c };
    let shape: String = time.chars().map(digits).collect();
    let (level, message) = (rest.get(..5)?.trim_end(), rest.get(5..)?.strip_prefix(' ')?);
    let known = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level);
    (shape == "0000-00-00T00:00:00Z" && known && !message.trim().is_empty()).then_some((level, message))
}

/// The message of a line in the log's style; empty for other lines.
pub fn message(line: &str) -> &str {
    parts(line).map_or("", |(_, message)| message)
}
