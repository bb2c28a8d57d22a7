//! Measured figures with their bounds, and the exit code that follows from them.

use std::fmt;
use std::process::ExitCode;

use super::machine::Load;

/// By default, a figure is not judged if other processes used more than this fraction of the machine's CPU time.
const NOISE: f64 = 0.05;

/// The value that a figure must reach, or must not exceed. Otherwise the check fails.
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
    /// Further details, printed after the value.
    details: String,
    /// The fraction of the machine's CPU time that other processes used during the measurement; `None` if such load does not
    /// affect the figure.
    others: Option<f64>,
    /// If other processes used more than this fraction of the CPU time, the figure is not judged.
    noise: f64,
}

impl Figure {
    /// A figure that depends on the load of the machine.
    pub fn new(what: &'static str, value: f64, unit: &'static str, bound: Bound, load: Load) -> Self {
        Figure { what, value, unit, bound, details: String::new(), others: Some(load.others()), noise: NOISE }
    }

    /// A figure that does not depend on the load of the machine.
    pub fn steady(what: &'static str, value: f64, unit: &'static str, bound: Bound) -> Self {
        Figure { what, value, unit, bound, details: String::new(), others: None, noise: NOISE }
    }

    /// Adds details.
    pub fn with(mut self, details: String) -> Self {
        self.details = details;
        self
    }

    /// Sets the fraction of the machine's CPU time that other processes may use; above it the figure is not judged.
    pub fn refused_above(mut self, noise: f64) -> Self {
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

/// The exit code: 1 if a figure misses its bound, 2 if a figure cannot be judged, else 0.
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

/// The quantile of unsorted values: the fraction `share` of the values lies below the returned value. A fraction of 0.5 gives the
/// median.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let index = ((values.len() as f64 - 1.0) * share).round();
    values.get(index as usize).copied().expect("at least one value was measured")
}
