//! Arithmetic on resources, in the thousandths that Mesos itself counts in.

use mesos::v1::Resource;
use mesos::v1::value::{Range, Ranges, Scalar};

/// What is left of some offers.
pub(super) struct Amounts {
    entries: Vec<Resource>,
}

impl Amounts {
    /// Only what a task can simply use up: nothing that may be taken back or is shared.
    pub(super) fn of<'a>(resources: impl Iterator<Item = &'a Resource>) -> Amounts {
        let usable = |resource: &&Resource| resource.revocable.is_none() && resource.shared.is_none();
        Amounts { entries: resources.filter(usable).cloned().collect() }
    }

    /// Sum of a scalar, in thousandths, rounded down.
    pub(super) fn scalar_milli(&self, name: &str) -> u64 {
        self.entries.iter().filter(|entry| entry.name == name).map(milli).sum()
    }

    /// How many ports there are.
    pub(super) fn ports(&self) -> u64 {
        self.entries.iter().flat_map(ranges).map(|range| port_range(range).count() as u64).sum()
    }

    /// Takes so many thousandths of a scalar, entry by entry, or all there is.
    pub(super) fn take(&mut self, name: &str, mut wanted: u64) -> Vec<Resource> {
        let mut taken = Vec::new();
        for entry in self.entries.iter_mut().filter(|entry| entry.name == name) {
            let part = milli(entry).min(wanted);
            if part > 0 {
                let rest = milli(entry) - part;
                taken.push(Resource { scalar: Some(scalar(part)), ..entry.clone() });
                entry.scalar = Some(scalar(rest));
                wanted -= part;
            }
        }
        taken
    }

    /// Takes the first so many ports: the resources, and the numbers in order.
    pub(super) fn take_ports(&mut self, count: u64) -> (Vec<Resource>, Vec<u16>) {
        let (mut taken, mut numbers) = (Vec::new(), Vec::new());
        for entry in self.entries.iter().filter(|entry| entry.name == "ports") {
            let wanted = usize::try_from(count).unwrap_or(usize::MAX) - numbers.len();
            let here: Vec<u16> = ranges(entry).flat_map(port_range).take(wanted).collect();
            if !here.is_empty() {
                let range = here.iter().map(|&port| Range { begin: port.into(), end: port.into() }).collect();
                taken.push(Resource { ranges: Some(Ranges { range }), ..entry.clone() });
                numbers.extend(here);
            }
        }
        (taken, numbers)
    }
}

fn scalar(milli: u64) -> Scalar {
    Scalar { value: milli as f64 / 1000.0 }
}

/// Mesos rounds to thousandths; what is offered comes rounded, so the small addend only undoes binary fractions.
fn milli(entry: &Resource) -> u64 {
    entry.scalar.map_or(0, |scalar| (scalar.value * 1000.0 + 1e-6).max(0.0) as u64)
}

fn ranges(entry: &Resource) -> impl Iterator<Item = &Range> {
    let ports = entry.ranges.as_ref().filter(|_| entry.name == "ports");
    ports.into_iter().flat_map(|ranges| &ranges.range)
}

/// Port 0 and what is beyond 65535 are no ports.
fn port_range(range: &Range) -> impl Iterator<Item = u16> + use<> {
    let end = u16::try_from(range.end).unwrap_or(u16::MAX);
    let begin = u16::try_from(range.begin).unwrap_or(u16::MAX).max(1);
    let valid = range.begin <= u64::from(u16::MAX);
    (begin..=end).filter(move |_| valid)
}
