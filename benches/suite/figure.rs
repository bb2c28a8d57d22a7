//! A figure with its bound, and the verdict on all of them.

use std::fmt;
use std::process::ExitCode;

use super::machine::Load;

/// Share of the machine that others may have had: more, and a figure says nothing about the miner.
const NOISE: f64 = 0.05;

/// What a figure must hold.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// One measured figure.
#[derive(Debug)]
pub struct Figure {
    what: &'static str,
    value: f64,
    unit: &'static str,
    bound: Bound,
    /// What else is worth knowing.
    details: String,
    /// Share of the machine that others had meanwhile; `None` if the figure does not depend on it.
    others: Option<f64>,
    /// The share from which on there is no verdict.
    noise: f64,
}

impl Figure {
    /// A figure that others on the machine can spoil.
    pub fn new(what: &'static str, value: f64, unit: &'static str, bound: Bound, load: Load) -> Figure {
        Figure { what, value, unit, bound, details: String::new(), others: Some(load.others()), noise: NOISE }
    }

    /// A figure that is the same on a busy machine.
    pub fn steady(what: &'static str, value: f64, unit: &'static str, bound: Bound) -> Figure {
        Figure { what, value, unit, bound, details: String::new(), others: None, noise: NOISE }
    }

    /// Adds details.
    pub fn with(mut self, details: String) -> Figure {
        self.details = details;
        self
    }

    /// For figures that less noise spoils.
    pub fn refused_above(mut self, noise: f64) -> Figure {
        self.noise = noise;
        self
    }

    fn holds(&self) -> bool {
        match self.bound {
            Bound::AtLeast(bound) => self.value >= bound,
            Bound::AtMost(bound) => self.value <= bound,
        }
    }

    fn noisy(&self) -> bool {
        self.others.is_some_and(|others| others > self.noise)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, bound) = match self.bound {
            Bound::AtLeast(bound) => ('≥', bound),
            Bound::AtMost(bound) => ('≤', bound),
        };
        let verdict = match (self.noisy(), self.holds()) {
            (true, _) => "no verdict",
            (false, true) => "holds",
            (false, false) => "FAILS",
        };
        let Figure { what, value, unit, details, .. } = self;
        write!(f, "{what}: {value:.3} {unit} ({sign} {bound}: {verdict})")?;
        if !details.is_empty() {
            write!(f, "; {details}")?;
        }
        if let Some(others) = self.others {
            write!(f, "; others had {:.1} % of the machine", others * 100.0)?;
        }
        Ok(())
    }
}

/// 1 if a figure misses its bound, 2 if one can't be judged, else 0.
pub fn verdict(figures: &[Figure]) -> ExitCode {
    if figures.iter().any(|figure| !figure.noisy() && !figure.holds()) {
        println!("FAILS: {}", list(figures, |figure| !figure.noisy() && !figure.holds()));
        return ExitCode::FAILURE;
    }
    if figures.iter().any(Figure::noisy) {
        println!("no verdict, the machine was too busy: {}", list(figures, Figure::noisy));
        return ExitCode::from(2);
    }
    println!("all hold");
    ExitCode::SUCCESS
}

fn list(figures: &[Figure], which: impl Fn(&Figure) -> bool) -> String {
    let names: Vec<_> = figures.iter().filter(|figure| which(figure)).map(|figure| figure.what).collect();
    names.join(", ")
}

/// The value below which a share of the values lies; 0.5 is the median. The values need not be in order.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let index = ((values.len() as f64 - 1.0) * share).round();
    values.get(index as usize).copied().expect("at least one value was measured")
}
