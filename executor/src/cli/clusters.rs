//! Clusters of short options such as `-Sq`, which other miners take for `-S -q`.

use std::ffi::OsString;

/// The options that never have a value in cpuminer or xmrig, but may have one here: bfgminer's `-S DEVICE` and `-k KERNEL`. clap
/// takes the letters after them for the value.
const AMBIGUOUS: &str = "Sk";
/// Short options without a value.
const FLAGS: &str = "qDPBhSk";
/// Short options with a value.
const WITH_VALUE: &str = "oupOtarRTxscbfml";

/// Splits the words that are clusters of short options after `-S` or `-k`, so that clap takes no option in them for a value.
/// Devices and kernels stay as they are. Words after `--` are no options.
pub(super) fn split(words: Vec<OsString>) -> Vec<OsString> {
    let mut options = true;
    let mut split = Vec::with_capacity(words.len());
    for word in words {
        options &= word != "--";
        match word.to_str() {
            Some(text) if options => split.extend(split_word(text).into_iter().map(OsString::from)),
            _ => split.push(word),
        }
    }
    split
}

fn split_word(word: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = word;
    let mut letters = word.strip_prefix('-').filter(|letters| !letters.starts_with('-'));
    let mut owned;
    while let Some((before, after)) = letters.and_then(split_once) {
        parts.push(format!("-{before}"));
        owned = format!("-{after}");
        rest = &owned;
        letters = Some(after);
    }
    parts.push(rest.to_owned());
    parts
}

/// Splits a cluster behind the first of its options that may have a value; `None` if what follows is no cluster.
fn split_once(letters: &str) -> Option<(&str, &str)> {
    let place = letters.find(|letter: char| !FLAGS.contains(letter) || AMBIGUOUS.contains(letter))?;
    let is_ambiguous = letters[place..].starts_with(|letter: char| AMBIGUOUS.contains(letter));
    let (before, after) = letters.split_at(is_ambiguous.then_some(place + 1)?);
    is_cluster(after).then_some((before, after))
}

/// Whether letters are short options: flags, then perhaps one option with a number, or with its value in the next word. No name of
/// a device or kernel is of this form.
fn is_cluster(letters: &str) -> bool {
    let rest = letters.trim_start_matches(|letter: char| FLAGS.contains(letter));
    let mut rest = rest.chars();
    !letters.is_empty()
        && rest.next().is_none_or(|letter| WITH_VALUE.contains(letter))
        && rest.all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_split_and_devices_are_not() {
        for (word, parts) in [
            ("-Sq", "-S -q"),
            ("-kS", "-k -S"),
            ("-Skq", "-S -k -q"),
            ("-qSD", "-qS -D"),
            ("-Sqt2", "-S -qt2"),
            ("-St2", "-S -t2"),
            ("-So", "-S -o"),
            ("-qS", "-qS"),
            ("-S", "-S"),
            ("-k", "-k"),
            ("-q", "-q"),
            ("-Sopencl:auto", "-Sopencl:auto"),
            ("-Sall", "-Sall"),
            ("-Sklondike:auto", "-Sklondike:auto"),
            ("-S/dev/ttyUSB0", "-S/dev/ttyUSB0"),
            ("-kdiablo", "-kdiablo"),
            ("-kpoclbm", "-kpoclbm"),
            ("-uSkq", "-uSkq"),
            ("--Sq", "--Sq"),
            ("-1", "-1"),
            ("-", "-"),
            ("é-Sq", "é-Sq"),
            ("-éSq", "-éSq"),
        ] {
            assert_eq!(split_word(word).join(" "), parts, "{word}");
        }
        let words = ["-Sq", "--", "-Sq"].map(OsString::from).to_vec();
        assert_eq!(split(words), ["-S", "-q", "--", "-Sq"]);
    }
}
