//! The text format of Prometheus, version 0.0.4.

use std::collections::HashSet;

fn is_name(text: &str) -> bool {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == ':');
    first && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

/// Whether the text is `{name="value",…}` without characters that need an escape.
fn are_labels(text: &str) -> bool {
    let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    inner.is_some_and(|inner| {
        inner.split(',').all(|label| {
            let Some((name, value)) = label.split_once('=') else { return false };
            let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            is_name(name) && value.is_some_and(|value| !value.contains(['"', '\\', '\n']))
        })
    })
}

/// Panics if a scraper would refuse the text: the lines of each family must follow its HELP and TYPE without a gap, and no
/// series may occur twice.
pub fn check(text: &str) {
    assert!(text.ends_with('\n'), "the last line has no end");
    let (mut families, mut series) = (HashSet::new(), HashSet::new());
    let (mut family, mut kind, mut helped) = ("", "", "");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            helped = help.split(' ').next().unwrap();
            assert!(is_name(helped) && families.insert(helped), "{line}");
        } else if let Some(kinded) = line.strip_prefix("# TYPE ") {
            (family, kind) = kinded.split_once(' ').unwrap();
            assert!(family == helped && ["counter", "gauge"].contains(&kind), "{line}");
            assert_eq!(family.ends_with("_total"), kind == "counter", "{line}");
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = name.split_at(name.find('{').unwrap_or(name.len()));
            assert!(name == family && (labels.is_empty() || are_labels(labels)), "{line}");
            let value: f64 = value.parse().unwrap();
            assert!(value.is_finite() && (kind == "gauge" || value >= 0.0), "{line}");
            assert!(series.insert((name, labels)), "{line} comes twice");
        }
    }
    assert!(!series.is_empty());
}
