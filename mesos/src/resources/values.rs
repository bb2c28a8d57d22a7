//! Resources made of numbers in ranges. A range whose end lies before its beginning is empty.

use crate::v1::value::{Range, Ranges};
use crate::v1::{Resource, value};

fn list(piece: &Resource) -> &[Range] {
    piece.ranges.as_ref().map_or(&[], |ranges| &ranges.range)
}

fn set(piece: &mut Resource, range: Vec<Range>) {
    piece.ranges = Some(Ranges { range });
}

/// How many numbers there are.
pub(super) fn count(piece: &Resource) -> u64 {
    let size = |range: &Range| range.end.checked_sub(range.begin).map_or(0, |more| more.saturating_add(1));
    list(piece).iter().map(size).fold(0, u64::saturating_add)
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

/// Takes one number out of `piece`, as a resource like it, if it is there.
pub(super) fn take_number(piece: &mut Resource, number: u64) -> Option<Resource> {
    let holds = |range: &Range| range.begin <= number && number <= range.end;
    if !list(piece).iter().any(holds) {
        return None;
    }
    let mut left = Vec::new();
    for range in list(piece) {
        if !holds(range) {
            left.push(*range);
            continue;
        }
        if range.begin < number {
            left.push(Range { begin: range.begin, end: number - 1 });
        }
        if number < range.end {
            left.push(Range { begin: number + 1, end: range.end });
        }
    }
    set(piece, left);
    Some(with_values(piece, &[number]))
}

/// A resource like `piece` that consists of these numbers. Neighbours are joined.
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

/// Adds the numbers of `other`.
pub(super) fn join(piece: &mut Resource, other: &Resource) {
    let joined = [list(piece), list(other)].concat();
    set(piece, joined);
}
