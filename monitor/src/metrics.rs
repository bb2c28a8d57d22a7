//! Prometheus' text format.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt::Write;

/// Families of samples, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics(String);

/// What the samples of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They never fall while the process lives.
    Counter,
    /// They rise and fall.
    Gauge,
}

impl Metrics {
    /// One sample, without labels.
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: f64) {
        self.head(name, kind, help);
        self.sample(name, "", value);
    }

    /// Samples that differ in one label; values of labels are taken as they are, so they must be words.
    pub fn by<'a>(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        label: &str,
        samples: impl IntoIterator<Item = (&'a str, f64)>,
    ) {
        self.head(name, kind, help);
        for (word, value) in samples {
            self.sample(name, &format!("{{{label}=\"{word}\"}}"), value);
        }
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.0
    }

    // Writing to a string cannot fail.
    fn head(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &str, value: f64) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_as_prometheus_reads_them() {
        let mut metrics = Metrics::default();
        metrics.single("a_total", Kind::Counter, "All.", 3.0);
        metrics.by("b", Kind::Gauge, "Some.", "of", [("x", 0.5), ("y", 1e21)]);
        let expected = "# HELP a_total All.\n# TYPE a_total counter\na_total 3\n\
                        # HELP b Some.\n# TYPE b gauge\nb{of=\"x\"} 0.5\nb{of=\"y\"} 1000000000000000000000\n";
        assert_eq!(metrics.into_text(), expected);
    }
}
