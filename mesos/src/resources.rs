//! Arithmetic with resources: sums of resources, and exact parts of an offer.
//!
//! A part of an offer keeps every property that Mesos checks: role, reservations, `allocation_info`, `revocable`, provider.
//! Scalars are counted in thousandths, as Mesos does, so that 0.1 + 0.2 is 0.3.
//!
//! ```
//! use mesos::resources::{Quantity, Resources, ranges, scalar};
//!
//! let mut offer = Resources::from(vec![
//!     scalar("cpus", Quantity::new(3.5)),
//!     scalar("mem", Quantity::new(1024.0)),
//!     ranges("ports", [31000..=31000, 31005..=31009]),
//! ]);
//! let mut task = offer.take("cpus", Quantity::new(1.0))?;
//! task.extend(offer.take("mem", Quantity::new(256.0))?);
//! let (ports, taken) = offer.take_values("ports", 2)?;
//! task.extend(taken);
//! assert_eq!(ports, [31000, 31005]);
//! assert_eq!(offer.sum("cpus"), Quantity::new(2.5));
//! assert_eq!(offer.count("ports"), 4);
//! # Ok::<(), mesos::resources::Shortage>(())
//! ```

mod quantity;
mod values;

use std::ops::RangeInclusive;

pub use self::quantity::Quantity;
use crate::v1::{Resource, value};

/// Less of a resource is available than was requested. Nothing was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{wanted} {name} wanted, but only {available} available")]
pub struct Shortage {
    /// The resource.
    pub name: String,
    /// The wanted amount.
    pub wanted: Quantity,
    /// The available amount, without resources that cannot be divided.
    pub available: Quantity,
}

/// A scalar resource, unreserved and unallocated.
pub fn scalar(name: &str, amount: Quantity) -> Resource {
    Resource {
        name: name.to_owned(),
        r#type: value::Type::Scalar.into(),
        scalar: Some(value::Scalar { value: amount.value() }),
        ..Resource::default()
    }
}

/// A resource of ranges, unreserved and unallocated. Both ends of a range are included.
pub fn ranges(name: &str, ranges: impl IntoIterator<Item = RangeInclusive<u64>>) -> Resource {
    let range = ranges.into_iter().map(|range| value::Range { begin: *range.start(), end: *range.end() });
    Resource {
        name: name.to_owned(),
        r#type: value::Type::Ranges.into(),
        ranges: Some(value::Ranges { range: range.collect() }),
        ..Resource::default()
    }
}

/// Resources of one agent, as a list of pieces: each piece is one `Resource`. Pieces that differ only in their amount are merged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resources(Vec<Resource>);

impl From<Vec<Resource>> for Resources {
    fn from(pieces: Vec<Resource>) -> Self {
        let mut resources = Self::default();
        resources.extend(pieces);
        resources
    }
}

impl From<Resources> for Vec<Resource> {
    fn from(resources: Resources) -> Self {
        resources.0
    }
}

impl IntoIterator for Resources {
    type Item = Resource;
    type IntoIter = std::vec::IntoIter<Resource>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Extend<Resource> for Resources {
    fn extend<I: IntoIterator<Item = Resource>>(&mut self, pieces: I) {
        for piece in pieces {
            self.add(piece);
        }
    }
}

impl Resources {
    /// The pieces, in the form that Mesos' messages use.
    pub fn as_slice(&self) -> &[Resource] {
        &self.0
    }

    /// Whether there are no resources.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sum of a scalar resource over all roles; zero if there is none.
    pub fn sum(&self, name: &str) -> Quantity {
        self.named(name).map(amount).sum()
    }

    /// How many numbers the ranges of a resource contain, over all roles. Malformed ranges count as empty.
    pub fn count(&self, name: &str) -> u64 {
        self.named(name).map(values::count).fold(0, u64::saturating_add)
    }

    /// Removes and returns the pieces that `wanted` selects, for instance `|piece| piece.revocable.is_some()`.
    pub fn split_off(&mut self, wanted: impl FnMut(&Resource) -> bool) -> Self {
        let (taken, left) = std::mem::take(&mut self.0).into_iter().partition(wanted);
        self.0 = left;
        Self(taken)
    }

    /// Takes an amount of a scalar resource, from several pieces if necessary, in order. Volumes, special disks and shared
    /// resources are never taken, because they cannot be divided.
    ///
    /// # Errors
    /// When there is not enough; then nothing is taken.
    pub fn take(&mut self, name: &str, wanted: Quantity) -> Result<Self, Shortage> {
        let available = self.named(name).filter(|piece| is_divisible(piece)).map(amount).sum();
        if wanted > available {
            return Err(Shortage { name: name.to_owned(), wanted, available });
        }
        let (mut taken, mut missing) = (Self::default(), wanted);
        for piece in self.0.iter_mut().filter(|piece| piece.name == name && is_divisible(piece)) {
            let part = amount(piece).min(missing);
            if part > Quantity::ZERO {
                taken.0.push(with_amount(piece, part));
                *piece = with_amount(piece, amount(piece) - part);
                missing = missing - part;
            }
        }
        self.drop_empty(name);
        Ok(taken)
    }

