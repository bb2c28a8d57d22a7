//! Amounts of resources, with the precision that Mesos uses to compare them.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};

/// An amount of a scalar resource in thousandths, rounded as Mesos does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(u64);

impl Quantity {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// Rounds to the nearest thousandth. Negative numbers and NaN become zero.
    pub fn new(value: f64) -> Self {
        Self((value * 1000.0).round() as u64) // `as` saturates, and turns NaN into 0
    }

    /// An amount of `thousandths`.
    pub const fn from_milli(thousandths: u64) -> Self {
        Self(thousandths)
    }

    /// A whole number.
    pub const fn whole(number: u64) -> Self {
        Self(number.saturating_mul(1000))
    }

    /// The amount in thousandths.
    pub const fn milli(self) -> u64 {
        self.0
    }

    /// The amount as a floating-point number, as in messages.
    pub fn value(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// Saturates at zero.
impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value().fmt(f)
    }
}
