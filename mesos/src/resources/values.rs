//! Arithmetic with ranges of numbers. A range that ends before its beginning is empty.

use std::ops::RangeInclusive;

use crate::v1::value::{Range, Ranges};
use crate::v1::{Resource, value};

fn list(piece: &Resource) -> &[Range] {
    piece.ranges.as_ref().map_or(&[], |ranges| &ranges.range)
}

fn set(piece: &mut Resource, range: Vec<Range>) {
    piece.ranges = Some(Ranges { range });
}

/// The total size of all ranges.
pub(super) fn count(piece: &Resource) -> u64 {
    let size = |range: &Range| range.end.checked_sub(range.begin).map_or(0, |more| more.saturating_add(1));
    list(piece).iter().map(size).fold(0, u64::saturating_add)
}

/// Removes the numbers that are not in `wanted`. The remaining ranges are merged and sorted.
pub(super) fn keep(piece: &mut Resource, wanted: &RangeInclusive<u64>) {
    if piece.ranges.is_none() {
        return;
    }
    let part =
        |range: &Range| Range { begin: range.begin.max(*wanted.start()), end: range.end.min(*wanted.end()) };
    let parts: Vec<Range> = list(piece).iter().map(part).collect();
    set(piece, merged(&parts));
}

/// Moves the first numbers, at most `count`, from `piece` to `numbers`.
pub(super) fn take_first(piece: &mut Resource, count: usize, numbers: &mut Vec<u64>) {
    let full = numbers.len().saturating_add(count);
    let mut left = Vec::new();
    for range in list(piece) {
        let mut next = Some(range.begin);
        while let Some(number) = next.filter(|number| *number <= range.end && numbers.len() < full) {
            numbers.push(number);
            next = number.checked_add(1);
        }
        if let Some(begin) = next.filter(|begin| *begin <= range.end) {
            left.push(Range { begin, end: range.end });
        }
    }
    if piece.ranges.is_some() {
        set(piece, left);
    }
}

/// Removes one number from `piece` and returns it as a separate piece; `None` if `piece` does not contain the number.
pub(super) fn take_number(piece: &mut Resource, number: u64) -> Option<Resource> {
    let taken = with_values(piece, &[number]);
    *piece = less(piece, &taken)?;
    Some(taken)
}

/// `piece` without the numbers of `part`; `None` if `piece` does not contain all of them. The resulting ranges are merged and
/// sorted.
pub(super) fn less(piece: &Resource, part: &Resource) -> Option<Resource> {
    let mut left = merged(list(piece));
    for gone in merged(list(part)) {
        let index = left.iter().position(|range| range.begin <= gone.begin && gone.end <= range.end)?;
        let range = left.remove(index);
        let before = (range.begin < gone.begin).then(|| Range { begin: range.begin, end: gone.begin - 1 });
        let after = (gone.end < range.end).then(|| Range { begin: gone.end + 1, end: range.end });
        left.splice(index..index, before.into_iter().chain(after));
    }
    let mut rest = piece.clone();
    set(&mut rest, left);
    Some(rest)
}

/// The same numbers in sorted ranges that neither overlap nor touch.
fn merged(ranges: &[Range]) -> Vec<Range> {
    let mut sorted: Vec<Range> = ranges.iter().filter(|range| range.begin <= range.end).copied().collect();
    sorted.sort_unstable_by_key(|range| range.begin);
    let mut merged: Vec<Range> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.begin <= last.end.saturating_add(1) => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}

/// A copy of `piece` with these numbers as its ranges. Consecutive numbers become one range.
pub(super) fn with_values(piece: &Resource, numbers: &[u64]) -> Resource {
    let mut range: Vec<Range> = Vec::new();
    for &number in numbers {
        match range.last_mut() {
            Some(last) if last.end.checked_add(1) == Some(number) => last.end = number,
            _ => range.push(Range { begin: number, end: number }),
        }
    }
    Resource { ranges: Some(value::Ranges { range }), ..piece.clone() }
}

/// Appends the ranges of `other` to those of `piece`.
pub(super) fn join(piece: &mut Resource, other: &Resource) {
    let joined = [list(piece), list(other)].concat();
    set(piece, joined);
}