    /// Takes all of a scalar resource, except pieces that cannot be divided.
    pub fn take_all(&mut self, name: &str) -> Self {
        self.split_off(|piece| piece.name == name && is_divisible(piece) && piece.scalar.is_some())
    }

    /// Takes the first `count` numbers of a resource's ranges, such as ports, in the order of the offer. Returns the
    /// numbers, too.
    ///
    /// # Errors
    /// When there are not enough numbers; then nothing is taken.
    pub fn take_values(&mut self, name: &str, count: usize) -> Result<(Vec<u64>, Self), Shortage> {
        let available = self.count(name);
        if u64::try_from(count).is_ok_and(|wanted| wanted > available) {
            return Err(shortage(name, count as u64, available));
        }
        let (mut numbers, mut taken) = (Vec::with_capacity(count), Self::default());
        for piece in self.0.iter_mut().filter(|piece| piece.name == name) {
            let first = numbers.len();
            values::take_first(piece, count - first, &mut numbers);
            if numbers.len() > first {
                taken.0.push(values::with_values(piece, &numbers[first..]));
            }
        }
        self.drop_empty(name);
        Ok((numbers, taken))
    }

    /// Removes all numbers of a resource's ranges that are not in `range`, and ranges that end before they begin. The other
    /// ranges are sorted, and those that overlap or touch are joined, so that each number is there once.
    pub fn keep_values(&mut self, name: &str, range: RangeInclusive<u64>) {
        self.0.iter_mut().filter(|piece| piece.name == name).for_each(|piece| values::keep(piece, &range));
        self.drop_empty(name);
    }

    /// Takes one particular number from a resource's ranges, such as a fixed port. `None` if the number is not in the ranges.
    pub fn take_value(&mut self, name: &str, number: u64) -> Option<Self> {
        let named = self.0.iter_mut().filter(|piece| piece.name == name);
        let taken = named.filter_map(|piece| values::take_number(piece, number)).next()?;
        self.drop_empty(name);
        Some(Self(vec![taken]))
    }

    /// Whether `self` contains `part`: for each piece of `part` it has a piece of the same kind that is at least as large.
    pub fn contains(&self, part: &Self) -> bool {
        self.clone().subtract(part)
    }

    /// Subtracts `part`. Returns `false`, and subtracts nothing, unless `self` contains it.
    pub fn subtract(&mut self, part: &Self) -> bool {
        let mut rest = self.clone();
        for piece in part.0.iter().filter(|piece| !is_used_up(piece)) {
            let like = rest.0.iter_mut().find(|other| describe(other) == describe(piece));
            let Some(like) = like else { return false };
            let Some(left) = less(like, piece) else { return false };
            *like = left;
            rest.drop_empty(&piece.name);
        }
        *self = rest;
        true
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Resource> {
        self.0.iter().filter(move |piece| piece.name == name)
    }

    /// Removes the empty pieces named `name`.
    fn drop_empty(&mut self, name: &str) {
        self.0.retain(|piece| piece.name != name || !is_used_up(piece));
    }

    /// Merges a piece into one that differs only in the amount, or else adds it as a new piece.
    fn add(&mut self, piece: Resource) {
        let like = self.0.iter_mut().find(|other| is_divisible(other) && describe(other) == describe(&piece));
        match like {
            Some(other) if other.scalar.is_some() && piece.scalar.is_some() => {
                *other = with_amount(other, amount(other) + amount(&piece));
            }
            Some(other) if other.ranges.is_some() && piece.ranges.is_some() => values::join(other, &piece),
            _ => self.0.push(piece),
        }
    }
}

fn shortage(name: &str, wanted: u64, available: u64) -> Shortage {
    Shortage { name: name.to_owned(), wanted: Quantity::whole(wanted), available: Quantity::whole(available) }
}

fn amount(piece: &Resource) -> Quantity {
    piece.scalar.as_ref().map_or(Quantity::ZERO, |scalar| Quantity::new(scalar.value))
}

fn with_amount(piece: &Resource, amount: Quantity) -> Resource {
    Resource { scalar: Some(value::Scalar { value: amount.value() }), ..piece.clone() }
}

/// `piece` minus `part`; `None` if `piece` does not contain all of `part`.
fn less(piece: &Resource, part: &Resource) -> Option<Resource> {
    match (&piece.scalar, &part.scalar) {
        (Some(_), Some(_)) if amount(piece) >= amount(part) => {
            Some(with_amount(piece, amount(piece) - amount(part)))
        }
        (None, None) => values::less(piece, part),
        _ => None,
    }
}

/// Whether a piece is empty.
fn is_used_up(piece: &Resource) -> bool {
    amount(piece) == Quantity::ZERO && values::count(piece) == 0 && piece.set.is_none()
}

/// The piece without its amount.
fn describe(piece: &Resource) -> Resource {
    Resource { scalar: None, ranges: None, set: None, ..piece.clone() }
}

/// Whether a piece may be divided into smaller ones.
fn is_divisible(piece: &Resource) -> bool {
    piece.disk.is_none() && piece.shared.is_none()
}

#[cfg(test)]
mod tests;
